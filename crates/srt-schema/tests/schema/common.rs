//! One door for the tests: texts in, what was read and what was complained about out.

use srt_schema::{LoadRequest, Loaded, load};
use srt_yaml::Source;

/// A recipe that is right; tests append to it.
pub(crate) const MINIMAL: &str = "\
name: job
model: {path: /models/m, container: /images/c.sqsh, precision: fp8}
resources: {gpu_type: h100, gpus_per_node: 8, prefill_nodes: 1, decode_nodes: 1, prefill_workers: 1, decode_workers: 1}
";

/// What a test asks for.
#[derive(Default)]
pub(crate) struct Case<'a> {
    pub(crate) recipe: &'a str,
    pub(crate) cluster: Option<&'a str>,
    pub(crate) selector: Option<&'a str>,
    pub(crate) set: &'a [&'a str],
    pub(crate) unset: &'a [&'a str],
}

/// Loads it.
pub(crate) fn run(case: &Case<'_>) -> Loaded {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let owned = |items: &[&str]| items.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let cluster = case.cluster.map(|text| source("srtslurm.yaml", text));
    load(&LoadRequest {
        recipe: &source("recipe.yaml", case.recipe),
        cluster: cluster.as_ref(),
        selector: case.selector,
        set: &owned(case.set),
        unset: &owned(case.unset),
    })
}

/// The diagnostics as a person sees them.
pub(crate) fn rendered(loaded: &Loaded) -> String {
    let shown: Vec<String> = loaded.diagnostics.iter().map(|it| it.render(false) + "\n").collect();
    shown.join("\n")
}
