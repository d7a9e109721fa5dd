//! [`NodeSums`]: what a rollup keeps of a worker's log: sums and extremes, however long the log is.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::{
    collect::{NodeConfig, Setting},
    event::{BatchKind, BatchMetrics, Event, MemoryMetrics, Phase, PhaseMark, ProblemKind, Sink},
    metric::{COUNT, Metric, MetricSet, Values},
    number::Number,
    timestamp::Timestamp,
};

/// Arguments of an engine that are kept; engines have a few hundred.
const MAX_ARGUMENTS: usize = 1024;

/// Readings that a rollup sums up.
const SUMMED: MetricSet = MetricSet::of(&[
    Metric::NewToken,
    Metric::CachedToken,
    Metric::TokenUsage,
    Metric::RunningReq,
    Metric::QueueReq,
    Metric::PreallocReq,
    Metric::InflightReq,
    Metric::InputThroughput,
    Metric::GenThroughput,
    Metric::TransferReq,
    Metric::RetractedReq,
    Metric::AcceptLen,
    Metric::AcceptRate,
]);

/// Mean and maximum of one reading, in the order of the log.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spread {
    sum: f64,
    count: u64,
    max: f64,
    max_is_whole: bool,
}

impl Spread {
    #[inline]
    fn add(&mut self, value: f64, is_whole: bool) {
        if self.count == 0 || value > self.max {
            self.max = value;
            self.max_is_whole = is_whole;
        }
        self.sum += value;
        self.count += 1;
    }

    pub(crate) fn merge(&mut self, other: &Spread) {
        if other.count > 0 && (self.count == 0 || other.max > self.max) {
            self.max = other.max;
            self.max_is_whole = other.max_is_whole;
        }
        self.sum += other.sum;
        self.count += other.count;
    }

    #[expect(clippy::cast_precision_loss, reason = "no log has 2^53 lines")]
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the number was whole when it was read")]
    pub(crate) fn max(&self) -> Option<Number> {
        let max = if self.max_is_whole { Number::Int(self.max as i64) } else { Number::Float(self.max) };
        (self.count > 0).then_some(max)
    }

    /// The sum, if there was anything to add up.
    #[expect(clippy::cast_possible_truncation, reason = "sums of whole numbers")]
    pub(crate) fn total(&self) -> Option<i64> {
        (self.count > 0).then_some(self.sum as i64)
    }
}

/// Sums over the batches of one kind: a [`Spread`] for each metric.
#[derive(Debug, Clone)]
pub(crate) struct BatchSums {
    pub(crate) batches: u64,
    spreads: [Spread; COUNT],
}

impl Default for BatchSums {
    fn default() -> BatchSums {
        BatchSums { batches: 0, spreads: [Spread::default(); COUNT] }
    }
}

impl BatchSums {
    #[inline]
    pub(crate) fn add(&mut self, values: &Values, metrics: MetricSet) {
        self.batches += 1;
        values.for_each_of(metrics, |index, value, is_whole| self.spreads[index].add(value, is_whole));
    }

    pub(crate) fn merge(&mut self, other: &BatchSums) {
        self.batches += other.batches;
        for (mine, other) in self.spreads.iter_mut().zip(&other.spreads) {
            mine.merge(other);
        }
    }

    /// The readings of one metric.
    pub(crate) fn of(&self, metric: Metric) -> &Spread {
        &self.spreads[metric as usize]
    }
}

/// How long a step of the start-up took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PhaseSpan {
    began: Option<f64>,
    ended: Option<f64>,
    /// The longest that any rank stated.
    stated_s: Option<f64>,
}

impl PhaseSpan {
    /// What the engine states, else the time from the first begin to the last end.
    pub(crate) fn duration_s(&self) -> Option<f64> {
        self.stated_s.or_else(|| Some(self.ended? - self.began?)).filter(|duration| *duration >= 0.0)
    }

    pub(crate) fn ended(&self) -> Option<f64> {
        self.ended
    }
}

/// One kind of problem in a log.
#[derive(Debug, Clone)]
pub(crate) struct ProblemCount {
    pub(crate) count: u64,
    pub(crate) first_line: u64,
    pub(crate) first_at: Timestamp,
    pub(crate) first_text: String,
}

/// What a rollup keeps of a worker's log.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeSums {
    pub(crate) prefill: BatchSums,
    pub(crate) decode: BatchSums,
    pub(crate) idle: BatchSums,
    pub(crate) interval: BatchSums,
    pub(crate) speculative: BatchSums,
    pub(crate) avail_mem_gb: Option<f64>,
    pub(crate) mem_usage_gb: Option<f64>,
    pub(crate) kv_cache_gb: Option<f64>,
    pub(crate) kv_tokens: Option<i64>,
    pub(crate) config: NodeConfig,
    pub(crate) engine_arguments: IndexMap<String, String>,
    pub(crate) command: Option<(u8, String)>,
    pub(crate) phases: BTreeMap<Phase, PhaseSpan>,
    pub(crate) problems: BTreeMap<ProblemKind, ProblemCount>,
    pub(crate) first_time: Option<f64>,
}

