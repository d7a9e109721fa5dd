//! Where this program runs: the surroundings that a plan is made in.

use std::path::{Path, PathBuf};

use jiff::Zoned;
use srt_context::Surroundings;
use srt_schema::cluster::ClusterConfig;

use crate::environment::Environment;

/// Folder of the runs where nothing else is said.
pub(crate) const DEFAULT_OUTPUT_DIR: &str = "outputs";

/// The surroundings of a run in `run_dir`.
pub(crate) fn surroundings(environment: &Environment, run_dir: &Path, local: bool) -> Surroundings {
    Surroundings {
        variables: environment.variables.clone(),
        home: environment.get("HOME").map(str::to_owned),
        current_dir: environment.current_dir.to_string_lossy().into_owned(),
        run_dir: environment.current_dir.join(run_dir).to_string_lossy().into_owned(),
        local,
    }
}

/// A name for a local run: sortable, and unique on this machine.
pub(crate) fn local_job_id(now: &Zoned) -> String {
    format!("local-{}-{}", now.strftime("%Y%m%d-%H%M%S"), std::process::id())
}

/// Folder that holds the run directories: the one asked for, else the cluster's, else `outputs` under the cluster's
/// root or the current folder.
pub(crate) fn output_base(
    asked: Option<&Path>,
    cluster: &ClusterConfig,
    environment: &Environment,
) -> PathBuf {
    let chosen = match (asked, &cluster.output_dir, &cluster.srtctl_root) {
        (Some(folder), _, _) => folder.to_owned(),
        (None, Some(folder), _) => PathBuf::from(folder),
        (None, None, Some(root)) => Path::new(root).join(DEFAULT_OUTPUT_DIR),
        (None, None, None) => PathBuf::from(DEFAULT_OUTPUT_DIR),
    };
    environment.current_dir.join(chosen)
}
