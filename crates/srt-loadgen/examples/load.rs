//! The load generator used alone: `load URL CONCURRENCY PROMPTS [ISL OSL [RATE [TOKENIZER]]]`, results in a folder `results`.

use std::process::ExitCode;

use srt_loadgen::{Arrival, BenchConfig, Dataset, Gpus, Point, ProgressEvent, Slos, Thresholds};
use tokio_util::sync::CancellationToken;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "an example is a program of its own")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u32| {
        arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let Some(url) = arguments.first() else {
        eprintln!("usage: load URL CONCURRENCY PROMPTS [ISL OSL [RATE [TOKENIZER]]]");
        return ExitCode::FAILURE;
    };
    let config = BenchConfig {
        url: url.clone(),
        model: "mock".to_owned(),
        tokenizer: arguments.get(6).map(Into::into),
        tokenizer_id: None,
        vocab_size: None,
        use_chat_template: false,
        dataset: Dataset::Random { isl: number(3, 64), osl: number(4, 128), range_ratio: 1.0 },
        points: vec![Point { concurrency: Some(number(1, 1)), num_prompts: number(2, 10), num_warmup: 0 }],
        arrival: Arrival::from_rate(arguments.get(5).and_then(|text| text.parse().ok()), 1.0),
        seed: 0,
        ignore_eos: true,
        reuse_http_connections: true,
        request_timeout_s: 600.0,
        api_key: None,
        result_dir: "results".into(),
        gpus: Gpus { total: 1, split: None },
        slos: Slos::default(),
        thresholds: Thresholds::DEFAULT,
        threads: None,
    };
    let show = |event: ProgressEvent| match event {
        ProgressEvent::PointFinished(summary) => print!("{}", summary.console_block()),
        other => eprintln!("{}", serde_json::to_string(&other).expect("events can be written as JSON")),
    };
    match srt_loadgen::run(&config, show, &CancellationToken::new()) {
        Ok(outcome) if outcome.verdict.is_valid() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(2),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
