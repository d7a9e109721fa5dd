//! Loads every recipe below a folder with one cluster file, and prints what is wrong with each.
//!
//!     cargo run -p srt-schema --example corpus -- RECIPES CLUSTER

#![expect(clippy::print_stdout, reason = "the output of the example")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, cluster] = arguments.as_slice() else { panic!("usage: corpus RECIPES CLUSTER") };
    let cluster = srt_yaml::Source {
        path: cluster.clone(),
        text: fs::read_to_string(cluster).expect("the cluster file is readable"),
    };
    let mut files = Vec::new();
    collect(Path::new(folder), &mut files);
    files.sort();
    for file in files {
        let path = file.strip_prefix(folder).expect("found below it").display().to_string();
        let recipe = match srt_yaml::Source::from_bytes(
            path.clone(),
            fs::read(&file).expect("the recipe is readable"),
        ) {
            Ok(source) => source,
            Err(problem) => {
                println!("{}", problem.render(false));
                continue;
            }
        };
        let loaded = srt_schema::load(&srt_schema::LoadRequest {
            recipe: &recipe,
            cluster: Some(&cluster),
            selector: None,
            set: &[],
            unset: &[],
        });
        let names: Vec<&str> = loaded.variants.iter().map(|it| it.recipe.name.as_str()).collect();
        println!("{path}\t{}\t{}", if loaded.has_errors() { "error" } else { "ok" }, names.join("|"));
        for diagnostic in &loaded.diagnostics {
            println!("{}\n", diagnostic.render(false));
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|it| it == "yaml" || it == "yml") {
            files.push(path);
        }
    }
}
