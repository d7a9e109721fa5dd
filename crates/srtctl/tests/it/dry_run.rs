//! `srtctl dry-run`: what it prints, and for whom.

use std::fs;

use expect_test::{expect, expect_file};
use serde_json::Value;

use crate::support::{TestEnvironment, recipe, repository};

/// Plans of all example recipes, as machines see them.
fn plan(name: &str, further: &[&str]) -> Value {
    let environment = TestEnvironment::new();
    let path = recipe(name);
    let mut arguments = vec!["dry-run", "-f", &path, "--json", "--no-preflight", "--job-id", "7"];
    arguments.extend(further);
    let answer = environment.run(&arguments);
    assert_eq!(answer.code, Some(0), "{name}: {answer:#?}");
    serde_json::from_str(&answer.stdout).expect("a plan is JSON")
}

#[test]
fn every_example_has_a_plan() {
    let folder = repository().join("fixtures/recipes");
    let entries = fs::read_dir(folder).expect("there are examples").flatten();
    let paths =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "yaml"));
    for path in paths {
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let document = plan(&name, &[]);
        assert_eq!(document["format"], "srtctl.plan/1");
        let variants = document["variants"].as_array().expect("a document has variants");
        assert!(
            variants.iter().all(|variant| !variant["steps"].as_array().expect("a plan has steps").is_empty())
        );
    }
}

#[test]
fn the_nodes_may_be_given() {
    let document = plan("quickstart", &["--nodes", "alpha=10.1.0.1,beta=10.1.0.2"]);
    let allocation = &document["variants"][0]["allocation"];
    assert_eq!(allocation["job_id"], "7");
    assert_eq!(allocation["head"], "alpha");
    assert_eq!(allocation["workers"], serde_json::json!(["alpha", "beta"]));
}

