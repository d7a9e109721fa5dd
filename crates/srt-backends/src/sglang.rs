//! SGLang.

use srt_context::Job;
use srt_launch::{Environment, Step, flags};
use srt_schema::recipe::{FrontendKind, MooncakeStore, SglangEngine};
use srt_topology::{DIST_INIT_PORT, Process, Role};

use crate::{
    Backend, BackendError,
    environment::{self, Shape},
    kv_events, profiling, worker,
};

/// Flags that the command sets itself.
const OWN_FLAGS: [&str; 3] = ["model-path", "served-model-name", "nccl-port"];

impl Backend for SglangEngine {
    fn name(&self) -> &'static str {
        "sglang"
    }

    fn mooncake(&self) -> Option<&MooncakeStore> {
        self.mooncake.as_ref()
    }

    fn steps(&self, job: &Job<'_>) -> Result<Vec<Step>, BackendError> {
        job.processes.iter().map(|process| step(self, job, process)).collect()
    }
}

fn step(engine: &SglangEngine, job: &Job<'_>, process: &Process) -> Result<Step, BackendError> {
    let shape =
        Shape { request_plane: true, templates: true, cuda_visible_devices: true, own: Environment::new() };
    let mut env = environment::worker(job, process, shape);
    if let Some(store) = &engine.mooncake {
        environment::mooncake(job, process, store, None, &mut env);
    }
    environment::kvbm(job, process, &mut env);
    let mut step = worker::step(job, process, command(job, process)?, env, false);
    step.srun.extend(worker::srun_options(job, true));
    Ok(step)
}

fn command(job: &Job<'_>, process: &Process) -> Result<Vec<String>, BackendError> {
    let (ctx, endpoint) = (job.ctx, job.endpoint(process));
    let Process { role, index, node, .. } = process;
    let routed_by_sglang = job.recipe.frontend.kind == FrontendKind::Sglang;
    let module = if routed_by_sglang { "sglang.launch_server" } else { "dynamo.sglang" };
    let output = format!("{node}_{role}_w{index}_profile_gpu{}", process.gpus.joined("-"));

    let mut argv = profiling::prefix(job, *role, &output, false);
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    add(&["python3", "-m", module, "--model-path", ctx.model.for_workers()]);
    add(&["--served-model-name", &ctx.served_model_name, "--host", &ctx.listen_address(node)]);
    add(&["--port", &process.ports.http.unwrap_or_default().to_string()]);
    add(&["--nccl-port", &process.ports.nccl()?.to_string()]);
    if *role != Role::Agg {
        add(&["--disaggregation-mode", role.as_str()]);
    }
    if let Some(port) = process.ports.bootstrap {
        add(&["--disaggregation-bootstrap-port", &port.to_string()]);
    }
    if endpoint.nodes.len() > 1 {
        let rank = endpoint.nodes.iter().position(|other| other == node).unwrap_or_default();
        add(&["--dist-init-addr", &ctx.socket(endpoint.leader(), DIST_INIT_PORT)]);
        add(&["--nnodes", &endpoint.nodes.len().to_string(), "--node-rank", &rank.to_string()]);
    }
    if !routed_by_sglang {
        add(&["--dump-config-to", &format!("{}/{node}_config.json", ctx.log_dir)]);
    }
    argv.extend(kv_events::flag(job, process, &[]));
    if !routed_by_sglang {
        argv.extend(["--request-plane".to_owned(), job.recipe.dynamo.request_plane.clone()]);
    }
    let is_free = |key: &str| !OWN_FLAGS.iter().any(|own| flags::is_same(key, own));
    argv.extend(flags::engine(worker::flags(job, *role), is_free));
    Ok(argv)
}
