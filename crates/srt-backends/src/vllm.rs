//! vLLM: behind Dynamo, or `vllm serve` itself.

use srt_context::Job;
use srt_launch::{Environment, PlannedFile, Step, flags, python};
use srt_schema::recipe::{
    DpLaunchMode, EngineFlags, FrontendKind, MooncakeStore, ProfilingSteps, Recipe, VllmEngine,
};
use srt_topology::{DataParallel, Layout, MOONCAKE_PORT, PUBLIC_PORT, Process, Role};
use srt_yaml::Value;

use crate::{
    Backend, BackendError,
    environment::{self, Shape},
    kv_events, profiling, worker,
};

/// Flags of a data-parallel worker that the command sets itself.
const DP_FLAGS: [&str; 5] = [
    "data-parallel-rpc-port",
    "data-parallel-size-local",
    "data-parallel-start-rank",
    "data-parallel-hybrid-lb",
    "headless",
];
/// Flags of `vllm serve` that the command sets itself.
const SERVE_FLAGS: [&str; 6] = ["headless", "host", "port", "master-addr", "nnodes", "node-rank"];
const DEFAULT_RPC_PORT: u16 = 8400;
const STORE_CONFIG: &str = "mooncake_store_config.json";

impl Backend for VllmEngine {
    fn name(&self) -> &'static str {
        "vllm"
    }

    fn layout(&self, recipe: &Recipe, role: Role) -> Result<Layout, BackendError> {
        let flags = recipe.roles.get(role).flags.as_ref();
        let size = count(flags, "data-parallel-size", role)?;
        let Some(size) = size.filter(|_| recipe.frontend.kind != FrontendKind::Vllm) else {
            return Ok(Layout::PerNode);
        };
        let positive =
            |flag| Ok::<_, BackendError>(count(flags, flag, role)?.filter(|size| *size > 0).unwrap_or(1));
        let sizes = DataParallel {
            size,
            tensor: positive("tensor-parallel-size")?,
            pipeline: positive("pipeline-parallel-size")?,
        };
        Ok(match self.dp_launch_mode {
            DpLaunchMode::PerNode => Layout::DataParallelPerNode(sizes),
            DpLaunchMode::PerGpu => Layout::DataParallelPerGpu { size: Some(size) },
        })
    }

    fn mooncake(&self) -> Option<&MooncakeStore> {
        self.mooncake.as_ref()
    }

    fn may_colocate(&self, recipe: &Recipe) -> bool {
        let (prefill, decode) = (&recipe.roles.prefill, &recipe.roles.decode);
        let gpus =
            |role: &srt_schema::recipe::RoleSpec| u64::from(role.workers) * u64::from(role.gpus_per_worker);
        let fits_one_node = gpus(prefill) + gpus(decode) <= u64::from(recipe.hardware.gpus_per_node);
        self.colocate_prefill_decode
            && prefill.workers > 0
            && decode.workers > 0
            && (fits_one_node || self.colocate_across_nodes)
    }

    fn files(&self, job: &Job<'_>) -> Vec<PlannedFile> {
        let Some(config) = self.mooncake.as_ref().and_then(|store| store.store_config.clone()) else {
            return self.mooncake.iter().map(|_| store_config(job, EngineFlags::new())).collect();
        };
        vec![store_config(job, config)]
    }

    fn steps(&self, job: &Job<'_>) -> Result<Vec<Step>, BackendError> {
        job.processes.iter().map(|process| step(self, job, process)).collect()
    }

    fn registrations(&self, job: &Job<'_>, role: Role) -> u32 {
        let workers = job.recipe.roles.get(role).workers;
        let counts_ranks = job.recipe.frontend.kind == FrontendKind::Dynamo;
        match self.layout(job.recipe, role) {
            Ok(Layout::DataParallelPerNode(sizes)) if counts_ranks && sizes.size > 1 => {
                let mut processes = job.processes.iter().filter(|process| process.role == role);
                // Where a replica spans nodes, only its first node registers.
                let spans = processes.clone().next().is_some_and(|process| process.ports.dp_rpc.is_none());
                if spans { workers } else { u32::try_from(processes.by_ref().count()).unwrap_or(u32::MAX) }
            }
            Ok(Layout::DataParallelPerGpu { size: Some(size) }) if counts_ranks => {
                workers.saturating_mul(size.max(1))
            }
            _ => workers,
        }
    }
}

