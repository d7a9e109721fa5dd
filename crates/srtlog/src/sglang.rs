//! SGLang worker logs, bare or behind Dynamo's prefix.
//!
//! A metric line is `<anything> Prefill batch<mark> key: value, …` or the same with `Decode batch`, where the mark is a
//! comma, a full stop, or a batch number in brackets. The order of the fields, and what stands before them, is free.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use regex::bytes::Regex;

use crate::{
    ansi,
    coverage::Coverage,
    event::{BatchKind, BatchMetrics, Event, MemoryKind, MemoryMetrics, Rank, SettingValue, Sink},
    fields::{Fields, unquote},
    general::{self, Scanner, about},
    layout::{Layouts, Slot, Trace},
    metric::Metric,
    node::Dialect,
    number::{Number, leading_number},
    timestamp::{self, Timestamp},
};

/// Fields are read up to this far into a line, so that hostile lines cost no more than honest ones.
const MAX_BODY: usize = 64 << 10;

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| {
    Scanner::new(&[
        (" batch", about::BATCH),
        ("mem=", about::MEMORY),
        ("mem usage=", about::MEMORY),
        ("KV size:", about::MEMORY),
        ("K size:", about::MEMORY),
        ("tp_size=", about::SETTING),
        ("ServerArgs(", about::SETTING),
        ("[CMD]", about::COMMAND),
        ("launch_server", about::COMMAND),
        ("dynamo.sglang", about::COMMAND),
        ("ReqTimeStats(", about::READING),
        ("Transfer Engine Throughput:", about::READING),
    ])
});

pub(crate) struct Sglang {
    batch_word: Finder<'static>,
    scanner: &'static Scanner,
    batch: BatchMetrics,
    scratch: Vec<u8>,
    layouts: Layouts,
    trace: Trace,
}

impl Sglang {
    pub(crate) fn new() -> Sglang {
        Sglang {
            batch_word: Finder::new(b" batch"),
            scanner: &SCANNER,
            batch: BatchMetrics::empty(),
            scratch: Vec::new(),
            layouts: Layouts::default(),
            trace: Trace::default(),
        }
    }
}

impl Dialect for Sglang {
    const NAME: &'static str = "sglang";

    #[inline]
    fn read_line(&mut self, line: &[u8], coverage: &mut Coverage, sink: &mut dyn Sink) {
        if self.layouts.read(line, &mut self.batch) {
            coverage.candidates += 1;
            coverage.parsed += 1;
            sink.event(&Event::Batch(&self.batch));
            return;
        }
        self.trace.clear();
        if ansi::is_coloured(line) {
            self.read_coloured(line, coverage, sink);
        } else {
            self.read_plain(line, coverage, sink);
        }
    }
}

/// Where a metric line says what it is.
#[derive(Clone, Copy)]
struct Marker {
    kind: BatchKind,
    /// Start of `Prefill` or `Decode`.
    start: usize,
    /// Start of the fields.
    body: usize,
    /// The number of the batch, and how many digits it has; they end right before the bracket that ends at `body`.
    batch_id: Option<(i64, usize)>,
}

impl Sglang {
    /// The next place at or after `from` where a record begins.
    #[inline]
    fn find_marker(&self, line: &[u8], from: usize) -> Option<Marker> {
        let mut at = from;
        while let Some(found) = self.batch_word.find(&line[at..]) {
            let word = at + found;
            let after = word + b" batch".len();
            let kind = kind_before(line, word);
            if let Some((kind, start)) = kind
                && let Some((body, batch_id)) = body_after(line, after)
            {
                return Some(Marker { kind, start, body, batch_id });
            }
            at = after;
        }
        None
    }

    /// Whether the line has the words of a metric line, whatever follows them.
    fn names_a_batch(&self, line: &[u8]) -> bool {
        self.batch_word.find_iter(line).any(|word| kind_before(line, word).is_some())
    }

