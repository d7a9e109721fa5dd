//! `srtslurm.yaml`: what a cluster is, once for all recipes.

use indexmap::IndexMap;

use crate::recipe::Reporting;

/// The cluster file, decoded. `ClusterConfig::none()` stands for a machine without one.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// Whether a file was read. Some defaults differ without one.
    pub present: bool,
    /// Name of the cluster.
    pub name: Option<String>,
    /// Network interface whose address nodes are reached at.
    pub network_interface: Option<String>,
    /// Folder of the tool's own data (`configs/`, `outputs/`).
    pub srtctl_root: Option<String>,
    /// Folder of the run directories.
    pub output_dir: Option<String>,
    /// Shell text before every wrapped step.
    pub default_bash_preamble: Option<String>,
    /// Write `--gpus-per-node`.
    pub use_gpus_per_node_directive: bool,
    /// Write `--segment`.
    pub use_segment_directive: bool,
    /// Write `--exclusive`.
    pub use_exclusive_directive: bool,
    /// Mounts of every container step: host path template → container path.
    pub default_mounts: IndexMap<String, String>,
    /// How containers are started. `None` of `model.container` wins over it.
    pub container_runtime: ContainerRuntime,
    /// Default of a recipe's `reporting`.
    pub reporting: Option<Reporting>,
}

/// How containers are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerRuntime {
    /// The pyxis plugin of srun.
    Pyxis,
    /// Processes run on the host.
    None,
}
