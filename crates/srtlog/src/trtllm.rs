//! TensorRT-LLM worker logs, bare or behind Dynamo's prefix.
//!
//! An iteration line is `<anything> iter = N, key = value, …, states = {'key': value, …}` in whatever order; releases
//! write `num_scheduled_requests` with `:` or `=`, before or after the times, or not at all.

use std::{borrow::Cow, sync::LazyLock};

use memchr::memmem::{self, Finder};
use regex::bytes::Regex;

use crate::{
    ansi,
    coverage::Coverage,
    event::{BatchKind, BatchMetrics, Event, MemoryKind, MemoryMetrics, Rank, SettingValue, Sink},
    fields::{Fields, unquote},
    general::{self, Scanner, about},
    layout::{Axis, Layouts, Slot, Trace},
    metric::Metric,
    node::Dialect,
    number::{Number, leading_number},
    timestamp::{self, Timestamp},
};

/// Fields are read up to this far into a line, so that hostile lines cost no more than honest ones.
const MAX_BODY: usize = 64 << 10;

/// Things that an honest line says once are read up to this often, each time to the end of the line.
const MAX_REPEATS: usize = 8;

/// Settings of a worker: the name we give it, its name in `Config(…)`, and its name in the engine's argument list.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("tp_size", "tensor_parallel_size", "tensor_parallel_size"),
    ("pp_size", "pipeline_parallel_size", "pipeline_parallel_size"),
    ("ep_size", "expert_parallel_size", "moe_expert_parallel_size"),
    ("max_batch_size", "max_batch_size", "max_batch_size"),
    ("max_num_tokens", "max_num_tokens", "max_num_tokens"),
    ("max_seq_len", "max_seq_len", "max_seq_len"),
];

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| {
    Scanner::new(&[
        ("Peak memory", about::MEMORY),
        ("[MemUsageChange]", about::MEMORY),
        ("tllm_mpi_size", about::SETTING),
        ("Config(", about::SETTING),
        ("engine args:", about::SETTING),
        ("[CMD]", about::COMMAND),
        ("dynamo.trtllm", about::COMMAND),
        ("tensorrt_llm.serve", about::COMMAND),
        ("trtllm-serve", about::COMMAND),
        ("mpirun", about::COMMAND),
        ("Active Request Count", about::READING),
    ])
});

pub(crate) struct Trtllm {
    states_word: Finder<'static>,
    scanner: &'static Scanner,
    batch: BatchMetrics,
    scratch: Vec<u8>,
    layouts: Layouts,
    trace: Trace,
    /// An iteration whose states did not close on its line.
    open: Vec<u8>,
    /// Where each setting was read from, so that the engine's own list wins and the first of a kind stays.
    sources: [Source; SETTINGS.len()],
    has_world_size: bool,
    has_extra_arguments: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    None,
    Config,
    EngineArguments,
}

impl Trtllm {
    pub(crate) fn new() -> Trtllm {
        Trtllm {
            states_word: Finder::new(b"states"),
            scanner: &SCANNER,
            batch: BatchMetrics::empty(),
            scratch: Vec::new(),
            layouts: Layouts::default(),
            trace: Trace::default(),
            open: Vec::new(),
            sources: [Source::None; SETTINGS.len()],
            has_world_size: false,
            has_extra_arguments: false,
        }
    }
}

impl Dialect for Trtllm {
    const NAME: &'static str = "trtllm";

    #[inline]
    fn read_line(&mut self, line: &[u8], coverage: &mut Coverage, sink: &mut dyn Sink) {
        if !self.open.is_empty() {
            self.close(line, coverage, sink);
            return;
        }
        if self.layouts.read(line, &mut self.batch) {
            general::derive_rates(&mut self.batch);
            coverage.candidates += 1;
            coverage.parsed += 1;
            sink.event(&Event::Batch(&self.batch));
        } else if ansi::is_coloured(line) {
            let mut clean = std::mem::take(&mut self.scratch);
            ansi::strip(line, &mut clean);
            self.trace.clear();
            self.trace.give_up();
            self.read_clean(&clean, coverage, sink);
            self.scratch = clean;
        } else {
            self.trace.clear();
            self.read_clean(line, coverage, sink);
        }
    }

    fn finish(&mut self, coverage: &mut Coverage, sink: &mut dyn Sink) {
        if !self.open.is_empty() {
            self.close(b"", coverage, sink);
        }
    }
}

