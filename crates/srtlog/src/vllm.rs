//! vLLM worker logs, of both engine generations, bare or behind Dynamo's or a container runtime's prefix.
//!
//! vLLM logs no batches but periodic readings: rates and queues of the last interval, speculative decoding, KV transfers,
//! caches. Newer releases can also log each iteration.

use std::sync::LazyLock;

use memchr::memmem;
use regex::bytes::Regex;

use crate::{
    ansi,
    coverage::Coverage,
    event::{BatchKind, BatchMetrics, Event, MemoryKind, MemoryMetrics, Rank, SettingValue, Sink},
    fields::{Field, Fields, unquote},
    general::{self, Scanner, about},
    metric::Metric,
    node::Dialect,
    number::{Number, leading_number},
};

/// Fields are read up to this far into a line, so that hostile lines cost no more than honest ones.
const MAX_BODY: usize = 64 << 10;

/// Words that open a reading, what it is of, and whether they are its first key too.
const READINGS: &[(&str, BatchKind, bool)] = &[
    ("Avg prompt throughput:", BatchKind::Interval, true),
    ("SpecDecoding metrics:", BatchKind::Speculative, false),
    ("Speculative metrics:", BatchKind::Speculative, false),
    ("KV Transfer metrics:", BatchKind::KvTransfer, false),
    ("Prefix cache hit rate: GPU:", BatchKind::Cache, false),
    ("MM cache usage:", BatchKind::Cache, true),
];

const ITERATION: &str = "Iteration(";

/// Settings of a worker: the name we give it, and its name in the engine's configuration.
const SETTINGS: &[(&str, &str)] = &[
    ("tp_size", "tensor_parallel_size"),
    ("pp_size", "pipeline_parallel_size"),
    ("dp_size", "data_parallel_size"),
    ("max_seq_len", "max_seq_len"),
    ("max_batch_size", "max_num_seqs"),
    ("max_num_tokens", "max_num_batched_tokens"),
];

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| {
    let mut needles = vec![
        (ITERATION, about::READING),
        ("GPU KV cache size:", about::MEMORY | about::PHASE),
        ("Available KV cache memory:", about::MEMORY),
        ("GiB memory", about::MEMORY),
        ("Model loading took", about::MEMORY | about::PHASE),
        ("tensor_parallel_size", about::SETTING),
        ("non-default args:", about::SETTING),
        ("[CMD]", about::COMMAND),
        ("vllm serve", about::COMMAND),
        ("dynamo.vllm", about::COMMAND),
        ("vllm.entrypoints", about::COMMAND),
    ];
    needles.extend(READINGS.iter().map(|(text, ..)| (*text, about::READING)));
    Scanner::new(&needles)
});

pub(crate) struct Vllm {
    scanner: &'static Scanner,
    batch: BatchMetrics,
    scratch: Vec<u8>,
}

impl Vllm {
    pub(crate) fn new() -> Vllm {
        Vllm { scanner: &SCANNER, batch: BatchMetrics::empty(), scratch: Vec::new() }
    }
}

impl Dialect for Vllm {
    const NAME: &'static str = "vllm";

    fn read_line(&mut self, line: &[u8], coverage: &mut Coverage, sink: &mut dyn Sink) {
        if ansi::is_coloured(line) {
            let mut clean = std::mem::take(&mut self.scratch);
            ansi::strip(line, &mut clean);
            self.read_clean(&clean, coverage, sink);
            self.scratch = clean;
        } else {
            self.read_clean(line, coverage, sink);
        }
    }
}

impl Vllm {
    fn read_clean(&mut self, line: &[u8], coverage: &mut Coverage, sink: &mut dyn Sink) {
        let found = self.scanner.scan(line);
        if found == 0 {
            return;
        }
        if found & about::READING != 0 {
            self.readings(line, coverage, sink);
        }
        if found & about::MEMORY != 0 {
            memory(line, sink);
        }
        if found & about::SETTING != 0 {
            settings(line, sink);
        }
        if found & about::COMMAND != 0 {
            command(line, sink);
        }
        if found & about::PHASE != 0 {
            general::phases(line, sink);
        }
        if found & about::PROBLEM != 0 && found & (about::SETTING | about::COMMAND) == 0 {
            general::problem(line, coverage.lines, sink);
        }
    }

