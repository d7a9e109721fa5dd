//! TensorRT-LLM: one MPI step per worker.

use srt_context::Job;
use srt_launch::{Environment, PlannedFile, Probe, Step, Wait};
use srt_schema::recipe::{FrontendKind, TrtllmEngine};
use srt_topology::{PUBLIC_PORT, Process, Role};
use srt_yaml::{KeyOrder, Value};

use crate::{
    Backend, BackendError,
    environment::{self, Shape},
    profiling, worker,
};

/// Parallel sizes that `trtllm-serve` wants on its command line too.
const SIZES: [&str; 3] = ["tensor_parallel_size", "moe_expert_parallel_size", "pipeline_parallel_size"];

impl Backend for TrtllmEngine {
    fn name(&self) -> &'static str {
        "trtllm"
    }

    fn files(&self, job: &Job<'_>) -> Vec<PlannedFile> {
        let has_workers = |role: &Role| job.processes.iter().any(|process| process.role == *role);
        let file = |role| {
            let flags = Value::Map(worker::flags(job, role).clone());
            PlannedFile::yaml(config_name(role), flags, KeyOrder::Sorted)
        };
        Role::ALL.into_iter().filter(has_workers).map(file).collect()
    }

    fn steps(&self, job: &Job<'_>) -> Result<Vec<Step>, BackendError> {
        let leaders: Vec<_> = job.processes.iter().filter(|process| process.is_leader()).collect();
        Ok(leaders
            .iter()
            .enumerate()
            .map(|(position, leader)| {
                let mut step = step(self, job, leader);
                step.wait_for = predecessors(self, &leaders[..position], leader)
                    .map(|earlier| worker_is_up(job, earlier))
                    .collect();
                step
            })
            .collect())
    }
}

fn config_name(role: Role) -> String {
    format!("trtllm_config_{role}.yaml")
}

fn step(engine: &TrtllmEngine, job: &Job<'_>, leader: &Process) -> Step {
    let endpoint = job.endpoint(leader);
    // Engines of one node share memory under this name; another job on the node must not meet it.
    let shared_memory = format!("moe_shared_{}_{}_{}", job.ctx.job_id, leader.role, leader.index);
    let own = Environment::from([("TRTLLM_EPLB_SHM_NAME".to_owned(), shared_memory)]);
    let shape = Shape { request_plane: false, templates: false, cuda_visible_devices: true, own };
    let mut env = environment::worker(job, leader, shape);
    environment::kvbm(job, leader, &mut env);
    let mut step = worker::step(job, leader, command(engine, job, leader), env, false);
    step.nodes.clone_from(&endpoint.nodes);
    step.srun = ["--mpi=pmix", "--oversubscribe", "--cpu-bind=verbose,none"].map(str::to_owned).to_vec();
    step.srun.push(format!("--nodes={}", endpoint.nodes.len()));
    step.srun.push(format!("--ntasks={}", endpoint.total_gpus()));
    step.srun.extend(job.ctx.het_option(&leader.node));
    step.srun.extend(worker::srun_options(job, false));
    if serves_clients(job, leader) {
        step.ports = vec![PUBLIC_PORT];
    }
    step
}

fn serves_clients(job: &Job<'_>, leader: &Process) -> bool {
    job.recipe.frontend.kind == FrontendKind::TrtllmServe && leader.role == Role::Agg
}

fn command(engine: &TrtllmEngine, job: &Job<'_>, leader: &Process) -> Vec<String> {
    let Process { role, index, node, .. } = leader;
    let ctx = job.ctx;
    let output = format!("{node}_{role}_w{index}_profile_rank%q{{SLURM_PROCID}}");
    let config = format!("{}/{}", ctx.logs, config_name(*role));
    let mut argv = profiling::prefix(job, *role, &output, true);
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    if binds_memory(engine, job, *role) {
        add(&["numactl", "-m", "0,1"]);
    }
    add(&["trtllm-llmapi-launch"]);
    if job.recipe.frontend.kind == FrontendKind::TrtllmServe {
        let port =
            if serves_clients(job, leader) { PUBLIC_PORT } else { leader.ports.http.unwrap_or_default() };
        add(&["trtllm-serve", ctx.model.for_workers()]);
        add(&["--host", &ctx.listen_address(node), "--port", &port.to_string()]);
        let flags = worker::flags(job, *role);
        for key in SIZES {
            if let Some(size) = flags.get(key).filter(|size| **size != Value::Null) {
                add(&[&format!("--{key}"), &size.python_str()]);
            }
        }
        add(&["--config", &config]);
        return argv;
    }
    add(&["python3", "-m", "dynamo.trtllm", "--model-path", ctx.model.for_workers()]);
    add(&["--served-model-name", &ctx.served_model_name]);
    if *role != Role::Agg {
        add(&["--disaggregation-mode", role.as_str()]);
    }
    add(&["--extra-engine-args", &config, "--request-plane", &job.recipe.dynamo.request_plane]);
    if engine.publish_events_and_metrics {
        add(&["--publish-events-and-metrics"]);
    }
    argv
}

fn binds_memory(engine: &TrtllmEngine, job: &Job<'_>, role: Role) -> bool {
    let by_default = matches!(job.recipe.hardware.gpu_type.as_str(), "gb200" | "gb300");
    role != Role::Agg && engine.numa_memory_bind.unwrap_or(by_default)
}

/// The workers of the batch before this one on the same leader node.
fn predecessors<'a>(
    engine: &TrtllmEngine,
    earlier: &'a [&'a Process],
    leader: &'a Process,
) -> impl Iterator<Item = &'a Process> {
    let batch = engine.sequential_node_start as usize;
    let on_node = earlier.iter().filter(|other| other.node == leader.node).count();
    let first = match batch {
        0 => 0,
        batch => (on_node / batch).saturating_sub(1) * batch,
    };
    let count = if batch == 0 || on_node < batch { 0 } else { batch };
    earlier.iter().copied().filter(|other| other.node == leader.node).skip(first).take(count)
}

fn worker_is_up(job: &Job<'_>, leader: &Process) -> Wait {
    let serves = job.recipe.frontend.kind == FrontendKind::TrtllmServe;
    let port = leader.ports.http.filter(|_| serves).unwrap_or(leader.ports.system);
    let url = format!("http://{}/health", job.ctx.socket(&leader.node, port));
    job.worker_wait(format!("{} worker {}", leader.role, leader.index), Probe::Http { url })
}