    /// Reads a line with colours: as it is if they only stand before its fields, else by its text.
    fn read_coloured(&mut self, line: &[u8], coverage: &mut Coverage, sink: &mut dyn Sink) {
        if let Some(marker) = self.find_marker(line, 0)
            && !ansi::is_coloured(&line[marker.body..])
        {
            self.read_records(line, marker, coverage, sink);
            return;
        }
        let mut clean = std::mem::take(&mut self.scratch);
        ansi::strip(line, &mut clean);
        self.trace.give_up();
        self.read_plain(&clean, coverage, sink);
        self.scratch = clean;
    }

    /// Reads a line without colours.
    fn read_plain(&mut self, line: &[u8], coverage: &mut Coverage, sink: &mut dyn Sink) {
        let found = self.scanner.scan(line);
        if found & about::BATCH != 0 {
            if let Some(marker) = self.find_marker(line, 0) {
                self.read_records(line, marker, coverage, sink);
                return;
            }
            if self.names_a_batch(line) {
                coverage.candidates += 1;
                coverage.unparsed(line);
            }
        }
        if found & !about::BATCH != 0 {
            read_other(line, found, coverage, sink);
        }
    }

    #[inline]
    fn read_records(&mut self, line: &[u8], marker: Marker, coverage: &mut Coverage, sink: &mut dyn Sink) {
        self.batch.values.clear();
        let body = &line[marker.body..];
        if body.len() <= MAX_BODY && read_plain_fields(line, body, &mut self.batch, &mut self.trace) {
            self.report(&line[..marker.start], marker, line, coverage, sink);
            if let Some((_, length)) = marker.batch_id {
                let digits = &line[marker.body - 1 - length..marker.body - 1];
                self.trace.note(line, digits, Slot::Metric(Metric::BatchId));
            }
            self.layouts.learn(line, &mut self.trace, marker.kind);
        } else {
            self.read_unusual(line, marker, coverage, sink);
        }
    }

    /// Reads a line with fields that are new, lists, malformed, or that belong to a second record on the same line, as
    /// when two ranks write at once.
    #[cold]
    fn read_unusual(&mut self, line: &[u8], first: Marker, coverage: &mut Coverage, sink: &mut dyn Sink) {
        let mut marker = first;
        let mut prefix_start = 0;
        loop {
            let next = self.find_marker(line, marker.body);
            let end = next.map_or(line.len(), |next| {
                let between = &line[marker.body..next.start];
                let tail = between.len().saturating_sub(512);
                timestamp::find_last(&between[tail..])
                    .map_or(next.start, |range| marker.body + tail + range.start)
            });
            self.batch.values.clear();
            self.batch.lists.clear();
            let body = &line[marker.body..end];
            read_all_fields(&body[..body.len().min(MAX_BODY)], &mut self.batch, coverage);
            self.report(&line[prefix_start..marker.start], marker, &line[prefix_start..end], coverage, sink);
            self.batch.lists.clear();
            let Some(next) = next else { break };
            marker = next;
            prefix_start = end;
        }
    }

    #[inline]
    fn report(
        &mut self,
        prefix: &[u8],
        marker: Marker,
        line: &[u8],
        coverage: &mut Coverage,
        sink: &mut dyn Sink,
    ) {
        coverage.candidates += 1;
        if self.batch.values.is_empty() && self.batch.lists.is_empty() {
            coverage.unparsed(line);
            return;
        }
        coverage.parsed += 1;
        if let Some((id, _)) = marker.batch_id {
            self.batch.values.set(Metric::BatchId, Number::Int(id));
        }
        self.batch.kind = marker.kind;
        let time = timestamp::find(prefix);
        let after_time = time.as_ref().map_or(0, |range| range.end);
        self.batch.timestamp = Timestamp::NONE;
        if let Some(range) = time {
            self.trace.note(line, &prefix[range.clone()], Slot::Time);
            self.batch.timestamp = Timestamp::new(&prefix[range]);
        }
        // Ranks stand in the brackets that open the line, and Dynamo's own prefix has none.
        self.batch.rank = Rank::default();
        if let Some(close) = memchr::memchr(b']', &prefix[after_time..]) {
            general::for_each_rank(&prefix[after_time..after_time + close], |axis, digits, value| {
                self.trace.note(line, digits, Slot::Rank(axis));
                axis.set(&mut self.batch.rank, Some(value));
            });
        }
        sink.event(&Event::Batch(&self.batch));
    }
}

