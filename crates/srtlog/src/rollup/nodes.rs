//! From sums over each worker's log to the figures of a rollup.

use super::{
    Reading,
    facts::PlannedCommands,
    model::{NodeProblem, NodeRollup, NodesSummary, StartupPhase},
};
use crate::{
    collect::Setting,
    command::{self, LaunchCommand},
    metric::Metric,
    number::Number,
    run_dir::WorkerLog,
    sums::{BatchSums, NodeSums},
};

/// How much of an engine's argument list stands for the command when a log has no command.
const MAX_ARGUMENTS_SHOWN: usize = 200;

pub(crate) fn summarise(logs: &[WorkerLog], readings: &[Reading], planned: &PlannedCommands) -> NodesSummary {
    let nodes: Vec<NodeRollup> =
        logs.iter().zip(readings).map(|(log, reading)| node(log, reading, planned)).collect();
    let count = |role: &str| nodes.iter().filter(|node| node.worker_type == role).count() as u64;
    let of = |role: &'static str| {
        nodes.iter().filter(move |node| node.worker_type == role || node.worker_type == "agg")
    };
    let new_tokens: i64 = of("prefill").filter_map(|node| node.total_new_tokens).sum();
    let cached_tokens: i64 = of("prefill").filter_map(|node| node.total_cached_tokens).sum();
    let knows_cached = of("prefill").any(|node| node.total_cached_tokens.is_some());
    let has_tokens = new_tokens > 0 || cached_tokens > 0;
    let kv_caches: Vec<f64> =
        nodes.iter().filter_map(|node| node.kv_cache_gb).filter(|size| *size > 0.0).collect();
    NodesSummary {
        total_prefill_nodes: count("prefill"),
        total_decode_nodes: count("decode"),
        total_agg_nodes: count("agg"),
        total_prefill_tokens: has_tokens.then_some(new_tokens),
        total_cached_tokens: (has_tokens && knows_cached).then_some(cached_tokens),
        overall_cache_hit_rate: (has_tokens && knows_cached).then(|| share(cached_tokens, new_tokens)),
        avg_prefill_input_throughput: mean(of("prefill").filter_map(|node| node.avg_input_throughput)),
        max_prefill_input_throughput: most(of("prefill").filter_map(|node| node.max_input_throughput)),
        avg_decode_gen_throughput: mean(of("decode").filter_map(|node| node.avg_gen_throughput)),
        max_decode_gen_throughput: most(of("decode").filter_map(|node| node.max_gen_throughput)),
        total_kv_cache_gb: (!kv_caches.is_empty()).then(|| kv_caches.iter().sum()),
        nodes,
    }
}

/// Share of cached among all prompt tokens, percent.
#[expect(clippy::cast_precision_loss, reason = "token counts stay far below 2^53")]
fn share(cached: i64, new: i64) -> f64 {
    cached as f64 / (new + cached) as f64 * 100.0
}

/// The mean, of what is not zero: a worker that did nothing says nothing about speed.
#[expect(clippy::cast_precision_loss, reason = "no run has 2^53 workers")]
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values
        .filter(|value| *value != 0.0)
        .fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

fn most(values: impl Iterator<Item = Number>) -> Option<Number> {
    values
        .filter(|value| value.as_f64() != 0.0)
        .reduce(|best, value| if value.as_f64() > best.as_f64() { value } else { best })
}

fn node(log: &WorkerLog, reading: &Reading, planned: &PlannedCommands) -> NodeRollup {
    let sums = &reading.sums;
    let size = |name: &str| match sums.config.get(name) {
        Some(Setting::Number(number)) => number.as_i64(),
        Some(Setting::Text(_)) | None => None,
    };
    let mut node = NodeRollup {
        node_name: log.node.clone(),
        worker_type: log.role.clone(),
        worker_id: log.worker.clone(),
        tp_size: size("tp_size"),
        pp_size: size("pp_size"),
        dp_size: size("dp_size"),
        ep_size: size("ep_size"),
        launch_command: launch_command(log, reading, planned, &size),
        avail_mem_gb: sums.avail_mem_gb,
        mem_usage_gb: sums.mem_usage_gb,
        kv_cache_gb: sums.kv_cache_gb,
        kv_tokens: sums.kv_tokens,
        log_format: reading.engine.to_owned(),
        startup: startup(sums),
        problems: problems(sums),
        ..NodeRollup::default()
    };
    fill_batches(&mut node, sums);
    node
}

