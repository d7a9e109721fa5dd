//! Runs the jobs of recipes on this machine, one after the other.

use std::sync::Arc;

use anyhow::Context as _;
use camino::Utf8PathBuf;
use jiff::ZonedDateTime;
use srt_context::Allocation;
use srt_plan::PlannedVariant;
use srt_run::{RunFolder, RunRequest, local::LocalLauncher};
use srt_schema::Variant;

use crate::{
    commands::apply::ApplyArguments, environment::Environment, execute::execute, exit::Outcome, input::Input,
    local_network::LocalNetwork, planning, run_files::run_files, site,
};

/// Runs every job of the inputs; the first outcome that is no success is the answer.
pub(crate) fn run(
    arguments: &ApplyArguments,
    inputs: &[Input],
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let network = LocalNetwork::claim().context("failed to find a free loopback network")?;
    // Plans first: an impossible one must not be found after an hour of the others.
    let jobs = plan_jobs(arguments, inputs, environment, &network)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut answer = Outcome::Success;
    for job in &jobs {
        let outcome = runtime.block_on(run_job(job, environment, arguments.json))?;
        if answer == Outcome::Success {
            answer = outcome;
        }
        if matches!(outcome, Outcome::Signalled(_)) {
            return Ok(outcome);
        }
    }
    Ok(answer)
}

/// A job that is about to run.
struct LocalJob<'a> {
    input: &'a Input,
    planned: PlannedVariant<'a>,
    allocation: Allocation,
    run_dir: Utf8PathBuf,
}

fn plan_jobs<'a>(
    arguments: &ApplyArguments,
    inputs: &'a [Input],
    environment: &Environment,
    network: &LocalNetwork,
) -> anyhow::Result<Vec<LocalJob<'a>>> {
    let now = ZonedDateTime::now();
    let general = site::surroundings(environment, true);
    let asked = arguments.output.as_deref();
    let all: Vec<_> =
        inputs.iter().flat_map(|input| input.loaded.variants.iter().map(move |it| (input, it))).collect();
    let several = all.len() > 1;
    let plan = |(index, &(input, variant)): (usize, &(&'a Input, &'a Variant))| {
        let number = several.then_some(index + 1);
        let job_id = site::local_job_id(&now, number, variant.suffix.as_deref());
        let surroundings = site::surroundings_of_job(&general, asked, &input.loaded.cluster, &job_id);
        let allocation = srt_plan::local_allocation(&variant.recipe, &job_id, network.number);
        let plan = planning::plan(variant, input, &allocation, &surroundings)?;
        let planned = PlannedVariant { variant, plan };
        Ok(LocalJob { input, planned, allocation, run_dir: surroundings.run_dir.into() })
    };
    all.iter().enumerate().map(plan).collect()
}

async fn run_job(job: &LocalJob<'_>, environment: &Environment, json: bool) -> anyhow::Result<Outcome> {
    let request = RunRequest {
        plan: job.planned.plan.clone(),
        job_id: job.allocation.job_id.to_string(),
        run_dir: job.run_dir.clone(),
        folder: RunFolder::New { files: run_files(job.input, &job.planned)? },
    };
    let nodes = job.allocation.nodes.iter().map(|node| (node.name.clone(), node.address)).collect();
    let launcher = LocalLauncher::new(&environment.program, nodes, environment.utf8_dir()?);
    execute(request, Arc::new(launcher), json).await
}