impl Sink for NodeSums {
    #[inline]
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Batch(batch) => self.batch(batch),
            Event::Memory(memory) => self.memory(memory),
            Event::Request { .. } => {}
            Event::Setting { name, value } => {
                self.config.insert((*name).to_owned(), Setting::from(*value));
            }
            Event::EngineArgument { name, value } => {
                if self.engine_arguments.len() < MAX_ARGUMENTS && !self.engine_arguments.contains_key(*name) {
                    self.engine_arguments.insert((*name).to_owned(), (*value).to_owned());
                }
            }
            Event::Command { rank, text } => {
                if self.command.as_ref().is_none_or(|(best, _)| rank < best) {
                    self.command = Some((*rank, (*text).to_owned()));
                }
            }
            &Event::Phase { phase, mark, at, duration_s } => self.phase(phase, mark, at, duration_s),
            &Event::Problem { kind, at, line, text } => {
                let problem = self.problems.entry(kind).or_insert_with(|| ProblemCount {
                    count: 0,
                    first_line: line,
                    first_at: at,
                    first_text: text.to_owned(),
                });
                problem.count += 1;
            }
        }
    }
}

impl NodeSums {
    #[inline]
    fn batch(&mut self, batch: &BatchMetrics) {
        let sums = match batch.kind {
            BatchKind::Prefill => &mut self.prefill,
            BatchKind::Decode => &mut self.decode,
            BatchKind::Idle => &mut self.idle,
            BatchKind::Interval => &mut self.interval,
            BatchKind::Speculative => &mut self.speculative,
            BatchKind::KvTransfer | BatchKind::Cache => return,
        };
        sums.add(&batch.values, SUMMED);
    }

    fn memory(&mut self, memory: &MemoryMetrics) {
        self.avail_mem_gb = self.avail_mem_gb.or(memory.avail_mem_gb);
        self.mem_usage_gb = self.mem_usage_gb.or(memory.mem_usage_gb);
        self.kv_cache_gb = match (self.kv_cache_gb, memory.kv_cache_gb) {
            (Some(kept), Some(new)) => Some(kept.max(new)),
            (kept, new) => kept.or(new),
        };
        self.kv_tokens = self.kv_tokens.max(memory.kv_tokens);
    }

    fn phase(&mut self, phase: Phase, mark: PhaseMark, at: Timestamp, duration_s: Option<f64>) {
        let seconds = at.seconds();
        self.first_time = self.first_time.or(seconds);
        let span = self.phases.entry(phase).or_default();
        match mark {
            PhaseMark::Begin => span.began = span.began.or(seconds),
            // Frontends and routers in the same log become ready too; the worker's own readiness comes first.
            PhaseMark::End if phase == Phase::Ready => span.ended = span.ended.or(seconds),
            PhaseMark::End => span.ended = seconds.or(span.ended),
        }
        span.stated_s = match (span.stated_s, duration_s) {
            (Some(kept), Some(new)) => Some(kept.max(new)),
            (kept, new) => kept.or(new),
        };
    }

    /// Adds what another file of the same worker says, as if it came after this one.
    pub(crate) fn merge(&mut self, other: NodeSums) {
        self.prefill.merge(&other.prefill);
        self.decode.merge(&other.decode);
        self.idle.merge(&other.idle);
        self.interval.merge(&other.interval);
        self.speculative.merge(&other.speculative);
        self.memory(&MemoryMetrics {
            timestamp: Timestamp::NONE,
            rank: crate::event::Rank::default(),
            kind: crate::event::MemoryKind::Memory,
            avail_mem_gb: other.avail_mem_gb,
            mem_usage_gb: other.mem_usage_gb,
            kv_cache_gb: other.kv_cache_gb,
            kv_tokens: other.kv_tokens,
        });
        self.config.extend(other.config);
        for (name, value) in other.engine_arguments {
            self.engine_arguments.entry(name).or_insert(value);
        }
        if let Some((rank, text)) = other.command
            && self.command.as_ref().is_none_or(|(best, _)| rank < *best)
        {
            self.command = Some((rank, text));
        }
        for (phase, span) in other.phases {
            let mine = self.phases.entry(phase).or_default();
            mine.began = mine.began.or(span.began);
            mine.ended = mine.ended.or(span.ended);
            mine.stated_s = mine.stated_s.or(span.stated_s);
        }
        for (kind, problem) in other.problems {
            match self.problems.get_mut(&kind) {
                Some(mine) => mine.count += problem.count,
                None => drop(self.problems.insert(kind, problem)),
            }
        }
        self.first_time = self.first_time.or(other.first_time);
    }
}
