//! [`Rollup`] and its parts: the format of `rollup.json`, separate from everything it is made of.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    command::LaunchCommand, coverage::Coverage, number::Number, results::BenchmarkResult, verdict::Verdict,
};

/// The format's name and version.
pub(crate) const FORMAT: &str = "srtctl.rollup/1";

/// Everything about a run in one file. Fields without a unit in their name are those that analysis tools already read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollup {
    /// Name and version of this format.
    pub format: String,
    /// Identifier of the job.
    pub job_id: Option<String>,
    /// Name of the job.
    pub job_name: Option<String>,
    /// When this was written.
    pub generated_at: Option<String>,
    /// What the run is worth, if that was judged.
    pub verdict: Option<Verdict>,
    /// Whether the run ended before its time, so that what follows is a part of it; `null` when nobody knows.
    pub partial: Option<bool>,
    /// The stage that failed.
    pub failed_stage: Option<String>,
    /// Path of the model.
    pub model_path: Option<String>,
    /// Name under which the model is served.
    pub model_name: Option<String>,
    /// Precision of the weights.
    pub precision: Option<String>,
    /// GPU type.
    pub gpu_type: Option<String>,
    /// GPUs of each node.
    pub gpus_per_node: Option<i64>,
    /// Engine.
    pub backend_type: Option<String>,
    /// Frontend.
    pub frontend_type: Option<String>,
    /// Whether prefill and decode run on workers of their own.
    pub is_disaggregated: bool,
    /// Nodes of workers.
    pub total_nodes: Option<i64>,
    /// GPUs of workers.
    pub total_gpus: Option<i64>,
    /// Nodes of prefill workers.
    pub prefill_nodes: Option<i64>,
    /// Nodes of decode workers.
    pub decode_nodes: Option<i64>,
    /// Prefill workers.
    pub prefill_workers: Option<i64>,
    /// Decode workers.
    pub decode_workers: Option<i64>,
    /// GPUs of all prefill workers.
    pub prefill_gpus: Option<i64>,
    /// GPUs of all decode workers.
    pub decode_gpus: Option<i64>,
    /// Nodes of aggregated workers.
    pub agg_nodes: Option<i64>,
    /// Aggregated workers.
    pub agg_workers: Option<i64>,
    /// Benchmark.
    pub benchmark_type: Option<String>,
    /// Prompt tokens per request.
    pub isl: Option<i64>,
    /// Tokens generated per request.
    pub osl: Option<i64>,
    /// Concurrencies the recipe asks for.
    pub concurrencies: Vec<i64>,
    /// Concurrencies the recipe asks for and no result has.
    pub missing_concurrencies: Vec<i64>,
    /// Results by rising concurrency.
    pub results: Vec<BenchmarkResult>,
    /// Most generated tokens per second of any result.
    pub max_output_tps: Option<Number>,
    /// Most tokens per second of any result.
    pub max_total_tps: Option<Number>,
    /// Least mean time to first token of any result.
    pub min_mean_ttft_ms: Option<Number>,
    /// Least mean time between tokens of any result.
    pub min_mean_itl_ms: Option<Number>,
    /// What the workers' logs say; `null` when there are none.
    pub nodes_summary: Option<NodesSummary>,
    /// Environment and engine settings of the recipe; `null` when it has none.
    pub environment_config: Option<EnvironmentConfig>,
    /// How the benchmark was started.
    pub benchmark_command: Option<LaunchCommand>,
    /// Words to find the run by.
    pub tags: Vec<String>,
    /// How much of each worker log was understood.
    pub files: Vec<FileCoverage>,
    /// What could not be read, and why.
    pub warnings: Vec<String>,
}

/// What the logs of all workers say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodesSummary {
    /// Processes of prefill workers.
    pub total_prefill_nodes: u64,
    /// Processes of decode workers.
    pub total_decode_nodes: u64,
    /// Processes of aggregated workers.
    pub total_agg_nodes: u64,
    /// Prompt tokens computed.
    pub total_prefill_tokens: Option<i64>,
    /// Prompt tokens that the cache had.
    pub total_cached_tokens: Option<i64>,
    /// Share of prompt tokens that the cache had, percent.
    pub overall_cache_hit_rate: Option<f64>,
    /// Mean over workers of their mean prompt tokens per second, idle workers left out.
    pub avg_prefill_input_throughput: Option<f64>,
    /// Most prompt tokens per second of any batch.
    pub max_prefill_input_throughput: Option<Number>,
    /// Mean over workers of their mean generated tokens per second, idle workers left out.
    pub avg_decode_gen_throughput: Option<f64>,
    /// Most generated tokens per second of any batch.
    pub max_decode_gen_throughput: Option<Number>,
    /// KV cache of all workers.
    pub total_kv_cache_gb: Option<f64>,
    /// Worker by worker.
    pub nodes: Vec<NodeRollup>,
}

