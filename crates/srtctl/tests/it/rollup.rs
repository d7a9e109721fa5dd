//! `srtctl rollup`: run directories in, `rollup.json` and tables out.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{TestEnvironment, repository};

/// A run directory of `fixtures/runs`, where it may be written to.
fn copy_of_run(name: &str, environment: &TestEnvironment) -> String {
    let target = environment.path().join("run");
    copy(&repository().join("fixtures/runs").join(name), &target);
    target.to_string_lossy().into_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be written");
    for entry in fs::read_dir(from).expect("the fixture is there").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the folder can be written");
        }
    }
}

#[test]
fn tables_stand_beside_the_rollup() {
    let environment = TestEnvironment::new();
    let run = copy_of_run("local", &environment);
    for (format, begin) in [("csv", &b""[..]), ("parquet", &b"PAR1"[..])] {
        let answer = environment.run(&["rollup", &run, "--format", format]);
        assert_eq!(answer.code, Some(0), "{answer:#?}");
        for table in ["results", "nodes", "batches"] {
            let path = Path::new(&run).join("logs").join(format!("{table}.{format}"));
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(bytes.len() > 10 && bytes.starts_with(begin), "{} is no {format}", path.display());
        }
    }
    let results = fs::read_to_string(Path::new(&run).join("logs/results.csv")).expect("it was written");
    let rollup = fs::read_to_string(Path::new(&run).join("logs/rollup.json")).expect("it was written");
    let rollup: Value = serde_json::from_str(&rollup).expect("the rollup is JSON");
    let points = rollup["results"].as_array().expect("there are results").len();
    assert_eq!(results.lines().count(), 1 + points, "{results}");
}

#[test]
fn a_folder_without_a_run_is_named() {
    let environment = TestEnvironment::new();
    let empty = environment.path().to_string_lossy().into_owned();
    let answer = environment.run(&["rollup", &empty]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    assert!(answer.stderr.contains("is no run folder"), "{answer:#?}");
}
