//! Bad input: what is wrong, where, what to write instead, and that nothing is started.

use std::fs;

use expect_test::{Expect, expect};
use serde_json::Value;

use crate::support::{Answer, TestEnvironment, recipe};

/// Applies the quickstart after replacing `from` by `to`.
#[track_caller]
fn check(from: &str, to: &str, expected: &Expect) {
    let environment = TestEnvironment::new();
    let text = fs::read_to_string(recipe("quickstart")).expect("the quickstart is there");
    assert!(text.contains(from), "the quickstart does not hold `{from}`");
    fs::write(environment.path().join("recipe.yaml"), text.replace(from, to))
        .expect("the folder can be written");
    let answer = environment.run(&["apply", "-f", "recipe.yaml", "--local", "-o", "outputs"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    assert!(!environment.path().join("outputs").exists(), "something was started");
    expected.assert_eq(&answer.stderr);
}

#[test]
fn a_mistyped_key_is_underlined() {
    check(
        "decode_workers:",
        "decode_wrokers:",
        &expect![[r#"
        error[unknown-key]: unknown key `decode_wrokers` in `resources`
          --> recipe.yaml:16:3
           |
        16 |   decode_wrokers: 2
           |   ^^^^^^^^^^^^^^
           |
           = help: did you mean `decode_workers`?

    "#]],
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    check(
        "isl: 512\n  osl: 64",
        "isl: many\n  oosl: 64",
        &expect![[r#"
        error[wrong-type]: `benchmark.isl` must be an integer, not text
          --> recipe.yaml:27:8
           |
        27 |   isl: many
           |        ^^^^

        error[unknown-key]: unknown key `oosl` in `benchmark`
          --> recipe.yaml:28:3
           |
        28 |   oosl: 64
           |   ^^^^
           |
           = help: did you mean `osl`?

    "#]],
    );
}

#[test]
fn without_slurm_there_is_a_hint() {
    let environment = TestEnvironment::new();
    let answer = environment.run(&["apply", "-f", &recipe("quickstart")]);
    // A machine that has Slurm's commands but no cluster refuses as well.
    assert_eq!(answer.code, Some(5), "{answer:#?}");
    assert!(answer.stderr.contains("`--local`"), "{answer:#?}");
    assert!(!environment.path().join("outputs").exists(), "something was started");
}

#[test]
fn a_missing_recipe_is_bad_input() {
    let environment = TestEnvironment::new();
    let answer = environment.run(&["dry-run", "-f", "nowhere.yaml"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    expect![[r"
        error: failed to read the recipe `nowhere.yaml`: No such file or directory (os error 2)
    "]]
    .assert_eq(&answer.stderr);
}

/// Applies and plans a recipe that cannot be planned; both say the same, in text and to machines.
#[track_caller]
fn check_refused(name: &str, from: &str, to: &str, expected: &Expect) {
    let environment = TestEnvironment::new();
    let text = fs::read_to_string(recipe(name)).expect("the example is there");
    assert!(text.contains(from), "the example does not hold `{from}`");
    fs::write(environment.path().join("recipe.yaml"), text.replace(from, to))
        .expect("the folder can be written");
    let run = |arguments: &[&str]| {
        let answer = environment.run(arguments);
        assert_eq!(answer.code, Some(2), "{answer:#?}");
        answer
    };
    let apply = ["apply", "-f", "recipe.yaml", "--local", "-o", "outputs"];
    let plan = ["dry-run", "-f", "recipe.yaml", "--local"];
    let told = run(&apply).stderr;
    assert_eq!(run(&plan).stderr, told);
    expected.assert_eq(&told);
    for arguments in [&apply[..], &plan[..]] {
        let answer = run(&[arguments, &["--json"]].concat());
        let document: Value = serde_json::from_str(&answer.stdout).expect("diagnostics are JSON");
        let diagnostics = document["diagnostics"].as_array().expect("there are diagnostics");
        assert_eq!(diagnostics.len(), told.matches("error[").count(), "{document:#}");
        for diagnostic in diagnostics {
            let place = format!("recipe.yaml:{}:{}", diagnostic["line"], diagnostic["column"]);
            let message = diagnostic["message"].as_str().expect("a diagnostic has a message");
            assert!(told.contains(message) && told.contains(&place), "{diagnostic:#}");
        }
    }
    assert!(!environment.path().join("outputs").exists(), "something was started");
}

#[test]
fn workers_that_do_not_fit_are_underlined() {
    check_refused(
        "quickstart",
        "gpus_per_decode: 4",
        "gpus_per_decode: 8",
        &expect![[r#"
            error[impossible-topology]: decode 1 needs one node with room for 8 GPUs, but only 0 of 2 nodes are left: asked for 1 prefill worker of 4 GPUs and 2 decode workers of 8 GPUs on 2 nodes of 8 GPUs
              --> recipe.yaml:15:17
               |
            15 |   decode_nodes: 1
               |                 ^
               |
               = help: give the role more nodes, fewer workers, or fewer GPUs for each worker

        "#]],
    );
}

#[test]
fn all_jobs_that_cannot_be_planned_are_told() {
    check_refused(
        "overrides",
        "gpus_per_agg: [8, 4, 2]",
        "gpus_per_agg: [8, 8, 8]",
        &expect![[r#"
            error[impossible-topology]: agg 1 needs one node with room for 8 GPUs, but only 0 of 1 node is left: asked for 2 agg workers of 8 GPUs on 1 node of 8 GPUs
             --> recipe.yaml:5:61
              |
            5 |   resources: { gpu_type: h100, gpus_per_node: 8, agg_nodes: 1, agg_workers: 1 }
              |                                                             ^
              |
              = help: give the role more nodes, fewer workers, or fewer GPUs for each worker

            error[impossible-topology]: agg 1 needs one node with room for 8 GPUs, but only 0 of 1 node is left: asked for 4 agg workers of 8 GPUs on 1 node of 8 GPUs
             --> recipe.yaml:5:61
              |
            5 |   resources: { gpu_type: h100, gpus_per_node: 8, agg_nodes: 1, agg_workers: 1 }
              |                                                             ^
              |
              = help: give the role more nodes, fewer workers, or fewer GPUs for each worker

        "#]],
    );
}

#[test]
fn what_cannot_be_planned_is_underlined() {
    check_refused(
        "quickstart",
        "type: sa-bench",
        "type: gsm8k-bench",
        &expect![[r#"
            error[cannot-plan]: the job cannot be planned: `benchmark.type` is `gsm8k-bench`, which is no benchmark: there are custom, gpqa, gsm8k, lm-eval, longbenchv2, manual, mmlu, mooncake-router, router, sa-bench, sglang-bench, trace-replay
              --> recipe.yaml:26:9
               |
            26 |   type: gsm8k-bench
               |         ^^^^^^^^^^^
               |
               = help: known are `manual`, `custom`, `gpqa`, `gsm8k`, `lm-eval`, `longbenchv2`, `mmlu`, `mooncake-router`, `router`, `sa-bench`, `sglang-bench`, `trace-replay`

        "#]],
    );
}

#[test]
fn the_jobs_that_cannot_be_planned_are_named() {
    let from = "concurrencies: [[4], [8], [16]]";
    let to = "type: [sa-bench, gsm8k-bench, gsm8k-bench], concurrencies: [[4], [8], [16]]";
    check_refused(
        "overrides",
        from,
        to,
        &expect![[r#"
            error[cannot-plan]: the job cannot be planned: `benchmark.type` is `gsm8k-bench`, which is no benchmark: there are custom, gpqa, gsm8k, lm-eval, longbenchv2, manual, mmlu, mooncake-router, router, sa-bench, sglang-bench, trace-replay
              --> recipe.yaml:13:33
               |
            13 |   benchmark: { type: [sa-bench, gsm8k-bench, gsm8k-bench], concurrencies: [[4], [8], [16]] }
               |                                 ^^^^^^^^^^^
               |
               = help: known are `manual`, `custom`, `gpqa`, `gsm8k`, `lm-eval`, `longbenchv2`, `mmlu`, `mooncake-router`, `router`, `sa-bench`, `sglang-bench`, `trace-replay` (only in `overrides_workers_1`)

            error[cannot-plan]: the job cannot be planned: `benchmark.type` is `gsm8k-bench`, which is no benchmark: there are custom, gpqa, gsm8k, lm-eval, longbenchv2, manual, mmlu, mooncake-router, router, sa-bench, sglang-bench, trace-replay
              --> recipe.yaml:13:46
               |
            13 |   benchmark: { type: [sa-bench, gsm8k-bench, gsm8k-bench], concurrencies: [[4], [8], [16]] }
               |                                              ^^^^^^^^^^^
               |
               = help: known are `manual`, `custom`, `gpqa`, `gsm8k`, `lm-eval`, `longbenchv2`, `mmlu`, `mooncake-router`, `router`, `sa-bench`, `sglang-bench`, `trace-replay` (only in `overrides_workers_2`)

        "#]],
    );
}

#[test]
fn a_side_without_workers_is_refused() {
    check_refused(
        "quickstart",
        "decode_workers: 2",
        "decode_workers: 0",
        &expect![[r#"
            error[topology-aggregated-style]: a disaggregated job needs `resources.decode_workers` of at least 1
              --> recipe.yaml:16:19
               |
            16 |   decode_workers: 0
               |                   ^
               |
               = help: for workers that do both, write `agg_nodes` and `agg_workers`

        "#]],
    );
}

/// Applies a folder of two examples.
fn apply_folder(further: &[&str]) -> (TestEnvironment, Answer) {
    let environment = TestEnvironment::new();
    fs::create_dir(environment.path().join("recipes")).expect("a folder can be made");
    for name in ["overrides", "sweep"] {
        let text = fs::read_to_string(recipe(name)).expect("the example is there");
        let path = environment.path().join("recipes").join(format!("{name}.yaml"));
        fs::write(path, text).expect("the folder can be written");
    }
    let answer =
        environment.run(&[&["apply", "-f", "recipes", "-o", "outputs", "--no-preflight"], further].concat());
    (environment, answer)
}

#[test]
fn a_folder_is_not_started_by_surprise() {
    let (environment, answer) = apply_folder(&["--local"]);
    let (_, submitted) = apply_folder(&[]);
    assert_eq!((answer.code, submitted.code), (Some(2), Some(2)), "{answer:#?}");
    assert!(!environment.path().join("outputs").exists(), "something was started");
    assert_eq!(submitted.stderr, answer.stderr);
    expect![[r#"
        error: there are 8 jobs from 2 recipes below `recipes`, and none was started; start them with `--yes`, or see them with `srtctl dry-run`
    "#]].assert_eq(&answer.stderr);
}

#[test]
fn one_bad_recipe_of_a_folder_keeps_all_from_starting() {
    let (environment, _) = apply_folder(&[]);
    fs::write(environment.path().join("recipes/z.yaml"), "name: 1\n").expect("the folder can be written");
    let answer = environment.run(&["apply", "-f", "recipes", "-o", "outputs", "--local", "--yes"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    assert!(!environment.path().join("outputs").exists(), "something was started");
    assert!(answer.stderr.contains("recipes/z.yaml:1:"), "{answer:#?}");
}

#[test]
fn with_yes_a_folder_goes_through() {
    // The same as submitting, without a cluster that has to take it: local runs of every job.
    let environment = TestEnvironment::new();
    fs::create_dir(environment.path().join("recipes")).expect("a folder can be made");
    let text = fs::read_to_string(recipe("sweep")).expect("the example is there");
    let short = text.replace("isl: [128, 256]", "isl: [16]");
    fs::write(environment.path().join("recipes/one.yaml"), &short).expect("the folder can be written");
    let answer = environment.run(&[
        "apply",
        "-f",
        "recipes",
        "-o",
        "outputs",
        "--local",
        "--yes",
        "--json",
        "--set",
        "benchmark.num_prompts_mult=20",
    ]);
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    let names = answer.stdout.lines().map(|line| {
        let document: Value = serde_json::from_str(line).expect("each line is JSON");
        document["job_name"].as_str().expect("a job has a name").to_owned()
    });
    assert_eq!(names.collect::<Vec<_>>(), ["sweep_isl16_concurrency4", "sweep_isl16_concurrency8"]);
    let runs = fs::read_dir(environment.path().join("outputs")).expect("runs were started");
    assert_eq!(runs.count(), 2);
}
