//! Bytes to jobs, with a cluster file and with changes from the command line. The first line may hold them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use srt_schema::{LoadRequest, load, path_checks, served_model_name, topology_problems};
use srt_yaml::Source;

const CLUSTER: &str = "\
cluster: fuzz
default_account: a
default_sbatch_directives: {qos: high}
default_health_check: {max_attempts: 3}
model_paths: {m: /models/m}
containers: {c: /images/c.sqsh}
nginx_raise_ulimit: true
";

fuzz_target!(|bytes: &[u8]| {
    let Ok(recipe) = Source::from_bytes("fuzz.yaml".to_owned(), bytes.to_vec()) else { return };
    let cluster = Source { path: "srtslurm.yaml".to_owned(), text: CLUSTER.to_owned() };
    let first_line = recipe.text.lines().next().unwrap_or_default();
    let set: Vec<String> = first_line.strip_prefix("#set ").map(str::to_owned).into_iter().collect();
    let unset: Vec<String> = first_line.strip_prefix("#unset ").map(str::to_owned).into_iter().collect();
    let selector = first_line.strip_prefix("#select ");
    let request = LoadRequest { recipe: &recipe, cluster: Some(&cluster), selector, set: &set, unset: &unset };
    let loaded = load(&request);
    for diagnostic in &loaded.diagnostics {
        assert!(!diagnostic.render(false).is_empty());
    }
    for variant in loaded.variants.iter().take(20) {
        let _ = (path_checks(variant), topology_problems(variant), served_model_name(&variant.recipe));
        // What is written for a variant is a recipe without variants, and reads as the same job.
        let text = variant.resolved_yaml();
        let source = Source { path: "resolved.yaml".to_owned(), text };
        let again = load(&LoadRequest { recipe: &source, cluster: Some(&cluster), selector: None, set: &[], unset: &[] });
        assert_eq!(again.variants.len(), 1, "{}", source.text);
        assert_eq!(format!("{:?}", again.variants[0].recipe), format!("{:?}", variant.recipe));
    }
});