/// Where an iteration lists its states.
#[derive(Clone, Copy)]
struct States {
    /// Start of the word.
    start: usize,
    /// The text inside the braces.
    inner_start: usize,
    inner_end: usize,
    is_closed: bool,
}

impl Trtllm {
    #[inline]
    fn read_clean(&mut self, line: &[u8], coverage: &mut Coverage, sink: &mut dyn Sink) {
        if let Some(states) = self.find_states(line, 0) {
            if states.is_closed {
                self.read_iterations(line, states, coverage, sink);
            } else {
                self.open.extend_from_slice(line);
            }
            return;
        }
        let found = self.scanner.scan(line);
        if found != 0 {
            self.read_other(line, found, coverage, sink);
        }
    }

    /// Joins an iteration with the line after it, when that one continues its states; else reads both as they are.
    #[cold]
    fn close(&mut self, line: &[u8], coverage: &mut Coverage, sink: &mut dyn Sink) {
        let mut joined = std::mem::take(&mut self.open);
        self.trace.clear();
        self.trace.give_up();
        let brace = memchr::memchr(b'}', line);
        let continues = brace.is_some_and(|brace| self.find_states(&line[..brace], 0).is_none());
        if continues {
            joined.push(b' ');
            joined.extend_from_slice(line);
        }
        if let Some(states) = self.find_states(&joined, 0) {
            self.read_iterations(&joined, states, coverage, sink);
        }
        if !continues && !line.is_empty() {
            self.read_line(line, coverage, sink);
        }
    }

    /// The next `states = {…}` at or after `from`.
    #[inline]
    fn find_states(&self, line: &[u8], from: usize) -> Option<States> {
        let mut at = from;
        while let Some(found) = self.states_word.find(&line[at..]) {
            let start = at + found;
            let mut open = start + b"states".len();
            while open < line.len() && matches!(line[open], b' ' | b'=' | b':') {
                open += 1;
            }
            if line.get(open) == Some(&b'{') && open > start + b"states".len() {
                let inner_start = open + 1;
                let closing = memchr::memchr(b'}', &line[inner_start..]);
                let inner_end = closing.map_or(line.len(), |length| inner_start + length);
                return Some(States { start, inner_start, inner_end, is_closed: closing.is_some() });
            }
            at = start + b"states".len();
        }
        None
    }

    /// Reads the iterations of a line: one, or several when ranks write at once.
    #[inline]
    fn read_iterations(&mut self, line: &[u8], first: States, coverage: &mut Coverage, sink: &mut dyn Sink) {
        let mut states = first;
        let mut start = 0;
        loop {
            let after = (states.inner_end + 1).min(line.len());
            let next = self.find_states(line, after);
            let end = next.map_or(line.len(), |next| {
                let between = &line[after..next.start];
                memchr::memchr(b'[', between)
                    .or_else(|| timestamp::find(between).map(|range| range.start))
                    .or_else(|| memmem::find(between, b"iter"))
                    .map_or(next.start, |at| after + at)
            });
            self.read_iteration(line, start..end, states, coverage, sink);
            let Some(next) = next else { break };
            self.trace.give_up();
            states = next;
            start = end;
        }
        self.layouts.learn(line, &mut self.trace, BatchKind::Idle);
    }