/// What the log of one worker's process says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeRollup {
    /// Node it ran on.
    pub node_name: String,
    /// Role of the worker.
    pub worker_type: String,
    /// Which worker of its role.
    pub worker_id: String,
    /// Tensor-parallel size.
    pub tp_size: Option<i64>,
    /// Pipeline-parallel size.
    pub pp_size: Option<i64>,
    /// Data-parallel size.
    pub dp_size: Option<i64>,
    /// Expert-parallel size.
    pub ep_size: Option<i64>,
    /// How it was started.
    pub launch_command: Option<LaunchCommand>,
    /// GPU memory free at the first reading.
    pub avail_mem_gb: Option<f64>,
    /// GPU memory in use at the first reading.
    pub mem_usage_gb: Option<f64>,
    /// Size of the KV cache.
    pub kv_cache_gb: Option<f64>,
    /// Tokens that the KV cache holds.
    pub kv_tokens: Option<i64>,
    /// Batches read.
    pub total_batches: u64,
    /// Of these, prefill batches.
    pub total_prefill_batches: u64,
    /// Of these, decode batches.
    pub total_decode_batches: u64,
    /// Prompt tokens computed.
    pub total_new_tokens: Option<i64>,
    /// Prompt tokens that the cache had.
    pub total_cached_tokens: Option<i64>,
    /// Share of prompt tokens that the cache had, percent.
    pub cache_hit_rate: Option<f64>,
    /// Mean prompt tokens per second over batches.
    pub avg_input_throughput: Option<f64>,
    /// Most prompt tokens per second of any batch.
    pub max_input_throughput: Option<Number>,
    /// Mean requests running over decode batches.
    pub avg_running_requests: Option<f64>,
    /// Most requests running.
    pub max_running_requests: Option<Number>,
    /// Mean generated tokens per second over batches.
    pub avg_gen_throughput: Option<f64>,
    /// Most generated tokens per second of any batch.
    pub max_gen_throughput: Option<Number>,
    /// Most requests queued.
    pub max_queue_requests: Option<Number>,
    /// Most requests being sent from prefill to decode.
    pub max_inflight_requests: Option<Number>,
    /// Most requests being received by decode.
    pub max_transfer_requests: Option<Number>,
    /// Engine whose lines were read.
    pub log_format: String,
    /// Largest share of the KV pool in use, 0 to 1.
    pub max_token_usage: Option<Number>,
    /// Most requests pushed back for lack of KV space.
    pub max_retracted_requests: Option<Number>,
    /// Most requests whose KV space was being reserved.
    pub max_prealloc_requests: Option<Number>,
    /// Mean tokens accepted per speculative step.
    pub avg_accept_len: Option<f64>,
    /// Mean share of drafted tokens accepted, 0 to 1.
    pub avg_accept_rate: Option<f64>,
    /// Steps of the start-up.
    pub startup: Vec<StartupPhase>,
    /// Errors and warnings by kind.
    pub problems: Vec<NodeProblem>,
}

/// A step of a worker's start-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartupPhase {
    /// Which one.
    pub phase: String,
    /// How long it took, if the log says or shows it.
    pub duration_s: Option<f64>,
    /// When it ended, after the first time in the start-up lines.
    pub ended_after_s: Option<f64>,
}

/// Problems of one kind in one worker's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeProblem {
    /// What kind.
    pub kind: String,
    /// How many lines.
    pub count: u64,
    /// Line number of the first.
    pub first_line: u64,
    /// Time of the first, as logged.
    pub first_at: String,
    /// Text of the first, shortened.
    pub first_text: String,
}

/// Environment and engine settings, as the recipe gives them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentConfig {
    /// Environment of prefill workers.
    pub prefill_environment: Json,
    /// Environment of decode workers.
    pub decode_environment: Json,
    /// Environment of aggregated workers.
    pub aggregated_environment: Json,
    /// Engine settings of prefill workers.
    pub prefill_engine_config: Json,
    /// Engine settings of decode workers.
    pub decode_engine_config: Json,
    /// Engine settings of aggregated workers.
    pub aggregated_engine_config: Json,
}

/// How much of a file was understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileCoverage {
    /// Name of the file in the log folder.
    pub file: String,
    /// Counts.
    pub coverage: Coverage,
}

impl Rollup {
    /// The text of `rollup.json`.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("every key is text, and every value is JSON");
        text.push('\n');
        text
    }

    /// Reads the text of a `rollup.json`, of this version or with fields added by a later one.
    pub fn from_json(text: &str) -> Result<Rollup, serde_json::Error> {
        serde_json::from_str(text)
    }

    pub(crate) fn summarise_results(&mut self) {
        let all = |read: fn(&BenchmarkResult) -> Option<Number>| self.results.iter().filter_map(read);
        let better = |a: Number, b: Number, is_better: fn(f64, f64) -> bool| {
            if is_better(b.as_f64(), a.as_f64()) { b } else { a }
        };
        let most = |numbers: Vec<Number>| numbers.into_iter().reduce(|a, b| better(a, b, |b, a| b > a));
        let least = |numbers: Vec<Number>| numbers.into_iter().reduce(|a, b| better(a, b, |b, a| b < a));
        self.max_output_tps = most(all(|result| result.output_tps).collect());
        self.max_total_tps = most(all(|result| result.total_tps).collect());
        self.min_mean_ttft_ms = least(all(|result| result.mean_ttft_ms).collect());
        self.min_mean_itl_ms = least(all(|result| result.mean_itl_ms).collect());
        self.missing_concurrencies = self
            .concurrencies
            .iter()
            .copied()
            .filter(|wanted| {
                !self.results.iter().any(|result| result.concurrency == Some(Number::Int(*wanted)))
            })
            .collect();
    }
}