#[inline]
fn kind_before(line: &[u8], word: usize) -> Option<(BatchKind, usize)> {
    let head = &line[..word];
    if head.ends_with(b"Decode") {
        Some((BatchKind::Decode, word - b"Decode".len()))
    } else if head.ends_with(b"Prefill") {
        Some((BatchKind::Prefill, word - b"Prefill".len()))
    } else {
        None
    }
}

/// Where the fields start after `Prefill batch`, and the batch's number if it has one.
#[inline]
fn body_after(line: &[u8], after: usize) -> Option<(usize, Option<(i64, usize)>)> {
    match line.get(after)? {
        b',' | b'.' => Some((after + 1, None)),
        b' ' if line.get(after + 1) == Some(&b'[') => {
            let (number, length) = leading_number(&line[after + 2..])?;
            let close = after + 2 + length;
            (line.get(close) == Some(&b']'))
                .then_some((close + 1, number.as_i64().map(|number| (number, length))))
        }
        _ => None,
    }
}

/// Reads fields that are known and plain numbers, which is every field of nearly every line. `false` at the first other.
#[inline]
fn read_plain_fields(line: &[u8], body: &[u8], batch: &mut BatchMetrics, trace: &mut Trace) -> bool {
    for field in Fields::new(body) {
        let Some(metric) = metric_of(field.key) else { return false };
        match leading_number(field.value) {
            Some((number, length)) if length == field.value.len() => {
                trace.note(line, field.value, Slot::Metric(metric));
                batch.values.set(metric, number);
            }
            _ => {
                let flag = match field.value {
                    b"True" => 1,
                    b"False" => 0,
                    _ => return false,
                };
                trace.note(line, field.value, Slot::Flag(metric));
                batch.values.set(metric, Number::Int(flag));
            }
        }
    }
    true
}

/// Reads any field, and counts what it cannot read.
fn read_all_fields(body: &[u8], batch: &mut BatchMetrics, coverage: &mut Coverage) {
    for field in Fields::new(body) {
        if let Some(base) = field.key.strip_suffix(b" per DP")
            && let Some(metric) = metric_of(base)
        {
            let list = field.value.strip_prefix(b"[").unwrap_or(field.value);
            let numbers = Fields::new(list.strip_suffix(b"]").unwrap_or(list))
                .filter_map(|item| leading_number(item.value).map(|(number, _)| number))
                .collect();
            batch.lists.push((metric, numbers));
            continue;
        }
        let Some(metric) = metric_of(field.key) else {
            if !field.key.is_empty() {
                coverage.unknown_field(field.key);
            }
            continue;
        };
        match (leading_number(field.value), field.value) {
            (Some((number, _)), _) => batch.values.set(metric, number),
            (None, b"True") => batch.values.set(metric, Number::Int(1)),
            (None, b"False") => batch.values.set(metric, Number::Int(0)),
            (None, _) => coverage.malformed_values += 1,
        }
    }
}

