//! [`Plan`] and its parts. The JSON form is a type of its own, in [`json`](crate::json).

use srt_benchmarks::{Expected, Target};
use srt_context::RuntimeContext;
use srt_frontends::{FrontendLayout, NginxPlan};
use srt_launch::{PlannedFile, Readiness, Step, Wait};
use srt_topology::{Endpoint, Process, Role};

/// Everything one run will do. Two plans of the same recipe, cluster file, allocation, and surroundings are equal.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Job name.
    pub name: String,
    /// What the job is, in short.
    pub summary: Summary,
    /// Nodes, paths, and addresses.
    pub context: RuntimeContext,
    /// Workers.
    pub endpoints: Vec<Endpoint>,
    /// Their processes.
    pub processes: Vec<Process>,
    /// Where frontends listen.
    pub frontend: FrontendLayout,
    /// The endpoint that clients use.
    pub target: Target,
    /// What the frontend must report before the load starts, and how long that may take.
    pub readiness: Wait,
    /// nginx in front of several frontends.
    pub nginx: Option<NginxPlan>,
    /// Files to write into the log folder before the first step starts.
    pub files: Vec<PlannedFile>,
    /// `sbatch` directives in order; a value of `None` is a bare flag.
    pub sbatch: Vec<(String, Option<String>)>,
    /// Steps in the order in which they start.
    pub steps: Vec<Step>,
    /// What must have come out of the benchmark.
    pub expected: Expected,
}

/// What a job is, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Engine.
    pub backend: &'static str,
    /// Frontend.
    pub frontend: &'static str,
    /// Benchmark.
    pub benchmark: String,
    /// Name under which the model is served.
    pub served_model_name: String,
    /// Whether prefill and decode run in separate workers.
    pub disaggregated: bool,
    /// Nodes of the workers.
    pub nodes: u32,
    /// Workers by role.
    pub workers: PerRole,
    /// GPUs of one worker, by role.
    pub gpus_per_worker: PerRole,
    /// Concurrencies of the benchmark.
    pub concurrencies: Vec<u64>,
}

/// A number for each role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerRole {
    /// Of prefill.
    pub prefill: u32,
    /// Of decode.
    pub decode: u32,
    /// Of aggregated workers.
    pub agg: u32,
}

impl PerRole {
    pub(crate) fn of(number: impl Fn(Role) -> u32) -> Self {
        Self { prefill: number(Role::Prefill), decode: number(Role::Decode), agg: number(Role::Agg) }
    }
}

impl Plan {
    /// The readiness of the public endpoint.
    pub fn public_endpoint(&self) -> Option<&Readiness> {
        match &self.readiness.probe {
            srt_launch::Probe::Frontend(readiness) => Some(readiness),
            srt_launch::Probe::Tcp { .. } | srt_launch::Probe::Http { .. } => None,
        }
    }
}
