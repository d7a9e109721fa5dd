//! The plan for machines: the document that `srtctl dry-run --json` prints.
//!
//! Types of its own, so that the plan may change without the document. Values of secret variables are left out.

use indexmap::IndexMap;
use serde::Serialize;
use srt_launch::{Lifetime, Preamble, Stage, Step, Wait, is_secret_variable};
use srt_schema::Variant;
use srt_topology::{NodeName, Role};
use srt_yaml::Value;

use crate::plan::Plan;

/// Format and version of the document.
pub const FORMAT: &str = "srtctl.plan/1";

/// Stands for the value of a secret variable.
pub const REDACTED: &str = "***";

/// A variant of a recipe, and what it will do.
#[derive(Debug, Clone)]
pub struct PlannedVariant<'a> {
    /// The variant.
    pub variant: &'a Variant,
    /// Its plan.
    pub plan: Plan,
}

/// The document: one recipe file, all its variants.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    format: &'static str,
    recipe: &'a str,
    variants: Vec<VariantDocument<'a>>,
}

/// Makes the document of a recipe file.
pub fn document<'a>(recipe: &'a str, planned: &'a [PlannedVariant<'a>]) -> Document<'a> {
    Document { format: FORMAT, recipe, variants: planned.iter().map(variant).collect() }
}

#[derive(Debug, Serialize)]
struct VariantDocument<'a> {
    suffix: Option<&'a str>,
    name: &'a str,
    params: &'a IndexMap<String, Value>,
    #[serde(skip_serializing_if = "is_false")]
    only_when_selected: bool,
    summary: Summary<'a>,
    allocation: AllocationDocument<'a>,
    paths: Paths<'a>,
    mounts: Vec<String>,
    endpoints: Vec<EndpointDocument<'a>>,
    processes: Vec<ProcessDocument<'a>>,
    frontend: FrontendDocument<'a>,
    health: Health<'a>,
    nginx: Option<NginxDocument<'a>>,
    files: IndexMap<&'a str, &'a Value>,
    texts: IndexMap<&'a str, &'a str>,
    sbatch: &'a [(String, Option<String>)],
    steps: Vec<StepDocument<'a>>,
    expected: ExpectedDocument<'a>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(truth: &bool) -> bool {
    !truth
}

#[derive(Debug, Serialize)]
struct Summary<'a> {
    backend: &'a str,
    frontend: &'a str,
    benchmark: &'a str,
    served_model_name: &'a str,
    disaggregated: bool,
    nodes: u32,
    workers: PerRole,
    gpus_per_worker: PerRole,
    concurrencies: &'a [u64],
}

#[derive(Debug, Serialize)]
struct PerRole {
    prefill: u32,
    decode: u32,
    agg: u32,
}

#[derive(Debug, Serialize)]
struct AllocationDocument<'a> {
    job_id: &'a str,
    head: &'a NodeName,
    infra: &'a NodeName,
    bench: &'a NodeName,
    workers: &'a [NodeName],
    addresses: IndexMap<&'a NodeName, String>,
}

#[derive(Debug, Serialize)]
struct Paths<'a> {
    run_name: &'a str,
    log_dir: &'a str,
    model_path: &'a str,
    worker_model_path: &'a str,
    container_image: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct EndpointDocument<'a> {
    role: Role,
    index: u32,
    nodes: &'a [NodeName],
    gpus: &'a [u32],
}

#[derive(Debug, Serialize)]
struct ProcessDocument<'a> {
    role: Role,
    index: u32,
    rank: u32,
    node: &'a NodeName,
    gpus: &'a [u32],
    ports: Ports,
}

#[derive(Debug, Serialize)]
struct Ports {
    system: u16,
    http: Option<u16>,
    bootstrap: Option<u16>,
    kv_events: u16,
    nixl: u16,
    dp_rpc: Option<u16>,
}

#[derive(Debug, Serialize)]
struct FrontendDocument<'a> {
    nginx_node: Option<&'a NodeName>,
    nodes: &'a [NodeName],
    port: u16,
    public_port: u16,
}

#[derive(Debug, Serialize)]
struct Health<'a> {
    prefill: u32,
    decode: u32,
    host: &'a str,
    port: u16,
    interval_s: u32,
    timeout_s: u32,
}

#[derive(Debug, Serialize)]
struct NginxDocument<'a> {
    listen: u16,
    upstreams: &'a [String],
}

#[derive(Debug, Serialize)]
struct StepDocument<'a> {
    stage: &'static str,
    id: &'a str,
    /// Steps that end by themselves have no name by which they are managed.
    name: Option<&'a str>,
    nodes: &'a [NodeName],
    argv: &'a [String],
    env: IndexMap<&'a str, &'a str>,
    unset: &'a [String],
    preamble: Vec<String>,
    srun: Vec<&'a str>,
    log: &'a str,
    lifetime: &'static str,
    container: Option<&'a str>,
    wait_for: Vec<WaitDocument<'a>>,
    ports: &'a [u16],
}

#[derive(Debug, Serialize)]
struct WaitDocument<'a> {
    what: &'a str,
    interval_s: u32,
    timeout_s: u32,
}

#[derive(Debug, Serialize)]
struct ExpectedDocument<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrencies: Option<&'a [u64]>,
}

