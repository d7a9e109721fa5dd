//! Where the run directories of a cluster lie.

use srt_schema::cluster::ClusterConfig;

use crate::{
    allocation::{JobId, Surroundings},
    text,
};

/// The folder that run directories are made in: `chosen` on the command line, else `output_dir` of the cluster
/// file, else `outputs` below its `srtctl_root`, else below the current folder.
pub fn output_base(chosen: Option<&str>, cluster: &ClusterConfig, surroundings: &Surroundings) -> String {
    let expand = |path: &str| resolve(path, surroundings);
    match (chosen, &cluster.output_dir, &cluster.srtctl_root) {
        (Some(chosen), ..) => text::absolute(chosen, &surroundings.current_dir),
        (None, Some(output_dir), _) => expand(output_dir),
        (None, None, Some(root)) => format!("{}/outputs", expand(root).trim_end_matches('/')),
        (None, None, None) => text::absolute("outputs", &surroundings.current_dir),
    }
}

/// A path of a recipe or cluster file as it is on this machine: variables and `~` replaced, absolute.
pub fn resolve(path: &str, surroundings: &Surroundings) -> String {
    let path = text::expand_variables(path, &surroundings.variables);
    let path = text::expand_home(&path, surroundings.home.as_deref());
    text::absolute(&path, &surroundings.current_dir)
}

/// The run directory of a job.
pub fn run_dir(output_base: &str, job_id: &JobId) -> String {
    format!("{}/{job_id}", output_base.trim_end_matches('/'))
}
