//! Bringing the model to the nodes: the hub's cache, and copies on local disks.

use srt_context::Job;
use srt_launch::{Environment, Lifetime, PlannedFile, Stage, Step};
use srt_topology::Role;

/// Path of the copy script under the log folder; mounted as the folder of our scripts.
const STAGE_SCRIPT: &str = "runtime/stage_model.sh";

/// Arguments: the cache, the model's identifier.
const DOWNLOAD: &str = r#"
export HF_HOME=$1
find "$1" -name '*.lock' -mmin +30 -delete 2>/dev/null
download=hf
command -v hf >/dev/null || download=huggingface-cli
if HF_HUB_OFFLINE=1 "$download" download "$2" --quiet >/dev/null 2>&1; then
  echo "$2 is in the cache"
  exit 0
fi
exec timeout 3600 "$download" download "$2" --quiet
"#;

/// A download of a model of the hub into the cache that the workers name; without one there is nothing to share.
pub(crate) fn download(job: &Job<'_>) -> Option<Step> {
    if !job.ctx.model.is_hub || job.ctx.local {
        return None;
    }
    let roles = Role::ALL.map(|role| job.recipe.roles.get(role));
    let cache = roles.iter().find_map(|role| role.environment.get("HF_HOME"))?;
    let mut argv: Vec<String> = ["bash", "-c", DOWNLOAD.trim(), "download"].map(str::to_owned).to_vec();
    argv.extend([cache.clone(), job.ctx.model.path.clone()]);
    let mut step = job.ctx.step(Stage::HfCache, "model_download", job.ctx.nodes.workers.first()?, argv);
    let roles = roles.iter().map(|role| &role.environment).chain([&job.ctx.environment]);
    let is_hub = |name: &str| name.starts_with("HF_") || name == "HUGGING_FACE_HUB_TOKEN";
    let wanted = roles.flatten().filter(|(name, _)| is_hub(name));
    step.env = wanted.map(|(name, value)| (name.clone(), value.clone())).collect::<Environment>();
    step.lifetime = Lifetime::OptionalTask;
    Some(step)
}

/// A copy of the model to every worker node.
pub(crate) fn staging(job: &Job<'_>) -> Vec<Step> {
    let Some(staged) = &job.ctx.model.staged else {
        return Vec::new();
    };
    let step = |node| {
        let script = format!("{}/stage_model.sh", job.ctx.scripts);
        let argv = vec!["bash".to_owned(), script, job.ctx.model.in_step.clone(), staged.clone()];
        let mut step = job.ctx.step(Stage::StageModel, &format!("stage_model_{node}"), node, argv);
        step.lifetime = Lifetime::Task;
        step
    };
    job.ctx.nodes.workers.iter().map(step).collect()
}

/// The copy script, where it is used.
pub(crate) fn files(job: &Job<'_>) -> Vec<PlannedFile> {
    let script = include_str!("../../../templates/stage_model.sh");
    job.ctx.model.staged.iter().map(|_| PlannedFile::text(STAGE_SCRIPT, script)).collect()
}