fn variant<'a>(planned: &'a PlannedVariant<'a>) -> VariantDocument<'a> {
    let (variant, plan) = (planned.variant, &planned.plan);
    let ctx = &plan.context;
    let nodes = &ctx.nodes;
    VariantDocument {
        suffix: variant.suffix.as_deref(),
        name: &plan.name,
        params: &variant.params,
        only_when_selected: variant.only_when_selected,
        summary: summary(plan),
        allocation: AllocationDocument {
            job_id: ctx.job_id.as_str(),
            head: &nodes.head,
            infra: &nodes.infra,
            bench: &nodes.bench,
            workers: &nodes.workers,
            addresses: nodes.all().into_iter().map(|node| (node, ctx.address(node).to_string())).collect(),
        },
        paths: Paths {
            run_name: &ctx.run_name,
            log_dir: &ctx.log_dir,
            model_path: &ctx.model.path,
            worker_model_path: ctx.model.for_workers(),
            container_image: ctx.container.as_deref(),
        },
        mounts: ctx.mounts.iter().map(ToString::to_string).collect(),
        endpoints: endpoints(plan),
        processes: processes(plan),
        frontend: FrontendDocument {
            nginx_node: plan.frontend.nginx_node.as_ref(),
            nodes: &plan.frontend.nodes,
            port: plan.frontend.port,
            public_port: plan.frontend.public_port,
        },
        health: health(plan),
        nginx: plan
            .nginx
            .as_ref()
            .map(|nginx| NginxDocument { listen: nginx.listen, upstreams: &nginx.upstreams }),
        files: plan
            .files
            .iter()
            .filter_map(|file| Some((file.path.as_str(), file.value.as_ref()?)))
            .collect(),
        texts: plan
            .files
            .iter()
            .filter(|file| file.value.is_none())
            .map(|file| (file.path.as_str(), file.text.as_str()))
            .collect(),
        sbatch: &plan.sbatch,
        steps: plan.steps.iter().map(step).collect(),
        expected: match &plan.expected {
            crate::Expected::Serving => {
                ExpectedDocument { kind: "serving", folder: None, concurrencies: None }
            }
            crate::Expected::ExitCode => {
                ExpectedDocument { kind: "exit_code", folder: None, concurrencies: None }
            }
            crate::Expected::Points { folder, concurrencies } => {
                ExpectedDocument { kind: "points", folder: Some(folder), concurrencies: Some(concurrencies) }
            }
        },
    }
}

fn summary(plan: &Plan) -> Summary<'_> {
    let summary = &plan.summary;
    let per_role = |numbers: crate::plan::PerRole| PerRole {
        prefill: numbers.prefill,
        decode: numbers.decode,
        agg: numbers.agg,
    };
    Summary {
        backend: summary.backend,
        frontend: summary.frontend,
        benchmark: &summary.benchmark,
        served_model_name: &summary.served_model_name,
        disaggregated: summary.disaggregated,
        nodes: summary.nodes,
        workers: per_role(summary.workers),
        gpus_per_worker: per_role(summary.gpus_per_worker),
        concurrencies: &summary.concurrencies,
    }
}

fn endpoints(plan: &Plan) -> Vec<EndpointDocument<'_>> {
    plan.endpoints
        .iter()
        .map(|endpoint| EndpointDocument {
            role: endpoint.role,
            index: endpoint.index,
            nodes: &endpoint.nodes,
            gpus: endpoint.gpus.indices(),
        })
        .collect()
}

fn processes(plan: &Plan) -> Vec<ProcessDocument<'_>> {
    plan.processes
        .iter()
        .map(|process| ProcessDocument {
            role: process.role,
            index: process.index,
            rank: process.rank,
            node: &process.node,
            gpus: process.gpus.indices(),
            ports: Ports {
                system: process.ports.system,
                http: process.ports.http,
                bootstrap: process.ports.bootstrap,
                kv_events: process.ports.kv_events,
                nixl: process.ports.nixl,
                dp_rpc: process.ports.dp_rpc,
            },
        })
        .collect()
}

fn health(plan: &Plan) -> Health<'_> {
    let (interval_s, timeout_s) = (plan.readiness.interval_s, plan.readiness.timeout_s);
    let readiness = plan.public_endpoint().expect("a plan waits for its frontend");
    Health {
        prefill: readiness.prefill,
        decode: readiness.decode,
        host: &readiness.host,
        port: readiness.port,
        interval_s,
        timeout_s,
    }
}

fn step(step: &Step) -> StepDocument<'_> {
    let is_managed = !matches!(step.stage, Stage::HfCache | Stage::StageModel | Stage::Benchmark);
    let shown = |name: &str, value| if is_secret_variable(name) { REDACTED } else { value };
    StepDocument {
        stage: step.stage.name(),
        id: step.id.as_str(),
        name: is_managed.then(|| step.id.as_str()),
        nodes: &step.nodes,
        argv: &step.argv,
        env: step.env.iter().map(|(name, value)| (name.as_str(), shown(name, value))).collect(),
        unset: &step.unset,
        preamble: step.preamble.iter().filter_map(preamble).collect(),
        srun: step.srun.iter().map(String::as_str).filter(|option| !option.starts_with("--export")).collect(),
        log: &step.log,
        lifetime: match step.lifetime {
            Lifetime::Service => "service",
            Lifetime::OptionalService => "optional_service",
            Lifetime::Task => "task",
            Lifetime::OptionalTask => "optional_task",
        },
        container: step.container.as_ref().map(|container| container.image.as_str()),
        wait_for: step.wait_for.iter().map(wait).collect(),
        ports: &step.ports,
    }
}

fn wait(wait: &Wait) -> WaitDocument<'_> {
    WaitDocument { what: &wait.what, interval_s: wait.interval_s, timeout_s: wait.timeout_s }
}

/// What a recipe asked to run before the command; the cluster's own text runs before everything and is no news.
fn preamble(preamble: &Preamble) -> Option<String> {
    match preamble {
        Preamble::SetupScript { name, .. } => Some(format!("setup_script:{name}")),
        Preamble::DynamoInstall(_) => Some("dynamo_install".to_owned()),
        Preamble::Cluster(_) | Preamble::Shell(_) => None,
    }
}
