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
    /// Programs that run a job on its head node, by architecture as `uname -m` prints it.
    pub srtctl_binaries: IndexMap<String, String>,
    /// Default of a recipe's `reporting`.
    pub reporting: Option<Reporting>,
    /// What recipes get where they say nothing. Already applied to every recipe of a [`Loaded`](crate::Loaded).
    pub defaults: RecipeDefaults,
    /// Aliases of `model.path`. Already resolved likewise.
    pub model_paths: IndexMap<String, String>,
    /// Aliases of container images. Already resolved likewise.
    pub containers: IndexMap<String, String>,
    /// Live metrics of running jobs.
    pub live_metrics: LiveMetrics,
}

/// What recipes get where they say nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecipeDefaults {
    /// `slurm.account`.
    pub account: Option<String>,
    /// `slurm.partition`.
    pub partition: Option<String>,
    /// `slurm.time_limit`.
    pub time_limit: Option<String>,
    /// Added to `sbatch_directives`.
    pub sbatch_directives: IndexMap<String, String>,
    /// `resources.het_jobs`.
    pub het_jobs: bool,
    /// `frontend.nginx_raise_ulimit`.
    pub nginx_raise_ulimit: Option<bool>,
}

/// Live metrics of running jobs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiveMetrics {
    /// Whether they are collected.
    pub enabled: bool,
    /// Seconds between samples.
    pub interval_s: f64,
    /// Keep one sample of this many.
    pub downsample: i64,
}

impl ClusterConfig {
    /// A machine without a cluster file.
    pub fn none() -> Self {
        Self {
            present: false,
            name: None,
            network_interface: None,
            srtctl_root: None,
            output_dir: None,
            default_bash_preamble: None,
            use_gpus_per_node_directive: true,
            use_segment_directive: true,
            use_exclusive_directive: false,
            default_mounts: IndexMap::new(),
            container_runtime: ContainerRuntime::Pyxis,
            srtctl_binaries: IndexMap::new(),
            reporting: None,
            defaults: RecipeDefaults::default(),
            model_paths: IndexMap::new(),
            containers: IndexMap::new(),
            live_metrics: LiveMetrics { enabled: false, interval_s: 60.0, downsample: 1 },
        }
    }
}

/// How containers are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerRuntime {
    /// The pyxis plugin of srun.
    Pyxis,
    /// Processes run on the host.
    None,
}
