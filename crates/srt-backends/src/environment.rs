//! Variables of a worker. A later write wins, but a variable keeps the place of its first.

use srt_context::Job;
use srt_launch::Environment;
use srt_schema::recipe::MooncakeStore;
use srt_topology::{ETCD_PORT, MOONCAKE_METADATA_PORT, MOONCAKE_PORT, NATS_PORT, Process};

use crate::{profiling, template};

const DYN_LOG: &str = "info,dynamo_runtime::pipeline::network::ingress::push_handler=warn";

/// What differs between engines.
pub(crate) struct Shape {
    /// Export the request plane.
    pub(crate) request_plane: bool,
    /// Fill `{node}` in the recipe's values.
    pub(crate) templates: bool,
    /// Choose GPUs by variable where the process has not all of the node.
    pub(crate) cuda_visible_devices: bool,
    /// Set after the role's variables and before the job's.
    pub(crate) own: Environment,
}

/// Everything up to what an engine adds to a process itself.
pub(crate) fn worker(job: &Job<'_>, process: &Process, shape: Shape) -> Environment {
    let mut env = Environment::new();
    dynamo(job, process, shape.request_plane, &mut env);
    let node_id = job.ctx.nodes.workers.iter().position(|node| *node == process.node).unwrap_or_default();
    let value = |text: &str| {
        if shape.templates { template::fill(text, process.node.as_str(), node_id) } else { text.to_owned() }
    };
    for (name, text) in &job.recipe.roles.get(process.role).environment {
        env.insert(name.clone(), value(text));
    }
    env.extend(shape.own);
    for (name, text) in &job.ctx.environment {
        env.insert(name.clone(), value(text));
    }
    profiling::environment(job, process.role, &mut env);
    let all = usize::try_from(job.recipe.hardware.gpus_per_node).unwrap_or(usize::MAX);
    if shape.cuda_visible_devices && process.gpus.len() < all {
        env.insert("CUDA_VISIBLE_DEVICES".to_owned(), process.gpus.joined(","));
    }
    env
}

fn dynamo(job: &Job<'_>, process: &Process, request_plane: bool, env: &mut Environment) {
    let (ctx, recipe) = (job.ctx, job.recipe);
    let infra = ctx.host(&ctx.nodes.infra);
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    set("HEAD_NODE_IP", ctx.address(&ctx.nodes.head).to_string());
    set("ETCD_ENDPOINTS", format!("http://{infra}:{ETCD_PORT}"));
    set("NATS_SERVER", format!("nats://{infra}:{NATS_PORT}"));
    set("DYN_SYSTEM_PORT", process.ports.system.to_string());
    if request_plane {
        set("DYN_REQUEST_PLANE", recipe.dynamo.request_plane.clone());
    }
    set("DYN_SKIP_SGLANG_LOG_FORMATTING", "1".to_owned());
    if let Some(plane) = &recipe.dynamo.event_plane {
        set("DYN_EVENT_PLANE", plane.clone());
    }
    if let Some(endpoint) =
        recipe.observability.otel_endpoint.as_ref().filter(|_| recipe.observability.enable_otel)
    {
        set("DYN_LOGGING_JSONL", "1".to_owned());
        set("OTEL_EXPORT_ENABLED", "1".to_owned());
        set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.clone());
        set("OTEL_SERVICE_NAME", format!("dynamo-{}", process.role));
    }
    set("DYN_LOG", DYN_LOG.to_owned());
    env.extend(ctx.loopback_environment(&process.node));
}

/// Variables of the Mooncake store; `config_path` where the engine reads a file of it.
pub(crate) fn mooncake(
    job: &Job<'_>,
    process: &Process,
    store: &MooncakeStore,
    config_path: Option<String>,
    env: &mut Environment,
) {
    let infra = &job.ctx.nodes.infra;
    env.insert("MOONCAKE_LOCAL_HOSTNAME".to_owned(), job.ctx.address(&process.node).to_string());
    env.extend(store.env.clone());
    env.insert("MOONCAKE_MASTER".to_owned(), job.ctx.socket(infra, MOONCAKE_PORT));
    let metadata = format!("http://{}/metadata", job.ctx.socket(infra, MOONCAKE_METADATA_PORT));
    env.insert("MOONCAKE_TE_META_DATA_SERVER".to_owned(), metadata);
    if let Some(path) = config_path {
        env.insert("MOONCAKE_CONFIG_PATH".to_owned(), path);
    }
}

/// Addresses of the KV block manager, where the recipe chose it and did not set them itself.
pub(crate) fn kvbm(job: &Job<'_>, process: &Process, env: &mut Environment) {
    let is_kvbm = env.get("DYN_CONNECTOR").is_some_and(|connector| connector.eq_ignore_ascii_case("kvbm"));
    if !is_kvbm {
        return;
    }
    let endpoint = job.endpoint(process);
    if endpoint.nodes.len() > 1 {
        let leader = job.ctx.address(endpoint.leader()).to_string();
        env.entry("DYN_KVBM_LEADER_ZMQ_HOST".to_owned()).or_insert(leader);
    }
    let leader = job.leaders(process.role).find(|leader| leader.index == process.index);
    if let Some((publish, acknowledge)) = leader.and_then(|leader| leader.ports.kvbm()) {
        env.entry("DYN_KVBM_LEADER_ZMQ_PUB_PORT".to_owned()).or_insert(publish.to_string());
        env.entry("DYN_KVBM_LEADER_ZMQ_ACK_PORT".to_owned()).or_insert(acknowledge.to_string());
    }
}
