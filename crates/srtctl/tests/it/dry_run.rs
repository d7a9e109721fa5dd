//! `srtctl dry-run`: what it prints, and for whom.

use std::fs;

use expect_test::expect_file;
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
