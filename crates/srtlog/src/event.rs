//! What a reader says while it reads: typed events, pushed into a [`Sink`].

use serde::Serialize;

use crate::{
    metric::{Metric, Values},
    number::Number,
    timestamp::Timestamp,
};

/// Receives events in the order of the log.
pub trait Sink {
    /// Takes one event. It borrows from the reader, so a sink copies what it keeps.
    fn event(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>)> Sink for F {
    fn event(&mut self, event: &Event<'_>) {
        self(event);
    }
}

/// One thing a worker log says.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A batch, an iteration, or a periodic reading.
    Batch(&'a BatchMetrics),
    /// A reading of GPU memory or of the KV cache.
    Memory(&'a MemoryMetrics),
    /// The time one request spent in each stage.
    Request {
        /// The request's own id.
        id: &'a str,
        /// Its readings; the kind says which half of a disaggregated request this is.
        timing: &'a BatchMetrics,
    },
    /// A setting of the engine, as it states it.
    Setting {
        /// Name as in [`NodeConfig`](crate::NodeConfig).
        name: &'static str,
        /// Value as written.
        value: SettingValue<'a>,
    },
    /// One argument of the engine, as it prints all of them at its start.
    EngineArgument {
        /// Name of the argument.
        name: &'a str,
        /// Value as printed.
        value: &'a str,
    },
    /// A line that may be the command the worker was started with.
    Command {
        /// How much such a line is worth; the lowest rank wins, and among equals the first.
        rank: u8,
        /// The command.
        text: &'a str,
    },
    /// A step of the start-up.
    Phase {
        /// Which one.
        phase: Phase,
        /// Whether it begins or ends here.
        mark: PhaseMark,
        /// When the line was written.
        at: Timestamp,
        /// How long the engine says it took, seconds.
        duration_s: Option<f64>,
    },
    /// An error or a warning.
    Problem {
        /// What kind.
        kind: ProblemKind,
        /// When the line was written.
        at: Timestamp,
        /// Number of the line in its file, from 1.
        line: u64,
        /// The line without colours, shortened.
        text: &'a str,
    },
}

/// The value of a setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SettingValue<'a> {
    /// A number.
    Number(Number),
    /// Anything else.
    Text(&'a str),
}

/// One batch, iteration, or periodic reading of an engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchMetrics {
    /// When the line was written.
    pub timestamp: Timestamp,
    /// Who wrote it, in a log of several ranks.
    pub rank: Rank,
    /// What was read.
    pub kind: BatchKind,
    /// The readings.
    pub values: Values,
    /// Readings that are lists: one value per data-parallel rank, or per draft position.
    pub lists: Vec<(Metric, Vec<Number>)>,
}

impl BatchMetrics {
    pub(crate) fn empty() -> BatchMetrics {
        BatchMetrics {
            timestamp: Timestamp::NONE,
            rank: Rank::default(),
            kind: BatchKind::Idle,
            values: Values::default(),
            lists: Vec::new(),
        }
    }

    /// The reading, if the line had it.
    pub fn get(&self, metric: Metric) -> Option<Number> {
        self.values.get(metric)
    }

    /// Share of prompt tokens that the cache had, percent.
    pub fn cache_hit_rate(&self) -> Option<f64> {
        let new = self.values.as_f64(Metric::NewToken)?;
        let cached = self.values.as_f64(Metric::CachedToken)?;
        (new + cached > 0.0).then(|| cached / (new + cached) * 100.0)
    }
}

impl Serialize for Metric {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What a reading was taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchKind {
    /// A prefill batch, or an iteration with prompt tokens.
    Prefill,
    /// A decode batch, or an iteration that only generates.
    Decode,
    /// An iteration without tokens.
    Idle,
    /// A periodic reading over all batches since the last one.
    Interval,
    /// A periodic reading of speculative decoding.
    Speculative,
    /// A periodic reading of KV transfers.
    KvTransfer,
    /// A periodic reading of a cache.
    Cache,
}

impl BatchKind {
    /// The word in JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            BatchKind::Prefill => "prefill",
            BatchKind::Decode => "decode",
            BatchKind::Idle => "idle",
            BatchKind::Interval => "interval",
            BatchKind::Speculative => "speculative",
            BatchKind::KvTransfer => "kv_transfer",
            BatchKind::Cache => "cache",
        }
    }
}

/// Ranks that a line states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Rank {
    /// Data-parallel rank.
    pub dp: Option<u32>,
    /// Tensor-parallel rank.
    pub tp: Option<u32>,
    /// Pipeline-parallel rank.
    pub pp: Option<u32>,
    /// Expert-parallel rank.
    pub ep: Option<u32>,
}

/// A reading of GPU memory or of the KV cache. Sizes are as logged: TensorRT-LLM writes GiB where SGLang writes GB.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemoryMetrics {
    /// When the line was written.
    pub timestamp: Timestamp,
    /// Who wrote it.
    pub rank: Rank,
    /// What the line is about.
    pub kind: MemoryKind,
    /// Memory still free.
    pub avail_mem_gb: Option<f64>,
    /// Memory in use.
    pub mem_usage_gb: Option<f64>,
    /// Size of the KV cache.
    pub kv_cache_gb: Option<f64>,
    /// Tokens that the KV cache holds.
    pub kv_tokens: Option<i64>,
}

/// What a memory line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// GPU memory.
    Memory,
    /// The KV cache.
    KvCache,
}

/// A step of an engine's start-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Ranks find each other.
    Distributed,
    /// Weights are read.
    Weights,
    /// Kernels are compiled or tuned.
    Compile,
    /// KV cache is allocated.
    KvCache,
    /// CUDA graphs are captured.
    GraphCapture,
    /// The engine as a whole is built.
    Engine,
    /// The worker takes requests.
    Ready,
}

impl Phase {
    /// The word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Distributed => "distributed",
            Phase::Weights => "weights",
            Phase::Compile => "compile",
            Phase::KvCache => "kv_cache",
            Phase::GraphCapture => "graph_capture",
            Phase::Engine => "engine",
            Phase::Ready => "ready",
        }
    }
}

/// Whether a phase begins or ends at a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseMark {
    /// It begins.
    Begin,
    /// It ends.
    End,
}

/// What kind of problem a line reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// GPU or host memory ran out.
    OutOfMemory,
    /// A KV transfer between prefill and decode failed.
    KvTransfer,
    /// Collective communication failed.
    Nccl,
    /// A CUDA call failed.
    Cuda,
    /// A process was killed by a signal.
    Killed,
    /// Something took longer than allowed.
    Timeout,
    /// A connection failed.
    Connection,
    /// A Python exception.
    Exception,
    /// Any other error.
    Error,
    /// A warning.
    Warning,
}

impl ProblemKind {
    /// The word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            ProblemKind::OutOfMemory => "out_of_memory",
            ProblemKind::KvTransfer => "kv_transfer",
            ProblemKind::Nccl => "nccl",
            ProblemKind::Cuda => "cuda",
            ProblemKind::Killed => "killed",
            ProblemKind::Timeout => "timeout",
            ProblemKind::Connection => "connection",
            ProblemKind::Exception => "exception",
            ProblemKind::Error => "error",
            ProblemKind::Warning => "warning",
        }
    }
}
