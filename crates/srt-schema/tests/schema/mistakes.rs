//! Every key of every example recipe mistyped, moved, or given a wrong type.

use std::{fs, path::Path};

use crate::mutations::try_all;

#[test]
fn mistakes_in_the_example_recipes_are_caught_on_their_line() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/recipes");
    let mut made = 0;
    let mut missed = Vec::new();
    for entry in fs::read_dir(folder).expect("the example recipes are there") {
        let path = entry.expect("the folder is readable").path();
        if path.extension().is_none_or(|it| it != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a recipe is text");
        for outcome in try_all(&text, None) {
            made += 1;
            if !outcome.caught {
                missed.push(format!("{} {:?} {}", path.display(), outcome.mistake, outcome.path));
            }
        }
    }
    assert!(made > 500, "only {made} mistakes were made");
    assert!(missed.len() * 100 <= made, "{} of {made} missed:\n{}", missed.len(), missed.join("\n"));
}
