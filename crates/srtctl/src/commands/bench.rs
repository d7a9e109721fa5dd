//! `srtctl bench`: load a server and measure it.

use std::{fs::File, io::Write as _, path::PathBuf};

use anyhow::Context as _;
use srt_loadgen::{
    Arrival, BenchConfig, Dataset, GpuSplit, Gpus, Point, Slos, Thresholds, progress::ProgressEvent,
};
use srtlog::Verdict;
use tokio_util::sync::CancellationToken;

use crate::{
    exit::{CommandError, Outcome},
    signals, terminal,
};

/// Benchmarks
#[derive(clap::Subcommand)]
pub(crate) enum BenchCommand {
    /// Random or given prompts at fixed concurrencies, measured as sa-bench measures
    SaBench(Box<SaBenchArguments>),
}

/// Arguments of `srtctl bench sa-bench`
#[derive(Debug, clap::Args)]
pub(crate) struct SaBenchArguments {
    /// Base URL of an OpenAI-compatible server, such as `http://127.0.0.1:8000`
    #[arg(long, value_name = "URL")]
    url: String,
    /// Name under which the server knows the model
    #[arg(long, value_name = "NAME")]
    model: String,
    /// tokenizer.json, or a folder that holds it; without one, prompts are token ids
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// Tokenizer implementation that the recipe names
    #[arg(long, value_name = "NAME")]
    custom_tokenizer: Option<String>,
    /// Wrap prompts in the tokenizer's chat template
    #[arg(long)]
    chat_template: bool,
    /// Longest input in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 1024)]
    isl: u32,
    /// Longest output in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 128)]
    osl: u32,
    /// Concurrent requests, one measured point each, such as 4x16x64
    #[arg(long, value_name = "NxN…", value_delimiter = 'x', required = true)]
    concurrencies: Vec<u32>,
    /// Requests per second; inf sends as soon as concurrency allows
    #[arg(long, value_name = "RATE", default_value = "inf", value_parser = parse_rate)]
    request_rate: f64,
    /// Shape of the arrival intervals: 1 is a Poisson process, less is burstier
    #[arg(long, value_name = "SHAPE", default_value_t = 1.0)]
    burstiness: f64,
    /// Shortest length as a share of the longest
    #[arg(long, value_name = "RATIO", default_value_t = 0.8)]
    random_range_ratio: f64,
    /// Measured requests per concurrent request
    #[arg(long, value_name = "N", default_value_t = 10)]
    num_prompts_mult: u32,
    /// Warm-up requests per concurrent request
    #[arg(long, value_name = "N", default_value_t = 2)]
    num_warmup_mult: u32,
    /// `random`, or `custom` for the prompts of a JSONL file
    #[arg(long, value_name = "NAME", default_value = "random", value_parser = ["random", "custom"])]
    dataset_name: String,
    /// JSONL file of `custom`
    #[arg(long, value_name = "FILE", required_if_eq("dataset_name", "custom"))]
    dataset_path: Option<PathBuf>,
    /// Keep connections between requests
    #[arg(long)]
    reuse_http_connections: bool,
    /// Seed of everything drawn
    #[arg(long, default_value_t = 0)]
    seed: u32,
    /// Folder of the result files
    #[arg(long, value_name = "DIR", default_value = "bench-results")]
    result_dir: PathBuf,
    /// GPUs behind the server
    #[arg(long, value_name = "N", default_value_t = 0)]
    total_gpus: u32,
    /// GPUs of the prefill workers
    #[arg(long, value_name = "N", requires = "decode_gpus")]
    prefill_gpus: Option<u32>,
    /// GPUs of the decode workers
    #[arg(long, value_name = "N", requires = "prefill_gpus")]
    decode_gpus: Option<u32>,
    /// A good request has its first token within this time
    #[arg(long, value_name = "MS")]
    slo_ttft_ms: Option<f64>,
    /// A good request has at most this time per output token after the first
    #[arg(long, value_name = "MS")]
    slo_tpot_ms: Option<f64>,
    /// A good request ends within this time
    #[arg(long, value_name = "MS")]
    slo_e2el_ms: Option<f64>,
    /// Append progress as JSON lines to this file
    #[arg(long, value_name = "FILE")]
    progress: Option<PathBuf>,
    /// Print progress as JSON lines instead of text
    #[arg(long)]
    json: bool,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "expected requests per second, or `inf`".to_owned())?;
    if rate > 0.0 { Ok(rate) } else { Err("expected a rate above 0, or `inf`".to_owned()) }
}

