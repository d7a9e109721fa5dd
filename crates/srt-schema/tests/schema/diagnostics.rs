//! Mistakes in recipes and cluster files, as a person sees them.

use expect_test::{Expect, expect};

use crate::common::{Case, MINIMAL, rendered, run};

#[track_caller]
fn check(addition: &str, expected: &Expect) {
    let recipe = format!("{MINIMAL}{addition}");
    let loaded = run(&Case { recipe: &recipe, ..Case::default() });
    expected.assert_eq(&rendered(&loaded));
}

#[track_caller]
fn check_whole(recipe: &str, expected: &Expect) {
    expected.assert_eq(&rendered(&run(&Case { recipe, ..Case::default() })));
}

#[track_caller]
fn check_cluster(cluster: &str, expected: &Expect) {
    let loaded = run(&Case { recipe: MINIMAL, cluster: Some(cluster), ..Case::default() });
    expected.assert_eq(&rendered(&loaded));
}

#[test]
fn a_good_recipe_has_nothing_to_complain_about() {
    check("", &expect![]);
}

#[test]
fn mistyped_keys_are_all_reported_with_the_key_that_was_meant() {
    check(
        "benchmark:\n  type: sa-bench\n  isll: 1024\n  osl: 1024\n  concurencies: [4]\nfrontnd: {type: dynamo}\n",
        &expect![[r#"
        error[unknown-key]: unknown key `isll` in `benchmark`
         --> recipe.yaml:6:3
          |
        6 |   isll: 1024
          |   ^^^^
          |
          = help: did you mean `isl`?

        error[unknown-key]: unknown key `concurencies` in `benchmark`
         --> recipe.yaml:8:3
          |
        8 |   concurencies: [4]
          |   ^^^^^^^^^^^^
          |
          = help: did you mean `concurrencies`?

        error[unknown-key]: unknown key `frontnd` at the top level
         --> recipe.yaml:9:1
          |
        9 | frontnd: {type: dynamo}
          | ^^^^^^^
          |
          = help: did you mean `frontend`?
    "#]],
    );
}

#[test]
fn a_key_in_the_wrong_section_is_told_where_it_belongs() {
    check(
        "isl: 1024\nfrontend:\n  connector: nixl\n",
        &expect![[r#"
        error[unknown-key]: unknown key `isl` at the top level
         --> recipe.yaml:4:1
          |
        4 | isl: 1024
          | ^^^
          |
          = help: `isl` is a key of `benchmark`; check the indentation

        error[unknown-key]: unknown key `connector` in `frontend`
         --> recipe.yaml:6:3
          |
        6 |   connector: nixl
          |   ^^^^^^^^^
          |
          = help: `connector` is a key of `backend` with `type: vllm`; check the indentation
    "#]],
    );
}

#[test]
fn a_key_of_another_engine_names_the_engine() {
    check(
        "backend:\n  type: sglang\n  connector: nixl\n  trtllm_config: {}\n",
        &expect![[r#"
        error[unknown-key]: unknown key `connector` in `backend`
         --> recipe.yaml:6:3
          |
        6 |   connector: nixl
          |   ^^^^^^^^^
          |
          = help: `connector` is a key of `backend` with `type: vllm`; check the indentation

        error[unknown-key]: unknown key `trtllm_config` in `backend`
         --> recipe.yaml:7:3
          |
        7 |   trtllm_config: {}
          |   ^^^^^^^^^^^^^
          |
          = help: `trtllm_config` is a key of `backend` with `type: trtllm`; check the indentation
    "#]],
    );
}

#[test]
fn renamed_keys_name_their_successor() {
    check(
        "frontend:\n  dynamo_frontend_args: {router-mode: kv}\n",
        &expect![[r#"
            error[unknown-key]: unknown key `dynamo_frontend_args` in `frontend`
             --> recipe.yaml:5:3
              |
            5 |   dynamo_frontend_args: {router-mode: kv}
              |   ^^^^^^^^^^^^^^^^^^^^
              |
              = help: `dynamo_frontend_args` is now called `args`, in `frontend`
        "#]],
    );
}

#[test]
fn unquoted_values_that_yaml_takes_for_numbers_or_booleans() {
    check(
        "slurm:\n  time_limit: 4:00:00\nenvironment:\n  A: yes\n  B: 1\n  C: 0.50\n",
        &expect![[r#"
        error[wrong-type]: `slurm.time_limit` must be text, not an integer
         --> recipe.yaml:5:15
          |
        5 |   time_limit: 4:00:00
          |               ^^^^^^^
          |
          = help: unquoted, YAML reads 4:00:00 as the number 14400; write "4:00:00"

        error[wrong-type]: `environment.A` must be text, not a boolean
         --> recipe.yaml:7:6
          |
        7 |   A: yes
          |      ^^^
          |
          = help: unquoted, YAML reads yes as true; write "yes"

        error[wrong-type]: `environment.B` must be text, not an integer
         --> recipe.yaml:8:6
          |
        8 |   B: 1
          |      ^
          |
          = help: write it in quotes: "1"

        error[wrong-type]: `environment.C` must be text, not a number
         --> recipe.yaml:9:6
          |
        9 |   C: 0.50
          |      ^^^^
          |
          = help: write it in quotes: "0.50"
    "#]],
    );
}

#[test]
fn missing_keys_and_sections() {
    check_whole(
        "name: job\nmodel:\n  path: m\nresources: {gpus_per_node: 8}\n",
        &expect![[r#"
        error[missing-key]: `model.precision` is missing
         --> recipe.yaml:3:3
          |
        3 |   path: m
          |   ^^^^
          |
          = help: add `precision:` with text

        error[missing-key]: `resources.gpu_type` is missing
         --> recipe.yaml:4:13
          |
        4 | resources: {gpus_per_node: 8}
          |             ^^^^^^^^^^^^^
          |
          = help: add `gpu_type:` with text
    "#]],
    );
    check_whole(
        "backend: {type: sglang}\n",
        &expect![[r#"
        error[missing-key]: `name` is missing
         --> recipe.yaml:1:1
          |
        1 | backend: {type: sglang}
          | ^^^^^^^
          |
          = help: add `name:` with text

        error[missing-key]: `model` is missing
         --> recipe.yaml:1:1
          |
        1 | backend: {type: sglang}
          | ^^^^^^^
          |
          = help: add `model:` with a mapping

        error[missing-key]: `resources` is missing
         --> recipe.yaml:1:1
          |
        1 | backend: {type: sglang}
          | ^^^^^^^
          |
          = help: add `resources:` with a mapping
    "#]],
    );
}

#[test]
fn wrong_types() {
    check(
        "benchmark:\n  isl: many\n  concurrencies: 4\n  categories: math\nextra_mount: /a:/b\nhealth_check: 3\n",
        &expect![[r#"
            error[wrong-type]: `benchmark.isl` must be an integer, not text
             --> recipe.yaml:5:8
              |
            5 |   isl: many
              |        ^^^^

            error[wrong-type]: `benchmark.concurrencies` must be a list of integers, or text such as "4x8", not an integer
             --> recipe.yaml:6:18
              |
            6 |   concurrencies: 4
              |                  ^
              |
              = help: write [4]

            error[wrong-type]: `benchmark.categories` must be a list of text values, not text
             --> recipe.yaml:7:15
              |
            7 |   categories: math
              |               ^^^^
              |
              = help: write [math]

            error[wrong-type]: `extra_mount` must be a list of text values, not text
             --> recipe.yaml:8:14
              |
            8 | extra_mount: /a:/b
              |              ^^^^^
              |
              = help: write [/a:/b]

            error[wrong-type]: `health_check` must be a mapping, not an integer
             --> recipe.yaml:9:15
              |
            9 | health_check: 3
              |               ^
        "#]],
    );
}

#[test]
fn null_where_a_value_is_needed() {
    check(
        "benchmark: null\nfrontend:\n  type:\nslurm:\n  account: null\n",
        &expect![[r#"
        error[null-value]: `benchmark` may not be null
         --> recipe.yaml:4:12
          |
        4 | benchmark: null
          |            ^^^^
          |
          = help: remove the line to use the default, or give a mapping

        error[null-value]: `frontend.type` may not be null
         --> recipe.yaml:6:3
          |
        6 |   type:
          |   ^^^^
          |
          = help: remove the line to use the default, or give `dynamo`, `sglang`, `trtllm_serve`, `vllm`, `mock`
    "#]],
    );
}

#[test]
fn values_out_of_range() {
    check_whole(
        "name: job\nmodel: {path: /m, precision: fp8}\nresources: {gpu_type: h100, gpus_per_node: -4, agg_nodes: 1, agg_workers: 0}\n",
        &expect![[r#"
            error[out-of-range]: `resources.gpus_per_node` must be at least 1, not -4
             --> recipe.yaml:3:44
              |
            3 | resources: {gpu_type: h100, gpus_per_node: -4, agg_nodes: 1, agg_workers: 0}
              |                                            ^^
        "#]],
    );
}

#[test]
fn words_that_are_not_known() {
    check(
        "backend: {type: sglng}\nfrontend: {type: nginx}\nbenchmark: {type: sa-bnech, client_placement: tail}\n",
        &expect![[r#"
            error[unknown-value]: `backend.type` cannot be `sglng`
             --> recipe.yaml:4:17
              |
            4 | backend: {type: sglng}
              |                 ^^^^^
              |
              = help: did you mean `sglang`? Known are `sglang`, `trtllm`, `vllm`, `mocker`

            error[unknown-value]: `frontend.type` cannot be `nginx`
             --> recipe.yaml:5:18
              |
            5 | frontend: {type: nginx}
              |                  ^^^^^
              |
              = help: known are `dynamo`, `sglang`, `trtllm_serve`, `vllm`, `mock`

            error[unknown-value]: there is no benchmark `sa-bnech`
             --> recipe.yaml:6:19
              |
            6 | benchmark: {type: sa-bnech, client_placement: tail}
              |                   ^^^^^^^^
              |
              = help: did you mean `sa-bench`?

            error[unknown-value]: `benchmark.client_placement` cannot be `tail`
             --> recipe.yaml:6:47
              |
            6 | benchmark: {type: sa-bnech, client_placement: tail}
              |                                               ^^^^
              |
              = help: known are `head`, `first_decode`, `last_decode`
        "#]],
    );
    check(
        "benchmark: {type: humaneval}\n",
        &expect![[r#"
        warning[benchmark-cannot-run]: there is no benchmark `humaneval`
         --> recipe.yaml:4:19
          |
        4 | benchmark: {type: humaneval}
          |                   ^^^^^^^^^
          |
          = help: known are `manual`, `custom`, `gpqa`, `gsm8k`, `lm-eval`, `longbenchv2`, `mmlu`, `mooncake-router`, `router`, `sa-bench`, `sglang-bench`, `trace-replay`
    "#]],
    );
}

#[test]
fn workers_that_do_not_fit() {
    check_whole(
        "name: job\nmodel: {path: /m, precision: fp8}\nresources:\n  gpu_type: h100\n  gpus_per_node: 8\n  agg_nodes: 2\n  agg_workers: 3\n",
        &expect![[r#"
            error[impossible-topology]: agg 2 needs one node with room for 5 GPUs, but only 0 of 2 nodes are left: asked for 3 agg workers of 5 GPUs on 2 nodes of 8 GPUs
             --> recipe.yaml:6:14
              |
            6 |   agg_nodes: 2
              |              ^
              |
              = help: give the role more nodes, fewer workers, or fewer GPUs for each worker
        "#]],
    );
}

#[test]
fn flags_that_need_other_gpus_than_the_worker_has() {
    check(
        "backend:\n  sglang_config:\n    prefill: {tp-size: 4}\n    decode: {tp-size: 4, pp-size: 2}\n",
        &expect![[r#"
            warning[parallel-size-mismatch]: the prefill workers have 8 GPUs each, but their flags need 4: tp-size 4
             --> recipe.yaml:6:24
              |
            6 |     prefill: {tp-size: 4}
              |                        ^
              |
              = help: make the sizes multiply to 8, or set `resources.gpus_per_prefill` to 4
        "#]],
    );
    check(
        "backend:\n  type: vllm\n  vllm_config:\n    prefill: {data-parallel-size: 4}\n",
        &expect![[r#"
            error[parallel-size-mismatch]: the prefill workers have 8 GPUs each, but their flags need 4: data-parallel-size 4
             --> recipe.yaml:7:35
              |
            7 |     prefill: {data-parallel-size: 4}
              |                                   ^
              |
              = help: make the sizes multiply to 8, or set `resources.gpus_per_prefill` to 4
        "#]],
    );
}

#[test]
fn fields_that_the_type_does_not_use() {
    check(
        "benchmark: {type: mmlu, isl: 10, repeat: 2}\nfrontend: {ctx_router: {a: 1}}\nenable_config_dump: false\n",
        &expect![[r#"
        warning[unused-by-type]: `benchmark.isl` has no effect with `benchmark.type: mmlu`
         --> recipe.yaml:4:25
          |
        4 | benchmark: {type: mmlu, isl: 10, repeat: 2}
          |                         ^^^
          |
          = help: remove the line; it is read by `sa-bench`, `sglang-bench`, `router`

        warning[unused-by-type]: `frontend.ctx_router` has no effect with `frontend.type: dynamo`
         --> recipe.yaml:5:12
          |
        5 | frontend: {ctx_router: {a: 1}}
          |            ^^^^^^^^^^
          |
          = help: remove the line; it is read by `trtllm_serve`

        warning[no-effect]: `enable_config_dump` has no effect: the engine's configuration is always dumped where the engine can
         --> recipe.yaml:6:1
          |
        6 | enable_config_dump: false
          | ^^^^^^^^^^^^^^^^^^
          |
          = help: remove the line
    "#]],
    );
}

#[test]
fn a_benchmark_that_cannot_run_is_a_warning() {
    check(
        "benchmark: {type: sa-bench, isl: 1, concurrencies: \"4,8\"}\n",
        &expect![[r#"
            warning[benchmark-cannot-run]: `benchmark.type: sa-bench` needs `benchmark.osl`
             --> recipe.yaml:4:19
              |
            4 | benchmark: {type: sa-bench, isl: 1, concurrencies: "4,8"}
              |                   ^^^^^^^^
              |
              = help: add `osl:`

            warning[benchmark-cannot-run]: `benchmark.concurrencies` must be integers above 0
             --> recipe.yaml:4:52
              |
            4 | benchmark: {type: sa-bench, isl: 1, concurrencies: "4,8"}
              |                                                    ^^^^^
              |
              = help: write [4, 8], or "4x8"
        "#]],
    );
}

#[test]
fn rules_between_fields() {
    check(
        "dynamo: {hash: abc, wheel: dist/x.whl}\nprofiling: {type: nsys, prefill: {}, aggregated: {}}\n",
        &expect![[r#"
        error[conflicting-keys]: `dynamo.hash` and `dynamo.wheel` name two things to install
         --> recipe.yaml:4:28
          |
        4 | dynamo: {hash: abc, wheel: dist/x.whl}
          |                            ^^^^^^^^^^
          |
          = help: keep one of them

        error[bad-value]: `dynamo.wheel` must be a package version, not a file
         --> recipe.yaml:4:28
          |
        4 | dynamo: {hash: abc, wheel: dist/x.whl}
          |                            ^^^^^^^^^^
          |
          = help: write the version alone, such as 1.2.0.dev20260426

        error[missing-key]: profiling a disaggregated job needs `profiling.decode`
         --> recipe.yaml:5:19
          |
        5 | profiling: {type: nsys, prefill: {}, aggregated: {}}
          |                   ^^^^
          |
          = help: add `decode:` with `start_step` and `stop_step`

        error[unused-by-type]: `profiling.aggregated` has no workers in a disaggregated job
         --> recipe.yaml:5:38
          |
        5 | profiling: {type: nsys, prefill: {}, aggregated: {}}
          |                                      ^^^^^^^^^^
          |
          = help: remove it
    "#]],
    );
    check(
        "frontend: {type: vllm}\n",
        &expect![[r#"
        error[unsupported]: `frontend.type: vllm` needs `backend.type: vllm`
         --> recipe.yaml:4:18
          |
        4 | frontend: {type: vllm}
          |                  ^^^^
          |
          = help: write `type: dynamo`, or change the backend

        error[unsupported]: `frontend.type: vllm` has one public endpoint
         --> recipe.yaml:4:18
          |
        4 | frontend: {type: vllm}
          |                  ^^^^
          |
          = help: add `enable_multiple_frontends: false` to `frontend`

        error[unsupported]: `frontend.type: vllm` serves aggregated jobs only
         --> recipe.yaml:4:18
          |
        4 | frontend: {type: vllm}
          |                  ^^^^
          |
          = help: write `type: dynamo`, or set `agg_nodes` and `agg_workers`
    "#]],
    );
    check(
        "telemetry: {enabled: true, default_frequency: 5}\n",
        &expect![[r#"
            error[unsupported]: `telemetry` measures power only under `benchmark.type: sa-bench`
             --> recipe.yaml:4:1
              |
            4 | telemetry: {enabled: true, default_frequency: 5}
              | ^^^^^^^^^

            error[bad-value]: `telemetry` needs `benchmark.concurrencies` of at least one, all different, all above 0
             --> recipe.yaml:4:1
              |
            4 | telemetry: {enabled: true, default_frequency: 5}
              | ^^^^^^^^^

            error[missing-key]: `telemetry` needs `telemetry.dcgm_exporter`
             --> recipe.yaml:4:22
              |
            4 | telemetry: {enabled: true, default_frequency: 5}
              |                      ^^^^
              |
              = help: add `dcgm_exporter:` with `container_image` and `port`

            error[out-of-range]: `telemetry.default_frequency` must be at most 3 s: power is not known over longer gaps
             --> recipe.yaml:4:47
              |
            4 | telemetry: {enabled: true, default_frequency: 5}
              |                                               ^
              |
              = help: write 1.0
        "#]],
    );
}

#[test]
fn one_mistake_does_not_cause_complaints_about_its_consequences() {
    check(
        "profiling: {type: torch, prefill: {start: 1}, decode: {start_step: 0}}\n",
        &expect![[r#"
            error[unknown-key]: unknown key `start` in `profiling.prefill`
             --> recipe.yaml:4:36
              |
            4 | profiling: {type: torch, prefill: {start: 1}, decode: {start_step: 0}}
              |                                    ^^^^^
              |
              = help: did you mean `start_step`?
        "#]],
    );
}

#[test]
fn broken_yaml_is_one_diagnostic() {
    check(
        "benchmark: [\n",
        &expect![[r#"
        error[yaml-syntax]: this is not YAML: unclosed bracket '['
         --> recipe.yaml:4:12
          |
        4 | benchmark: [
          |            ^
    "#]],
    );
    check_whole(
        "",
        &expect![[r#"
        error[empty-file]: the recipe is empty
         --> recipe.yaml:1:1
          |
        1 |
          | ^
    "#]],
    );
    check_whole(
        "- a\n",
        &expect![[r#"
        error[wrong-type]: a recipe must be a mapping of keys to values
         --> recipe.yaml:1:1
          |
        1 | - a
          | ^^^
    "#]],
    );
}

#[test]
fn the_cluster_file_is_as_strict() {
    check_cluster(
        "cluster: c\ndefault_container: x\nuse_het_jobs: maybe\nmodel_paths:\n  a: 1\n",
        &expect![[r#"
            error[unknown-key]: unknown key `default_container` at the top level
             --> srtslurm.yaml:2:1
              |
            2 | default_container: x
              | ^^^^^^^^^^^^^^^^^
              |
              = help: remove the line, or see the recipe reference for the known keys

            error[wrong-type]: `use_het_jobs` must be true or false, not text
             --> srtslurm.yaml:3:15
              |
            3 | use_het_jobs: maybe
              |               ^^^^^

            error[wrong-type]: `model_paths.a` must be text, not an integer
             --> srtslurm.yaml:5:6
              |
            5 |   a: 1
              |      ^
              |
              = help: write it in quotes: "1"
        "#]],
    );
    check_cluster(
        "",
        &expect![[r#"
        error[empty-file]: the cluster file is empty
         --> srtslurm.yaml:1:1
          |
        1 |
          | ^
          |
          = help: write at least `cluster: NAME`, or remove the file
    "#]],
    );
    check_cluster(
        "a: [\n",
        &expect![[r#"
        error[yaml-syntax]: this is not YAML: unclosed bracket '['
         --> srtslurm.yaml:1:4
          |
        1 | a: [
          |    ^
    "#]],
    );
}

#[test]
fn a_default_of_the_cluster_that_breaks_a_rule_is_shown_in_the_cluster_file() {
    let recipe = "name: job\nmodel: {path: /m, precision: fp8}\nresources: {gpu_type: h100, agg_nodes: 1, agg_workers: 1}\n";
    let loaded = run(&Case { recipe, cluster: Some("cluster: c\nuse_het_jobs: true\n"), ..Case::default() });
    expect![[r#"
        error[unsupported]: `het_jobs` needs a disaggregated job
         --> srtslurm.yaml:2:15
          |
        2 | use_het_jobs: true
          |               ^^^^
          |
          = help: set `resources.prefill_nodes` and `resources.decode_nodes`, or `het_jobs: false`
    "#]]
    .assert_eq(&rendered(&loaded));
}

#[test]
fn machines_get_the_same_as_json() {
    let recipe = format!("{MINIMAL}benchmrk: {{}}\n");
    let loaded = run(&Case { recipe: &recipe, ..Case::default() });
    expect![[r#"
        [
          {
            "severity": "error",
            "code": "unknown-key",
            "message": "unknown key `benchmrk` at the top level",
            "file": "recipe.yaml",
            "line": 4,
            "column": 1,
            "help": "did you mean `benchmark`?"
          }
        ]"#]]
    .assert_eq(&serde_json::to_string_pretty(&loaded.diagnostics).unwrap());
}

#[test]
fn engine_flags_that_are_a_letter_off() {
    check(
        "backend:\n  sglang_config:\n    prefill: {mem-fraction-statc: 0.8, some-new-flag: 1}\n",
        &expect![[r#"
            warning[unknown-flag]: `mem-fraction-statc` is no flag that is known
             --> recipe.yaml:6:15
              |
            6 |     prefill: {mem-fraction-statc: 0.8, some-new-flag: 1}
              |               ^^^^^^^^^^^^^^^^^^
              |
              = help: did you mean `mem-fraction-static`? If not, it is passed on as it is
        "#]],
    );
}

#[test]
fn line_breaks_of_windows_and_a_byte_order_mark() {
    let recipe = format!("{MINIMAL}benchmrk: {{}}\n").replace('\n', "\r\n");
    check_whole(
        &recipe,
        &expect![[r#"
        error[unknown-key]: unknown key `benchmrk` at the top level
         --> recipe.yaml:4:1
          |
        4 | benchmrk: {}
          | ^^^^^^^^
          |
          = help: did you mean `benchmark`?
    "#]],
    );
    check_whole(
        &format!("\u{feff}nam: 1\r\n{}\r\n", MINIMAL.replace('\n', "\r\n")),
        &expect![[r#"
        error[unknown-key]: unknown key `nam` at the top level
         --> recipe.yaml:1:2
          |
        1 | ﻿nam: 1
          | ^^^
          |
          = help: did you mean `name`?
    "#]],
    );
}

#[test]
fn values_that_slurm_or_the_shell_would_refuse() {
    check(
        "slurm: {time_limit: 4h}\nsbatch_directives: {--mem: \"0\"}\nenvironment: {A-B: x}\n",
        &expect![[r#"
        error[bad-value]: `slurm.time_limit` is no time that Slurm knows: 4h
         --> recipe.yaml:4:21
          |
        4 | slurm: {time_limit: 4h}
          |                     ^^
          |
          = help: write minutes, "HH:MM:SS", or "DAYS-HH:MM:SS"

        error[bad-value]: `sbatch_directives` has the option `--mem` with its dashes
         --> recipe.yaml:5:21
          |
        5 | sbatch_directives: {--mem: "0"}
          |                     ^^^^^
          |
          = help: write `mem`

        error[bad-value]: `A-B` in `environment` is no name of a variable
         --> recipe.yaml:6:15
          |
        6 | environment: {A-B: x}
          |               ^^^
          |
          = help: names are letters, digits, and `_`, and do not start with a digit
    "#]],
    );
    for limit in ["90", "90:00", "04:00:00", "1-0", "1-12:30", "2-00:00:00", "UNLIMITED"] {
        check(&format!("slurm: {{time_limit: \"{limit}\"}}\n"), &expect![]);
    }
}

#[test]
fn more_workers_than_gpus() {
    check_whole(
        "name: job\nmodel: {path: /m, precision: fp8}\nresources: {gpu_type: h100, gpus_per_node: 8, agg_nodes: 1, agg_workers: 9}\n",
        &expect![[r#"
            warning[no-gpus]: `resources.agg_workers` leaves no GPU for each worker
             --> recipe.yaml:3:74
              |
            3 | resources: {gpu_type: h100, gpus_per_node: 8, agg_nodes: 1, agg_workers: 9}
              |                                                                          ^
              |
              = help: give the role more nodes or fewer workers
        "#]],
    );
}

#[test]
fn a_later_syntax_is_one_diagnostic() {
    check_whole(
        "schema: 2\nname: job\nengine: sglang\nroles: {prefill: {nodes: 1}}\n",
        &expect![[r#"
        error[unsupported-syntax]: the recipe is written in syntax `schema: 2`, which this program does not read
         --> recipe.yaml:1:1
          |
        1 | schema: 2
          | ^^^^^^
          |
          = help: write it with `resources` and `backend`, without `schema`; see docs/recipe-reference.md
    "#]],
    );
}
