//! What a benchmark runs and what must come out of it.
//!
//! [`benchmark`] finds the type by its name; its [`Benchmark::plan`] checks what the type needs and says which step
//! runs. sa-bench is run by our own client on the host; the others run in a container, with clients that are
//! installed there.

mod accuracy;
mod aiperf;
mod custom;
mod environment;
mod lm_eval;
mod manual;
mod router;
mod sa_bench;
mod script;
mod sglang_bench;

use srt_context::{Job, PlacementError};
use srt_launch::Step;
use srt_schema::recipe::Concurrencies;
use srt_topology::NodeName;

/// One type of benchmark.
pub trait Benchmark {
    /// Name in recipes.
    fn name(&self) -> &'static str;

    /// Checks what the type needs, and decides what runs.
    fn plan(&self, job: &Job<'_>, target: &Target) -> Result<BenchmarkPlan, BenchmarkError>;
}

/// The public endpoint, as a benchmark client reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The node.
    pub node: NodeName,
    /// Its address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Base URL.
    pub url: String,
}

impl Target {
    /// The endpoint at a node and port.
    pub fn new(job: &Job<'_>, node: &NodeName, port: u16) -> Self {
        Self {
            node: node.clone(),
            host: job.ctx.address(node).to_string(),
            port,
            url: format!("http://{}", job.ctx.socket(node, port)),
        }
    }
}

/// What a benchmark does.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkPlan {
    /// What runs; `None` serves until the run is ended.
    pub step: Option<Step>,
    /// What must have come out.
    pub expected: Expected,
}

/// What must have come out of the benchmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The run serves until it is ended; nothing comes out.
    Serving,
    /// A process whose exit code is the result.
    ExitCode,
    /// One result file per concurrency, in this folder under the log folder.
    Points {
        /// Folder under the log folder.
        folder: String,
        /// Concurrencies in order.
        concurrencies: Vec<u64>,
    },
}

/// Why a benchmark cannot run as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BenchmarkError {
    /// No such type.
    #[error("`benchmark.type` is `{kind}`, which is no benchmark: there are {}", names().join(", "))]
    UnknownType {
        /// The type.
        kind: String,
    },
    /// A field that the type needs is not set.
    #[error("`benchmark.type: {kind}` needs `benchmark.{field}`")]
    Missing {
        /// The type.
        kind: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A field has a value that the type cannot use.
    #[error("`benchmark.{field}` is `{value}`, but `benchmark.type: {kind}` needs {needed}")]
    Value {
        /// The type.
        kind: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would do.
        needed: &'static str,
    },
    /// The type works with another frontend only.
    #[error("`benchmark.type: {kind}` needs `frontend.type: {needed}`, but it is `{frontend}`")]
    Frontend {
        /// The type.
        kind: &'static str,
        /// The frontend it needs.
        needed: &'static str,
        /// The frontend there is.
        frontend: &'static str,
    },
    /// The client has no node.
    #[error(transparent)]
    Placement(#[from] PlacementError),
}

impl BenchmarkError {
    /// The recipe's field at fault.
    pub fn field(&self) -> Option<String> {
        Some(match self {
            Self::UnknownType { .. } | Self::Frontend { .. } => "benchmark.type".to_owned(),
            // A missing field has no place but its section's.
            Self::Missing { .. } => "benchmark".to_owned(),
            Self::Value { field, .. } => format!("benchmark.{field}"),
            Self::Placement(error) => error.field.to_owned(),
        })
    }
}

const BENCHMARKS: [&dyn Benchmark; 12] = [
    &custom::Custom,
    &accuracy::Gpqa,
    &accuracy::Gsm8k,
    &lm_eval::LmEval,
    &accuracy::LongBenchV2,
    &manual::Manual,
    &accuracy::Mmlu,
    &aiperf::MooncakeRouter,
    &router::Router,
    &sa_bench::SaBench,
    &sglang_bench::SglangBench,
    &aiperf::TraceReplay,
];

/// The benchmark of a type's name.
pub fn benchmark(kind: &str) -> Result<&'static dyn Benchmark, BenchmarkError> {
    let found = BENCHMARKS.into_iter().find(|benchmark| benchmark.name() == kind);
    found.ok_or_else(|| BenchmarkError::UnknownType { kind: kind.to_owned() })
}

/// Names of all types.
pub fn names() -> Vec<&'static str> {
    BENCHMARKS.iter().map(|benchmark| benchmark.name()).collect()
}

/// The numbers of `[4, 8]` or `4x8`; `None` where one is no number above 0.
pub fn concurrency_values(concurrencies: &Concurrencies) -> Option<Vec<u64>> {
    let positive = |number: u64| (number > 0).then_some(number);
    match concurrencies {
        Concurrencies::List(numbers) => {
            numbers.iter().map(|number| u64::try_from(*number).ok().and_then(positive)).collect()
        }
        Concurrencies::Text(text) => {
            text.split('x').map(|number| number.trim().parse().ok().and_then(positive)).collect()
        }
    }
}
