//! Readers of benchmark results: the [`BenchmarkParser`] trait, its registry, and the result they all give.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read},
    path::Path,
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny},
};

use crate::{json::PythonJson, number::Number, verdict::Verdict};

/// The result of one benchmark run: one concurrency, or one replay.
///
/// Throughputs are per second, times are in the unit their name ends in, and `duration` is in seconds: the names are those
/// that analysis tools already read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BenchmarkResult {
    /// Most requests in flight.
    pub concurrency: Option<Number>,
    /// Generated tokens per second.
    pub output_tps: Option<Number>,
    /// Prompt and generated tokens per second.
    pub total_tps: Option<Number>,
    /// Requests per second.
    pub request_throughput: Option<Number>,
    /// Requests per second that met every objective.
    pub request_goodput: Option<Number>,
    /// Requests sent per second, or `inf`.
    pub request_rate: Option<RequestRate>,
    /// Mean time to first token.
    pub mean_ttft_ms: Option<Number>,
    /// Mean time per output token after the first.
    pub mean_tpot_ms: Option<Number>,
    /// Mean time between tokens.
    pub mean_itl_ms: Option<Number>,
    /// Mean end-to-end latency.
    pub mean_e2el_ms: Option<Number>,
    /// Median time to first token.
    pub median_ttft_ms: Option<Number>,
    /// Median time per output token after the first.
    pub median_tpot_ms: Option<Number>,
    /// Median time between tokens.
    pub median_itl_ms: Option<Number>,
    /// Median end-to-end latency.
    pub median_e2el_ms: Option<Number>,
    /// 99th percentile of the time to first token.
    pub p99_ttft_ms: Option<Number>,
    /// 99th percentile of the time per output token after the first.
    pub p99_tpot_ms: Option<Number>,
    /// 99th percentile of the time between tokens.
    pub p99_itl_ms: Option<Number>,
    /// 99th percentile of the end-to-end latency.
    pub p99_e2el_ms: Option<Number>,
    /// Prompt tokens of all requests.
    pub total_input_tokens: Option<Number>,
    /// Tokens generated for all requests.
    pub total_output_tokens: Option<Number>,
    /// Length of the measurement, seconds.
    pub duration: Option<Number>,
    /// Requests that succeeded.
    pub completed: Option<Number>,
    /// Requests that were to be sent.
    pub num_prompts: Option<Number>,
    /// Standard deviation of the time to first token.
    pub std_ttft_ms: Option<Number>,
    /// Standard deviation of the time per output token after the first.
    pub std_tpot_ms: Option<Number>,
    /// Standard deviation of the time between tokens.
    pub std_itl_ms: Option<Number>,
    /// Standard deviation of the end-to-end latency.
    pub std_e2el_ms: Option<Number>,
    /// Generated tokens per second and user, where the benchmark states it.
    pub output_tps_per_user: Option<Number>,
    /// What an accuracy evaluation measured, by its own names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, Number>,
    /// File of the result, under the log folder.
    pub file: Option<String>,
    /// Whether these numbers may be compared with others, where the load generator judged it.
    pub verdict: Option<Verdict>,
    /// What our load generator adds to a result: units, workload, seed, its own health.
    pub srtctl: Option<serde_json::Value>,
}

/// How fast requests were sent.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestRate {
    /// Requests per second.
    PerSecond(Number),
    /// As fast as the concurrency allows, written `inf`.
    Unlimited,
    /// A word of a tool we do not know.
    Other(String),
}

impl Serialize for RequestRate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            RequestRate::PerSecond(number) => number.serialize(serializer),
            RequestRate::Unlimited => serializer.serialize_str("inf"),
            RequestRate::Other(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for RequestRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RequestRate, D::Error> {
        match Loose::deserialize(deserializer)? {
            Loose::Number(number) => Ok(RequestRate::PerSecond(number)),
            Loose::Text(text) if text == "inf" => Ok(RequestRate::Unlimited),
            Loose::Text(text) => Ok(RequestRate::Other(text)),
            Loose::Other => Err(de::Error::custom("expected a number or text")),
        }
    }
}

/// Reads the result files of one kind of benchmark.
pub trait BenchmarkParser: Send + Sync {
    /// The benchmark, by the name that recipes use.
    fn name(&self) -> &'static str;

    /// Whether a file, by its path under the log folder, holds results of this benchmark.
    fn reads(&self, path: &Path) -> bool;

