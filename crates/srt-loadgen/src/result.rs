//! The result file of a point: the names and the order that existing tools read, and one object of ours.

use std::{
    fs,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use serde::{Serialize, Serializer, ser::SerializeSeq as _};
use serde_json::json;
use srtlog::Verdict;

use crate::{
    analysis::{self, Analysis, ErrorCount, Series, SteadyWindow, TokenCounts, ms},
    config::{Arrival, BenchConfig, Dataset, Gpus, Point, Slos, Thresholds},
    health::ClientHealth,
    progress::PointSummary,
    prompts::Prompt,
    record::Record,
    stats::{Summary, as_f64},
};

/// Version of the `srtctl` object.
const FORMAT: u32 = 1;

/// A point with everything that is written of it.
pub(crate) struct PointResult<'a> {
    pub(crate) config: &'a BenchConfig,
    pub(crate) point: Point,
    pub(crate) tokenizer_id: &'a str,
    pub(crate) prompt_source: &'a str,
    pub(crate) has_chat_template: bool,
    pub(crate) prompts: &'a [Prompt],
    pub(crate) records: &'a [Record],
    pub(crate) analysis: &'a Analysis,
    pub(crate) health: &'a ClientHealth,
    pub(crate) verdict: &'a Verdict,
}

/// A result that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write the result `{path}`: {source}")]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The name of a point's result file.
pub(crate) fn file_name(point: Point, gpus: Gpus, dataset: &Dataset) -> String {
    let concurrency = point.concurrency.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let split =
        gpus.split.map_or_else(String::new, |split| format!("_ctx_{}_gen_{}", split.prefill, split.decode));
    // The runs of a router benchmark differ in nothing else.
    let prefix = match dataset {
        Dataset::SharedPrefix { prefix_ratio, .. } => format!("_prefix_{prefix_ratio}"),
        _ => String::new(),
    };
    format!("results_concurrency_{concurrency}_gpus_{}{split}{prefix}.json", gpus.total)
}