/// What a field of a batch line means. Releases differ in the words: the pool is `token` or `full token`, and the queues of
/// a prefill worker have had two names each.
#[inline]
fn metric_of(key: &[u8]) -> Option<Metric> {
    Some(match key {
        b"#running-req" | b"#running" => Metric::RunningReq,
        b"#queue-req" => Metric::QueueReq,
        b"token usage" | b"full token usage" => Metric::TokenUsage,
        b"cuda graph" => Metric::CudaGraph,
        b"gen throughput (token/s)" => Metric::GenThroughput,
        b"#token" | b"#full token" => Metric::NumTokens,
        b"pre-allocated usage" => Metric::PreallocatedUsage,
        b"#prealloc-req" | b"#unbootstrapped-req" | b"#bootstrap-req" => Metric::PreallocReq,
        b"#transfer-req" => Metric::TransferReq,
        b"#retracted-req" => Metric::RetractedReq,
        b"#new-seq" => Metric::NewSeq,
        b"#new-token" => Metric::NewToken,
        b"#cached-token" => Metric::CachedToken,
        b"#inflight-req" | b"#transferring-req" => Metric::InflightReq,
        b"input throughput (token/s)" => Metric::InputThroughput,
        b"accept len" => Metric::AcceptLen,
        b"accept rate" => Metric::AcceptRate,
        b"#pending-token" => Metric::PendingToken,
        b"#optimistic-req" => Metric::OptimisticReq,
        b"cache hit rate" => Metric::CacheHitRatePct,
        b"#swa token" => Metric::SwaNumTokens,
        b"swa token usage" => Metric::SwaTokenUsage,
        b"mamba num" => Metric::MambaNum,
        b"mamba usage" => Metric::MambaUsage,
        b"#prefill" => Metric::PrefillReq,
        _ => return None,
    })
}

fn read_other(line: &[u8], found: u8, coverage: &mut Coverage, sink: &mut dyn Sink) {
    if found & about::MEMORY != 0 {
        memory(line, sink);
    }
    if found & about::SETTING != 0 {
        settings(line, sink);
    }
    if found & about::COMMAND != 0 {
        command(line, sink);
    }
    if found & about::READING != 0 {
        request(line, sink);
        transfer_engine(line, coverage, sink);
    }
    if found & about::PHASE != 0 {
        general::phases(line, sink);
    }
    // The list of all arguments names errors and timeouts without having any.
    if found & about::PROBLEM != 0 && found & (about::SETTING | about::COMMAND) == 0 {
        general::problem(line, coverage.lines, sink);
    }
}

fn memory(line: &[u8], sink: &mut dyn Sink) {
    let gigabytes = |key: &str| -> Option<f64> {
        let rest = &line[memchr::memmem::find(line, key.as_bytes())? + key.len()..];
        let rest = rest.trim_ascii_start();
        let (number, length) = leading_number(rest)?;
        rest[length..].trim_ascii_start().starts_with(b"GB").then(|| number.as_f64())
    };
    let kv_cache_gb = gigabytes("KV size:").or_else(|| Some(gigabytes("K size:")? + gigabytes("V size:")?));
    let avail_mem_gb = gigabytes("avail mem=").or_else(|| gigabytes("avail_mem="));
    let mem_usage_gb = gigabytes("mem usage=");
    if kv_cache_gb.is_none() && avail_mem_gb.is_none() && mem_usage_gb.is_none() {
        return;
    }
    let timestamp = general::time_of(line);
    let kind = if kv_cache_gb.is_some() { MemoryKind::KvCache } else { MemoryKind::Memory };
    let kv_tokens = general::number_after(line, b"#tokens:").and_then(Number::as_i64);
    let rank = general::ranks(&line[..line.len().min(128)]);
    sink.event(&Event::Memory(&MemoryMetrics {
        timestamp,
        rank,
        kind,
        avail_mem_gb,
        mem_usage_gb,
        kv_cache_gb,
        kv_tokens,
    }));
}

static SIZE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?-u)\b(tp_size|dp_size|ep_size)=(\d{1,9})").expect("the pattern is a constant")
});

