//! The step of a worker process.

use srt_context::Job;
use srt_launch::{Environment, Stage, Step, StepOrigin};
use srt_schema::recipe::{EngineFlags, FrontendKind};
use srt_topology::{Process, Role};

static NO_FLAGS: std::sync::LazyLock<EngineFlags> = std::sync::LazyLock::new(EngineFlags::new);

/// The engine flags of a role.
pub(crate) fn flags<'a>(job: &Job<'a>, role: Role) -> &'a EngineFlags {
    job.recipe.roles.get(role).flags.as_ref().unwrap_or(&NO_FLAGS)
}

/// A step for one process. Where a worker has several processes on a node, `rank_in_name` tells them apart.
pub(crate) fn step(
    job: &Job<'_>,
    process: &Process,
    argv: Vec<String>,
    env: Environment,
    rank_in_name: bool,
) -> Step {
    let Process { role, index, rank, node, .. } = process;
    let suffix = if rank_in_name { format!("_r{rank}") } else { String::new() };
    let mut step = job.ctx.step(Stage::Worker, &format!("{role}_{index}_{node}{suffix}"), node, argv);
    step.origin = StepOrigin::Worker { role: *role, index: *index, rank: *rank };
    step.log = format!("{node}_{role}_w{index}{suffix}.out");
    step.env = env;
    step.preamble.extend(job.setup_preamble());
    step.ports = ports(job, process);
    step
}

/// The recipe's srun options, and the variables of the step that srun itself must see, in one `--export`.
pub(crate) fn srun_options(job: &Job<'_>, with_recipe_options: bool) -> Vec<String> {
    let mut exports: Vec<String> = Vec::new();
    let mut options = Vec::new();
    // Without containers there is no plugin that knows its options.
    let is_known = |key: &str| job.ctx.container.is_some() || !key.starts_with("container-");
    let wanted = job.recipe.slurm.srun_options.iter().filter(|(key, _)| with_recipe_options && is_known(key));
    for (key, value) in wanted {
        match (key.as_str(), value.as_str()) {
            ("export", value) => exports.push(value.to_owned()),
            (key, "") => options.push(format!("--{key}")),
            (key, value) => options.push(format!("--{key}={value}")),
        }
    }
    if let Some(remap) = job.remap_root_export() {
        if exports.is_empty() {
            exports.push("ALL".to_owned());
        }
        exports.push(remap);
    }
    if !exports.is_empty() {
        options.push(format!("--export={}", exports.join(",")));
    }
    options
}

fn ports(job: &Job<'_>, process: &Process) -> Vec<u16> {
    let mut ports: Vec<u16> = process.ports.http.into_iter().collect();
    if job.recipe.frontend.kind == FrontendKind::Dynamo {
        ports.push(process.ports.system);
    }
    if process.is_leader() {
        ports.extend(process.ports.bootstrap);
    }
    ports
}
