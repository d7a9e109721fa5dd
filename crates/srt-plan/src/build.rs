//! [`plan`]: composes a [`Plan`].

use srt_backends::{Backend, BackendError, backend};
use srt_benchmarks::{BenchmarkError, Target, benchmark, concurrency_values};
use srt_context::{Allocation, ContextError, Job, PlacementError, RuntimeContext, Surroundings};
use srt_frontends::{Frontend, FrontendError, FrontendLayout, frontend, layout, nginx};
use srt_launch::{PlannedFile, Probe, Readiness, Stage, Step, StepId, Wait, shell};
use srt_schema::{cluster::ClusterConfig, recipe::Recipe};
use srt_topology::{
    AllocationError, AllocationRequest, Endpoint, Layout, LayoutError, NodePools, Process, Role, Workers,
    allocate_endpoints, lay_out_processes,
};

use crate::{
    allocation::worker_nodes,
    batch, infra, model,
    plan::{PerRole, Plan, Summary},
};

/// Why a recipe cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Paths, mounts, or nodes.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// Workers do not fit their nodes.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// Workers cannot be split into processes.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Workers cannot be started as asked.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The frontend cannot be started as asked.
    #[error(transparent)]
    Frontend(#[from] FrontendError),
    /// A frontend or client has no node.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The benchmark cannot run as asked.
    #[error(transparent)]
    Benchmark(#[from] BenchmarkError),
    /// A name that no shell takes for a variable.
    #[error(
        "{step} has the variable `{name}`: a name holds letters, digits, and `_`, and does not start with a digit"
    )]
    VariableName {
        /// The step.
        step: StepId,
        /// The name.
        name: String,
    },
    /// A text that cannot be handed to a process.
    #[error("{step} has a NUL character in {place}, which no process can be given")]
    Nul {
        /// The step.
        step: StepId,
        /// `argument 3`, or a variable's name.
        place: String,
    },
}

impl PlanError {
    /// The recipe's field at fault, as a dotted path, where one field is.
    pub fn field(&self) -> Option<String> {
        match self {
            Self::Context(error) => error.field().map(str::to_owned),
            Self::Benchmark(error) => error.field(),
            Self::Frontend(error) => error.field(),
            Self::Placement(error) => Some(error.field.to_owned()),
            Self::Allocation(_) => Some("resources".to_owned()),
            Self::Layout(_) | Self::Backend(_) => Some("backend".to_owned()),
            Self::VariableName { .. } | Self::Nul { .. } => None,
        }
    }
}

/// Decides everything one run will do.
pub fn plan(
    recipe: &Recipe,
    cluster: &ClusterConfig,
    allocation: &Allocation,
    surroundings: &Surroundings,
) -> Result<Plan, PlanError> {
    let ctx = RuntimeContext::new(recipe, cluster, allocation, surroundings)?;
    let backend = backend(&recipe.engine);
    let endpoints = allocate_endpoints(&request(recipe, &ctx, backend))?;
    let processes = processes(recipe, backend, &endpoints)?;
    let job = Job { recipe, ctx: &ctx, endpoints: &endpoints, processes: &processes };

    let frontend = frontend(&recipe.frontend.kind);
    let layout = layout(&job)?;
    let nginx = nginx(&job, &layout)?;
    let target = Target::new(&job, &layout.public_node, layout.public_port);
    let load = benchmark(&recipe.benchmark.kind)?.plan(&job, &target)?;

    let mut files = own_files(&job, frontend, &layout)?;
    files.extend(backend.files(&job));
    files.extend(nginx.as_ref().map(|nginx| nginx.config.clone()));

    let mut steps = preparation(&job, backend, frontend);
    steps.extend(workers(&job, backend, frontend)?);
    let nginx_plan = nginx.map(|nginx| {
        steps.push(nginx.step);
        nginx.plan
    });
    steps.extend(frontend.steps(&job, &layout)?);
    steps.extend(load.step);
    debug_assert!(steps.is_sorted_by_key(|step| step.stage), "stages start in their order");
    check_texts(&steps)?;

    Ok(Plan {
        name: recipe.name.clone(),
        summary: summary(recipe, &ctx, backend, frontend),
        readiness: readiness(&job, backend, frontend, &layout),
        sbatch: batch::directives(recipe, cluster, surroundings),
        frontend: layout,
        target,
        nginx: nginx_plan,
        files,
        steps,
        expected: load.expected,
        endpoints,
        processes,
        context: ctx,
    })
}

fn request(recipe: &Recipe, ctx: &RuntimeContext, backend: &dyn Backend) -> AllocationRequest {
    let workers = |role| {
        let spec = recipe.roles.get(role);
        Workers { count: spec.workers, gpus_each: spec.gpus_per_worker }
    };
    let pools = match &ctx.nodes.het {
        Some(het) => NodePools::Separate { prefill: het.prefill.clone(), decode: het.decode.clone() },
        None => NodePools::Shared {
            nodes: ctx.nodes.workers.clone(),
            spread_workers: recipe.hardware.spread_workers,
            colocate: backend.may_colocate(recipe),
        },
    };
    AllocationRequest {
        gpus_per_node: recipe.hardware.gpus_per_node,
        prefill: workers(Role::Prefill),
        decode: workers(Role::Decode),
        agg: workers(Role::Agg),
        pools,
    }
}

