//! [`Layouts`]: reads a line by comparing it with lines that were read before.
//!
//! An engine writes most of its metric lines with one of a few format strings, so between two such lines only the values
//! differ. The reader of an engine takes a line apart by its tokens, whatever it looks like, and notes where it found each
//! value; from that a layout is learned: constant bytes, a value, constant bytes, … A line that fits a layout is read in a
//! single pass without searching; any other goes to the engine's reader. The two give the same events, which a test shows by
//! reading every line both ways.

use crate::{
    event::{BatchKind, BatchMetrics, Rank},
    metric::{Metric, MetricSet},
    number::{Number, leading_number},
    timestamp::{self, Timestamp},
};

/// Layouts kept. Engines have two or three format strings, and each a few variants.
const MAX_LAYOUTS: usize = 12;
/// Layouts learned per log; a log that needs more has no layout worth learning.
const MAX_LEARNED: usize = 200;

/// What a value of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The time of the line.
    Time,
    /// A rank.
    Rank(Axis),
    /// A reading.
    Metric(Metric),
    /// A reading that is `True` or `False`.
    Flag(Metric),
    /// A value that no one reads, of constant length.
    Ignored,
}

/// Which rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    Data,
    Tensor,
    Pipeline,
    Expert,
}

impl Axis {
    pub(crate) fn set(self, rank: &mut Rank, value: Option<u32>) {
        let place = match self {
            Axis::Data => &mut rank.dp,
            Axis::Tensor => &mut rank.tp,
            Axis::Pipeline => &mut rank.pp,
            Axis::Expert => &mut rank.ep,
        };
        *place = place.or(value);
    }
}

/// Where an engine's reader found the values of a line.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    values: Vec<(usize, usize, Slot)>,
    is_unusable: bool,
}

impl Trace {
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.is_unusable = false;
    }

    /// Notes a value, which must be a part of `line`.
    #[inline]
    pub(crate) fn note(&mut self, line: &[u8], value: &[u8], slot: Slot) {
        let start = (value.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize);
        if start > line.len() || start + value.len() > line.len() {
            self.is_unusable = true;
            return;
        }
        self.values.push((start, start + value.len(), slot));
    }

    /// Notes that the line has something that no layout can express.
    pub(crate) fn give_up(&mut self) {
        self.is_unusable = true;
    }
}

/// Constant bytes, and the value after them.
#[derive(Debug)]
struct Part {
    literal: Box<[u8]>,
    slot: Slot,
    /// Length of the value when it was learned.
    length: usize,
    /// The metric of the value as a set, computed once.
    metric: MetricSet,
}

impl Slot {
    fn metric(self) -> Option<Metric> {
        match self {
            Slot::Metric(metric) | Slot::Flag(metric) => Some(metric),
            Slot::Time | Slot::Rank(_) | Slot::Ignored => None,
        }
    }
}

impl Part {
    fn is_same(&self, other: &Part) -> bool {
        let same_length = self.length == other.length || !matches!(self.slot, Slot::Time | Slot::Ignored);
        self.literal == other.literal && self.slot == other.slot && same_length
    }
}

#[derive(Debug)]
struct Layout {
    kind: BatchKind,
    parts: Vec<Part>,
    /// The metrics of all parts.
    metrics: MetricSet,
    /// For each layout, how many parts the two have in common from the start.
    shared: Vec<usize>,
}

/// The layouts of a log, learned as it is read.
#[derive(Debug, Default)]
pub(crate) struct Layouts {
    known: Vec<Layout>,
    /// The layout that fitted last.
    last: usize,
    learned: usize,
}

impl Layouts {
    /// Reads the line into `batch` if it fits a layout. `batch` holds rubbish if it does not.
    #[inline]
    pub(crate) fn read(&mut self, line: &[u8], batch: &mut BatchMetrics) -> bool {
        let count = self.known.len();
        let mut tried = 0_u32;
        let mut index = self.last;
        while tried.count_ones() < u32::try_from(count).unwrap_or(0) {
            tried |= 1 << index;
            batch.values.clear();
            batch.rank = Rank::default();
            batch.timestamp = Timestamp::NONE;
            let mut at = 0;
            let mut part = 0;
            loop {
                let layout = &self.known[index];
                match layout.follow(line, &mut at, part, batch) {
                    Ok(()) => {
                        batch.kind = layout.kind;
                        batch.values.declare(layout.metrics);
                        self.last = index;
                        return true;
                    }
                    Err(failed) => {
                        // Another layout that is the same up to here may go on from here.
                        let next = (0..count).find(|&other| {
                            tried & (1 << other) == 0 && layout.shared[other] >= failed && failed > 0
                        });
                        let Some(next) = next else { break };
                        tried |= 1 << next;
                        index = next;
                        part = failed;
                    }
                }
            }
            let Some(next) = (0..count).find(|&other| tried & (1 << other) == 0) else { break };
            index = next;
        }
        false
    }

