//! Whatever the text, there is an answer.

use proptest::prelude::*;

use crate::common::{Case, MINIMAL, run};

/// Words that lead deep into the format.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "base",
        "override_a",
        "zip_override_z",
        "name",
        "model",
        "resources",
        "backend",
        "type",
        "vllm",
        "trtllm",
        "sglang_config",
        "prefill",
        "benchmark",
        "sweep",
        "isl",
        "\"{isl}\"",
        "concurrencies",
        "observability",
        "enabled",
        "true",
        "null",
        "[1, 2]",
        "[]",
        "{}",
        "-1",
        "99999999999999999999",
        "1.5",
        ".nan",
        "*a",
        "&a x",
        "<<",
        "lock",
        "environment",
        "telemetry",
        "agg_nodes",
        "agg_workers",
        "gpus_per_node",
        "1000000",
        "dynamo",
        "frontend",
        "kv_events_config",
        "profiling",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn a_recipe_of_random_lines_is_read_or_refused(lines in prop::collection::vec((0..4_usize, word(), word()), 0..12)) {
        let lines: Vec<String> = lines.iter().map(|(depth, key, value)| format!("{}{key}: {value}\n", "  ".repeat(*depth))).collect();
        let text = lines.concat();
        let recipe = format!("{MINIMAL}{text}");
        for recipe in [text.as_str(), recipe.as_str()] {
            let loaded = run(&Case { recipe, cluster: Some(&text), set: &["benchmark.isl=1"], ..Case::default() });
            for diagnostic in &loaded.diagnostics {
                prop_assert!(diagnostic.line >= 1 && !diagnostic.render(false).is_empty());
            }
        }
    }
}
