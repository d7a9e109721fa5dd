//! Whatever a recipe says, it is read and planned, or refused: nothing panics and nothing hangs.

use proptest::prelude::*;
use srt_schema::{LoadRequest, load};
use srt_yaml::Source;

use crate::support::Setup;

/// Mostly what a recipe could say, and sometimes what it could not.
fn count(most: i64) -> impl Strategy<Value = i64> {
    prop_oneof![40 => 1..=most, 1 => prop_oneof![Just(0_i64), Just(-1), Just(4096), Just(i64::from(u32::MAX))]]
}

fn engine_and_frontend() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop_oneof![
        Just(("sglang", "dynamo")),
        Just(("sglang", "sglang")),
        Just(("trtllm", "dynamo")),
        Just(("vllm", "dynamo")),
        Just(("mocker", "dynamo")),
        Just(("mocker", "sglang")),
        Just(("mocker", "mock")),
        Just(("trtllm", "trtllm_serve")),
        Just(("vllm", "vllm")),
    ]
}

/// A benchmark with what it needs, or without.
fn benchmark() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just("type: manual"),
        4 => Just("type: sa-bench, isl: 8, osl: 8, concurrencies: 1x2"),
        2 => Just("type: custom, command: \"x; y\""),
        2 => Just("type: gsm8k, num_examples: 3"),
        1 => Just("type: trace-replay"),
        1 => Just("type: sa-bench"),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just("{node}".to_owned()), Just("{\"a\": {}}".to_owned()), "[ -~]{0,12}", "\\PC{0,6}",]
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

prop_compose! {
    fn recipes()(
        (engine, frontend) in engine_and_frontend(),
        several in any::<bool>(),
        additional in count(4),
        disaggregated in any::<bool>(),
        gpus_per_node in prop_oneof![20 => Just(8_i64), 1 => count(200)],
        nodes in prop::collection::vec(count(6), 2),
        workers in prop::collection::vec(count(4), 2),
        gpus in prop::collection::vec(count(12), 2),
        ranks in count(8),
        dedicated in prop::collection::vec(any::<bool>(), 6),
        name in text(),
        value in text(),
        flag in text(),
        benchmark in benchmark(),
    ) -> String {
        let resources = if disaggregated {
            format!(
                "prefill_nodes: {}, prefill_workers: {}, gpus_per_prefill: {}, decode_nodes: {}, decode_workers: {}, gpus_per_decode: {}",
                nodes[0], workers[0], gpus[0], nodes[1], workers[1], gpus[1]
            )
        } else {
            format!("agg_nodes: {}, agg_workers: {}, gpus_per_agg: {}", nodes[0], workers[0], gpus[0])
        };
        let environment = if disaggregated { "prefill_environment" } else { "aggregated_environment" };
        let config = match engine {
            "mocker" => "speedup_ratio: 1.5".to_owned(),
            engine => {
                let (role, flag, value) =
                    (if disaggregated { "prefill" } else { "aggregated" }, quoted(&flag), quoted(&value));
                let parallel = if dedicated[5] { format!("data-parallel-size: {ranks}, ") } else { String::new() };
                format!("{engine}_config: {{ {role}: {{ {parallel}{flag}: {value} }} }}")
            }
        };
        format!(
            "name: {}\nmodel: {{ path: /m, container: c:1, precision: p }}\n\
             resources: {{ gpu_type: g, gpus_per_node: {}, spread_workers: {}, {resources} }}\n\
             backend: {{ type: {engine}, {environment}: {{ A: {} }}, {config} }}\n\
             frontend: {{ type: {frontend}, enable_multiple_frontends: {several}, num_additional_frontends: {additional}, dedicated_node: {} }}\n\
             infra: {{ etcd_nats_dedicated_node: {} }}\n\
             benchmark: {{ {benchmark}, client_dedicated_node: {}, colocate_with_frontend: {} }}\n",
            quoted(&name), gpus_per_node, dedicated[0], quoted(&value), dedicated[1], dedicated[2], dedicated[3], dedicated[4],
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_recipe_is_planned_or_refused(text in recipes(), local in any::<bool>()) {
        let recipe = Source { path: "recipe.yaml".to_owned(), text };
        let request = LoadRequest { recipe: &recipe, cluster: None, selector: None, set: &[], unset: &[] };
        let loaded = load(&request);
        let setup = Setup { variants: loaded.variants, cluster: String::new(), local };
        for plan in setup.plans() {
            match plan {
                Ok(plan) => prop_assert!(plan.steps.is_sorted_by_key(|step| step.stage)),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