    #[inline]
    fn read_iteration(
        &mut self,
        line: &[u8],
        range: std::ops::Range<usize>,
        states: States,
        coverage: &mut Coverage,
        sink: &mut dyn Sink,
    ) {
        let head = &line[range.start..states.start];
        // The word also ends others ("prefill iterations"), so the field is what counts: a word, then its number.
        let Some(iter) = find_iter_field(head) else {
            self.trace.give_up();
            return;
        };
        coverage.candidates += 1;
        let batch = &mut self.batch;
        batch.values.clear();
        let prefix = &head[..iter];
        let body = &head[iter..];
        let tail = &line[(states.inner_end + 1).min(range.end)..range.end];
        for text in [&body[..body.len().min(MAX_BODY)], &tail[..tail.len().min(MAX_BODY)]] {
            read_fields(line, text, batch, coverage, &mut self.trace);
        }
        let inner = &line[states.inner_start..states.inner_end];
        for field in Fields::new(&inner[..inner.len().min(MAX_BODY)]) {
            let metric = match unquote(field.key) {
                b"num_ctx_requests" => Metric::CtxReq,
                b"num_ctx_tokens" => Metric::CtxTokens,
                b"num_generation_tokens" => Metric::GenTokens,
                b"num_generation_requests" => Metric::GenReq,
                b"cached_kv_tokens" => Metric::CachedKvTokens,
                other => {
                    coverage.unknown_field(other);
                    self.trace.give_up();
                    continue;
                }
            };
            if let Some((number, length)) = leading_number(field.value) {
                self.trace.note(line, &field.value[..length], Slot::Metric(metric));
                batch.values.set(metric, number);
            } else {
                coverage.malformed_values += 1;
                self.trace.give_up();
            }
        }
        general::derive_rates(batch);
        coverage.parsed += 1;
        batch.timestamp = Timestamp::NONE;
        if let Some(range) = timestamp::find(prefix) {
            self.trace.note(line, &prefix[range.clone()], Slot::Time);
            batch.timestamp = Timestamp::new(&prefix[range]);
        }
        let rank = rank_of(prefix);
        if let Some((digits, _)) = rank {
            self.trace.note(line, digits, Slot::Rank(Axis::Tensor));
        }
        batch.rank = Rank { tp: rank.map(|(_, tp)| tp), ..Rank::default() };
        sink.event(&Event::Batch(batch));
    }

    #[cold]
    fn read_other(&mut self, line: &[u8], found: u8, coverage: &mut Coverage, sink: &mut dyn Sink) {
        if found & about::MEMORY != 0 {
            memory(line, sink);
        }
        if found & about::SETTING != 0 {
            self.settings(line, sink);
        }
        if found & about::COMMAND != 0 {
            command(line, sink);
        }
        if found & about::READING != 0 {
            self.triton_statistics(line, coverage, sink);
        }
        if found & about::PHASE != 0 {
            general::phases(line, sink);
        }
        if found & about::PROBLEM != 0 && found & (about::SETTING | about::COMMAND) == 0 {
            general::problem(line, coverage.lines, sink);
        }
    }

    fn settings(&mut self, line: &[u8], sink: &mut dyn Sink) {
        if !self.has_world_size
            && let Some(at) = memmem::find(line, b"tllm_mpi_size:")
            && let Some(number) = general::number_after(&line[at..], b":")
        {
            self.has_world_size = true;
            sink.event(&Event::Setting { name: "mpi_world_size", value: SettingValue::Number(number) });
        }
        for at in memmem::find_iter(line, b"Config(").take(MAX_REPEATS) {
            let text = &line[at + b"Config(".len()..];
            let text = &text[..text.len().min(MAX_BODY)];
            for field in Fields::new(general::inside(text, b'(', b')')) {
                self.setting(Source::Config, field.key, field.value, sink);
                if field.key == b"extra_engine_args" && !self.has_extra_arguments {
                    self.has_extra_arguments = true;
                    let text = String::from_utf8_lossy(unquote(field.value));
                    sink.event(&Event::Setting {
                        name: "extra_engine_args",
                        value: SettingValue::Text(&text),
                    });
                }
            }
        }
        if let Some(at) = memmem::find(line, b"engine args:")
            && let Some(open) = memchr::memchr(b'{', &line[at..])
        {
            let text = &line[at + open + 1..];
            let text = &text[..text.len().min(MAX_BODY)];
            for field in Fields::new(general::inside(text, b'{', b'}')) {
                let key = unquote(field.key);
                self.setting(Source::EngineArguments, key, field.value, sink);
                let (name, value) =
                    (String::from_utf8_lossy(key), String::from_utf8_lossy(unquote(field.value)));
                sink.event(&Event::EngineArgument { name: &name, value: &value });
            }
        }
    }

    fn setting(&mut self, source: Source, key: &[u8], value: &[u8], sink: &mut dyn Sink) {
        let name_in = |row: &(&str, &'static str, &'static str)| match source {
            Source::EngineArguments => row.2,
            Source::None | Source::Config => row.1,
        };
        let Some(index) = SETTINGS.iter().position(|row| name_in(row).as_bytes() == key) else { return };
        if self.sources[index] >= source {
            return;
        }
        if let Some((number, _)) = leading_number(value) {
            self.sources[index] = source;
            sink.event(&Event::Setting { name: SETTINGS[index].0, value: SettingValue::Number(number) });
        }
    }

