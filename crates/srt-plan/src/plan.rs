//! [`Plan`] and its parts. The JSON form is a type of its own, in `json`.

use srt_launch::{Readiness, Step, Wait};
use srt_topology::NodeName;

/// Everything one run will do. Two plans of the same recipe, cluster file, allocation, and surroundings are equal.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// `tp64` of `override_tp64`; `None` for a plain recipe.
    pub suffix: Option<String>,
    /// Job name.
    pub name: String,
    /// Where frontends listen.
    pub frontend: FrontendLayout,
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

/// Where frontends listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontendLayout {
    /// Node of nginx.
    pub nginx_node: Option<NodeName>,
    /// Nodes of the frontends.
    pub nodes: Vec<NodeName>,
    /// Port of a frontend.
    pub port: u16,
    /// Port that clients use.
    pub public_port: u16,
}

/// nginx in front of several frontends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NginxPlan {
    /// Port that clients use.
    pub listen: u16,
    /// `address:port` of each frontend.
    pub upstreams: Vec<String>,
}

/// A file to write into the log folder before the first step starts.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFile {
    /// Path under the log folder.
    pub path: String,
    /// Contents.
    pub text: String,
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

impl Plan {
    /// The readiness of the public endpoint.
    pub fn public_endpoint(&self) -> Option<&Readiness> {
        match &self.readiness.probe {
            srt_launch::Probe::Frontend(readiness) => Some(readiness),
            srt_launch::Probe::Tcp { .. } | srt_launch::Probe::Http { .. } => None,
        }
    }
}
