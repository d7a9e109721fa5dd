//! Bytes to a cluster file, applied to a recipe.

#![no_main]

use libfuzzer_sys::fuzz_target;
use srt_schema::{LoadRequest, load};
use srt_yaml::Source;

const RECIPE: &str = "\
name: job
model: {path: m, container: c, precision: fp8}
resources: {gpu_type: h100, gpus_per_node: 8, prefill_nodes: 1, decode_nodes: 1, prefill_workers: 1, decode_workers: 1}
benchmark: {type: sa-bench, isl: 1, osl: 1, concurrencies: [1]}
";

fuzz_target!(|bytes: &[u8]| {
    let Ok(cluster) = Source::from_bytes("srtslurm.yaml".to_owned(), bytes.to_vec()) else { return };
    let recipe = Source { path: "recipe.yaml".to_owned(), text: RECIPE.to_owned() };
    let request = LoadRequest { recipe: &recipe, cluster: Some(&cluster), selector: None, set: &[], unset: &[] };
    let loaded = load(&request);
    assert!(loaded.variants.len() == 1 || loaded.has_errors(), "no job, and no reason");
    for diagnostic in &loaded.diagnostics {
        assert!(!diagnostic.render(false).is_empty());
    }
});