    /// Reads every reading of a line, in the order in which they stand.
    fn readings(&mut self, line: &[u8], coverage: &mut Coverage, sink: &mut dyn Sink) {
        let mut starts: Vec<(usize, usize, Option<BatchKind>)> = READINGS
            .iter()
            .flat_map(|(text, kind, opens_with_key)| {
                memmem::find_iter(line, text).map(move |at| {
                    let body = if *opens_with_key { at } else { at + body_offset(text) };
                    (at, body, Some(*kind))
                })
            })
            .chain(memmem::find_iter(line, ITERATION).map(|at| (at, at + ITERATION.len(), None)))
            .collect();
        starts.sort_unstable_by_key(|(at, ..)| *at);
        let mut prefix_start = 0;
        for (index, &(at, body, kind)) in starts.iter().enumerate() {
            let end = starts.get(index + 1).map_or(line.len(), |next| next.0);
            let text = &line[body..end.max(body)];
            let text = &text[..text.len().min(MAX_BODY)];
            coverage.candidates += 1;
            self.batch.values.clear();
            self.batch.lists.clear();
            match kind {
                Some(kind) => {
                    self.batch.kind = kind;
                    read_fields(text, &mut self.batch, coverage);
                }
                None => read_iteration(text, &mut self.batch, coverage),
            }
            if self.batch.values.is_empty() {
                coverage.unparsed(&line[at..end]);
                continue;
            }
            coverage.parsed += 1;
            let prefix = &line[prefix_start..at];
            prefix_start = end;
            self.batch.timestamp = general::time_of(prefix);
            self.batch.rank = rank_of(prefix);
            sink.event(&Event::Batch(&self.batch));
        }
    }
}

/// Where the fields start: after the words, or at the last of them when that is a key.
fn body_offset(text: &str) -> usize {
    text.find("GPU:").unwrap_or(text.len())
}

/// The data-parallel rank, which stands as `Engine 003` or `EngineCore_DP3`.
fn rank_of(prefix: &[u8]) -> Rank {
    let named = general::ranks(prefix);
    let engine = memmem::rfind(prefix, b"Engine ")
        .and_then(|at| leading_number(&prefix[at + b"Engine ".len()..]))
        .and_then(|(number, _)| u32::try_from(number.as_i64()?).ok());
    Rank { dp: named.dp.or(engine), ..named }
}

fn read_fields(text: &[u8], batch: &mut BatchMetrics, coverage: &mut Coverage) {
    let mut list: Option<usize> = None;
    for Field { key, value } in Fields::new(text) {
        if key.is_empty() {
            // The positions after the first of `Per-position acceptance rate: 0.9, 0.8`.
            if let (Some(list), Some((number, _))) = (list, leading_number(value)) {
                batch.lists[list].1.push(number);
            }
            continue;
        }
        list = None;
        // The first generation ended its sentence with a full stop.
        let value = value.strip_suffix(b".").unwrap_or(value);
        let Some(metric) = metric_of(key) else {
            match key {
                b"Per-position acceptance rate" => {
                    let first = leading_number(value).map(|(number, _)| number);
                    batch.lists.push((Metric::AcceptRate, first.into_iter().collect()));
                    list = Some(batch.lists.len() - 1);
                }
                other => coverage.unknown_field(other),
            }
            continue;
        };
        let Some((number, length)) = leading_number(value) else {
            coverage.malformed_values += 1;
            continue;
        };
        let rest = &value[length..];
        let is_share = matches!(metric, Metric::TokenUsage | Metric::CpuTokenUsage | Metric::AcceptRate);
        let number =
            if is_share && rest.starts_with(b"%") { hundredth(&value[..length], number) } else { number };
        batch.values.set(metric, number);
        if metric == Metric::MmCacheUsagePct {
            read_cache_size(rest, batch);
        }
    }
}

