//! What all engines' logs share: finding the few lines of interest among many, problems, phases, launch commands.

use std::{borrow::Cow, sync::LazyLock};

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;

use crate::{
    event::{BatchKind, BatchMetrics, Event, Phase, PhaseMark, ProblemKind, Rank, Sink},
    layout::Axis,
    metric::{Metric, Values},
    number::{Number, leading_number},
    timestamp::{self, Timestamp},
};

/// Longest part of a line that is quoted in a problem.
const MAX_QUOTE: usize = 400;
/// Longest command or argument list that is kept.
const MAX_COMMAND: usize = 64 << 10;

/// What a line may be about, as a set of bits.
pub(crate) mod about {
    pub(crate) const MEMORY: u8 = 1;
    pub(crate) const SETTING: u8 = 2;
    pub(crate) const COMMAND: u8 = 4;
    pub(crate) const PHASE: u8 = 8;
    pub(crate) const PROBLEM: u8 = 16;
    pub(crate) const READING: u8 = 32;
    pub(crate) const BATCH: u8 = 64;
}

/// What words of a problem mean, as a set of bits.
mod word {
    pub(super) const ERROR: u16 = 1;
    pub(super) const WARNING: u16 = 2;
    pub(super) const MEMORY: u16 = 4;
    pub(super) const KV_TRANSFER: u16 = 8;
    pub(super) const KILLED: u16 = 16;
    pub(super) const CUDA: u16 = 32;
    pub(super) const NCCL: u16 = 64;
    pub(super) const TIMEOUT: u16 = 128;
    /// A timeout only if the line is an error: the word alone names settings too.
    pub(super) const MAYBE_TIMEOUT: u16 = 256;
    pub(super) const CONNECTION: u16 = 512;
    pub(super) const EXCEPTION: u16 = 1024;
}

/// Words of problems. Those that make a line one come first; the rest only say what kind it is.
const WORDS: &[(&str, u16)] = &[
    ("OutOfMemory", word::MEMORY),
    ("out of memory", word::MEMORY),
    ("oom-kill", word::MEMORY),
    ("OOM", word::MEMORY),
    ("KVTransferError", word::KV_TRANSFER),
    ("KV transfer failed", word::KV_TRANSFER),
    ("Segmentation fault", word::KILLED),
    ("core dumped", word::KILLED),
    ("Killed", word::KILLED),
    ("killed by", word::KILLED),
    ("was killed", word::KILLED),
    ("timed out", word::TIMEOUT),
    ("TimeoutError", word::TIMEOUT | word::ERROR),
    ("Connection refused", word::CONNECTION),
    ("Connection reset", word::CONNECTION),
    ("ConnectionError", word::CONNECTION | word::ERROR),
    ("Traceback (most", word::EXCEPTION | word::ERROR),
    ("Traceback:", word::EXCEPTION | word::ERROR),
    ("Exception", word::EXCEPTION | word::ERROR),
    ("panicked", word::EXCEPTION | word::ERROR),
    ("Error:", word::EXCEPTION | word::ERROR),
    ("Error", word::ERROR),
    ("ERROR", word::ERROR),
    ("error:", word::ERROR),
    ("[E]", word::ERROR),
    ("WARN", word::WARNING),
    ("Warning", word::WARNING),
    ("warning:", word::WARNING),
    ("[W]", word::WARNING),
    ("Timeout", word::MAYBE_TIMEOUT),
    ("CUDA error", word::CUDA | word::ERROR),
    ("CUDA driver", word::CUDA),
    ("cudaError", word::CUDA | word::ERROR),
    ("device-side assert", word::CUDA | word::ERROR),
    ("NCCL error", word::NCCL | word::ERROR),
    ("NCCL", word::NCCL),
    ("ProcessGroup", word::NCCL),
];

/// Words that, alone, make no problem: half of a log may name them.
const SILENT: u16 = word::MAYBE_TIMEOUT | word::CUDA | word::NCCL;

static WORD_FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| finder(WORDS.iter().map(|(text, _)| *text)));

fn finder<'a>(texts: impl Iterator<Item = &'a str>) -> AhoCorasick {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .build(texts)
        .expect("a few dozen short literals are within the limits of the automaton")
}

/// Finds in one pass what a line may be about.
pub(crate) struct Scanner {
    needles: AhoCorasick,
    meanings: Vec<u8>,
}