fn settings(line: &[u8], sink: &mut dyn Sink) {
    let mut seen: Vec<&'static str> = Vec::new();
    for found in SIZE.captures_iter(line) {
        let name = match &found[1] {
            b"tp_size" => "tp_size",
            b"dp_size" => "dp_size",
            _ => "ep_size",
        };
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        if let Some((number, _)) = leading_number(&found[2]) {
            sink.event(&Event::Setting { name, value: SettingValue::Number(number) });
        }
    }
    let Some(at) = memchr::memmem::find(line, b"ServerArgs(") else { return };
    let arguments = &line[at + b"ServerArgs(".len()..];
    let arguments = general::inside(&arguments[..arguments.len().min(MAX_BODY)], b'(', b')');
    let text = general::command_text(arguments);
    sink.event(&Event::Command { rank: u8::MAX, text: &text });
    for field in Fields::new(arguments) {
        if field.key.is_empty() {
            continue;
        }
        let name = String::from_utf8_lossy(field.key);
        let value = String::from_utf8_lossy(unquote(field.value));
        sink.event(&Event::EngineArgument { name: &name, value: &value });
    }
}

static COMMANDS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"(?i-u)python3?\s+-m\s+(?:sglang\.launch_server|dynamo\.sglang(?:\.\w+)*)\s.*",
        r"(?i-u)python3?\s.*launch_server\.py\s.*",
        r"(?i-u)sglang\.launch_server\s.*",
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

/// Reads `ReqTimeStats(rid=…, …): a=…ms, b=…`.
fn request(line: &[u8], sink: &mut dyn Sink) {
    let Some(at) = memchr::memmem::find(line, b"ReqTimeStats(") else { return };
    let body = &line[at + b"ReqTimeStats(".len()..];
    let Some(close) = memchr::memmem::find(body, b"):") else { return };
    let mut timing = BatchMetrics::empty();
    timing.timestamp = general::time_of(line);
    timing.rank = general::ranks(&line[..at.min(128)]);
    let mut id = "".into();
    for field in Fields::new(&body[..close]).chain(Fields::new(&body[close + 2..])) {
        let metric = match field.key {
            b"rid" => {
                id = String::from_utf8_lossy(field.value);
                continue;
            }
            b"type" => {
                timing.kind = if field.value == b"decode" { BatchKind::Decode } else { BatchKind::Prefill };
                continue;
            }
            b"bootstrap_room" => Metric::BootstrapRoom,
            b"input_len" => Metric::InputLen,
            b"cached_input_len" => Metric::CachedInputLen,
            b"output_len" => Metric::OutputLen,
            b"attempts" => Metric::Attempts,
            b"bootstrap_duration" => Metric::BootstrapMs,
            b"queue_duration" => Metric::QueueMs,
            b"forward_duration" => Metric::ForwardMs,
            b"alloc_wait_duration" => Metric::AllocWaitMs,
            b"transfer_duration" => Metric::TransferMs,
            b"transfer_total" => Metric::TransferMb,
            b"transfer_speed" => Metric::TransferMbPerS,
            _ => continue,
        };
        let Some((number, length)) = leading_number(field.value) else { continue };
        let unit = field.value[length..].trim_ascii();
        let scale = match unit {
            b"s" | b"GB/s" | b"GB" => 1000.0,
            _ => 1.0,
        };
        let number = if scale > 1.0 { Number::Float(number.as_f64() * scale) } else { number };
        timing.values.set(metric, number);
    }
    sink.event(&Event::Request { id: &id, timing: &timing });
}

/// Reads the rate that Mooncake's transfer engine logs: `Transfer Engine Throughput: 5.32 MB/s (over last 5s)`.
fn transfer_engine(line: &[u8], coverage: &mut Coverage, sink: &mut dyn Sink) {
    let Some(rate) = general::number_after(line, b"Transfer Engine Throughput:") else { return };
    coverage.candidates += 1;
    coverage.parsed += 1;
    let mut reading = BatchMetrics::empty();
    reading.kind = BatchKind::KvTransfer;
    reading.timestamp = general::time_of(line);
    reading.values.set(Metric::TransferMbPerS, rate);
    sink.event(&Event::Batch(&reading));
}