/// A percentage as a share, without the rounding of a division where the text allows it.
fn hundredth(percent: &[u8], number: Number) -> Number {
    let exact = std::str::from_utf8(percent).ok().and_then(|text| format!("{text}e-2").parse().ok());
    Number::Float(exact.unwrap_or(number.as_f64() / 100.0))
}

/// Reads `(13 items = 0.11 GiB)`.
fn read_cache_size(text: &[u8], batch: &mut BatchMetrics) {
    let Some(open) = memchr::memchr(b'(', text) else { return };
    if let Some((items, _)) = leading_number(&text[open + 1..]) {
        batch.values.set(Metric::MmCacheItems, items);
    }
    if let Some(size) = general::number_after(&text[open..], b"=") {
        batch.values.set(Metric::MmCacheGib, size);
    }
}

fn metric_of(key: &[u8]) -> Option<Metric> {
    let key = match memmem::rfind(key, b"AggregatedStats(") {
        Some(at) => &key[at + b"AggregatedStats(".len()..],
        None => key,
    };
    Some(match key {
        b"Avg prompt throughput" => Metric::InputThroughput,
        b"Avg generation throughput" => Metric::GenThroughput,
        b"Running" => Metric::RunningReq,
        b"Waiting" | b"Pending" => Metric::QueueReq,
        b"Swapped" => Metric::SwappedReq,
        b"Preempted" => Metric::RetractedReq,
        b"GPU KV cache usage" => Metric::TokenUsage,
        b"CPU KV cache usage" => Metric::CpuTokenUsage,
        b"Prefix cache hit rate" | b"GPU" => Metric::CacheHitRatePct,
        b"CPU" => Metric::CpuCacheHitRatePct,
        b"External prefix cache hit rate" => Metric::ExternalCacheHitRatePct,
        b"MM cache hit rate" => Metric::MmCacheHitRatePct,
        b"MM cache usage" => Metric::MmCacheUsagePct,
        b"Draft acceptance rate" | b"Avg Draft acceptance rate" => Metric::AcceptRate,
        b"Mean acceptance length" => Metric::AcceptLen,
        b"System efficiency" => Metric::SystemEfficiency,
        b"Number of speculative tokens" => Metric::SpeculativeTokens,
        b"Number of accepted tokens" | b"Accepted" => Metric::AcceptedTokens,
        b"Number of draft tokens" | b"Drafted" => Metric::DraftedTokens,
        b"Number of emitted tokens" => Metric::EmittedTokens,
        b"Accepted throughput" => Metric::AcceptedTps,
        b"Drafted throughput" => Metric::DraftedTps,
        b"Num successful transfers" | b"num_successful_transfers" => Metric::Transfers,
        b"Num failed transfers" | b"num_failed_transfers" => Metric::FailedTransfers,
        b"Avg xfer time (ms)" => Metric::TransferMs,
        b"P90 xfer time (ms)" => Metric::P90TransferMs,
        b"Avg post time (ms)" => Metric::PostMs,
        b"P90 post time (ms)" => Metric::P90PostMs,
        b"Avg MB per transfer" => Metric::TransferMb,
        b"Throughput (MB/s)" => Metric::TransferMbPerS,
        b"Avg number of descriptors" => Metric::TransferDescriptors,
        b"avg_transfer_durations" => Metric::TransferTime,
        b"avg_bytes_transferred" => Metric::TransferBytes,
        b"num_blocks_transferred" => Metric::TransferBlocks,
        _ => return None,
    })
}

