//! A load generator for OpenAI-compatible servers that measures at the socket.
//!
//! [`run`] sends the requests of a [`BenchConfig`], measures each from its first byte out to its last token in,
//! writes a result file per point, and judges whether the numbers may be quoted.

pub mod progress;

mod analysis;
mod arrival;
mod bench;
mod chunk;
mod config;
mod console;
mod custom;
mod engine;
mod health;
mod limits;
mod numpy;
mod prompts;
mod record;
mod request;
mod result;
mod sharegpt;
mod stats;
mod stream;
mod timer;
mod tokenizer;
mod trace;
mod verdict;
mod workload;

pub use crate::{
    analysis::{ErrorCount, Series, SteadyWindow, TokenCounts},
    bench::{BenchError, BenchOutcome, Unfinished, run},
    config::{Arrival, BenchConfig, Dataset, GpuSplit, Gpus, Point, Slos, Thresholds},
    health::ClientHealth,
    limits::LimitError,
    progress::{PointSummary, Progress, ProgressEvent},
    record::FailureKind,
    result::WriteError,
    stats::Summary,
    tokenizer::TokenizerError,
    workload::WorkloadError,
};
