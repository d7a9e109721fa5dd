//! NVIDIA Dynamo's frontend.

use srt_context::Job;
use srt_launch::{Environment, FrontendProtocol, Stage, Step, flags};
use srt_schema::recipe::Engine;
use srt_topology::{ETCD_PORT, NATS_PORT, NodeName};

use crate::{Frontend, FrontendError, FrontendLayout};

pub(crate) struct Dynamo;

impl Frontend for Dynamo {
    fn name(&self) -> &'static str {
        "dynamo"
    }

    fn protocol(&self) -> FrontendProtocol {
        FrontendProtocol::Dynamo
    }

    fn needs_infra(&self) -> bool {
        true
    }

    fn may_fan_out(&self) -> bool {
        true
    }

    fn listed_model(&self, job: &Job<'_>) -> Option<String> {
        // vLLM's commands repeat the recipe's own name flags, and the last one wins.
        let name_is_ours = !matches!(job.recipe.engine, Engine::Vllm(_));
        name_is_ours.then(|| job.ctx.served_model_name.clone())
    }

    fn steps(&self, job: &Job<'_>, layout: &FrontendLayout) -> Result<Vec<Step>, FrontendError> {
        let step = |(index, node)| {
            let mut argv: Vec<String> = ["python3", "-m", "dynamo.frontend"].map(str::to_owned).to_vec();
            argv.push(format!("--http-port={}", layout.port));
            if job.ctx.is_virtual(node) {
                argv.push(format!("--http-host={}", job.ctx.listen_address(node)));
            }
            argv.extend(flags::in_order(&job.recipe.frontend.args));
            let mut step = job.ctx.step(Stage::Frontend, &format!("frontend_{index}"), node, argv);
            step.log = format!("{node}_frontend_{index}.out");
            step.env = environment(job, node);
            step.preamble.extend(job.setup_preamble());
            step.srun.splice(0..0, job.ctx.container_mpi());
            step.srun.extend(job.remap_root_export().map(|export| format!("--export=ALL,{export}")));
            step.ports = vec![layout.port];
            step
        };
        Ok(layout.nodes.iter().enumerate().map(step).collect())
    }
}

fn environment(job: &Job<'_>, node: &NodeName) -> Environment {
    let (ctx, recipe) = (job.ctx, job.recipe);
    let infra = ctx.host(&ctx.nodes.infra);
    let mut env = Environment::new();
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    set("ETCD_ENDPOINTS", format!("http://{infra}:{ETCD_PORT}"));
    set("NATS_SERVER", format!("nats://{infra}:{NATS_PORT}"));
    set("DYN_REQUEST_PLANE", recipe.dynamo.request_plane.clone());
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
        set("OTEL_SERVICE_NAME", "dynamo-frontend".to_owned());
    }
    env.extend(ctx.loopback_environment(node));
    env.extend(ctx.environment.clone());
    env.extend(recipe.frontend.env.clone());
    env
}