#[test]
fn the_variants_of_a_file_are_all_planned() {
    let names = |document: &Value| -> Vec<String> {
        let variants = document["variants"].as_array().expect("a document has variants");
        variants.iter().map(|it| it["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(
        names(&plan("overrides", &[])),
        ["overrides_long", "overrides_workers_0", "overrides_workers_1", "overrides_workers_2"]
    );
    assert_eq!(names(&plan("sweep", &[])).len(), 4);
}

#[test]
fn a_person_sees_who_sits_where() {
    let environment = TestEnvironment::new();
    let answer = environment.run(&["dry-run", "-f", &recipe("quickstart"), "--local", "-o", "/runs"]);
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    let here = environment.path().to_string_lossy().into_owned();
    expect_file!["snapshots/quickstart-local.txt"].assert_eq(&answer.stdout.replace(&here, "HERE"));
}

#[test]
fn diagnostics_are_told_to_machines_too() {
    let environment = TestEnvironment::new();
    let text = fs::read_to_string(recipe("quickstart")).expect("the quickstart is there");
    let bad = text.replace("model:", "modle:");
    fs::write(environment.path().join("bad.yaml"), bad).expect("the folder can be written");
    let answer = environment.run(&["dry-run", "-f", "bad.yaml", "--json"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    let document: Value = serde_json::from_str(&answer.stdout).expect("diagnostics are JSON");
    let diagnostics = document["diagnostics"].as_array().expect("there are diagnostics");
    let found = diagnostics.iter().find(|it| it["code"] == "unknown-key").expect("the key is unknown");
    assert_eq!((found["line"].as_u64(), found["column"].as_u64()), (Some(5), Some(1)), "{document:#}");
    assert!(found["help"].as_str().is_some_and(|it| it.contains("`model`")), "{document:#}");
}

/// A folder with good, doubtful, and bad recipes, and with files that are none.
fn folder(environment: &TestEnvironment) {
    let quickstart = fs::read_to_string(recipe("quickstart")).expect("the quickstart is there");
    let overrides = fs::read_to_string(recipe("overrides")).expect("the example is there");
    let doubtful = overrides.replace("agg_workers: 1 }", "agg_workers: 1, prefill_nodes: 0 }");
    let files = [
        ("b/good.yml", quickstart.as_str()),
        ("b/sizes.yaml", overrides.as_str()),
        ("a.yaml", doubtful.as_str()),
        ("bad.yaml", &quickstart.replace("decode_workers:", "decode_wrokers:")),
        ("b/readme.md", "no recipe"),
        ("b/srtslurm.yaml", "no recipe: either"),
        (".hidden/recipe.yaml", "no recipe"),
    ];
    for (name, text) in files {
        let path = environment.path().join("recipes").join(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder can be made");
        fs::write(path, text).expect("the folder can be written");
    }
    fs::write(environment.path().join("recipes/bytes.yaml"), b"name: \xff\n").expect("it can be written");
}

#[test]
fn a_folder_has_a_line_for_each_recipe() {
    let environment = TestEnvironment::new();
    folder(&environment);
    let answer = environment.run(&["dry-run", "-f", "recipes", "--no-preflight"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    expect![[r#"
         jobs  nodes           recipe
                      1 error  recipes/a.yaml
            1      2  ok       recipes/b/good.yml
            4      1  ok       recipes/b/sizes.yaml
                      1 error  recipes/bad.yaml
                      1 error  recipes/bytes.yaml

        5 recipes, 5 jobs; 3 recipes with errors
    "#]]
    .assert_eq(&answer.stdout);
    expect![[r#"
        error[topology-mixed]: `resources` asks for prefill or decode workers and for aggregated ones
         --> recipes/a.yaml:5:61
          |
        5 |   resources: { gpu_type: h100, gpus_per_node: 8, agg_nodes: 1, agg_workers: 1, prefill_nodes: 0 }
          |                                                             ^
          |
          = help: keep one of them

        error[unknown-key]: unknown key `decode_wrokers` in `resources`
          --> recipes/bad.yaml:16:3
           |
        16 |   decode_wrokers: 2
           |   ^^^^^^^^^^^^^^
           |
           = help: did you mean `decode_workers`?

        error[not-utf8]: the file is not UTF-8 text
         --> recipes/bytes.yaml:1:7
          |
        1 | name: �
          |       ^
          |
          = help: save the file as UTF-8

    "#]]
    .assert_eq(&answer.stderr);
}

#[test]
fn a_folder_is_a_line_of_json_for_each_recipe() {
    let environment = TestEnvironment::new();
    folder(&environment);
    let answer = environment.run(&["dry-run", "-f", "recipes", "--no-preflight", "--json"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    let lines = answer.stdout.lines().map(|line| {
        let document: Value = serde_json::from_str(line).expect("each line is JSON");
        let recipe = document["recipe"].as_str().expect("a document names its recipe");
        let jobs = document["variants"].as_array().map_or(0, Vec::len);
        let codes = document["diagnostics"].as_array().expect("a document has diagnostics").iter();
        let codes: Vec<_> = codes.filter_map(|it| it["code"].as_str()).collect();
        format!("{recipe}: {jobs} jobs, {codes:?}\n")
    });
    expect![[r#"
        recipes/a.yaml: 0 jobs, ["topology-mixed"]
        recipes/b/good.yml: 1 jobs, []
        recipes/b/sizes.yaml: 4 jobs, []
        recipes/bad.yaml: 0 jobs, ["unknown-key"]
        recipes/bytes.yaml: 0 jobs, ["not-utf8"]
    "#]]
    .assert_eq(&lines.collect::<String>());
}

#[test]
fn a_folder_of_good_recipes_is_a_success() {
    let environment = TestEnvironment::new();
    let examples = repository().join("fixtures/recipes");
    let answer = environment.run(&["dry-run", "-f", &examples.to_string_lossy(), "--no-preflight"]);
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    assert_eq!(answer.stderr, "");
}

#[test]
fn a_folder_without_recipes_is_bad_input() {
    let environment = TestEnvironment::new();
    let answer = environment.run(&["dry-run", "-f", "."]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    expect![[r#"
        error: there is no recipe (`*.yaml`, `*.yml`) below `.`
    "#]]
    .assert_eq(&answer.stderr);
}

#[test]
fn a_selector_needs_a_file() {
    let environment = TestEnvironment::new();
    let answer = environment.run(&["dry-run", "-f", ".:base"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    expect![[r#"
        error: `.` is a folder, and a selector chooses variants of one file; remove `:base`
    "#]]
    .assert_eq(&answer.stderr);
}

#[test]
fn without_containers_no_image_is_needed() {
    let environment = TestEnvironment::new();
    let text = fs::read_to_string(recipe("quickstart")).expect("the quickstart is there");
    let text = text.replace("precision: fp8", "precision: fp8\n  container: /nowhere.sqsh");
    fs::write(environment.path().join("recipe.yaml"), text).expect("the folder can be written");
    let run = || environment.run(&["dry-run", "-f", "recipe.yaml", "--json"]);
    let codes = |answer: &str| -> Vec<String> {
        let document: Value = serde_json::from_str(answer).expect("the answer is JSON");
        let diagnostics = document["diagnostics"].as_array().expect("there are diagnostics");
        diagnostics.iter().filter_map(|it| it["code"].as_str()).map(str::to_owned).collect()
    };
    let answer = run();
    assert_eq!((answer.code, codes(&answer.stdout)), (Some(2), vec!["container-not-found".to_owned()]));
    let cluster = "cluster: test\ncontainer_runtime: none\n";
    fs::write(environment.path().join("srtslurm.yaml"), cluster).expect("the folder can be written");
    let answer = run();
    assert_eq!((answer.code, codes(&answer.stdout)), (Some(0), Vec::new()));
}