    /// Reads the statistics that the C++ runtime behind Triton prints as one JSON object per line.
    fn triton_statistics(&mut self, line: &[u8], coverage: &mut Coverage, sink: &mut dyn Sink) {
        let Some(open) = memchr::memchr(b'{', line) else { return };
        coverage.candidates += 1;
        let batch = &mut self.batch;
        batch.values.clear();
        for field in Fields::new(general::inside(&line[open + 1..], b'{', b'}')) {
            let metric = match unquote(field.key) {
                b"Active Request Count" => Metric::ActiveReq,
                b"Context Requests" => Metric::CtxReq,
                b"Generation Requests" => Metric::GenReq,
                b"Scheduled Requests" => Metric::RunningReq,
                b"Total Context Tokens" => Metric::CtxTokens,
                b"Iteration Counter" => Metric::Iteration,
                b"Free KV cache blocks" => Metric::KvBlocksFree,
                b"Used KV cache blocks" => Metric::KvBlocksUsed,
                b"Max KV cache blocks" => Metric::KvBlocksTotal,
                b"Tokens per KV cache block" => Metric::KvBlockTokens,
                b"Runtime GPU Memory Usage" => Metric::GpuMemoryBytes,
                b"Runtime CPU Memory Usage" => Metric::CpuMemoryBytes,
                b"Runtime Pinned Memory Usage" => Metric::PinnedMemoryBytes,
                b"MicroBatch ID" => Metric::BatchId,
                b"Max Request Count" => Metric::MaxReq,
                b"Timestamp" => continue,
                other => {
                    coverage.unknown_field(other);
                    continue;
                }
            };
            match leading_number(field.value) {
                Some((number, _)) => batch.values.set(metric, number),
                None => coverage.malformed_values += 1,
            }
        }
        if batch.values.is_empty() {
            coverage.unparsed(line);
            return;
        }
        general::derive_rates(batch);
        coverage.parsed += 1;
        batch.timestamp = general::time_of(&line[..open]);
        batch.rank = Rank::default();
        sink.event(&Event::Batch(batch));
    }
}

/// Start of the `iter = N` field.
#[inline]
fn find_iter_field(head: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = memmem::find(&head[from..], b"iter") {
        let at = from + found;
        let after = head[at + 4..].iter().take_while(|byte| **byte == b' ').count();
        let starts_word = at == 0 || !head[at - 1].is_ascii_alphanumeric() && head[at - 1] != b'_';
        if starts_word && matches!(head.get(at + 4 + after), Some(b'=' | b':')) {
            return Some(at);
        }
        from = at + 4;
    }
    None
}

#[inline]
fn read_fields(
    line: &[u8],
    text: &[u8],
    batch: &mut BatchMetrics,
    coverage: &mut Coverage,
    trace: &mut Trace,
) {
    for field in Fields::new(text) {
        if field.key.is_empty() {
            continue;
        }
        let metric = match field.key {
            b"iter" => Metric::Iteration,
            b"global_rank" => Metric::GlobalRank,
            b"rank" => Metric::LocalRank,
            b"num_scheduled_requests" => Metric::RunningReq,
            b"host_step_time" | b"elapsed_time" => Metric::StepMs,
            b"prev_device_step_time" => Metric::PrevDeviceStepMs,
            b"timestamp" => {
                trace.note(line, field.value, Slot::Ignored);
                continue;
            }
            b"currank_total_requests" => {
                read_request_counts(line, field.value, batch, trace);
                continue;
            }
            b"kv_cache_util" => Metric::TokenUsage,
            b"num_active" => Metric::ActiveReq,
            b"num_fetched" => Metric::FetchedReq,
            b"num_dummy" => Metric::DummyReq,
            b"num_unscheduled" => Metric::UnscheduledReq,
            other => {
                coverage.unknown_field(other);
                trace.give_up();
                continue;
            }
        };
        match leading_number(field.value) {
            Some((number, length)) if &field.value[length..] == b"s" => {
                batch.values.set(metric, Number::Float(number.as_f64() * 1000.0));
                trace.give_up();
            }
            Some((number, length)) => {
                trace.note(line, &field.value[..length], Slot::Metric(metric));
                batch.values.set(metric, number);
            }
            None if field.value == b"N/A" => {}
            None => {
                coverage.malformed_values += 1;
                trace.give_up();
            }
        }
    }
}