impl PointResult<'_> {
    /// Writes the result under its name in the result folder, whole or not at all.
    pub(crate) fn write(&self, date: &str) -> Result<PathBuf, WriteError> {
        let path = self.config.result_dir.join(file_name(self.point, self.config.gpus, &self.config.dataset));
        match self.write_to(&path, date) {
            Ok(()) => Ok(path),
            Err(source) => Err(WriteError { path, source }),
        }
    }

    fn write_to(&self, path: &Path, date: &str) -> io::Result<()> {
        fs::create_dir_all(&self.config.result_dir)?;
        let part = path.with_extension("json.part");
        let mut file = BufWriter::with_capacity(1 << 20, fs::File::create(&part)?);
        serde_json::to_writer(&mut file, &self.file(date))?;
        file.write_all(b"\n")?;
        file.into_inner()?.sync_all()?;
        fs::rename(&part, path)
    }

    fn file<'a>(&'a self, date: &'a str) -> ResultFile<'a> {
        let analysis = self.analysis;
        let duration_s = analysis.duration_s;
        let per_second = |number: f64| if duration_s > 0.0 { number / duration_s } else { 0.0 };
        let (request_rate, burstiness) = match self.config.arrival {
            // A trace has no rate; `inf` is what other tools write for requests without one.
            Arrival::AllAtOnce | Arrival::Trace { .. } => (json!("inf"), 1.0),
            Arrival::Gamma { rate_rps, burstiness } => (json!(rate_rps), burstiness),
            Arrival::Constant { rate_rps } => (json!(rate_rps), 1.0),
            Arrival::Ramp { to_rps, .. } => (json!(to_rps), 1.0),
        };
        let Analysis { ttft_ms, tpot_ms, itl_ms, e2el_ms, .. } = analysis;
        ResultFile {
            date,
            backend: "dynamo",
            model_id: &self.config.model,
            tokenizer_id: self.tokenizer_id,
            best_of: 1,
            num_prompts: u32::try_from(self.prompts.len()).unwrap_or(u32::MAX),
            request_rate,
            burstiness,
            max_concurrency: self.point.concurrency,
            duration: duration_s,
            completed: analysis.completed,
            total_input_tokens: analysis.input_tokens,
            total_output_tokens: analysis.output_tokens,
            request_throughput: per_second(f64::from(analysis.completed)),
            request_goodput: self.config.slos.any().then(|| per_second(f64::from(analysis.good_requests))),
            output_throughput: per_second(as_f64(analysis.output_tokens)),
            peak_output_tokens_per_s: analysis.peak_output_tps,
            total_token_throughput: per_second(as_f64(analysis.input_tokens + analysis.output_tokens)),
            input_lens: self.of_prompts(|prompt| prompt.input_tokens),
            output_lens: Each(self.records, Record::output_tokens),
            ttfts: Each(self.records, |it| it.ttft_ns.map_or(0.0, |ns| as_f64(ns) / 1e9)),
            itls: Each(self.records, ItlsOf),
            generated_texts: Each(self.records, |_| ""),
            errors: Each(self.records, |it| {
                it.failure.as_ref().map_or_else(String::new, |it| format!("{}: {}", it.kind.name(), it.text))
            }),
            mean_ttft_ms: ttft_ms.mean,
            median_ttft_ms: ttft_ms.p50,
            std_ttft_ms: ttft_ms.std,
            p99_ttft_ms: ttft_ms.p99,
            mean_tpot_ms: tpot_ms.mean,
            median_tpot_ms: tpot_ms.p50,
            std_tpot_ms: tpot_ms.std,
            p99_tpot_ms: tpot_ms.p99,
            mean_itl_ms: itl_ms.mean,
            median_itl_ms: itl_ms.p50,
            std_itl_ms: itl_ms.std,
            p99_itl_ms: itl_ms.p99,
            mean_e2el_ms: e2el_ms.mean,
            median_e2el_ms: e2el_ms.p50,
            std_e2el_ms: e2el_ms.std,
            p99_e2el_ms: e2el_ms.p99,
            reuse_http_connections: self.config.reuse_http_connections,
            srtctl: self.ours(),
            srtctl_requests: Requests {
                sent_s: Each(self.records, |it| as_f64(it.sent_ns) / 1e9),
                send_lateness_ms: Each(self.records, |it| ms(it.sent_ns.saturating_sub(it.intended_ns))),
                connect_ms: Each(self.records, |it| it.connect_ns.map(ms)),
                e2el_ms: Each(self.records, |it| ms(it.latency_ns)),
                tpot_ms: Each(self.records, analysis::tpot_ms),
                chunks: Each(self.records, |it| it.chunks),
                requested_output_tokens: self.of_prompts(|prompt| prompt.output_tokens),
                server_prompt_tokens: Each(self.records, |it| it.prompt_tokens),
            },
        }
    }

    fn of_prompts(&self, value: fn(&Prompt) -> u32) -> Vec<u32> {
        self.records.iter().map(|record| value(&self.prompts[record.index as usize])).collect()
    }

    fn ours(&self) -> Ours<'_> {
        let config = self.config;
        let analysis = self.analysis;
        let dataset = match &config.dataset {
            Dataset::Random { isl, osl, range_ratio } => {
                json!({"name": "random", "isl": isl, "osl": osl, "range_ratio": range_ratio})
            }
            Dataset::Custom { path } => json!({"name": "custom", "path": path.to_string_lossy()}),
            Dataset::SharedPrefix { isl, osl, prefix_ratio, num_prefixes } => json!({
                "name": "shared_prefix", "isl": isl, "osl": osl, "prefix_ratio": prefix_ratio,
                "num_prefixes": num_prefixes,
            }),
            Dataset::Trace { path } => json!({"name": "trace", "path": path.to_string_lossy()}),
            Dataset::ShareGpt { path, output_tokens, multi_turn } => json!({
                "name": "sharegpt", "path": path.to_string_lossy(), "output_tokens": output_tokens,
                "multi_turn": multi_turn,
            }),
        };
        let output_tps = if analysis.duration_s > 0.0 {
            as_f64(analysis.output_tokens) / analysis.duration_s
        } else {
            0.0
        };
        Ours {
            format: FORMAT,
            client: json!({"name": "srtctl bench", "version": env!("CARGO_PKG_VERSION")}),
            units: json!({
                "duration": "s", "ttfts": "s", "itls": "s", "*_ms": "ms", "*_s": "s", "*_tps": "tokens/s",
                "*_rps": "requests/s", "*_throughput": "1/s", "peak_output_tokens_per_s": "tokens/s",
            }),
            workload: json!({
                "dataset": dataset,
                "prompts": self.prompt_source,
                "seed": config.seed,
                "ignore_eos": config.ignore_eos,
                "use_chat_template": self.has_chat_template,
                "requested_output_tokens": analysis.requested_output_tokens,
                "generated_texts": "not kept",
            }),
            arrival: config.arrival,
            concurrency: self.point.concurrency,
            num_warmup: self.point.num_warmup,
            failed: analysis.failed,
            retries: analysis.retries,
            errors: &analysis.errors,
            tokens: analysis.tokens,
            ttft_ms: analysis.ttft_ms,
            tpot_ms: analysis.tpot_ms,
            itl_chunk_ms: analysis.itl_ms,
            itl_token_ms: analysis.itl_token_ms,
            e2el_ms: analysis.e2el_ms,
            connect_ms: analysis.connect_ms,
            send_lateness_ms: analysis.send_lateness_ms,
            gpus: config.gpus,
            output_tps_per_gpu: (config.gpus.total > 0).then(|| output_tps / f64::from(config.gpus.total)),
            slos: config.slos,
            good_requests: analysis.good_requests,
            steady_window: analysis.steady,
            series_per_second: &analysis.series,
            client_health: self.health,
            thresholds: config.thresholds,
            verdict: self.verdict,
        }
    }

    /// The figures for progress and for people.
    pub(crate) fn summary(&self, path: &Path) -> PointSummary {
        let file = self.file("");
        PointSummary {
            concurrency: self.point.concurrency,
            num_prompts: file.num_prompts,
            completed: file.completed,
            failed: self.analysis.failed,
            result_path: path.to_string_lossy().into_owned(),
            duration_s: file.duration,
            total_input_tokens: file.total_input_tokens,
            total_output_tokens: file.total_output_tokens,
            request_rps: file.request_throughput,
            request_goodput_rps: file.request_goodput,
            output_tps: file.output_throughput,
            peak_output_tps: file.peak_output_tokens_per_s,
            total_tps: file.total_token_throughput,
            output_tps_per_gpu: file.srtctl.output_tps_per_gpu,
            mean_ttft_ms: file.mean_ttft_ms,
            median_ttft_ms: file.median_ttft_ms,
            p99_ttft_ms: file.p99_ttft_ms,
            mean_tpot_ms: file.mean_tpot_ms,
            median_tpot_ms: file.median_tpot_ms,
            p99_tpot_ms: file.p99_tpot_ms,
            mean_itl_ms: file.mean_itl_ms,
            median_itl_ms: file.median_itl_ms,
            p99_itl_ms: file.p99_itl_ms,
            mean_e2el_ms: file.mean_e2el_ms,
            median_e2el_ms: file.median_e2el_ms,
            p99_e2el_ms: file.p99_e2el_ms,
            verdict: self.verdict.clone(),
        }
    }
}

