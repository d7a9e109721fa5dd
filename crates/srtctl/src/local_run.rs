//! Runs the jobs of a recipe on this machine, one after the other.

use std::{fs, sync::Arc};

use anyhow::Context as _;
use camino::Utf8PathBuf;
use jiff::ZonedDateTime;
use serde_json::json;
use srt_context::Allocation;
use srt_launch::is_secret_variable;
use srt_plan::{Plan, PlannedVariant};
use srt_run::{
    Control, RunEnd, RunFile, RunFolder, RunOutcome, RunRequest, SystemClock, local::LocalLauncher,
};
use srt_schema::Variant;
use srtlog::Verdict;
use tokio::sync::mpsc;

use crate::{
    commands::{apply::ApplyArguments, dry_run::plan_variant},
    environment::Environment,
    exit::Outcome,
    input::Input,
    local_network::LocalNetwork,
    signals::{SIGINT, SIGTERM, Signals},
    site, terminal,
    watch::Watch,
};

/// Events that a terminal may be behind before it loses some.
const EVENTS: usize = 4096;

/// Runs every job of the input; the worst of their outcomes is the answer.
pub(crate) fn run(
    arguments: &ApplyArguments,
    input: &Input,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    // Plans first: an impossible one must not be found after an hour of the others.
    let network = LocalNetwork::claim().context("failed to find a free loopback network")?;
    let jobs = plan_jobs(arguments, input, environment, &network)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut worst = Outcome::Success;
    for job in jobs {
        let outcome = runtime.block_on(run_job(&job, input, environment, arguments.json))?;
        if worst == Outcome::Success {
            worst = outcome;
        }
        if matches!(outcome, Outcome::Signalled(_)) {
            return Ok(outcome);
        }
    }
    Ok(worst)
}

/// A job that is about to run.
struct LocalJob<'a> {
    variant: &'a Variant,
    plan: Plan,
    allocation: Allocation,
    run_dir: Utf8PathBuf,
}

fn plan_jobs<'a>(
    arguments: &ApplyArguments,
    input: &'a Input,
    environment: &Environment,
    network: &LocalNetwork,
) -> anyhow::Result<Vec<LocalJob<'a>>> {
    let now = ZonedDateTime::now();
    let general = site::surroundings(environment, true);
    let variants = input.loaded.variants.iter();
    variants
        .map(|variant| {
            let job_id = site::local_job_id(&now, variant.suffix.as_deref());
            let asked = arguments.output.as_deref();
            let surroundings = site::surroundings_of_job(&general, asked, &input.loaded.cluster, &job_id);
            let allocation = srt_plan::local_allocation(&variant.recipe, &job_id, network.number);
            let plan = plan_variant(variant, input, &allocation, &surroundings)?;
            Ok(LocalJob { variant, plan, allocation, run_dir: surroundings.run_dir.into() })
        })
        .collect()
}

async fn run_job(
    job: &LocalJob<'_>,
    input: &Input,
    environment: &Environment,
    json: bool,
) -> anyhow::Result<Outcome> {
    let planned = PlannedVariant { variant: job.variant, plan: job.plan.clone() };
    let document = srt_plan::json::document(&input.recipe.path, std::slice::from_ref(&planned));
    let private = job.plan.steps.iter().any(|step| step.env.keys().any(|it| is_secret_variable(it)));
    let file = |path: &str, text: String, private| RunFile { path: path.to_owned(), text, private };
    let files = vec![
        file("recipe.yaml", input.recipe.text.clone(), private),
        file("config.yaml", job.variant.resolved_yaml(), private),
        file("plan.json", serde_json::to_string_pretty(&document)?, false),
    ];
    let request = RunRequest {
        plan: job.plan.clone(),
        job_id: job.allocation.job_id.to_string(),
        run_dir: job.run_dir.clone(),
        folder: RunFolder::New { files },
    };
    let nodes = job.allocation.nodes.iter().map(|node| (node.name.clone(), node.address)).collect();
    let cwd =
        Utf8PathBuf::try_from(environment.current_dir.clone()).context("the current folder is not UTF-8")?;
    let launcher = Arc::new(LocalLauncher::new(&environment.program, nodes, cwd));

    let (control, control_receiver) = mpsc::channel(4);
    let (events, mut shown) = mpsc::channel(EVENTS);
    let mut signals = Signals::listen()?;
    let mut signal = None;
    let mut watch = Watch::new(&job.plan.name, &job.run_dir);
    let run = srt_run::run(request, launcher, &SystemClock, control_receiver, events);
    tokio::pin!(run);
    let outcome = loop {
        tokio::select! {
            outcome = &mut run => break outcome,
            Some(event) = shown.recv() => watch.show(&event),
            number = signals.next() => {
                signal.get_or_insert(number);
                let by = if number == SIGINT { "SIGINT" } else { "SIGTERM" }.to_owned();
                // Full only after four signals; by then the run is being ended as fast as it can be.
                let _heard = control.try_send(Control::Terminate { by });
            }
        }
    };
    while let Ok(event) = shown.try_recv() {
        watch.show(&event);
    }
    watch.finish();
    let outcome = outcome.map_err(|error| anyhow::Error::from(error).context("nothing was started"))?;
    report(job, &outcome, json);
    Ok(exit(&outcome, signal))
}

/// What a person, or a program, is left with.
fn report(job: &LocalJob<'_>, outcome: &RunOutcome, json: bool) {
    if json {
        let line = json!({
            "status": "ended",
            "job_id": job.allocation.job_id.as_str(),
            "job_name": job.plan.name,
            "output_dir": job.run_dir,
            "verdict": outcome.verdict,
            "rollup_path": outcome.rollup,
            "warnings": outcome.warnings,
        });
        terminal::print_line(&line.to_string());
        return;
    }
    let rollup = outcome.rollup.as_deref().and_then(|path| fs::read(path).ok());
    if let Some(rollup) = rollup.and_then(|bytes| serde_json::from_slice::<srtlog::Rollup>(&bytes).ok()) {
        terminal::print_line(&srt_report::results::table(&rollup));
    }
    terminal::print_line(&srt_report::results::verdict(&outcome.verdict));
    if let RunEnd::Failed(failure) = &outcome.end {
        terminal::print_line(&format!("cause: {failure}"));
    }
    match &outcome.rollup {
        Some(path) => terminal::print_line(&format!("rollup: {path}")),
        None => terminal::print_line(&format!("run directory: {}", job.run_dir)),
    }
}

fn exit(outcome: &RunOutcome, signal: Option<u8>) -> Outcome {
    match (&outcome.end, &outcome.verdict) {
        (RunEnd::Interrupted { .. }, _) => Outcome::Signalled(signal.unwrap_or(SIGTERM)),
        (RunEnd::Failed(_), _) | (RunEnd::Completed, Verdict::Failed { .. }) => Outcome::RunFailed,
        (RunEnd::Completed, Verdict::Invalid { .. }) => Outcome::InvalidResult,
        (RunEnd::Completed, Verdict::Valid) => Outcome::Success,
    }
}