pub(crate) fn run(command: BenchCommand) -> anyhow::Result<Outcome> {
    match command {
        BenchCommand::SaBench(arguments) => run_sa_bench(&arguments),
    }
}

fn run_sa_bench(arguments: &SaBenchArguments) -> anyhow::Result<Outcome> {
    let mut progress = match &arguments.progress {
        Some(path) => Some(
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("failed to open the progress file `{}`", path.display()))?,
        ),
        None => None,
    };
    let json = arguments.json;
    let report = move |event: ProgressEvent| {
        let line = serde_json::to_string(&event).expect("progress holds no map with other keys than text");
        if let Some(file) = &mut progress {
            // A full disk must not end the load: the result files say what came of it.
            let _written = writeln!(file, "{line}");
        }
        match &event {
            _ if json => terminal::print_line(&line),
            ProgressEvent::PointFinished(summary) => terminal::print_line(&summary.console_block()),
            _ => {}
        }
    };
    let config = arguments.config();
    let cancel = CancellationToken::new();
    let signal = signals::cancel_on_signal(&cancel)?;
    let outcome = srt_loadgen::run(&config, report, &cancel)
        .map_err(|error| anyhow::Error::from(CommandError::BadInput(error.to_string())))?;
    if !json {
        terminal::print_line(&srt_report::results::verdict(&outcome.verdict));
    }
    Ok(match (signal.received(), &outcome.verdict) {
        (Some(signal), _) => Outcome::Signalled(signal),
        (None, Verdict::Valid) => Outcome::Success,
        (None, Verdict::Invalid { .. }) => Outcome::InvalidResult,
        (None, Verdict::Failed { .. }) => Outcome::RunFailed,
    })
}

impl SaBenchArguments {
    fn config(&self) -> BenchConfig {
        let dataset = match (&self.dataset_name[..], &self.dataset_path) {
            ("custom", Some(path)) => Dataset::Custom { path: path.clone() },
            _ => Dataset::Random { isl: self.isl, osl: self.osl, range_ratio: self.random_range_ratio },
        };
        let points = self.concurrencies.iter();
        let split = self.prefill_gpus.zip(self.decode_gpus);
        BenchConfig {
            url: self.url.clone(),
            model: self.model.clone(),
            tokenizer: self.tokenizer.clone(),
            tokenizer_id: None,
            vocab_size: None,
            use_chat_template: self.chat_template,
            dataset,
            points: points
                .map(|&it| Point::of_concurrency(it, self.num_prompts_mult, self.num_warmup_mult))
                .collect(),
            arrival: Arrival::from_rate(Some(self.request_rate), self.burstiness),
            seed: self.seed,
            ignore_eos: true,
            reuse_http_connections: self.reuse_http_connections,
            request_timeout_s: 6.0 * 3600.0,
            api_key: None,
            result_dir: self.result_dir.clone(),
            gpus: Gpus {
                total: self.total_gpus,
                split: split.map(|(prefill, decode)| GpuSplit { prefill, decode }),
            },
            slos: Slos { ttft_ms: self.slo_ttft_ms, tpot_ms: self.slo_tpot_ms, e2el_ms: self.slo_e2el_ms },
            thresholds: Thresholds::DEFAULT,
            threads: None,
        }
    }
}