/// The fields that existing tools read, in their order.
#[derive(Serialize)]
struct ResultFile<'a> {
    date: &'a str,
    backend: &'a str,
    model_id: &'a str,
    tokenizer_id: &'a str,
    best_of: u32,
    num_prompts: u32,
    request_rate: serde_json::Value,
    burstiness: f64,
    max_concurrency: Option<u32>,
    duration: f64,
    completed: u32,
    total_input_tokens: u64,
    total_output_tokens: u64,
    request_throughput: f64,
    request_goodput: Option<f64>,
    output_throughput: f64,
    peak_output_tokens_per_s: f64,
    total_token_throughput: f64,
    input_lens: Vec<u32>,
    output_lens: Each<'a, u32>,
    ttfts: Each<'a, f64>,
    itls: Each<'a, ItlsOf<'a>>,
    generated_texts: Each<'a, &'static str>,
    errors: Each<'a, String>,
    mean_ttft_ms: f64,
    median_ttft_ms: f64,
    std_ttft_ms: f64,
    p99_ttft_ms: f64,
    mean_tpot_ms: f64,
    median_tpot_ms: f64,
    std_tpot_ms: f64,
    p99_tpot_ms: f64,
    mean_itl_ms: f64,
    median_itl_ms: f64,
    std_itl_ms: f64,
    p99_itl_ms: f64,
    mean_e2el_ms: f64,
    median_e2el_ms: f64,
    std_e2el_ms: f64,
    p99_e2el_ms: f64,
    reuse_http_connections: bool,
    srtctl: Ours<'a>,
    /// Apart from `srtctl`, which rollups carry on whole.
    srtctl_requests: Requests<'a>,
}

/// What no other client writes.
#[derive(Serialize)]
struct Ours<'a> {
    format: u32,
    client: serde_json::Value,
    units: serde_json::Value,
    workload: serde_json::Value,
    arrival: Arrival,
    concurrency: Option<u32>,
    num_warmup: u32,
    failed: u32,
    retries: u32,
    errors: &'a [ErrorCount],
    tokens: TokenCounts,
    ttft_ms: Summary,
    tpot_ms: Summary,
    itl_chunk_ms: Summary,
    itl_token_ms: Summary,
    e2el_ms: Summary,
    connect_ms: Summary,
    send_lateness_ms: Summary,
    gpus: Gpus,
    output_tps_per_gpu: Option<f64>,
    slos: Slos,
    good_requests: u32,
    steady_window: Option<SteadyWindow>,
    series_per_second: &'a Series,
    client_health: &'a ClientHealth,
    thresholds: Thresholds,
    verdict: &'a Verdict,
}

/// One value of each request in each column, in the order of the requests.
#[derive(Serialize)]
struct Requests<'a> {
    sent_s: Each<'a, f64>,
    send_lateness_ms: Each<'a, f64>,
    connect_ms: Each<'a, Option<f64>>,
    e2el_ms: Each<'a, f64>,
    tpot_ms: Each<'a, Option<f64>>,
    chunks: Each<'a, u32>,
    requested_output_tokens: Vec<u32>,
    server_prompt_tokens: Each<'a, Option<u32>>,
}

/// One value of each record.
struct Each<'a, T>(&'a [Record], fn(&'a Record) -> T);

impl<T: Serialize> Serialize for Each<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

/// The gaps of one record in seconds.
struct ItlsOf<'a>(&'a Record);

impl Serialize for ItlsOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(None)?;
        for gap_us in self.0.gaps.iter() {
            sequence.serialize_element(&(as_f64(gap_us) / 1e6))?;
        }
        sequence.end()
    }
}
