//! Executes one planned job: shows what happens, hears signals, and says what came of it.

use std::{fs, sync::Arc};

use camino::Utf8Path;
use serde_json::json;
use srt_run::{Control, RunEnd, RunOutcome, RunRequest, SystemClock, launcher::Launcher};
use srtlog::{Rollup, Verdict};
use tokio::sync::mpsc;

use crate::{
    exit::Outcome,
    signals::{self, SIGTERM, Signals},
    terminal,
    watch::Watch,
};

/// Events that a terminal may be behind before it loses some.
const EVENTS: usize = 4096;

/// Runs a job to its end. With `json`, what came of it is one line of JSON.
pub(crate) async fn execute(
    request: RunRequest,
    launcher: Arc<dyn Launcher>,
    json: bool,
) -> anyhow::Result<Outcome> {
    let job = JobNames {
        job_id: request.job_id.clone(),
        name: request.plan.name.clone(),
        run_dir: request.run_dir.to_string(),
    };
    let (control, control_receiver) = mpsc::channel(4);
    let (events, mut shown) = mpsc::channel(EVENTS);
    let mut signals = Signals::listen()?;
    let mut signal = None;
    let mut watch = Watch::new(&job.name, &request.run_dir).knowing(&request.plan);
    let run = srt_run::run(request, launcher, &SystemClock, control_receiver, events);
    tokio::pin!(run);
    let outcome = loop {
        tokio::select! {
            outcome = &mut run => break outcome,
            Some(event) = shown.recv() => watch.show(&event),
            number = signals.next() => {
                signal.get_or_insert(number);
                let by = signals::name_of(number).to_owned();
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
    if json {
        terminal::print_line(&job.as_json(&outcome).to_string());
    } else {
        job.report(&outcome);
    }
    Ok(exit(&outcome, signal))
}

/// How a job is called.
struct JobNames {
    job_id: String,
    name: String,
    run_dir: String,
}

impl JobNames {
    fn as_json(&self, outcome: &RunOutcome) -> serde_json::Value {
        json!({
            "status": "ended",
            "job_id": self.job_id,
            "job_name": self.name,
            "output_dir": self.run_dir,
            "verdict": outcome.verdict,
            "rollup_path": outcome.rollup,
            "warnings": outcome.warnings,
        })
    }

    fn report(&self, outcome: &RunOutcome) {
        let cause = match &outcome.end {
            RunEnd::Failed(failure) => Some(failure.to_string()),
            RunEnd::Completed | RunEnd::Interrupted { .. } => None,
        };
        report_end(&self.run_dir, outcome.rollup.as_deref(), &outcome.verdict, cause.as_deref());
    }
}

/// Shows what came of a run.
pub(crate) fn report_end(
    run_dir: &str,
    rollup_path: Option<&Utf8Path>,
    verdict: &Verdict,
    cause: Option<&str>,
) {
    let rollup = rollup_path.and_then(|path| fs::read_to_string(path).ok());
    if let Some(rollup) = rollup.and_then(|text| Rollup::from_json(&text).ok()) {
        terminal::print_line(&srt_report::results::table(&rollup));
    }
    terminal::print_line(&srt_report::results::verdict(verdict));
    if let Some(cause) = cause {
        terminal::print_line(&format!("cause: {cause}"));
    }
    match rollup_path {
        Some(path) => terminal::print_line(&format!("rollup: {path}")),
        None => terminal::print_line(&format!("run directory: {run_dir}")),
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
