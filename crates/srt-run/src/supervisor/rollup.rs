//! Reads logs and results into `logs/rollup.json`, after every run.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use srt_plan::Expected;
use srtlog::{RunFacts, Verdict};
use tokio::time::Instant;

use super::{Input, Message, Supervisor, failed_verdict, interrupted_verdict, judge::judge};
use crate::{
    folder::LOGS,
    outcome::{FailureCause, RunEnd, RunFailure},
    record::{EventKind, write_atomically},
    stage::RunStage,
};

/// File name of the rollup, under the log folder.
const ROLLUP_FILE: &str = "rollup.json";

/// Reading takes seconds for gigabytes of logs. A file system that does not answer must not hold the workers for ever.
pub const ROLLUP_LIMIT: Duration = Duration::from_mins(5);

/// What is left of that once someone is in a hurry.
pub const HURRIED_ROLLUP_LIMIT: Duration = Duration::from_secs(2);

/// A rollup that was written.
#[derive(Debug)]
pub(super) struct RolledUp {
    verdict: Verdict,
    path: Utf8PathBuf,
    warnings: Vec<String>,
}

impl Supervisor<'_> {
    /// Writes the rollup; the verdict over the results, and where the rollup is.
    pub(super) async fn roll_up(
        &mut self,
        end: &RunEnd,
    ) -> Result<(Verdict, Option<Utf8PathBuf>), RunFailure> {
        let stage_before = self.stage;
        self.enter(RunStage::Rollup);
        let work = Work {
            run_dir: self.execution.run_dir.clone(),
            expected: self.execution.expected.clone(),
            verdict: match end {
                RunEnd::Completed => None,
                RunEnd::Failed(failure) => Some(failed_verdict(failure)),
                RunEnd::Interrupted { by, stage } => Some(interrupted_verdict(by, *stage)),
            },
            facts: RunFacts {
                job_id: Some(self.execution.job_id.clone()),
                job_name: Some(self.execution.name.clone()),
                generated_at: Some(self.record.local_time()),
                partial: Some(*end != RunEnd::Completed),
                failed_stage: match end {
                    RunEnd::Completed => None,
                    RunEnd::Failed(failure) => Some(failure.stage.name().to_owned()),
                    RunEnd::Interrupted { stage, .. } => Some(stage.name().to_owned()),
                },
                ..RunFacts::UNKNOWN
            },
        };
        let sender = self.sender.clone();
        self.tasks.spawn_blocking(move || {
            let result = work.execute();
            let _owner_gone = sender.blocking_send(Message::RolledUp(Box::new(result)));
        });
        let result = self.rolled_up().await;
        self.leave();
        self.stage = stage_before;
        match result {
            Ok(rolled_up) => {
                let path = rolled_up.path.strip_prefix(&self.execution.run_dir).unwrap_or(&rolled_up.path);
                let partial = *end != RunEnd::Completed;
                self.record.event(EventKind::RollupWritten { path: path.to_string(), partial });
                for warning in rolled_up.warnings {
                    self.warn(warning);
                }
                Ok((rolled_up.verdict, Some(rolled_up.path)))
            }
            Err(text) => Err(RunFailure { stage: RunStage::Rollup, cause: FailureCause::Rollup { text } }),
        }
    }

    async fn rolled_up(&mut self) -> Result<RolledUp, String> {
        let started = Instant::now();
        loop {
            let limit = if self.must_hurry() { HURRIED_ROLLUP_LIMIT } else { ROLLUP_LIMIT };
            match tokio::time::timeout_at(started + limit, self.input()).await {
                Ok(Input::Message(Message::RolledUp(result))) => return *result,
                Ok(Input::TaskDied { index: None, error }) => return Err(error.to_string()),
                // Nothing that happens now stops the run: the measurement is over.
                Ok(input) => drop(self.take(input)),
                Err(_elapsed) => return Err(format!("reading took more than {} s", limit.as_secs())),
            }
        }
    }
}

struct Work {
    run_dir: Utf8PathBuf,
    expected: Expected,
    /// The verdict, where it does not depend on the results.
    verdict: Option<Verdict>,
    facts: RunFacts,
}

impl Work {
    fn execute(self) -> Result<RolledUp, String> {
        let mut rollup =
            srtlog::rollup(self.run_dir.as_std_path(), self.facts).map_err(|error| error.to_string())?;
        let verdict = self.verdict.unwrap_or_else(|| judge(&self.expected, &rollup.results));
        rollup.verdict = Some(verdict.clone());
        let path = self.run_dir.join(Utf8Path::new(LOGS)).join(ROLLUP_FILE);
        let mut text = serde_json::to_string_pretty(&rollup).map_err(|error| error.to_string())?;
        text.push('\n');
        write_atomically(&path, &text).map_err(|error| error.to_string())?;
        Ok(RolledUp { verdict, path, warnings: rollup.warnings })
    }
}