/// Reads `515): 0 context requests, 0 context tokens, 20 generation requests, …`.
fn read_iteration(text: &[u8], batch: &mut BatchMetrics, coverage: &mut Coverage) {
    let Some((iteration, length)) = leading_number(text) else { return };
    batch.values.set(Metric::Iteration, iteration);
    let text = text[length..].trim_ascii_start();
    let text = text.strip_prefix(b"):").unwrap_or(text);
    for part in text.split(|byte| *byte == b',') {
        let part = part.trim_ascii();
        if let Some((number, length)) = leading_number(part) {
            let metric = match part[length..].trim_ascii() {
                b"context requests" => Metric::CtxReq,
                b"context tokens" => Metric::CtxTokens,
                b"generation requests" => Metric::GenReq,
                b"generation tokens" => Metric::GenTokens,
                other => {
                    coverage.unknown_field(other);
                    continue;
                }
            };
            batch.values.set(metric, number);
        } else if let Some(step) = general::number_after(part, b"iteration elapsed time:") {
            batch.values.set(Metric::StepMs, step);
        } else {
            let name = memchr::memchr(b':', part).map_or(part, |colon| &part[..colon]);
            coverage.unknown_field(name);
        }
    }
    general::derive_rates(batch);
    let requests = |metric| batch.values.get(metric).and_then(Number::as_i64).unwrap_or(0);
    let running = requests(Metric::CtxReq) + requests(Metric::GenReq);
    batch.values.set(Metric::RunningReq, Number::Int(running));
}

fn memory(line: &[u8], sink: &mut dyn Sink) {
    let gibibytes = |key: &str| {
        let rest = line[memmem::find(line, key.as_bytes())? + key.len()..].trim_ascii_start();
        let (number, length) = leading_number(rest)?;
        rest[length..].trim_ascii_start().starts_with(b"GiB").then(|| number.as_f64())
    };
    let kv_cache_gb = gibibytes("Available KV cache memory:");
    let mem_usage_gb = gibibytes("Model loading took");
    let kv_tokens = memmem::find(line, b"GPU KV cache size:").and_then(|at| {
        let rest = line[at + b"GPU KV cache size:".len()..].trim_ascii_start();
        let digits: String = rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b',')
            .filter(|byte| **byte != b',')
            .map(|byte| char::from(*byte))
            .collect();
        digits.parse().ok()
    });
    if kv_cache_gb.is_none() && mem_usage_gb.is_none() && kv_tokens.is_none() {
        return;
    }
    let kind = if mem_usage_gb.is_some() { MemoryKind::Memory } else { MemoryKind::KvCache };
    sink.event(&Event::Memory(&MemoryMetrics {
        timestamp: general::time_of(line),
        rank: general::ranks(&line[..line.len().min(128)]),
        kind,
        avail_mem_gb: None,
        mem_usage_gb,
        kv_cache_gb,
        kv_tokens,
    }));
}

fn settings(line: &[u8], sink: &mut dyn Sink) {
    let line = &line[..line.len().min(MAX_BODY)];
    let is_argument_list = memmem::find(line, b"non-default args:");
    let fields = match is_argument_list {
        Some(at) => {
            let rest = &line[at..];
            let open = memchr::memchr(b'{', rest).map_or(rest.len(), |open| open + 1);
            Fields::new(general::inside(&rest[open..], b'{', b'}'))
        }
        None => Fields::new(line),
    };
    for field in fields {
        let key = unquote(field.key);
        let key = memchr::memrchr(b' ', key).map_or(key, |space| &key[space + 1..]);
        if let Some((name, _)) = SETTINGS.iter().find(|(_, theirs)| theirs.as_bytes() == key)
            && let Some((number, _)) = leading_number(field.value)
        {
            sink.event(&Event::Setting { name, value: SettingValue::Number(number) });
        }
        if is_argument_list.is_some() && !key.is_empty() {
            let (name, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(unquote(field.value)));
            sink.event(&Event::EngineArgument { name: &name, value: &value });
        }
    }
}

static COMMANDS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"(?-u)python3?\s+-m\s+dynamo\.vllm(?:\.\w+)*(?:\s.*|$)",
        r"(?-u)python3?\s+-m\s+vllm\.entrypoints\S*\s.*",
        r"(?-u)vllm\s+serve\s.*",
    ]
    .map(|pattern| Regex::new(pattern).expect("the pattern is a constant"))
    .into()
});

fn command(line: &[u8], sink: &mut dyn Sink) {
    general::tagged_command(line, sink);
    for (rank, pattern) in (1..).zip(COMMANDS.iter()) {
        if let Some(found) = pattern.find(line) {
            sink.event(&Event::Command { rank, text: &general::command_text(found.as_bytes()) });
            return;
        }
    }
}