/// Reads `3/14`: requests of this rank, and of all ranks.
#[inline]
fn read_request_counts(line: &[u8], value: &[u8], batch: &mut BatchMetrics, trace: &mut Trace) {
    let mut rest = value;
    for metric in [Metric::RankReq, Metric::TotalReq] {
        let Some((number, length)) = leading_number(rest) else {
            trace.give_up();
            return;
        };
        trace.note(line, &rest[..length], Slot::Metric(metric));
        batch.values.set(metric, number);
        rest = rest[length..].strip_prefix(b"/").unwrap_or_default();
    }
}

/// Rank of `[RANK 3]`, which counts tensor-parallel ranks.
#[inline]
fn rank_of(prefix: &[u8]) -> Option<(&[u8], u32)> {
    let digits = &prefix[memmem::find(prefix, b"[RANK ")? + b"[RANK ".len()..];
    let (number, length) = leading_number(digits)?;
    Some((&digits[..length], u32::try_from(number.as_i64()?).ok()?))
}

fn memory(line: &[u8], sink: &mut dyn Sink) {
    let rank = Rank { tp: rank_of(line).map(|(_, tp)| tp), ..Rank::default() };
    if let Some(reading) = peak_memory(line) {
        let (peak, kv_cache, total) = reading;
        sink.event(&Event::Memory(&MemoryMetrics {
            timestamp: general::time_of(line),
            rank,
            kind: MemoryKind::Memory,
            avail_mem_gb: Some(total - peak),
            mem_usage_gb: Some(peak),
            kv_cache_gb: Some(kv_cache),
            kv_tokens: None,
        }));
    }
    for at in memmem::find_iter(line, b"[MemUsageChange]").take(MAX_REPEATS) {
        let text = &line[at..];
        let Some(kv_cache_gb) = gibibytes(text, b"Allocated") else { continue };
        let Some(words) = memmem::find(text, b"for max tokens") else { continue };
        let Some(kv_tokens) = first_in_brackets(&text[words..]) else { continue };
        sink.event(&Event::Memory(&MemoryMetrics {
            timestamp: general::time_of(line),
            rank,
            kind: MemoryKind::KvCache,
            avail_mem_gb: None,
            mem_usage_gb: None,
            kv_cache_gb: Some(kv_cache_gb),
            kv_tokens: Some(kv_tokens),
        }));
    }
}

/// Peak use, memory for the KV cache, and memory of the device.
fn peak_memory(line: &[u8]) -> Option<(f64, f64, f64)> {
    let text = &line[memmem::find(line, b"Peak memory")?..];
    let kv_words = memmem::find(text, b"available KV cache memory")?;
    let peak = gibibytes(&text[..kv_words], b":")?;
    let kv_cache = gibibytes(&text[kv_words..], b":")?;
    let total = gibibytes(&text[kv_words..], b"device total memory")?;
    Some((peak, kv_cache, total))
}

/// The first number after `key` that is followed by `GiB`.
fn gibibytes(text: &[u8], key: &[u8]) -> Option<f64> {
    memmem::find_iter(text, key).find_map(|at| {
        let rest = text[at + key.len()..].trim_ascii_start();
        let (number, length) = leading_number(rest)?;
        rest[length..].trim_ascii_start().starts_with(b"GiB").then(|| number.as_f64())
    })
}

fn first_in_brackets(text: &[u8]) -> Option<i64> {
    memchr::memchr_iter(b'(', text).find_map(|at| match leading_number(&text[at + 1..])? {
        (Number::Int(value), length) if text.get(at + 1 + length) == Some(&b')') => Some(value),
        _ => None,
    })
}

static COMMANDS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"(?-u)python3?\s+-m\s+dynamo\.trtllm\s.*",
        r"(?-u)python3?\s+-m\s+tensorrt_llm\.serve\s.*",
        r"(?-u)trtllm-serve\s.*",
        r"(?-u)mpirun\s.*trtllm.*",
    ]
    .map(|pattern| Regex::new(pattern).expect("the pattern is a constant"))
    .into()
});

fn command(line: &[u8], sink: &mut dyn Sink) {
    general::tagged_command(line, sink);
    for (rank, pattern) in (1..).zip(COMMANDS.iter()) {
        if let Some(found) = pattern.find(line) {
            let text: Cow<'_, str> = general::command_text(found.as_bytes());
            let text = text.strip_suffix(" in background").unwrap_or(&text);
            sink.event(&Event::Command { rank, text });
        }
    }
}