impl Scanner {
    pub(crate) fn new(own: &[(&str, u8)]) -> Scanner {
        let mut texts: Vec<&str> = Vec::new();
        let mut meanings = Vec::new();
        for (text, meaning) in own {
            texts.push(text);
            meanings.push(*meaning);
        }
        for row in PHASES {
            texts.push(row.text);
            meanings.push(about::PHASE);
        }
        let makes_a_problem = |(_, meaning): &&(&str, u16)| meaning & !SILENT != 0;
        for (text, _) in WORDS.iter().filter(makes_a_problem) {
            // A word inside this one finds it too. Fewer words keep the search in vector registers.
            let has_shorter =
                WORDS.iter().filter(makes_a_problem).any(|(other, _)| other != text && text.contains(other));
            if !has_shorter {
                texts.push(text);
                meanings.push(about::PROBLEM);
            }
        }
        let needles = finder(texts.into_iter());
        Scanner { needles, meanings }
    }

    /// What the line may be about; zero for nearly every line.
    #[inline]
    pub(crate) fn scan(&self, line: &[u8]) -> u8 {
        self.needles.find_iter(line).fold(0, |found, hit| found | self.meanings[hit.pattern().as_usize()])
    }
}

struct PhaseRow {
    text: &'static str,
    phase: Phase,
    mark: PhaseMark,
    /// Text after which the engine states the duration in seconds.
    duration_after: &'static str,
}

const fn row(text: &'static str, phase: Phase, mark: PhaseMark, duration_after: &'static str) -> PhaseRow {
    PhaseRow { text, phase, mark, duration_after }
}

const PHASES: &[PhaseRow] = &[
    row("Init torch distributed begin", Phase::Distributed, PhaseMark::Begin, ""),
    row("Init torch distributed ends", Phase::Distributed, PhaseMark::End, "elapsed="),
    row("Load weight begin", Phase::Weights, PhaseMark::Begin, ""),
    row("Load weight end", Phase::Weights, PhaseMark::End, "elapsed="),
    row("Starting to load model", Phase::Weights, PhaseMark::Begin, ""),
    row("Loading weights took", Phase::Weights, PhaseMark::End, "took "),
    row("Model loading took", Phase::Weights, PhaseMark::End, " and "),
    row("Model init total", Phase::Weights, PhaseMark::End, "-- "),
    row("DeepGEMM JIT Pre-Compile", Phase::Compile, PhaseMark::Begin, ""),
    row("Autotuning process starts", Phase::Compile, PhaseMark::Begin, ""),
    row("Autotuning process ends", Phase::Compile, PhaseMark::End, ""),
    row("Dynamo bytecode transform time", Phase::Compile, PhaseMark::Begin, ""),
    row("torch.compile takes", Phase::Compile, PhaseMark::End, "takes "),
    row("torch.compile took", Phase::Compile, PhaseMark::End, "took "),
    row("KV Cache is allocated", Phase::KvCache, PhaseMark::End, ""),
    row("Memory pool end", Phase::KvCache, PhaseMark::End, ""),
    row("GPU KV cache size:", Phase::KvCache, PhaseMark::End, ""),
    row("Capture cuda graph begin", Phase::GraphCapture, PhaseMark::Begin, ""),
    row("Capture cuda graph end", Phase::GraphCapture, PhaseMark::End, "elapsed: "),
    row("Creating CUDA graph instances", Phase::GraphCapture, PhaseMark::Begin, ""),
    row("Graph capturing finished in", Phase::GraphCapture, PhaseMark::End, "in "),
    row("init engine (profile", Phase::Engine, PhaseMark::End, "took "),
    row("fired up and ready to roll", Phase::Ready, PhaseMark::End, ""),
    row("Application startup complete", Phase::Ready, PhaseMark::End, ""),
];

/// Reports the phases that a line marks.
pub(crate) fn phases(line: &[u8], sink: &mut dyn Sink) {
    for row in PHASES {
        let Some(at) = memmem::find(line, row.text.as_bytes()) else { continue };
        let duration_s = (!row.duration_after.is_empty())
            .then(|| number_after(&line[at..], row.duration_after.as_bytes()))
            .flatten()
            .map(Number::as_f64);
        sink.event(&Event::Phase { phase: row.phase, mark: row.mark, at: time_of(line), duration_s });
    }
}

/// Reports the problem that a line states, if it states one.
pub(crate) fn problem(line: &[u8], number: u64, sink: &mut dyn Sink) {
    let Some(kind) = classify(line) else { return };
    let text = String::from_utf8_lossy(&line[..line.len().min(MAX_QUOTE)]);
    sink.event(&Event::Problem { kind, at: time_of(line), line: number, text: text.trim() });
}

