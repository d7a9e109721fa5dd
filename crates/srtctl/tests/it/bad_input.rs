//! Bad input: what is wrong, where, what to write instead, and that nothing is started.

use std::fs;

use expect_test::{Expect, expect};

use crate::support::{TestEnvironment, recipe};

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
