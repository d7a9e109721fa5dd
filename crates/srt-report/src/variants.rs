//! What differs between the jobs of one recipe file.

use std::fmt::Write as _;

use indexmap::{IndexMap, IndexSet};
use srt_launch::is_secret_variable;
use srt_plan::PlannedVariant;
use srt_yaml::{KeyOrder, Value, write_yaml};

use crate::plan::topology_text;

/// What stands for the value of a key that a variant does not have.
const ABSENT: &str = "(not set)";

/// Each job with its size and its values of those keys of the recipe that are not the same in all of them.
pub fn differences(planned: &[PlannedVariant<'_>]) -> String {
    let leaves: Vec<Leaves> = planned.iter().map(|it| leaves(&it.variant.resolved.to_value())).collect();
    let keys = differing_keys(&leaves);
    let what = if keys.is_empty() { "nothing but their names" } else { "these keys" };
    let mut out = format!("{} jobs, which differ in {what}\n", planned.len());
    for (it, values) in planned.iter().zip(&leaves) {
        let line = format!("  {}: {}", it.plan.name, topology_text(&it.plan));
        writeln!(out, "{line}").expect("text can be extended");
        for key in &keys {
            let value = values.get(*key).map_or_else(|| ABSENT.to_owned(), |value| shown(key, value));
            writeln!(out, "    {key}: {value}").expect("text can be extended");
        }
    }
    out
}

/// The values of a recipe by their dotted paths. A list is one value: what is laid over it replaces it.
type Leaves = IndexMap<String, Value>;

fn leaves(tree: &Value) -> Leaves {
    let mut leaves = Leaves::new();
    collect(tree, "", &mut leaves);
    // Every job has a name of its own, which is shown anyway.
    leaves.shift_remove("name");
    leaves
}

fn collect(value: &Value, path: &str, leaves: &mut Leaves) {
    match value {
        Value::Map(map) if !map.is_empty() => {
            for (key, item) in map {
                let key = if key.contains('.') { format!("\"{key}\"") } else { key.clone() };
                let below = if path.is_empty() { key } else { format!("{path}.{key}") };
                collect(item, &below, leaves);
            }
        }
        _ => {
            leaves.insert(path.to_owned(), value.clone());
        }
    }
}

/// Section by section, each in the order of the file.
fn differing_keys(variants: &[Leaves]) -> Vec<&str> {
    let mut sections: IndexMap<&str, IndexSet<&str>> = IndexMap::new();
    for key in variants.iter().flat_map(IndexMap::keys) {
        let section = key.split('.').next().unwrap_or(key);
        sections.entry(section).or_default().insert(key);
    }
    let differs = |key: &&str| {
        let mut values = variants.iter().map(|variant| variant.get(*key));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    sections.into_values().flatten().filter(differs).collect()
}

/// A value on one line. Secrets stay where they are.
fn shown(path: &str, value: &Value) -> String {
    let name = path.rsplit('.').next().unwrap_or(path).trim_matches('"');
    if is_secret_variable(name) {
        return srt_plan::json::REDACTED.to_owned();
    }
    flow(value)
}

fn flow(value: &Value) -> String {
    match value {
        Value::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let entry = |(key, item): (&String, &Value)| format!("{key}: {}", flow(item));
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) if text.contains('\n') => format!("{text:?}"),
        scalar => write_yaml(scalar, KeyOrder::Kept).trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::{Expect, expect};
    use srt_context::{JobId, Surroundings};
    use srt_plan::{PlannedVariant, plan, preview_allocation};
    use srt_schema::LoadRequest;
    use srt_yaml::Source;

    use super::differences;

    #[track_caller]
    fn check(recipe: &str, expected: &Expect) {
        let recipe = Source { path: "recipe.yaml".to_owned(), text: recipe.to_owned() };
        let request = LoadRequest { recipe: &recipe, cluster: None, selector: None, set: &[], unset: &[] };
        let loaded = srt_schema::load(&request);
        assert!(!loaded.has_errors(), "{:#?}", loaded.diagnostics);
        let job_id = JobId::new("7").expect("a digit names a job");
        let surroundings = Surroundings {
            variables: BTreeMap::new(),
            home: None,
            current_dir: "/recipes".to_owned(),
            run_dir: "/runs/7".to_owned(),
            local: false,
        };
        let planned = loaded.variants.iter().map(|variant| {
            let allocation = preview_allocation(&variant.recipe, &job_id);
            let plan = plan(&variant.recipe, &loaded.cluster, &allocation, &surroundings);
            PlannedVariant { variant, plan: plan.expect("the recipe can be planned") }
        });
        expected.assert_eq(&differences(&planned.collect::<Vec<_>>()));
    }

    #[test]
    fn overrides_show_what_they_change() {
        check(
            include_str!("../../../fixtures/recipes/overrides.yaml"),
            &expect![[r#"
            4 jobs, which differ in these keys
              overrides_long: 1 agg × 8 GPUs on 1 node
                resources.agg_workers: 1
                resources.gpus_per_agg: (not set)
                benchmark.isl: 1024
                benchmark.concurrencies: [4]
              overrides_workers_0: 1 agg × 8 GPUs on 1 node
                resources.agg_workers: 1
                resources.gpus_per_agg: 8
                benchmark.isl: 128
                benchmark.concurrencies: [4]
              overrides_workers_1: 2 agg × 4 GPUs on 1 node
                resources.agg_workers: 2
                resources.gpus_per_agg: 4
                benchmark.isl: 128
                benchmark.concurrencies: [8]
              overrides_workers_2: 4 agg × 2 GPUs on 1 node
                resources.agg_workers: 4
                resources.gpus_per_agg: 2
                benchmark.isl: 128
                benchmark.concurrencies: [16]
        "#]],
        );
    }

    #[test]
    fn sweeps_show_their_parameters() {
        check(
            include_str!("../../../fixtures/recipes/sweep.yaml"),
            &expect![[r#"
            4 jobs, which differ in these keys
              sweep_isl128_concurrency4: 1 agg × 8 GPUs on 1 node
                benchmark.isl: '128'
                benchmark.concurrencies: '4'
              sweep_isl128_concurrency8: 1 agg × 8 GPUs on 1 node
                benchmark.isl: '128'
                benchmark.concurrencies: '8'
              sweep_isl256_concurrency4: 1 agg × 8 GPUs on 1 node
                benchmark.isl: '256'
                benchmark.concurrencies: '4'
              sweep_isl256_concurrency8: 1 agg × 8 GPUs on 1 node
                benchmark.isl: '256'
                benchmark.concurrencies: '8'
        "#]],
        );
    }

    #[test]
    fn absent_keys_lists_and_secrets_are_shown() {
        let recipe = r#"
            base:
              name: base
              model: { path: hf:org/tiny, container: docker://image:1, precision: bf16 }
              resources: { gpu_type: h100, gpus_per_node: 8, agg_nodes: 1, agg_workers: 1 }
              backend:
                type: sglang
                aggregated_environment: { HF_TOKEN: one }
                sglang_config: { aggregated: { tp-size: 8, enable-x: true, json: { a.b: "no" } } }
              benchmark: { type: sa-bench, isl: 128, osl: 16, concurrencies: [4] }
            override_a:
              backend:
                aggregated_environment: { HF_TOKEN: two }
                sglang_config: { aggregated: { enable-x: null, cuda-graph-bs: [1, yes], json: { a.b: "1\n2" } } }
            override_b: {}
        "#;
        check(
            recipe,
            &expect![[r#"
            2 jobs, which differ in these keys
              base_a: 1 agg × 8 GPUs on 1 node
                backend.aggregated_environment.HF_TOKEN: ***
                backend.sglang_config.aggregated.json."a.b": "1\n2"
                backend.sglang_config.aggregated.cuda-graph-bs: [1, true]
                backend.sglang_config.aggregated.enable-x: (not set)
              base_b: 1 agg × 8 GPUs on 1 node
                backend.aggregated_environment.HF_TOKEN: ***
                backend.sglang_config.aggregated.json."a.b": 'no'
                backend.sglang_config.aggregated.cuda-graph-bs: (not set)
                backend.sglang_config.aggregated.enable-x: true
        "#]],
        );
    }

    #[test]
    fn equal_jobs_are_said_to_be_equal() {
        let text = include_str!("../../../fixtures/recipes/overrides.yaml");
        let (base, _) = text.split_once("override_long").expect("the file has overrides");
        check(
            &format!("{base}override_a: {{}}\noverride_b: {{}}\n"),
            &expect![[r#"
            2 jobs, which differ in nothing but their names
              overrides_a: 1 agg × 8 GPUs on 1 node
              overrides_b: 1 agg × 8 GPUs on 1 node
        "#]],
        );
    }
}
