//! Reads worker logs and benchmark results of LLM inference runs, and rolls them up

mod ansi;
mod collect;
mod coverage;
mod event;
mod fields;
mod general;
mod lines;
mod metric;
mod node;
mod number;
mod sglang;
mod timestamp;
mod trtllm;
mod verdict;

pub use collect::{NodeConfig, NodeMetrics, PhaseReading, Problem, RequestTiming, Setting};
pub use coverage::Coverage;
pub use event::{
    BatchKind, BatchMetrics, Event, MemoryKind, MemoryMetrics, Phase, PhaseMark, ProblemKind, Rank, SettingValue, Sink,
};
pub use metric::{Metric, Values};
pub use node::{NODE_PARSERS, NodeParser, node_parser};
pub use number::Number;
pub use timestamp::Timestamp;
pub use verdict::{Reason, Verdict};