/// Fills the figures over batches.
///
/// A worker that only does its role's work has the figures of that role; one that does both has both. An idle iteration
/// counts for the role of its worker.
fn fill_batches(node: &mut NodeRollup, sums: &NodeSums) {
    let mut prefill = sums.prefill.clone();
    let mut decode = sums.decode.clone();
    match node.worker_type.as_str() {
        "prefill" => prefill.merge(&sums.idle),
        "decode" => decode.merge(&sums.idle),
        _ => {}
    }
    node.total_batches =
        sums.prefill.batches + sums.decode.batches + sums.idle.batches + sums.interval.batches;
    let is_mixed = node.worker_type == "agg" || (prefill.batches > 0 && decode.batches > 0);
    let mut all = prefill.clone();
    all.merge(&decode);
    all.merge(&sums.interval);
    if is_mixed {
        node.total_prefill_batches = prefill.batches;
        node.total_decode_batches = decode.batches;
        prefill.merge(&sums.interval);
        decode.merge(&sums.interval);
        fill_prefill(node, &prefill);
        fill_decode(node, &decode);
    } else if node.worker_type == "prefill" {
        node.total_prefill_batches = all.batches;
        fill_prefill(node, &all);
        node.max_queue_requests = all.of(Metric::QueueReq).max();
    } else {
        node.total_decode_batches = all.batches;
        fill_decode(node, &all);
    }
    all.merge(&sums.speculative);
    node.max_token_usage = all.of(Metric::TokenUsage).max();
    node.max_retracted_requests = all.of(Metric::RetractedReq).max();
    node.max_prealloc_requests = all.of(Metric::PreallocReq).max();
    node.avg_accept_len = all.of(Metric::AcceptLen).mean();
    node.avg_accept_rate = all.of(Metric::AcceptRate).mean();
}

fn fill_prefill(node: &mut NodeRollup, sums: &BatchSums) {
    node.total_new_tokens = sums.of(Metric::NewToken).total();
    node.total_cached_tokens = sums.of(Metric::CachedToken).total();
    node.cache_hit_rate = match (node.total_new_tokens, node.total_cached_tokens) {
        (Some(new), Some(cached)) if new + cached > 0 => Some(share(cached, new)),
        _ => None,
    };
    node.avg_input_throughput = sums.of(Metric::InputThroughput).mean();
    node.max_input_throughput = sums.of(Metric::InputThroughput).max();
    node.max_inflight_requests = sums.of(Metric::InflightReq).max();
}

fn fill_decode(node: &mut NodeRollup, sums: &BatchSums) {
    node.avg_running_requests = sums.of(Metric::RunningReq).mean();
    node.max_running_requests = sums.of(Metric::RunningReq).max();
    node.avg_gen_throughput = sums.of(Metric::GenThroughput).mean();
    node.max_gen_throughput = sums.of(Metric::GenThroughput).max();
    node.max_queue_requests = sums.of(Metric::QueueReq).max();
    node.max_transfer_requests = sums.of(Metric::TransferReq).max();
}

/// How the worker was started: as its log says, else as it was planned, else as its engine lists its arguments.
fn launch_command(
    log: &WorkerLog,
    reading: &Reading,
    planned: &PlannedCommands,
    size: &impl Fn(&str) -> Option<i64>,
) -> Option<LaunchCommand> {
    let logged = reading.sums.command.as_ref();
    let command = logged.filter(|(rank, _)| *rank != u8::MAX).map(|(_, text)| text.clone());
    let from_plan = || {
        let names = log.files.iter().filter_map(|file| file.file_name()?.to_str());
        names.into_iter().find_map(|name| planned.of(name))
    };
    let from_arguments = || {
        let shown: String = logged?.1.chars().take(MAX_ARGUMENTS_SHOWN).collect();
        Some(format!("ServerArgs({shown}...)"))
    };
    let raw = command.or_else(from_plan).or_else(from_arguments)?;
    let mut found = command::worker(&raw, reading.engine, &log.role);
    let arguments = &reading.sums.engine_arguments;
    command::complete(&mut found, |name| arguments.get(name).cloned());
    if reading.engine == "trtllm" {
        found.tp_size = found.tp_size.or_else(|| size("tp_size"));
        found.pp_size = found.pp_size.or_else(|| size("pp_size"));
        found.max_num_seqs = found.max_num_seqs.or_else(|| size("max_batch_size"));
        found.max_model_len = found.max_model_len.or_else(|| size("max_seq_len"));
    }
    Some(found)
}

fn startup(sums: &NodeSums) -> Vec<StartupPhase> {
    sums.phases
        .iter()
        .map(|(phase, span)| StartupPhase {
            phase: phase.name().to_owned(),
            duration_s: span.duration_s(),
            ended_after_s: Option::zip(span.ended(), sums.first_time).map(|(ended, first)| ended - first),
        })
        .collect()
}

fn problems(sums: &NodeSums) -> Vec<NodeProblem> {
    sums.problems
        .iter()
        .map(|(kind, problem)| NodeProblem {
            kind: kind.name().to_owned(),
            count: problem.count,
            first_line: problem.first_line,
            first_at: problem.first_at.as_str().to_owned(),
            first_text: problem.first_text.clone(),
        })
        .collect()
}
