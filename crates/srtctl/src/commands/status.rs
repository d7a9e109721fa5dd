//! `srtctl status`: where a job is.

use srt_loadgen::progress::ProgressEvent;
use srt_run::record::{RegistrationCount, Status, StepState};

use crate::{
    environment::Environment,
    exit::{CommandError, Outcome},
    job_view::{Controller, JobView, State},
    lookout::Lookout,
    run_directory::PlaceArguments,
    site, terminal,
    watch::{progress_text, waiting_text},
};

/// Arguments of `srtctl status`
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArguments {
    /// Job id or run directory; every job under way if absent
    job: Option<String>,
    #[command(flatten)]
    place: PlaceArguments,
    /// Print one JSON line per job
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &StatusArguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let controller = Controller::new(environment);
    let runtime = site::runtime()?;
    let views = if let Some(name) = &arguments.job {
        let job = arguments.place.find(name, environment)?;
        let view = runtime.block_on(Lookout::new(&controller, job).first())?;
        if let (State::Unknown { text }, None) = (&view.state, &view.job.run_dir) {
            return Err(CommandError::Cluster(text.clone()).into());
        }
        vec![view]
    } else {
        let mut views = runtime.block_on(controller.look(arguments.place.all(environment)?));
        views.retain(|view| !view.state.is_over());
        views
    };
    if views.is_empty() && !arguments.json {
        let base = arguments.place.base(environment)?;
        terminal::note(&format!("no job in {base} is under way; `srtctl list` shows all"));
    }
    for view in &views {
        let text = if arguments.json { view.as_json().to_string() } else { text(view) };
        terminal::print_line(&text);
    }
    Ok(Outcome::Success)
}

/// Everything that a person wants to know of a job.
fn text(view: &JobView) -> String {
    let mut lines = vec![format!("job {}: {}", view.job.job_id, view.state.text())];
    let mut say = |what: &str, text: &str| {
        if !text.is_empty() {
            lines.push(format!("  {what}: {text}"));
        }
    };
    say("name", view.name());
    say("run directory", view.job.run_dir.as_ref().map(|it| it.as_str()).unwrap_or_default());
    if let Some(slurm) = &view.slurm {
        say("Slurm", &slurm.state.to_string());
        say("nodes", slurm.nodes.as_deref().unwrap_or_default());
        let end = if view.state.is_over() { "ended" } else { "ends at the latest" };
        say(end, slurm.end.as_deref().unwrap_or_default());
    }
    if let Some(record) = &view.record {
        say("started", &terminal::local_time(record.started_at));
        say("last event", &terminal::local_time(record.updated_at));
        say("steps", &steps_text(record));
        if !view.state.is_over() {
            say("waiting for", &waiting(record));
            say("benchmark", &benchmark(record));
        }
        record.warnings.iter().for_each(|warning| say("warning", warning));
        if let Some(failure) = &record.failure {
            say("failed", &failure.text);
            say("log", failure.log.as_deref().unwrap_or_default());
        }
    }
    if let State::Ended(ending) = &view.state {
        lines.push(format!("  {}", srt_report::results::verdict(&ending.verdict).replace('\n', "\n  ")));
        if let (Some(run_dir), Some(rollup)) = (&view.job.run_dir, &ending.rollup) {
            lines.push(format!("  rollup: {}", run_dir.join(rollup)));
        }
    }
    lines.join("\n")
}

/// `3 running, 1 planned`.
fn steps_text(record: &Status) -> String {
    let states = [
        (StepState::Running, "running"),
        (StepState::Planned, "planned"),
        (StepState::Ended, "ending"),
        (StepState::Gone, "ended"),
    ];
    let counted = states.iter().filter_map(|(state, word)| {
        let count = record.steps.iter().filter(|step| step.state == *state).count();
        (count > 0).then(|| format!("{count} {word}"))
    });
    counted.collect::<Vec<_>>().join(", ")
}

fn waiting(record: &Status) -> String {
    let Some(waiting) = &record.waiting else { return String::new() };
    let none = RegistrationCount { have: 0, want: 0 };
    let counts = (waiting.prefill.unwrap_or(none), waiting.decode.unwrap_or(none));
    let text = waiting_text(counts.0, counts.1, &waiting.detail);
    if text.is_empty() { waiting.what.clone() } else { format!("{} ({text})", waiting.what) }
}

fn benchmark(record: &Status) -> String {
    let progress = record.benchmark.clone().map(serde_json::from_value);
    match progress {
        Some(Ok(ProgressEvent::Progress(progress))) => progress_text(&progress),
        _ => String::new(),
    }
}
