//! A stand-in without a GPU: Dynamo's mocker behind Dynamo, our own engine behind a router.

use srt_context::Job;
use srt_launch::{Environment, SELF_PROGRAM, Step, flags};
use srt_schema::recipe::{EngineFlags, FrontendKind, MockerEngine};
use srt_topology::{Process, Role};
use srt_yaml::{Value, python_float};

use crate::{
    Backend, BackendError,
    environment::{self, Shape},
    profiling, worker,
};

const DEFAULT_SPEEDUP: f64 = 100.0;
const DEFAULT_BLOCK_SIZE: i64 = 16;

impl Backend for MockerEngine {
    fn name(&self) -> &'static str {
        "mocker"
    }

    fn steps(&self, job: &Job<'_>) -> Result<Vec<Step>, BackendError> {
        if job.recipe.frontend.kind == FrontendKind::Dynamo {
            return Ok(job.processes.iter().map(|process| dynamo_step(self, job, process)).collect());
        }
        // A mock engine stands for all nodes of its worker: its peers would have nothing to do.
        let leaders = job.processes.iter().filter(|process| process.is_leader());
        Ok(leaders.map(|leader| own_step(self, job, leader)).collect())
    }
}

fn dynamo_step(engine: &MockerEngine, job: &Job<'_>, process: &Process) -> Step {
    let shape =
        Shape { request_plane: true, templates: true, cuda_visible_devices: true, own: Environment::new() };
    let mut env = environment::worker(job, process, shape);
    environment::kvbm(job, process, &mut env);
    let mut step = worker::step(job, process, dynamo_command(engine, job, process), env, false);
    step.srun.extend(worker::srun_options(job, true));
    step
}

fn dynamo_command(engine: &MockerEngine, job: &Job<'_>, process: &Process) -> Vec<String> {
    let Process { role, index, node, .. } = process;
    let output = format!("{node}_{role}_w{index}_profile_gpu{}", process.gpus.joined("-"));
    let mut argv = profiling::prefix(job, *role, &output, false);
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    add(&["python3", "-m", "dynamo.mocker", "--model-path", job.ctx.model.for_workers()]);
    if *role != Role::Agg {
        add(&["--disaggregation-mode", role.as_str()]);
    }
    if let Some(port) = process.ports.bootstrap {
        add(&["--bootstrap-ports", &port.to_string()]);
    }
    add(&["--engine-type", &engine.engine_type, "--speedup-ratio", &python_float(engine.speedup_ratio)]);
    add(&["--data-parallel-size", &engine.data_parallel_size.to_string()]);
    add(&["--num-gpu-blocks-override", &engine.num_gpu_blocks.to_string()]);
    add(&["--max-num-seqs", &engine.max_num_seqs.to_string()]);
    add(&["--max-num-batched-tokens", &engine.max_num_batched_tokens.to_string()]);
    if differs(engine.decode_speedup_ratio, 1.0) {
        add(&["--decode-speedup-ratio", &python_float(engine.decode_speedup_ratio)]);
    }
    if let Some(size) = engine.block_size {
        add(&["--block-size", &size.to_string()]);
    }
    if engine.num_workers > 1 {
        add(&["--num-workers", &engine.num_workers.to_string()]);
    }
    if let Some(seconds) = engine.startup_time_s {
        add(&["--startup-time", &python_float(seconds)]);
    }
    if let Some(bandwidth) = engine.kv_transfer_bandwidth_gb_s {
        add(&["--kv-transfer-bandwidth", &python_float(bandwidth)]);
    }
    if let Some(dtype) = &engine.kv_cache_dtype {
        add(&["--kv-cache-dtype", dtype]);
    }
    if !engine.enable_prefix_caching {
        add(&["--no-enable-prefix-caching"]);
    }
    if !engine.enable_chunked_prefill {
        add(&["--no-enable-chunked-prefill"]);
    }
    if let Some(mode) = &engine.preemption_mode {
        add(&["--preemption-mode", mode]);
    }
    let given = worker::flags(job, *role);
    if flags::lookup(given, "model-name").is_none() {
        // Without it the model is called by its path, which no client asks for.
        add(&["--model-name", &job.ctx.served_model_name]);
    }
    argv.extend(flags::engine(given, |_| true));
    argv
}

fn own_step(engine: &MockerEngine, job: &Job<'_>, process: &Process) -> Step {
    let Process { role, node, .. } = process;
    let ctx = job.ctx;
    let text = |word: &str| word.to_owned();
    let mut argv = vec![text(SELF_PROGRAM), text("mock"), text("engine")];
    argv.extend([text("--host"), ctx.listen_address(node)]);
    argv.extend([text("--port"), process.ports.http.unwrap_or_default().to_string()]);
    argv.extend([text("--role"), role.to_string(), text("--model-path"), ctx.model.for_workers().to_owned()]);
    argv.extend([text("--served-model-name"), ctx.served_model_name.clone()]);
    if let Some(port) = process.ports.bootstrap {
        argv.extend([text("--bootstrap-port"), port.to_string()]);
    }
    argv.extend([text("--gpus"), job.endpoint(process).total_gpus().max(1).to_string()]);
    argv.extend(own_flags(engine, worker::flags(job, *role)));

    let mut env = job.recipe.roles.get(*role).environment.clone();
    env.extend(ctx.environment.clone());
    env.insert(text("CUDA_VISIBLE_DEVICES"), process.gpus.joined(","));
    let mut step = worker::step(job, process, argv, env, false);
    // The program lies on the host, not in an engine's image.
    step.container = None;
    step.srun.extend(worker::srun_options(job, true));
    step
}

/// Flags of our engine: what the recipe says in the words of Dynamo's mocker where that differs from its defaults,
/// unless the role says it itself. A list repeats its flag.
fn own_flags(engine: &MockerEngine, given: &EngineFlags) -> Vec<String> {
    let mut flags: Vec<(String, String)> = Vec::new();
    let mut translate = |is_set: bool, flag: &str, value: String| {
        if is_set && flags::lookup(given, flag).is_none() {
            flags.push((flag.to_owned(), value));
        }
    };
    let speedup = engine.speedup_ratio;
    translate(differs(speedup, DEFAULT_SPEEDUP) && speedup > 0.0, "speedup", python_float(speedup));
    translate(engine.max_num_seqs != 256, "max-running-requests", engine.max_num_seqs.to_string());
    let batched = engine.max_num_batched_tokens;
    translate(batched != 8192, "chunked-prefill-tokens", batched.to_string());
    let tokens = engine.num_gpu_blocks.saturating_mul(engine.block_size.unwrap_or(DEFAULT_BLOCK_SIZE));
    let sizes_cache = engine.num_gpu_blocks != 16384 || engine.block_size.is_some();
    translate(sizes_cache, "kv-capacity-tokens", tokens.to_string());
    translate(engine.engine_type == "trtllm", "log-format", "trtllm".to_owned());
    if let Some(seconds) = engine.startup_time_s {
        translate(true, "startup-s", python_float(seconds));
    }
    let mut argv: Vec<String> =
        flags.into_iter().flat_map(|(flag, value)| [format!("--{flag}"), value]).collect();
    for (key, value) in given {
        let items = match value {
            Value::List(items) => items.clone(),
            one => vec![one.clone()],
        };
        for item in items {
            argv.extend(flags::engine(&EngineFlags::from([(key.clone(), item)]), |_| true));
        }
    }
    argv
}

fn differs(number: f64, default: f64) -> bool {
    (number - default).abs() > f64::EPSILON
}
