//! The load generator against a server that misbehaves on request.

#![expect(clippy::unwrap_used, reason = "this is a test")]

mod faults;
mod server;
mod whole;

use std::path::Path;

use srt_loadgen::{
    Arrival, BenchConfig, BenchOutcome, Dataset, Gpus, Point, ProgressEvent, Slos, Thresholds,
};
use tokio_util::sync::CancellationToken;

/// Four requests at a time, twelve in all, five tokens each; nothing held against a busy machine.
fn config(url: &str, result_dir: &Path) -> BenchConfig {
    BenchConfig {
        url: url.to_owned(),
        model: "tiny".to_owned(),
        tokenizer: None,
        tokenizer_id: None,
        vocab_size: None,
        use_chat_template: false,
        dataset: Dataset::Random { isl: 8, osl: 5, range_ratio: 1.0 },
        points: vec![Point::of_concurrency(4, 3, 0)],
        arrival: Arrival::AllAtOnce,
        seed: 0,
        ignore_eos: true,
        reuse_http_connections: true,
        request_timeout_s: 20.0,
        api_key: None,
        result_dir: result_dir.to_owned(),
        gpus: Gpus { total: 8, split: None },
        slos: Slos::default(),
        thresholds: Thresholds {
            min_steady_s: 0.0,
            max_client_cpu_share: f64::INFINITY,
            allowed_client_lateness_ms: f64::INFINITY,
            ..Thresholds::DEFAULT
        },
        threads: None,
    }
}

fn run(config: &BenchConfig) -> (BenchOutcome, Vec<ProgressEvent>) {
    let mut events = Vec::new();
    let outcome = srt_loadgen::run(config, |event| events.push(event), &CancellationToken::new())
        .expect("the configuration is good");
    (outcome, events)
}

fn result_of(outcome: &BenchOutcome) -> serde_json::Value {
    let path = &outcome.points[0].result_path;
    serde_json::from_slice(&std::fs::read(path).expect("the result is on disk")).expect("the result is JSON")
}