/// A flag that counts something; both spellings are known.
fn count(flags: Option<&EngineFlags>, flag: &'static str, role: Role) -> Result<Option<u32>, BackendError> {
    let not_null = |value: &&Value| **value != Value::Null;
    let value = flags.and_then(|flags| {
        let underscored = || flags.get(&flag.replace('-', "_")).filter(not_null);
        flags.get(flag).filter(not_null).or_else(underscored)
    });
    let number = match value {
        None => return Ok(None),
        Some(Value::Int(number)) => u32::try_from(*number).ok(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    let wrong = || BackendError::NotACount { flag, role, value: value.unwrap_or(&Value::Null).python_str() };
    number.map(Some).ok_or_else(wrong)
}

fn store_config(job: &Job<'_>, mut config: EngineFlags) -> PlannedFile {
    let master = job.ctx.socket(&job.ctx.nodes.infra, MOONCAKE_PORT);
    config.insert("master_server_address".to_owned(), Value::String(master));
    let value = Value::Map(config);
    PlannedFile {
        path: STORE_CONFIG.to_owned(),
        text: format!("{}\n", python::json(&value)),
        value: Some(value),
    }
}

fn step(engine: &VllmEngine, job: &Job<'_>, process: &Process) -> Result<Step, BackendError> {
    let shape = Shape {
        request_plane: true,
        templates: true,
        cuda_visible_devices: engine.set_cuda_visible_devices,
        own: Environment::new(),
    };
    let mut env = environment::worker(job, process, shape);
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    set("DYN_VLLM_KV_EVENT_PORT", process.ports.kv_events.to_string());
    set("VLLM_NIXL_SIDE_CHANNEL_PORT", process.ports.nixl.to_string());
    set("VLLM_NIXL_SIDE_CHANNEL_HOST", job.ctx.address(&process.node).to_string());
    set("VLLM_PORT", process.ports.vllm()?.to_string());
    if let Some(store) = &engine.mooncake {
        let path = format!("{}/{STORE_CONFIG}", job.ctx.logs);
        environment::mooncake(job, process, store, Some(path), &mut env);
    }
    environment::kvbm(job, process, &mut env);

    let is_served = job.recipe.frontend.kind == FrontendKind::Vllm;
    let command =
        if is_served { serve_command(engine, job, process) } else { dynamo_command(engine, job, process)? };
    let output = format!(
        "{}_{}_w{}_profile_gpu{}",
        process.node,
        process.role,
        process.index,
        process.gpus.joined("-")
    );
    let mut argv = profiling::prefix(job, process.role, &output, false);
    argv.extend(command);

    let rank_in_name = matches!(engine.layout(job.recipe, process.role)?, Layout::DataParallelPerGpu { .. });
    let mut step = worker::step(job, process, argv, env, rank_in_name);
    step.srun.extend(worker::srun_options(job, true));
    if job.endpoint(process).nodes.len() > 1 {
        step.unset.push("VLLM_PORT".to_owned());
    }
    if is_served {
        step.ports = if process.is_leader() { vec![PUBLIC_PORT] } else { Vec::new() };
    }
    Ok(step)
}

fn dynamo_command(
    engine: &VllmEngine,
    job: &Job<'_>,
    process: &Process,
) -> Result<Vec<String>, BackendError> {
    let (ctx, endpoint) = (job.ctx, job.endpoint(process));
    let Process { role, node, .. } = process;
    let mut own_flags = worker::flags(job, *role).clone();
    add_profiler(job, *role, &mut own_flags);
    let layout = engine.layout(job.recipe, *role)?;

    let mut argv: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    add(&["python3", "-m", "dynamo.vllm", "--model", ctx.model.for_workers()]);
    add(&["--served-model-name", &ctx.served_model_name]);
    if *role != Role::Agg {
        add(&["--disaggregation-mode", role.as_str()]);
    }
    if let Some(connector) = connector(engine, &own_flags) {
        add(&["--kv-transfer-config", &connector]);
    }
    if !engine.set_cuda_visible_devices && !process.gpus.is_empty() {
        add(&["--device-ids", &process.gpus.joined(",")]);
    }
    let leader = ctx.address(endpoint.leader()).to_string();
    let nodes = endpoint.nodes.len().to_string();
    let rank = process.rank.to_string();
    let given_port = flags::lookup(&own_flags, "data-parallel-rpc-port").map(Value::python_str);
    let rpc_port = process
        .ports
        .dp_rpc
        .map(|port| port.to_string())
        .or(given_port)
        .unwrap_or_else(|| DEFAULT_RPC_PORT.to_string());
    match layout {
        Layout::DataParallelPerNode(sizes) => {
            own_flags.retain(|key, _| !DP_FLAGS.iter().any(|own| flags::is_same(key, own)));
            let replica = sizes.tensor as usize * sizes.pipeline as usize;
            if replica > process.gpus.len() {
                add(&["--master-addr", &leader, "--nnodes", &nodes, "--node-rank", &rank]);
                add(&["--data-parallel-address", &leader, "--data-parallel-rpc-port", &rpc_port]);
                if !process.is_leader() {
                    add(&["--headless"]);
                }
            } else {
                let local = process.gpus.len() / replica;
                add(&["--data-parallel-size-local", &local.to_string(), "--data-parallel-start-rank", &rank]);
                add(&["--data-parallel-address", &leader, "--data-parallel-rpc-port", &rpc_port]);
                add(&["--data-parallel-hybrid-lb"]);
            }
        }
        Layout::DataParallelPerGpu { .. } => {
            add(&["--data-parallel-rank", &rank]);
            add(&["--data-parallel-address", &leader, "--data-parallel-rpc-port", &rpc_port]);
        }
        Layout::PerNode if endpoint.nodes.len() > 1 => {
            add(&["--master-addr", &leader, "--nnodes", &nodes, "--node-rank", &rank]);
            if !process.is_leader() {
                add(&["--headless"]);
            }
        }
        Layout::PerNode => {}
    }
    add(&["--request-plane", &job.recipe.dynamo.request_plane]);
    add(&["--dump-config-to", &format!("{}/{node}_config.json", ctx.log_dir)]);
    argv.extend(kv_events::flag(job, process, &[("enable_kv_cache_events", Value::Bool(true))]));
    argv.extend(flags::engine(&own_flags, |key| key != "connector"));
    Ok(argv)
}

fn serve_command(engine: &VllmEngine, job: &Job<'_>, process: &Process) -> Vec<String> {
    let (ctx, endpoint) = (job.ctx, job.endpoint(process));
    let mut own_flags = worker::flags(job, process.role).clone();
    add_profiler(job, process.role, &mut own_flags);
    let served = Value::String(ctx.served_model_name.clone());
    own_flags.entry("served-model-name".to_owned()).or_insert(served);

    let mut argv: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    add(&["vllm", "serve", ctx.model.for_workers()]);
    if process.is_leader() {
        add(&["--host", &ctx.listen_address(&process.node), "--port", &PUBLIC_PORT.to_string()]);
    }
    if endpoint.nodes.len() > 1 {
        let leader = ctx.address(endpoint.leader()).to_string();
        add(&["--master-addr", &leader, "--nnodes", &endpoint.nodes.len().to_string()]);
        add(&["--node-rank", &process.rank.to_string()]);
        if !process.is_leader() {
            add(&["--headless"]);
            own_flags.retain(|key, _| !flags::is_same(key, "api-server-count"));
        }
    }
    if !engine.set_cuda_visible_devices && !process.gpus.is_empty() {
        add(&["--device-ids", &process.gpus.joined(",")]);
    }
    let is_free = |key: &str| key != "connector" && !SERVE_FLAGS.iter().any(|own| flags::is_same(key, own));
    argv.extend(flags::engine(&own_flags, is_free));
    argv
}

/// The KV transfer configuration: a preset's, or the recipe's own JSON.
fn connector(engine: &VllmEngine, flags: &EngineFlags) -> Option<String> {
    let of_role = flags.get("connector").filter(|value| **value != Value::Null).map(Value::python_str);
    let name = of_role.or_else(|| engine.connector.clone())?;
    let preset = |connector: &str, module: Option<&str>| {
        let mut config =
            EngineFlags::from([("kv_connector".to_owned(), Value::String(connector.to_owned()))]);
        if let Some(module) = module {
            config.insert("kv_connector_module_path".to_owned(), Value::String(module.to_owned()));
        }
        config.insert("kv_role".to_owned(), Value::String("kv_both".to_owned()));
        Some(python::json(&Value::Map(config)))
    };
    match name.to_ascii_lowercase().as_str() {
        "" | "null" | "none" => None,
        "nixl" => preset("NixlConnector", None),
        "lmcache" => preset("LMCacheConnectorV1", None),
        "kvbm" => preset("DynamoConnector", Some("kvbm.vllm_integration.connector")),
        _ => Some(name),
    }
}

/// Steps of an nsys profile are counted by vLLM itself.
fn add_profiler(job: &Job<'_>, role: Role, flags: &mut EngineFlags) {
    let steps = job.recipe.roles.get(role).profiling.clone().unwrap_or_default();
    if let ("nsys", ProfilingSteps { start_step: Some(start), stop_step: Some(stop) }) =
        (job.recipe.profiling.kind.as_str(), steps)
    {
        let config = EngineFlags::from([
            ("profiler".to_owned(), Value::String("cuda".to_owned())),
            ("delay_iterations".to_owned(), Value::Int(start)),
            ("max_iterations".to_owned(), Value::Int(stop.saturating_sub(start))),
        ]);
        flags.insert("profiler-config".to_owned(), Value::String(python::json(&Value::Map(config))));
    }
}
