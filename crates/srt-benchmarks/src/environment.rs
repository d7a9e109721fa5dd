//! Variables of a benchmark in a container.

use srt_context::Job;
use srt_launch::Environment;
use srt_schema::recipe::FrontendKind;
use srt_topology::{Process, Role};

use crate::Target;

/// Profiling, the frontend, and the recipe's own variables.
pub(crate) fn common(job: &Job<'_>, target: &Target) -> Environment {
    let mut env = profiling(job, target);
    if job.recipe.benchmark.kind == "custom" {
        env.extend(workers(job, "SRT"));
    }
    env.insert("SRTCTL_FRONTEND_TYPE".to_owned(), frontend_name(job).to_owned());
    env.insert("SRT_FRONTEND_HOST".to_owned(), target.host.clone());
    env.insert("SRT_FRONTEND_PORT".to_owned(), target.port.to_string());
    env.extend(job.ctx.environment.clone());
    env
}

/// The frontend as recipes name it.
pub(crate) fn frontend_name(job: &Job<'_>) -> &'static str {
    match job.recipe.frontend.kind {
        FrontendKind::Dynamo => "dynamo",
        FrontendKind::Sglang => "sglang",
        FrontendKind::TrtllmServe => "trtllm_serve",
        FrontendKind::Vllm => "vllm",
        FrontendKind::Mock => "mock",
    }
}

/// `SRT_PREFILL_IPS` and `SRT_PREFILL_ENDPOINTS`, and the like of the other roles.
fn workers(job: &Job<'_>, prefix: &str) -> Environment {
    let mut env = Environment::new();
    for role in Role::ALL {
        let leaders: Vec<_> = job.leaders(role).collect();
        if leaders.is_empty() {
            continue;
        }
        let upper = role.as_str().to_uppercase();
        let addresses = leaders.iter().map(|leader| job.ctx.address(&leader.node).to_string());
        env.insert(format!("{prefix}_{upper}_IPS"), addresses.collect::<Vec<_>>().join(","));
        let endpoints = leaders.iter().map(|leader| endpoint(job, leader));
        env.insert(format!("{prefix}_{upper}_ENDPOINTS"), endpoints.collect::<Vec<_>>().join(","));
    }
    env
}

/// Where a worker answers a client that asks for it rather than for the frontend.
fn endpoint(job: &Job<'_>, leader: &Process) -> String {
    let port = match job.recipe.frontend.kind {
        FrontendKind::Dynamo => leader.ports.system,
        FrontendKind::Vllm => job.public_port(),
        FrontendKind::Sglang | FrontendKind::TrtllmServe | FrontendKind::Mock => {
            leader.ports.http.unwrap_or_default()
        }
    };
    job.ctx.socket(&leader.node, port)
}

fn profiling(job: &Job<'_>, target: &Target) -> Environment {
    let recipe = job.recipe;
    let mut env = Environment::new();
    if recipe.profiling.kind == "none" {
        return env;
    }
    env.insert("PROFILE_TYPE".to_owned(), recipe.profiling.kind.clone());
    for role in Role::ALL {
        let Some(steps) = &recipe.roles.get(role).profiling else {
            continue;
        };
        let upper = role.as_str().to_uppercase();
        for (name, step) in [("START", steps.start_step), ("STOP", steps.stop_step)] {
            env.extend(step.map(|step| (format!("PROFILE_{upper}_{name}_STEP"), step.to_string())));
        }
    }
    let folder = format!("{}/profiles", job.ctx.logs);
    if recipe.profiling.kind == "torch" {
        env.insert("SGLANG_TORCH_PROFILER_DIR".to_owned(), folder.clone());
    }
    env.extend(workers(job, "PROFILE"));
    if matches!(recipe.benchmark.kind.as_str(), "sglang-bench" | "trace-replay") {
        let own = [
            ("PROFILE_OUTPUT_DIR", folder),
            ("BENCH_MODEL_NAME", job.ctx.served_model_name.clone()),
            ("HEAD_NODE", target.host.clone()),
            ("HEAD_PORT", target.port.to_string()),
        ];
        env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    }
    env
}

/// Prometheus endpoints for aiperf: of every process, or of every worker, or of the public endpoint.
pub(crate) fn metrics_urls(job: &Job<'_>, leaders_only: bool, target: &Target) -> String {
    if job.recipe.frontend.kind == FrontendKind::Vllm {
        return format!("{}/metrics", target.url);
    }
    let url = |address: String| format!("http://{address}/metrics");
    if leaders_only {
        let leaders = Role::ALL.into_iter().flat_map(|role| job.leaders(role));
        return leaders.map(|leader| url(endpoint(job, leader))).collect::<Vec<_>>().join(",");
    }
    let processes = job.processes.iter();
    let mut urls: Vec<_> =
        processes.map(|process| url(job.ctx.socket(&process.node, process.ports.system))).collect();
    urls.sort();
    urls.dedup();
    urls.join(",")
}
