//! What is given to a run from outside: the nodes, and the surroundings of the program.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use srt_topology::NodeName;

/// A job's identifier: Slurm's number, or the name of a local run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(String);

impl JobId {
    /// Makes an identifier of ASCII letters, digits, `-`, and `_`; anything else is `None`.
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        (!text.is_empty() && text.chars().all(allowed)).then(|| Self(text.to_owned()))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node and the address its peers reach it at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: NodeName,
    /// Address.
    pub address: IpAddr,
}

/// Nodes of a job, in Slurm's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// The job.
    pub job_id: JobId,
    /// Its nodes; of a heterogeneous job, those of the first component, then those of the second.
    pub nodes: Vec<Node>,
    /// Sizes of the components of a heterogeneous job.
    pub het: Option<HetGroups>,
}

/// Sizes of the components of a heterogeneous job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HetGroups {
    /// Nodes of component 0, for prefill.
    pub prefill_nodes: usize,
    /// Nodes of component 1, for decode.
    pub decode_nodes: usize,
}

/// What the program was started with. Read once by the binary; nothing below it reads the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Environment variables, for `$VAR` in paths.
    pub variables: BTreeMap<String, String>,
    /// Home folder, for `~`.
    pub home: Option<String>,
    /// Folder that relative paths start from; absolute.
    pub current_dir: String,
    /// Folder of the run, absolute; logs lie in `logs` below it.
    pub run_dir: String,
    /// Every node is a loopback address of this machine: no container, no Slurm.
    pub local: bool,
}
