//! Makes every mistake in every recipe below a folder, and counts those that are caught on their line.
//!
//!     cargo run --release -p srt-schema --example mutate -- RECIPES CLUSTER

#![expect(clippy::print_stdout, reason = "the output of the example")]

#[path = "../tests/schema/mutations.rs"]
mod mutations;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use srt_yaml::Source;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, cluster] = arguments.as_slice() else { panic!("usage: mutate RECIPES CLUSTER") };
    let text = fs::read_to_string(cluster).expect("the cluster file is readable");
    let cluster = Source { path: cluster.clone(), text };
    let mut files = Vec::new();
    collect(Path::new(folder), &mut files);
    files.sort();
    let mut counts: BTreeMap<mutations::Mistake, (usize, usize)> = BTreeMap::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for outcome in mutations::try_all(&text, Some(&cluster)) {
            let (made, caught) = counts.entry(outcome.mistake).or_default();
            *made += 1;
            *caught += usize::from(outcome.caught);
            if !outcome.caught {
                println!("missed {:?} {} in {}", outcome.mistake, outcome.path, file.display());
            }
        }
    }
    for (mistake, (made, caught)) in counts {
        println!("{mistake:?}: {caught} of {made} caught");
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|it| it == "yaml") {
            files.push(path);
        }
    }
}