    /// Learns the layout of a line that was read from its tokens.
    pub(crate) fn learn(&mut self, line: &[u8], trace: &mut Trace, kind: BatchKind) {
        if trace.is_unusable || trace.values.is_empty() || self.learned >= MAX_LEARNED {
            return;
        }
        trace.values.sort_unstable_by_key(|value| value.0);
        let mut parts: Vec<Part> = Vec::with_capacity(trace.values.len());
        let mut end = 0;
        for &(start, stop, slot) in &trace.values {
            let is_repeated = parts.iter().any(|part| part.slot == slot && slot != Slot::Ignored);
            if start < end || is_repeated {
                return;
            }
            let metric = slot.metric().map_or(MetricSet::EMPTY, |metric| MetricSet::of(&[metric]));
            parts.push(Part { literal: line[end..start].into(), slot, length: stop - start, metric });
            end = stop;
        }
        if !is_tail(&line[end..]) {
            return;
        }
        self.learned += 1;
        let metrics: Vec<Metric> = parts.iter().filter_map(|part| part.slot.metric()).collect();
        let layout = Layout { kind, parts, metrics: MetricSet::of(&metrics), shared: Vec::new() };
        if self.known.len() < MAX_LAYOUTS {
            self.known.push(layout);
        } else {
            self.known[self.learned % MAX_LAYOUTS] = layout;
        }
        for index in 0..self.known.len() {
            let shared = self.known.iter().map(|other| shared_parts(&self.known[index], other)).collect();
            self.known[index].shared = shared;
        }
    }
}

fn shared_parts(one: &Layout, other: &Layout) -> usize {
    if one.kind != other.kind {
        return 0;
    }
    one.parts.iter().zip(&other.parts).take_while(|(one, other)| one.is_same(other)).count()
}

impl Layout {
    /// Follows the layout from `first` on; `Err` is the part at which the line went another way.
    #[inline]
    fn follow(
        &self,
        line: &[u8],
        at: &mut usize,
        first: usize,
        batch: &mut BatchMetrics,
    ) -> Result<(), usize> {
        let mut position = *at;
        for (index, part) in self.parts.iter().enumerate().skip(first) {
            let rest = &line[position..];
            let literal = &part.literal;
            if rest.len() <= literal.len() || !is_same(&rest[..literal.len()], literal) {
                *at = position;
                return Err(index);
            }
            let value = &rest[literal.len()..];
            let Some(length) = part.take(value, batch) else {
                *at = position;
                return Err(index);
            };
            position += literal.len() + length;
        }
        *at = position;
        if is_tail(&line[position..]) { Ok(()) } else { Err(self.parts.len()) }
    }
}

impl Part {
    /// Takes the value at the start of `text`, and says how long it is.
    #[inline]
    fn take(&self, text: &[u8], batch: &mut BatchMetrics) -> Option<usize> {
        match self.slot {
            Slot::Metric(metric) => {
                let (number, length) = leading_number(text)?;
                batch.values.store(metric, self.metric, number);
                Some(length)
            }
            Slot::Flag(metric) => {
                let (value, length) = if text.starts_with(b"True") {
                    (1, 4)
                } else if text.starts_with(b"False") {
                    (0, 5)
                } else {
                    return None;
                };
                batch.values.store(metric, self.metric, Number::Int(value));
                Some(length)
            }
            Slot::Time => {
                if timestamp::length_at(text) != Some(self.length) {
                    return None;
                }
                batch.timestamp = Timestamp::new(&text[..self.length]);
                Some(self.length)
            }
            Slot::Rank(axis) => {
                let (Number::Int(value), length) = leading_number(text)? else { return None };
                axis.set(&mut batch.rank, u32::try_from(value).ok());
                Some(length)
            }
            Slot::Ignored => (text.len() >= self.length).then_some(self.length),
        }
    }
}

/// Whether two texts of equal length are the same. Literals are short, and a call of the C library's comparison for each
/// costs more than the comparison.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (Some((one_end, other_end)), true) =
        (one.last_chunk::<8>().zip(other.last_chunk::<8>()), one.len() <= 64)
    else {
        return one == other;
    };
    let (one_words, _) = one.as_chunks::<8>();
    let (other_words, _) = other.as_chunks::<8>();
    let differs = one_words
        .iter()
        .zip(other_words)
        .fold(0, |bits, (one, other)| bits | (u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other)));
    differs | (u64::from_ne_bytes(*one_end) ^ u64::from_ne_bytes(*other_end)) == 0
}

/// What may stand after the last value of a line without meaning anything.
#[inline]
fn is_tail(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b' ' | b',' | b'}'))
}
