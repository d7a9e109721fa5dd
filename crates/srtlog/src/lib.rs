//! Reads worker logs and benchmark results of LLM inference runs, and rolls them up.
//!
//! - [`node_parser`] gives a reader for an engine's worker logs. It takes bytes and pushes [`Event`]s into a [`Sink`];
//!   [`NodeMetrics`] is a sink that keeps them all.
//! - [`benchmark_parser`] gives a reader for the result files of a benchmark.
//! - [`rollup`](rollup()) reads a run folder and gives the contents of `rollup.json`.
//!
//! The crate reads files, and that is all it does: no clock, no environment, no output.

mod ansi;
mod collect;
mod command;
mod coverage;
mod event;
mod fields;
mod general;
mod json;
mod layout;
mod lines;
mod logs;
mod metric;
mod node;
mod number;
mod read;
mod results;
mod rollup;
mod run_dir;
mod series;
mod sglang;
mod sums;
mod table;
mod timestamp;
mod trtllm;
mod verdict;
mod vllm;
mod yaml;

pub use collect::{NodeConfig, NodeMetrics, PhaseReading, Problem, RequestTiming, Setting};
pub use command::LaunchCommand;
pub use coverage::Coverage;
pub use event::{
    BatchKind, BatchMetrics, Event, MemoryKind, MemoryMetrics, Phase, PhaseMark, ProblemKind, Rank,
    SettingValue, Sink,
};
pub use logs::worker_logs;
pub use metric::{Metric, Values};
pub use node::{NODE_PARSERS, NodeParser, node_parser};
pub use number::Number;
pub use results::{
    BENCHMARK_PARSERS, BenchmarkParser, BenchmarkResult, RequestRate, ResultError, benchmark_parser,
};
pub use rollup::{
    EnvironmentConfig, FileCoverage, NodeProblem, NodeRollup, NodesSummary, Rollup, RollupError, RunFacts,
    StartupPhase, rollup,
};
pub use run_dir::WorkerLog;
pub use series::{Series, SeriesPoint};
#[cfg(feature = "parquet")]
pub use table::Parquet;
pub use table::{Cell, Column, ColumnKind, Csv, RowSink, Table, TableError};
pub use timestamp::Timestamp;
pub use verdict::{Reason, Verdict};

/// The guide for tools that use this crate, so that its example is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/srtlog.md")]
mod guide {}