fn classify(line: &[u8]) -> Option<ProblemKind> {
    let words = WORD_FINDER.find_iter(line).fold(0, |words, hit| words | WORDS[hit.pattern().as_usize()].1);
    let has = |bits: u16| words & bits != 0;
    Some(if has(word::MEMORY) {
        ProblemKind::OutOfMemory
    } else if has(word::KV_TRANSFER) {
        ProblemKind::KvTransfer
    } else if has(word::KILLED) {
        ProblemKind::Killed
    } else if has(word::ERROR) && has(word::CUDA) {
        ProblemKind::Cuda
    } else if has(word::ERROR) && has(word::NCCL) {
        ProblemKind::Nccl
    } else if has(word::TIMEOUT) || (has(word::ERROR) && has(word::MAYBE_TIMEOUT)) {
        ProblemKind::Timeout
    } else if has(word::CONNECTION) {
        ProblemKind::Connection
    } else if has(word::EXCEPTION) {
        ProblemKind::Exception
    } else if has(word::ERROR) {
        ProblemKind::Error
    } else if has(word::WARNING) {
        ProblemKind::Warning
    } else {
        return None;
    })
}

/// Reports the command after `[CMD]`, if the line has one.
pub(crate) fn tagged_command(line: &[u8], sink: &mut dyn Sink) {
    if let Some(at) = memmem::find(line, b"[CMD]") {
        let text = command_text(&line[at + 5..]);
        if !text.is_empty() {
            sink.event(&Event::Command { rank: 0, text: &text });
        }
    }
}

/// A command as text, trimmed and bounded.
pub(crate) fn command_text(bytes: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_COMMAND)]) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// The first time that a line states.
pub(crate) fn time_of(line: &[u8]) -> Timestamp {
    let head = &line[..line.len().min(256)];
    timestamp::find(head).map_or(Timestamp::NONE, |range| Timestamp::new(&head[range]))
}

/// The number right after `key`, spaces apart.
pub(crate) fn number_after(text: &[u8], key: &[u8]) -> Option<Number> {
    let rest = &text[memmem::find(text, key)? + key.len()..];
    let spaces = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    leading_number(&rest[spaces..]).map(|(number, _)| number)
}

/// Ranks named as `DP0`, `TP3`, `PP1`, or `EP14` in the text before a message.
pub(crate) fn ranks(prefix: &[u8]) -> Rank {
    let mut rank = Rank::default();
    for_each_rank(prefix, |axis, _, value| axis.set(&mut rank, Some(value)));
    rank
}

/// Each rank named in the text before a message, with the digits that name it.
pub(crate) fn for_each_rank<'a>(prefix: &'a [u8], mut each: impl FnMut(Axis, &'a [u8], u32)) {
    for at in memchr::memchr_iter(b'P', prefix) {
        let axis = match at.checked_sub(1).map(|before| prefix[before]) {
            Some(b'D') => Axis::Data,
            Some(b'T') => Axis::Tensor,
            Some(b'P') => Axis::Pipeline,
            Some(b'E') => Axis::Expert,
            _ => continue,
        };
        let starts_word = at < 2 || !prefix[at - 2].is_ascii_alphanumeric();
        let Some((Number::Int(value), length)) = leading_number(&prefix[at + 1..]) else { continue };
        let ends_word = prefix.get(at + 1 + length).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        if let (true, true, Ok(value)) = (starts_word, ends_word, u32::try_from(value)) {
            each(axis, &prefix[at + 1..at + 1 + length], value);
        }
    }
}

/// The text up to the bracket that closes the one before it, or all of it.
pub(crate) fn inside(text: &[u8], open: u8, close: u8) -> &[u8] {
    let mut depth = 1_usize;
    for (at, byte) in text.iter().enumerate() {
        if *byte == open {
            depth += 1;
        } else if *byte == close {
            depth -= 1;
            if depth == 0 {
                return &text[..at];
            }
        }
    }
    text
}

/// Says what the iteration was, and its rate.
#[inline]
pub(crate) fn derive_rates(batch: &mut BatchMetrics) {
    let values = &mut batch.values;
    let positive = |values: &Values, metric| values.get(metric).filter(|number| number.as_f64() > 0.0);
    let step_ms = values.as_f64(Metric::StepMs).filter(|step| *step > 0.0);
    let rate = |tokens: Number| step_ms.map(|step| Number::Float(tokens.as_f64() * 1000.0 / step));
    if let Some(tokens) = positive(values, Metric::CtxTokens) {
        batch.kind = BatchKind::Prefill;
        values.set(Metric::NewToken, tokens);
        if let Some(rate) = rate(tokens) {
            values.set(Metric::InputThroughput, rate);
        }
    } else if let Some(tokens) = positive(values, Metric::GenTokens) {
        batch.kind = BatchKind::Decode;
        values.set(Metric::NumTokens, tokens);
        if let Some(rate) = rate(tokens) {
            values.set(Metric::GenThroughput, rate);
        }
    } else {
        batch.kind = BatchKind::Idle;
    }
}
