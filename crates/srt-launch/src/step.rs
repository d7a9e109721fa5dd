//! [`Step`] and its parts.

use std::fmt;

use indexmap::IndexMap;
use srt_topology::{NodeName, Role};

use crate::probe::Wait;

/// Environment variables in the order in which they are exported.
pub type Environment = IndexMap<String, String>;

/// `argv[0]` of a step that is this very program. A launcher replaces it by the path of the running binary, so
/// that a plan does not depend on where the binary lies.
pub const SELF_PROGRAM: &str = "srtctl";

/// Exit code with which this program says that a measurement went to its end, and that its result must not be quoted.
pub const INVALID_RESULT_EXIT_CODE: u8 = 4;

/// One thing that a launcher starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When it starts and when it is ended.
    pub stage: Stage,
    /// Unique in the plan, such as `prefill_0_node0001`.
    pub id: StepId,
    /// The worker or frontend it belongs to.
    pub origin: StepOrigin,
    /// Nodes it runs on, one task set over all of them.
    pub nodes: Vec<NodeName>,
    /// Program and arguments. Never passed through a shell unquoted.
    pub argv: Vec<String>,
    /// Variables set for the command.
    pub env: Environment,
    /// Variables removed from the command's environment.
    pub unset: Vec<String>,
    /// What runs in the step's shell before the command, in order. Empty for a step without a shell.
    pub preamble: Vec<Preamble>,
    /// Whether the command is wrapped in a shell that exports `env` and runs the preamble.
    pub wrapped: bool,
    /// The container; `None` runs on the host.
    pub container: Option<Container>,
    /// Options of `srun`, in order, as `--key=value` or `--key`: numbers of nodes and tasks, MPI, CPU binding,
    /// component, the recipe's own, and `--export`. A launcher adds what follows from the fields above (job, node
    /// list, overlap, output, container, mounts) and nothing else.
    pub srun: Vec<String>,
    /// File name of its output, under the log folder.
    pub log: String,
    /// What its end means.
    pub lifetime: Lifetime,
    /// What must hold before it starts.
    pub wait_for: Vec<Wait>,
    /// TCP ports it will listen on, on its first node.
    pub ports: Vec<u16>,
}

impl Step {
    /// Whether a step that ended with this exit code did what it was started for. Our own client has done so too when
    /// it calls its result invalid: what the run is worth is said by the results.
    pub fn is_complete_with(&self, exit_code: i32) -> bool {
        let is_ours = self.argv.first().is_some_and(|program| program == SELF_PROGRAM);
        exit_code == 0 || (is_ours && exit_code == i32::from(INVALID_RESULT_EXIT_CODE))
    }
}

/// Name of a step: unique in a plan, safe as a file name and as a Slurm step name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(String);

impl StepId {
    /// Makes a name of `text`; every character other than ASCII letters, digits, `.`, `_`, and `-` becomes `_`.
    pub fn new(text: &str) -> Self {
        let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        Self(text.chars().map(safe).collect())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Stages in the order in which they start. They are ended in the reverse order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// etcd and NATS.
    Infra,
    /// The Mooncake master.
    MooncakeMaster,
    /// Download of a hub model into the cache.
    HfCache,
    /// Copy of the model to node-local storage.
    StageModel,
    /// Engine processes.
    Worker,
    /// Routers, and nginx in front of them.
    Frontend,
    /// Exporters and collectors.
    Telemetry,
    /// The load.
    Benchmark,
}

impl Stage {
    /// The stage's name in plans, events, and status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Infra => "infra",
            Self::MooncakeMaster => "mooncake_master",
            Self::HfCache => "hf_cache",
            Self::StageModel => "stage_model",
            Self::Worker => "worker",
            Self::Frontend => "frontend",
            Self::Telemetry => "telemetry",
            Self::Benchmark => "benchmark",
        }
    }
}

/// The worker or frontend that a step belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOrigin {
    /// A process (or, for MPI engines, all processes) of a worker.
    Worker {
        /// Role of the worker.
        role: Role,
        /// Index of the worker within its role.
        index: u32,
        /// Rank of the process within the worker.
        rank: u32,
    },
    /// Anything else.
    Other,
}

/// What runs in a step's shell before its command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preamble {
    /// Shell text of the cluster file.
    Cluster(String),
    /// The recipe's setup script.
    SetupScript {
        /// File name.
        name: String,
        /// Folder it lies in, itself or in `patches` below it, as the step sees it.
        folder: String,
    },
    /// Installation of Dynamo: shell text that is idempotent on a node.
    DynamoInstall(String),
    /// Shell text of ours.
    Shell(String),
}

/// The container a step runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Image file or image name, verbatim.
    pub image: String,
    /// Mounts, in order.
    pub mounts: Vec<Mount>,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Path on the node.
    pub host: String,
    /// Path in the container, with any trailing mount options.
    pub container: String,
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.container)
    }
}

/// What the end of a step means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Must live until teardown; any earlier end, with whatever exit code, fails the run.
    Service,
    /// May end; its end is recorded as a warning.
    OptionalService,
    /// Must end with exit code 0 before the next stage starts.
    Task,
    /// Like `Task`, but its failure is a warning.
    OptionalTask,
}

/// Whether a variable's value must never be written to a log, plan, event, or lock file.
pub fn is_secret_variable(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    upper.ends_with("_TOKEN")
        || upper.ends_with("_KEY")
        || upper == "TOKEN"
        || upper.contains("SECRET")
        || upper.contains("PASSWORD")
}