fn processes(
    recipe: &Recipe,
    backend: &dyn Backend,
    endpoints: &[Endpoint],
) -> Result<Vec<Process>, PlanError> {
    let of = |role| {
        let is_used = endpoints.iter().any(|endpoint| endpoint.role == role);
        if is_used { backend.layout(recipe, role) } else { Ok(Layout::PerNode) }
    };
    let (prefill, decode, agg) = (of(Role::Prefill)?, of(Role::Decode)?, of(Role::Agg)?);
    let layout = |role| match role {
        Role::Prefill => prefill,
        Role::Decode => decode,
        Role::Agg => agg,
    };
    Ok(lay_out_processes(endpoints, layout)?)
}

/// Files of the run itself and of the frontend.
fn own_files(
    job: &Job<'_>,
    frontend: &dyn Frontend,
    layout: &FrontendLayout,
) -> Result<Vec<PlannedFile>, PlanError> {
    let mut files = model::files(job);
    if frontend.needs_infra() {
        files.extend(infra::files(job));
    }
    if job.recipe.profiling.kind != "none" {
        // Profilers write into folders that must exist; a file is what makes one.
        let roles = Role::ALL.into_iter().filter(|role| job.leaders(*role).next().is_some());
        files.extend(roles.map(|role| PlannedFile::text(format!("profiles/{role}/.keep"), "")));
    }
    files.extend(frontend.files(job, layout)?);
    Ok(files)
}

/// Steps before the workers.
fn preparation(job: &Job<'_>, backend: &dyn Backend, frontend: &dyn Frontend) -> Vec<Step> {
    let mut steps = Vec::new();
    if frontend.needs_infra() {
        steps.extend(infra::services(job));
    }
    steps.extend(backend.mooncake().map(|store| infra::mooncake(job, store)));
    steps.extend(model::download(job));
    steps.extend(model::staging(job));
    steps
}

fn workers(job: &Job<'_>, backend: &dyn Backend, frontend: &dyn Frontend) -> Result<Vec<Step>, PlanError> {
    let mut steps = backend.steps(job)?;
    let mut waits = Vec::new();
    if frontend.needs_infra() {
        waits.extend(infra::waits(job));
    }
    if backend.mooncake().is_some() {
        waits.extend(infra::mooncake_waits(job));
    }
    for step in &mut steps {
        step.wait_for.splice(0..0, waits.iter().cloned());
    }
    debug_assert!(steps.iter().all(|step| step.stage == Stage::Worker), "backends start workers only");
    Ok(steps)
}

fn readiness(job: &Job<'_>, backend: &dyn Backend, frontend: &dyn Frontend, layout: &FrontendLayout) -> Wait {
    let count = |role| backend.registrations(job, role);
    let (prefill, decode) = if job.recipe.roles.agg.workers > 0 {
        (0, count(Role::Agg))
    } else {
        (count(Role::Prefill), count(Role::Decode))
    };
    let readiness = Readiness {
        protocol: frontend.protocol(),
        host: job.ctx.host(&layout.public_node),
        port: layout.public_port,
        prefill,
        decode,
        model: frontend.listed_model(job),
    };
    job.worker_wait("the frontend".to_owned(), Probe::Frontend(readiness))
}

fn summary(recipe: &Recipe, ctx: &RuntimeContext, backend: &dyn Backend, frontend: &dyn Frontend) -> Summary {
    Summary {
        backend: backend.name(),
        frontend: frontend.name(),
        benchmark: recipe.benchmark.kind.clone(),
        served_model_name: ctx.served_model_name.clone(),
        disaggregated: recipe.roles.disaggregated,
        nodes: worker_nodes(recipe),
        workers: PerRole::of(|role| recipe.roles.get(role).workers),
        gpus_per_worker: PerRole::of(|role| recipe.roles.get(role).gpus_per_worker),
        concurrencies: recipe
            .benchmark
            .concurrencies
            .as_ref()
            .and_then(concurrency_values)
            .unwrap_or_default(),
    }
}

/// Refuses what no shell or process could be given, before anything starts.
fn check_texts(steps: &[Step]) -> Result<(), PlanError> {
    for step in steps {
        let id = &step.id;
        if let Some(name) = step.env.keys().find(|name| !shell::is_variable_name(name)) {
            return Err(PlanError::VariableName { step: id.clone(), name: name.clone() });
        }
        let in_argv =
            step.argv.iter().position(|word| word.contains('\0')).map(|at| format!("argument {at}"));
        let in_env = step.env.iter().find(|(_, value)| value.contains('\0')).map(|(name, _)| name.clone());
        if let Some(place) = in_argv.or(in_env) {
            return Err(PlanError::Nul { step: id.clone(), place });
        }
    }
    Ok(())
}
