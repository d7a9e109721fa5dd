//! [`BenchConfig`]: everything that fixes a run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that fixes a run of the load generator. The same configuration sends the same requests.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchConfig {
    /// Base URL of an OpenAI-compatible server, such as `http://127.0.0.1:8000`.
    pub url: String,
    /// Name under which the server knows the model.
    pub model: String,
    /// `tokenizer.json`, or the folder that holds it. `None`: prompts are token ids.
    pub tokenizer: Option<PathBuf>,
    /// Name of the tokenizer in results; `None` is the path, or the model's name.
    pub tokenizer_id: Option<String>,
    /// Token ids below this number may be sent; `None` is the tokenizer's size, or 32,000 without one.
    pub vocab_size: Option<u32>,
    /// Whether prompts are wrapped in the tokenizer's chat template.
    pub use_chat_template: bool,
    /// What is sent.
    pub dataset: Dataset,
    /// What is measured, in order.
    pub points: Vec<Point>,
    /// When requests are sent.
    pub arrival: Arrival,
    /// Seed of everything drawn.
    pub seed: u32,
    /// Whether the server is asked to generate the full length.
    pub ignore_eos: bool,
    /// Whether connections carry more than one request.
    pub reuse_http_connections: bool,
    /// Seconds until a request is given up.
    pub request_timeout_s: f64,
    /// Bearer token sent with every request.
    pub api_key: Option<String>,
    /// Folder of the result files; made if it is missing.
    pub result_dir: PathBuf,
    /// GPUs behind the server, for names and for figures per GPU.
    pub gpus: Gpus,
    /// Limits that a good request keeps.
    pub slos: Slos,
    /// When a result is called valid.
    pub thresholds: Thresholds,
    /// Threads that carry the load; `None` is as many as the load needs and the machine has.
    pub threads: Option<usize>,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Dataset {
    /// Random prompts of drawn lengths, as sa-bench makes them.
    Random {
        /// Longest input in tokens.
        isl: u32,
        /// Longest output in tokens.
        osl: u32,
        /// Shortest length as a share of the longest.
        range_ratio: f64,
    },
    /// Prompts of a JSONL file, in shuffled order.
    Custom {
        /// The file.
        path: PathBuf,
    },
    /// Prompts whose first part is one of a few that all share.
    SharedPrefix {
        /// Input in tokens.
        isl: u32,
        /// Output in tokens.
        osl: u32,
        /// Share of the input that is the common part.
        prefix_ratio: f64,
        /// How many common parts there are.
        num_prefixes: u32,
    },
    /// A Mooncake trace: lengths, times, sessions, and blocks of input that requests have in common.
    Trace {
        /// JSONL file.
        path: PathBuf,
    },
    /// Conversations of a `ShareGPT` file.
    ShareGpt {
        /// JSON file.
        path: PathBuf,
        /// Tokens to generate; `None` is the length of the answer in the file.
        output_tokens: Option<u32>,
        /// Whether every turn is sent, each with what was said before it, instead of the first alone.
        multi_turn: bool,
    },
}

/// One measured point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Requests in flight at most; `None` is without limit.
    pub concurrency: Option<u32>,
    /// Requests that are measured.
    pub num_prompts: u32,
    /// Requests before them that are not.
    pub num_warmup: u32,
}

impl Point {
    /// The point at `concurrency` with so many prompts for each concurrent request.
    pub fn of_concurrency(concurrency: u32, num_prompts_mult: u32, num_warmup_mult: u32) -> Self {
        Self {
            concurrency: Some(concurrency),
            num_prompts: concurrency.saturating_mul(num_prompts_mult),
            num_warmup: concurrency.saturating_mul(num_warmup_mult),
        }
    }
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// As soon as concurrency allows.
    AllAtOnce,
    /// At gamma-distributed intervals.
    Gamma {
        /// Mean requests per second.
        rate_rps: f64,
        /// Shape of the distribution: 1 is a Poisson process, less is burstier.
        burstiness: f64,
    },
    /// At equal intervals.
    Constant {
        /// Requests per second.
        rate_rps: f64,
    },
    /// At intervals that shrink or grow evenly from one rate to another, which then holds.
    Ramp {
        /// Requests per second at the start.
        from_rps: f64,
        /// Requests per second at the end.
        to_rps: f64,
        /// Seconds from one to the other.
        over_s: f64,
    },
    /// At the times of the trace.
    Trace {
        /// How many times faster than they were recorded.
        speedup: f64,
    },
}

impl Arrival {
    /// The arrival of sa-bench: `None` is all at once.
    pub fn from_rate(rate_rps: Option<f64>, burstiness: f64) -> Self {
        match rate_rps {
            Some(rate_rps) if rate_rps.is_finite() => Self::Gamma { rate_rps, burstiness },
            _ => Self::AllAtOnce,
        }
    }
}

/// GPUs behind the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpus {
    /// All of them.
    pub total: u32,
    /// How a disaggregated deployment shares them.
    pub split: Option<GpuSplit>,
}

/// GPUs of a disaggregated deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuSplit {
    /// GPUs of the prefill workers.
    pub prefill: u32,
    /// GPUs of the decode workers.
    pub decode: u32,
}

/// Limits that a good request keeps. A limit that is not given is kept by all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Slos {
    /// Time to first token.
    pub ttft_ms: Option<f64>,
    /// Time per output token after the first.
    pub tpot_ms: Option<f64>,
    /// End-to-end latency.
    pub e2el_ms: Option<f64>,
}

impl Slos {
    /// Whether any limit is given.
    pub fn any(&self) -> bool {
        self.ttft_ms.is_some() || self.tpot_ms.is_some() || self.e2el_ms.is_some()
    }
}

/// When a result is called valid. See `docs/benchmarks-and-verdicts.md`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Smallest share of requests that must succeed.
    pub min_success_ratio: f64,
    /// Smallest share of the requested output tokens that must arrive, where the full length was asked for.
    pub min_output_ratio: f64,
    /// Largest share of the requested output tokens that may arrive.
    pub max_output_ratio: f64,
    /// Shortest steady window.
    pub min_steady_s: f64,
    /// Largest share of a core that a client thread may use.
    pub max_client_cpu_share: f64,
    /// Largest lateness (p90) of the client, as a share of the median time to first token.
    pub max_client_lateness_ratio: f64,
    /// Lateness (p90) of the client that is never held against a result.
    pub allowed_client_lateness_ms: f64,
}

impl Thresholds {
    /// The thresholds of a run that sets none.
    pub const DEFAULT: Self = Self {
        min_success_ratio: 1.0,
        min_output_ratio: 0.95,
        max_output_ratio: 1.05,
        min_steady_s: 0.5,
        max_client_cpu_share: 0.9,
        max_client_lateness_ratio: 0.1,
        allowed_client_lateness_ms: 20.0,
    };
}
