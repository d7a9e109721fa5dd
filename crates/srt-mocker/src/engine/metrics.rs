//! The Prometheus text of an engine, with SGLang's names.

use std::fmt::Write;

use super::{config::EngineConfig, worker::Snapshot};

pub(super) fn render(config: &EngineConfig, snapshot: &Snapshot) -> String {
    let load = &snapshot.load;
    #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
    let (gauges, counters) = (
        [
            ("num_running_reqs", "Requests being decoded", load.running as f64),
            ("num_queue_reqs", "Requests that wait", load.queued as f64),
            ("num_used_tokens", "Tokens in the KV cache", load.used_tokens as f64),
            ("max_total_num_tokens", "Tokens that the KV cache holds", config.kv_capacity_tokens as f64),
            (
                "token_usage",
                "Share of the KV cache in use",
                load.used_tokens as f64 / config.kv_capacity_tokens as f64,
            ),
            ("gen_throughput", "Generated tokens per second", snapshot.gen_throughput_tps),
            ("cache_hit_rate", "Share of prompt tokens found in the cache", snapshot.cache_hit_rate),
            (
                "num_prealloc_queue_reqs",
                "Requests without space or peer for their KV cache",
                load.preallocating as f64,
            ),
            ("num_transfer_queue_reqs", "Requests whose KV cache is on its way", load.transferring as f64),
        ],
        [
            ("prompt_tokens_total", "Prompt tokens computed", snapshot.prompt_tokens),
            ("generation_tokens_total", "Tokens generated", snapshot.generated_tokens),
            ("num_requests_total", "Requests received", snapshot.requests),
        ],
    );
    let labels = format!(
        r#"{{engine_type="{}",model_name={:?},pp_rank="0",tp_rank="0"}}"#,
        config.role.as_str(),
        config.served_model_name
    );
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (name, help, value) in gauges {
        let _ = write!(
            text,
            "# HELP sglang:{name} {help}.\n# TYPE sglang:{name} gauge\nsglang:{name}{labels} {value:?}\n"
        );
    }
    for (name, help, value) in counters {
        let _ = write!(
            text,
            "# HELP sglang:{name} {help}.\n# TYPE sglang:{name} counter\nsglang:{name}{labels} {value}\n"
        );
    }
    text
}
