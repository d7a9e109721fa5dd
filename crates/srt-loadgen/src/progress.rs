//! What a run says while it is under way, one JSON object per line.

use serde::{Deserialize, Serialize};
use srtlog::Verdict;

/// One line of progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProgressEvent {
    /// Requests that are not measured are being sent.
    Warmup {
        /// Requests in flight at most.
        concurrency: Option<u32>,
        /// Requests of the warm-up.
        num_prompts: u32,
    },
    /// A point is being measured from here on.
    PointStarted {
        /// Requests in flight at most.
        concurrency: Option<u32>,
        /// Requests of the point.
        num_prompts: u32,
    },
    /// How far the point, or the warm-up before it, has come. About five per second.
    Progress(Progress),
    /// A point is finished and its result is on disk.
    PointFinished(Box<PointSummary>),
    /// Nothing more will come.
    Finished {
        /// The judgement over all points.
        verdict: Verdict,
    },
}

/// How far a point has come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Requests in flight at most.
    pub concurrency: Option<u32>,
    /// Whether this is the warm-up.
    pub is_warmup: bool,
    /// Requests that succeeded.
    pub completed: u32,
    /// Requests that failed.
    pub failed: u32,
    /// Requests of the point.
    pub num_prompts: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// Chunks with tokens per second since the previous event; the server's own counts come only at the end.
    pub output_tps: f64,
    /// Seconds since the point started.
    pub elapsed_s: f64,
}

/// The figures of a finished point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointSummary {
    /// Requests in flight at most.
    pub concurrency: Option<u32>,
    /// Requests of the point.
    pub num_prompts: u32,
    /// Requests that succeeded.
    pub completed: u32,
    /// Requests that failed.
    pub failed: u32,
    /// File of the result.
    pub result_path: String,
    /// Seconds from the first request to the end of the last.
    pub duration_s: f64,
    /// Input tokens of the requests that succeeded.
    pub total_input_tokens: u64,
    /// Output tokens of the requests that succeeded.
    pub total_output_tokens: u64,
    /// Requests per second.
    pub request_rps: f64,
    /// Requests per second that kept every limit, where limits are set.
    pub request_goodput_rps: Option<f64>,
    /// The highest output tokens per second over ten seconds.
    pub peak_output_tps: f64,
    /// Output tokens per second.
    pub output_tps: f64,
    /// Input and output tokens per second.
    pub total_tps: f64,
    /// Output tokens per second and GPU.
    pub output_tps_per_gpu: Option<f64>,
    /// Mean time to first token.
    pub mean_ttft_ms: f64,
    /// Median time to first token.
    pub median_ttft_ms: f64,
    /// 99th percentile of the time to first token.
    pub p99_ttft_ms: f64,
    /// Mean time per output token after the first.
    pub mean_tpot_ms: f64,
    /// Median time per output token after the first.
    pub median_tpot_ms: f64,
    /// 99th percentile of the time per output token after the first.
    pub p99_tpot_ms: f64,
    /// Mean gap between chunks.
    pub mean_itl_ms: f64,
    /// Median gap between chunks.
    pub median_itl_ms: f64,
    /// 99th percentile of the gap between chunks.
    pub p99_itl_ms: f64,
    /// Mean end-to-end latency.
    pub mean_e2el_ms: f64,
    /// Median end-to-end latency.
    pub median_e2el_ms: f64,
    /// 99th percentile of the end-to-end latency.
    pub p99_e2el_ms: f64,
    /// The judgement over this point.
    pub verdict: Verdict,
}
