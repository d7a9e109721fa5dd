//! `trtllm-serve`: an orchestrator in front of disaggregated servers, or the one aggregated server itself.

use indexmap::IndexMap;
use srt_context::Job;
use srt_launch::{FrontendProtocol, PlannedFile, Probe, Stage, Step, Wait, flags};
use srt_topology::{NodeName, Process, Role};
use srt_yaml::{KeyOrder, Value};

use crate::{Frontend, FrontendError, FrontendLayout};

const CONFIG: &str = "ser.yaml";

pub(crate) struct TrtllmServe;

impl Frontend for TrtllmServe {
    fn name(&self) -> &'static str {
        "trtllm_serve"
    }

    fn protocol(&self) -> FrontendProtocol {
        FrontendProtocol::TrtllmServe
    }

    fn files(&self, job: &Job<'_>, layout: &FrontendLayout) -> Result<Vec<PlannedFile>, FrontendError> {
        match layout.nodes.first() {
            Some(node) if !job.worker_is_public() => {
                let config = server_config(job, node, layout.port);
                Ok(vec![PlannedFile::yaml(CONFIG, Value::Map(config), KeyOrder::Kept)])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn steps(&self, job: &Job<'_>, layout: &FrontendLayout) -> Result<Vec<Step>, FrontendError> {
        if job.worker_is_public() {
            return Ok(Vec::new());
        }
        let (prefill, decode) = (job.leaders(Role::Prefill).count(), job.leaders(Role::Decode).count());
        if prefill == 0 || decode == 0 {
            return Err(FrontendError::MissingWorkers { frontend: "trtllm_serve", prefill, decode });
        }
        let step = |node| {
            let mut argv: Vec<String> =
                ["trtllm-serve", "disaggregated", "--config"].map(str::to_owned).to_vec();
            argv.push(format!("{}/{CONFIG}", job.ctx.logs));
            argv.extend(flags::in_order(&job.recipe.frontend.args));
            let mut step = job.ctx.step(Stage::Frontend, "trtllm_serve_orchestrator", node, argv);
            step.log = format!("{node}_trtllm_serve_orchestrator.out");
            step.env.clone_from(&job.recipe.frontend.env);
            step.srun.splice(0..0, job.ctx.container_mpi());
            let workers = job.leaders(Role::Prefill).chain(job.leaders(Role::Decode));
            step.wait_for = workers.map(|leader| worker_is_up(job, leader)).collect();
            step.ports = vec![layout.port];
            step
        };
        Ok(layout.nodes.iter().map(step).collect())
    }
}

fn server_config(job: &Job<'_>, node: &NodeName, port: u16) -> IndexMap<String, Value> {
    let servers = |role, router: &Option<IndexMap<String, Value>>| {
        let url = |leader: &Process| {
            Value::String(job.ctx.socket(&leader.node, leader.ports.http.unwrap_or_default()))
        };
        let urls: Vec<_> = job.leaders(role).map(url).collect();
        let mut section = IndexMap::from([
            ("num_instances".to_owned(), Value::Int(i64::try_from(urls.len()).unwrap_or(i64::MAX))),
            ("urls".to_owned(), Value::List(urls)),
        ]);
        section.extend(router.iter().map(|router| ("router".to_owned(), Value::Map(router.clone()))));
        Value::Map(section)
    };
    let frontend = &job.recipe.frontend;
    let mut config = IndexMap::from([
        ("context_servers".to_owned(), servers(Role::Prefill, &frontend.ctx_router)),
        ("generation_servers".to_owned(), servers(Role::Decode, &frontend.gen_router)),
        ("hostname".to_owned(), Value::String(job.ctx.listen_address(node))),
        ("port".to_owned(), Value::Int(i64::from(port))),
    ]);
    config.extend(frontend.server_config_extra.clone().unwrap_or_default());
    config
}

fn worker_is_up(job: &Job<'_>, leader: &Process) -> Wait {
    let address = job.ctx.socket(&leader.node, leader.ports.http.unwrap_or_default());
    job.worker_wait(
        format!("{} worker {}", leader.role, leader.index),
        Probe::Http { url: format!("http://{address}/health") },
    )
}
