//! The files of a run directory that are there before anything starts.

use srt_launch::is_secret_variable;
use srt_plan::PlannedVariant;
use srt_run::RunFile;

use crate::input::Input;

/// The recipe as it was given.
pub(crate) const RECIPE: &str = "recipe.yaml";
/// The recipe of this job alone: what a job on the cluster reads.
pub(crate) const CONFIG: &str = "config.yaml";
/// The cluster file.
pub(crate) const CLUSTER: &str = "srtslurm.yaml";
/// What is planned.
pub(crate) const PLAN: &str = "plan.json";
/// What Slurm was given.
pub(crate) const SCRIPT: &str = "sbatch_script.sh";

/// Everything that a run is made of, as text. What may hold secrets is for its owner's eyes.
pub(crate) fn run_files(input: &Input, planned: &PlannedVariant<'_>) -> anyhow::Result<Vec<RunFile>> {
    let document = srt_plan::json::document(&input.recipe.path, std::slice::from_ref(planned));
    let mut variables = planned.plan.steps.iter().flat_map(|step| step.env.keys());
    let private = variables.any(|name| is_secret_variable(name));
    let file = |path: &str, text: String, private| RunFile { path: path.to_owned(), text, private };
    let mut files = vec![
        file(RECIPE, input.recipe.text.clone(), private),
        file(CONFIG, planned.variant.resolved_yaml(), private),
        file(PLAN, serde_json::to_string_pretty(&document)?, false),
    ];
    files.extend(input.cluster.iter().map(|cluster| file(CLUSTER, cluster.text.clone(), true)));
    Ok(files)
}