    /// Reads the results in a file. A file without any is an error, which says what was missing.
    fn read(&self, file: &mut dyn Read) -> Result<Vec<BenchmarkResult>, ResultError>;
}

/// Why a result file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// The file is no JSON, or not all of it is there.
    #[error("not JSON, or cut short: {0}")]
    Json(#[from] serde_json::Error),
    /// The file is JSON, but no result.
    #[error("no result: {0}")]
    NoResult(&'static str),
    /// The file could not be read to its end.
    #[error("failed to read: {0}")]
    Io(#[from] io::Error),
}

/// Names that [`benchmark_parser`] knows.
pub const BENCHMARK_PARSERS: &[&str] = &[
    "sa-bench",
    "vllm-bench",
    "sglang-bench",
    "mooncake-router",
    "trace-replay",
    "mmlu",
    "gpqa",
    "gsm8k",
    "longbenchv2",
    "lm-eval",
];

/// The reader for the results of a benchmark, by the name that recipes use for it.
pub fn benchmark_parser(name: &str) -> Option<Box<dyn BenchmarkParser>> {
    Some(match name {
        "sa-bench" => Box::new(Flat { name: "sa-bench", place: Place::Folder, needs_concurrency: true }),
        "vllm-bench" => Box::new(Flat { name: "vllm-bench", place: Place::Folder, needs_concurrency: false }),
        "sglang-bench" => {
            Box::new(Flat { name: "sglang-bench", place: Place::Anywhere, needs_concurrency: false })
        }
        "mooncake-router" => Box::new(Aiperf { name: "mooncake-router" }),
        "trace-replay" => Box::new(Aiperf { name: "trace-replay" }),
        "mmlu" => Box::new(Accuracy { name: "mmlu" }),
        "gpqa" => Box::new(Accuracy { name: "gpqa" }),
        "gsm8k" => Box::new(Accuracy { name: "gsm8k" }),
        "longbenchv2" => Box::new(Accuracy { name: "longbenchv2" }),
        "lm-eval" => Box::new(Accuracy { name: "lm-eval" }),
        _ => return None,
    })
}

/// A reader for any file in a result folder, for benchmarks without one of their own.
pub(crate) fn any_result() -> Flat {
    Flat { name: "any", place: Place::Folder, needs_concurrency: false }
}

/// Results with one key per number: the serving benchmarks of vLLM, SGLang, and sa-bench.
pub(crate) struct Flat {
    name: &'static str,
    place: Place,
    /// A file that states no concurrency is something else.
    needs_concurrency: bool,
}

/// Where result files lie.
enum Place {
    /// In a folder per workload.
    Folder,
    /// There, or anywhere as JSON lines.
    Anywhere,
}

impl BenchmarkParser for Flat {
    fn name(&self) -> &'static str {
        self.name
    }

    fn reads(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
        let extension = name.rsplit('.').next();
        let folder = path.parent().and_then(Path::to_str).unwrap_or_default();
        let is_result = extension == Some("json") && is_result_folder(folder);
        match self.place {
            Place::Folder => is_result,
            Place::Anywhere => is_result || extension == Some("jsonl"),
        }
    }

    fn read(&self, file: &mut dyn Read) -> Result<Vec<BenchmarkResult>, ResultError> {
        let stream = PythonJson::new(file);
        let objects =
            serde_json::Deserializer::from_reader(io::BufReader::new(stream)).into_iter::<FlatResult>();
        let mut results = Vec::new();
        for object in objects {
            results.extend(object?.0);
        }
        if self.needs_concurrency {
            results.retain(|result| result.concurrency.is_some());
        }
        if results.is_empty() && self.needs_concurrency {
            return Err(ResultError::NoResult("`max_concurrency` is missing"));
        }
        if results.is_empty() {
            return Err(ResultError::NoResult("neither a concurrency nor a throughput is stated"));
        }
        Ok(results)
    }
}

/// Whether a folder directly under the log folder holds results.
fn is_result_folder(folder: &str) -> bool {
    !folder.contains('/')
        && (folder.contains("_isl_") && folder.contains("_osl_") || folder.starts_with("sa-bench_"))
}

/// A value of any type, of which only numbers and text are kept.
enum Loose {
    Number(Number),
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Loose, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Loose;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
            fn visit_unit<E>(self) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
            fn visit_i64<E>(self, value: i64) -> Result<Loose, E> {
                Ok(Loose::Number(Number::Int(value)))
            }
            #[expect(clippy::cast_precision_loss, reason = "only numbers above i64::MAX take this way")]
            fn visit_u64<E>(self, value: u64) -> Result<Loose, E> {
                Ok(Loose::Number(i64::try_from(value).map_or(Number::Float(value as f64), Number::Int)))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Loose, E> {
                Ok(Loose::Number(Number::Float(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Loose, E> {
                Ok(Loose::Text(value.chars().take(64).collect()))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Loose, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Loose, A::Error> {
                while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Loose {
    fn number(self) -> Option<Number> {
        match self {
            Loose::Number(number) => Some(number),
            Loose::Text(_) | Loose::Other => None,
        }
    }
}

/// A result object, read without keeping what is large: per-request lists are skipped as they stream by.
struct FlatResult(Option<BenchmarkResult>);

impl<'de> Deserialize<'de> for FlatResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FlatResult, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = FlatResult;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a result object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<FlatResult, A::Error> {
                let mut result = BenchmarkResult::default();
                while let Some(key) = entries.next_key::<String>()? {
                    match key.as_str() {
                        "request_rate" => {
                            result.request_rate = match entries.next_value::<Loose>()? {
                                Loose::Number(number) => Some(RequestRate::PerSecond(number)),
                                Loose::Text(text) if text == "inf" => Some(RequestRate::Unlimited),
                                Loose::Text(text) => Some(RequestRate::Other(text)),
                                Loose::Other => None,
                            };
                        }
                        "srtctl" => {
                            let ours: serde_json::Value = entries.next_value()?;
                            result.verdict =
                                ours.get("verdict").and_then(|verdict| Verdict::deserialize(verdict).ok());
                            result.srtctl = Some(ours);
                        }
                        key => match slot(&mut result, key) {
                            Some(slot) => *slot = entries.next_value::<Loose>()?.number().or(*slot),
                            None => drop(entries.next_value::<IgnoredAny>()?),
                        },
                    }
                }
                let is_result = result.concurrency.is_some() || result.output_tps.is_some();
                Ok(FlatResult(is_result.then_some(result)))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<FlatResult, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(FlatResult(None))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Where a key of a result file goes; the benchmarks name most numbers alike, and a few each in its own way.
fn slot<'a>(result: &'a mut BenchmarkResult, key: &str) -> Option<&'a mut Option<Number>> {
    Some(match key {
        "max_concurrency" => &mut result.concurrency,
        "output_throughput" => &mut result.output_tps,
        "total_token_throughput" | "total_throughput" => &mut result.total_tps,
        "request_throughput" => &mut result.request_throughput,
        "request_goodput" => &mut result.request_goodput,
        "mean_ttft_ms" => &mut result.mean_ttft_ms,
        "mean_tpot_ms" => &mut result.mean_tpot_ms,
        "mean_itl_ms" => &mut result.mean_itl_ms,
        "mean_e2el_ms" | "mean_e2e_latency_ms" => &mut result.mean_e2el_ms,
        "median_ttft_ms" => &mut result.median_ttft_ms,
        "median_tpot_ms" => &mut result.median_tpot_ms,
        "median_itl_ms" => &mut result.median_itl_ms,
        "median_e2el_ms" | "median_e2e_latency_ms" => &mut result.median_e2el_ms,
        "p99_ttft_ms" => &mut result.p99_ttft_ms,
        "p99_tpot_ms" => &mut result.p99_tpot_ms,
        "p99_itl_ms" => &mut result.p99_itl_ms,
        "p99_e2el_ms" | "p99_e2e_latency_ms" => &mut result.p99_e2el_ms,
        "std_ttft_ms" => &mut result.std_ttft_ms,
        "std_tpot_ms" => &mut result.std_tpot_ms,
        "std_itl_ms" => &mut result.std_itl_ms,
        "std_e2el_ms" | "std_e2e_latency_ms" => &mut result.std_e2el_ms,
        "total_input_tokens" | "total_input" => &mut result.total_input_tokens,
        "total_output_tokens" | "total_output" => &mut result.total_output_tokens,
        "duration" => &mut result.duration,
        "completed" => &mut result.completed,
        "num_prompts" => &mut result.num_prompts,
        _ => return None,
    })
}

/// Results of `AIPerf`: an object per metric, with its unit and statistics.
struct Aiperf {
    name: &'static str,
}

/// Its summaries are some tens of kilobytes; more than this is no summary.
const MAX_AIPERF: u64 = 16 << 20;

impl BenchmarkParser for Aiperf {
    fn name(&self) -> &'static str {
        self.name
    }

    fn reads(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| name == "profile_export_aiperf.json")
            && !path.components().any(|part| part.as_os_str() == "warmup")
    }

    fn read(&self, file: &mut dyn Read) -> Result<Vec<BenchmarkResult>, ResultError> {
        let report: serde_json::Value = serde_json::from_reader(PythonJson::new(file.take(MAX_AIPERF)))?;
        let float = |metric: &str, statistic: &str| {
            let number = Number::from_json(report.get(metric)?.get(statistic)?)?;
            Some(Number::Float(number.as_f64()))
        };
        let output_tps = float("output_token_throughput", "avg");
        if output_tps.is_none() {
            return Err(ResultError::NoResult("`output_token_throughput` has no average"));
        }
        let requests = float("request_count", "avg");
        let concurrency = report
            .pointer("/input_config/loadgen/concurrency")
            .or_else(|| {
                let phases = report.pointer("/input_config/phases")?.as_array()?;
                phases.iter().rev().find_map(|phase| phase.get("concurrency"))
            })
            .and_then(Number::from_json);
        Ok(vec![BenchmarkResult {
            concurrency: concurrency.or(Some(Number::Int(0))),
            output_tps,
            total_tps: float("total_token_throughput", "avg"),
            request_throughput: float("request_throughput", "avg"),
            request_goodput: float("goodput", "avg"),
            mean_ttft_ms: float("time_to_first_token", "avg"),
            mean_tpot_ms: float("inter_token_latency", "avg"),
            mean_itl_ms: float("inter_token_latency", "avg"),
            mean_e2el_ms: float("request_latency", "avg"),
            median_ttft_ms: float("time_to_first_token", "p50"),
            median_tpot_ms: float("inter_token_latency", "p50"),
            median_itl_ms: float("inter_token_latency", "p50"),
            median_e2el_ms: float("request_latency", "p50"),
            p99_ttft_ms: float("time_to_first_token", "p99"),
            p99_tpot_ms: float("inter_token_latency", "p99"),
            p99_itl_ms: float("inter_token_latency", "p99"),
            p99_e2el_ms: float("request_latency", "p99"),
            total_input_tokens: float("total_isl", "avg"),
            total_output_tokens: float("total_osl", "avg").or_else(|| float("total_output_tokens", "avg")),
            duration: float("benchmark_duration", "avg"),
            completed: requests,
            num_prompts: requests,
            std_ttft_ms: float("time_to_first_token", "std"),
            std_itl_ms: float("inter_token_latency", "std"),
            std_e2el_ms: float("request_latency", "std"),
            output_tps_per_user: float("output_token_throughput_per_user", "avg")
                .filter(|number| number.as_f64() != 0.0),
            ..BenchmarkResult::default()
        }])
    }
}

/// Results of accuracy evaluations: one object of scores, or one per task.
struct Accuracy {
    name: &'static str,
}

/// Evaluations keep every answer beside their scores, in other files.
const MAX_ACCURACY: u64 = 16 << 20;

impl BenchmarkParser for Accuracy {
    fn name(&self) -> &'static str {
        self.name
    }

    fn reads(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(stem) = name.strip_suffix(".json") else { return false };
        if self.name == "lm-eval" {
            return stem.starts_with("results") && path.starts_with("eval_results");
        }
        // The evaluation writes its own name with an underscore.
        let own = if self.name == "longbenchv2" { "longbench_v2" } else { self.name };
        path.starts_with("accuracy") && stem.starts_with(own)
    }

    fn read(&self, file: &mut dyn Read) -> Result<Vec<BenchmarkResult>, ResultError> {
        let report: serde_json::Value = serde_json::from_reader(PythonJson::new(file.take(MAX_ACCURACY)))?;
        let mut scores = BTreeMap::new();
        let tasks = report.get("results").filter(|results| results.is_object());
        collect_scores("", tasks.unwrap_or(&report), &mut scores);
        if scores.is_empty() {
            return Err(ResultError::NoResult("no number is stated"));
        }
        Ok(vec![BenchmarkResult { scores, ..BenchmarkResult::default() }])
    }
}

/// Collects numbers of an object, and of objects in it, as `task/score`.
fn collect_scores(prefix: &str, object: &serde_json::Value, scores: &mut BTreeMap<String, Number>) {
    for (key, value) in object.as_object().into_iter().flatten() {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}/{key}") };
        if let Some(number) = Number::from_json(value) {
            scores.insert(name, number);
        } else if prefix.is_empty() {
            collect_scores(&name, value, scores);
        }
    }
}
