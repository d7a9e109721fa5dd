//! Run directories: finding the one of a job, and reading the record in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use srt_context::JobId;
use srt_run::record::{EVENTS_FILE, Event, EventKind, RunState, STATUS_FILE, Status};
use srt_schema::cluster::ClusterConfig;
use srtlog::Verdict;

use crate::{
    environment::Environment,
    exit::{CommandError, Outcome},
    input::read_cluster_file,
    run_files,
    signals::{self, SIGTERM},
    site, terminal,
};

/// What the names of local runs begin with; Slurm's are numbers.
const LOCAL: &str = "local-";

/// Where run directories are looked for
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArguments {
    /// Folder of the run directories
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// A job, and its run directory where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// Its number in Slurm, or the name of a local run.
    pub(crate) job_id: JobId,
    /// Its run directory. A job that Slurm knows may have been submitted elsewhere, or by something else.
    pub(crate) run_dir: Option<Utf8PathBuf>,
}

impl PlaceArguments {
    /// The folder of the run directories: the same as `srtctl apply` chooses from here.
    pub(crate) fn base(&self, environment: &Environment) -> anyhow::Result<Utf8PathBuf> {
        let cluster = if self.output.is_some() { ClusterConfig::none() } else { cluster(environment)? };
        let asked = self.output.as_deref().map(Path::to_string_lossy);
        let surroundings = site::surroundings(environment, false);
        Ok(srt_context::output_base(asked.as_deref(), &cluster, &surroundings).into())
    }

    /// The job that a person names, by its id or by its run directory.
    pub(crate) fn find(&self, name: &str, environment: &Environment) -> anyhow::Result<Job> {
        if let Some(job_id) = JobId::new(name) {
            let run_dir = self.base(environment)?.join(job_id.as_str());
            if run_dir.is_dir() {
                return Ok(Job { job_id, run_dir: Some(run_dir) });
            }
        }
        let folder = environment.utf8_dir()?.join(name);
        if is_run_directory(&folder) {
            let job_id = job_id_of(&folder).with_context(|| {
                format!(
                    "`{folder}` is a run directory, but its name is not a job, and nothing in it names one"
                )
            })?;
            return Ok(Job { job_id, run_dir: Some(folder) });
        }
        if let Some(job_id) = JobId::new(name).filter(|_| name.bytes().all(|it| it.is_ascii_digit())) {
            // Slurm may know it.
            return Ok(Job { job_id, run_dir: None });
        }
        let base = self.base(environment)?;
        let text = format!(
            "`{name}` is neither a run in `{base}` nor a run directory; `srtctl list` shows the runs, and \
             `-o DIR` names another folder of runs"
        );
        Err(CommandError::BadInput(text).into())
    }

    /// Every run there is.
    pub(crate) fn all(&self, environment: &Environment) -> anyhow::Result<Vec<Job>> {
        let base = self.base(environment)?;
        let entries = match base.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("failed to read `{base}`")),
        };
        let mut jobs = Vec::new();
        for entry in entries {
            let entry = entry.with_context(|| format!("failed to read `{base}`"))?;
            let Some(job_id) = JobId::new(entry.file_name()) else { continue };
            if is_run_directory(entry.path()) {
                jobs.push(Job { job_id, run_dir: Some(entry.into_path()) });
            }
        }
        Ok(jobs)
    }
}

impl Job {
    /// Whether it runs on a machine, without Slurm.
    pub(crate) fn is_local(&self) -> bool {
        self.job_id.as_str().starts_with(LOCAL)
    }

    /// What `status.json` says; `None` before the run has begun.
    pub(crate) fn status(&self) -> anyhow::Result<Option<Status>> {
        self.run_dir.as_deref().map_or(Ok(None), read_status)
    }

    /// How a run ended whose record is complete; `None` before.
    pub(crate) fn ending(&self, status: &Status) -> anyhow::Result<Option<Ending>> {
        if status.state != RunState::Ended {
            return Ok(None);
        }
        // The disk may have been full when the events were to be written.
        let mut story = Story {
            failure: status.failure.as_ref().map(|it| it.text.clone()),
            verdict: status.verdict.clone(),
            ..Story::default()
        };
        if let Some(path) = self.events_file() {
            match fs::read(&path) {
                Ok(bytes) => events_in(&bytes).for_each(|event| story.hear(&event)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("failed to read `{path}`")),
            }
        }
        Ok(story.ending())
    }

    /// Where its events are written.
    pub(crate) fn events_file(&self) -> Option<Utf8PathBuf> {
        self.run_dir.as_ref().map(|it| it.join(EVENTS_FILE))
    }

    /// Whether the process that executes a local run is here: the one that has its record open. A number alone says
    /// little, it may be another process's by now.
    pub(crate) fn is_executed_by(&self, pid: u32) -> bool {
        let Some(events) = self.events_file() else { return false };
        let descriptors = match fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(descriptors) => descriptors,
            // Another user's processes do not tell.
            Err(error) => return error.kind() == io::ErrorKind::PermissionDenied,
        };
        let Ok(events) = fs::canonicalize(events) else { return false };
        descriptors.flatten().any(|it| fs::read_link(it.path()).is_ok_and(|target| target == events))
    }
}

/// How a run ended, as its events tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    /// What its numbers are worth.
    pub(crate) verdict: Verdict,
    /// Why it failed, where something did.
    pub(crate) failure: Option<String>,
    /// What `srtctl run` or `srtctl apply --local` came to.
    pub(crate) outcome: Outcome,
    /// The rollup, relative to the run directory.
    pub(crate) rollup: Option<String>,
}

/// What the events of a run have told so far of its end.
#[derive(Debug, Default)]
pub(crate) struct Story {
    ended_by: Option<String>,
    failure: Option<String>,
    rollup: Option<String>,
    verdict: Option<Verdict>,
}

impl Story {
    /// Takes one event into account.
    pub(crate) fn hear(&mut self, event: &Event) {
        match &event.kind {
            EventKind::EndRequested { by, times: 1 } => self.ended_by = Some(by.clone()),
            EventKind::Failed { failure } => self.failure = Some(failure.text.clone()),
            EventKind::RollupWritten { path, .. } => self.rollup = Some(path.clone()),
            EventKind::RunEnded { verdict } => self.verdict = Some(verdict.clone()),
            _ => {}
        }
    }

    /// The end, once it has been told.
    pub(crate) fn ending(&self) -> Option<Ending> {
        let verdict = self.verdict.clone()?;
        let outcome = match (&verdict, &self.failure, &self.ended_by) {
            (Verdict::Valid, ..) => Outcome::Success,
            (Verdict::Invalid { .. }, ..) => Outcome::InvalidResult,
            // It was told to end, and nothing else was wrong.
            (Verdict::Failed { .. }, None, Some(by)) => {
                Outcome::Signalled(signals::number_of(by).unwrap_or(SIGTERM))
            }
            (Verdict::Failed { .. }, ..) => Outcome::RunFailed,
        };
        Some(Ending { verdict, failure: self.failure.clone(), outcome, rollup: self.rollup.clone() })
    }
}

/// The events in complete lines. What a newer writer says, and we do not understand, is passed over.
pub(crate) fn events_in(bytes: &[u8]) -> impl Iterator<Item = Event> {
    bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

fn is_run_directory(folder: &Utf8Path) -> bool {
    [STATUS_FILE, EVENTS_FILE, run_files::PLAN].iter().any(|name| folder.join(name).is_file())
}

fn job_id_of(folder: &Utf8Path) -> Option<JobId> {
    let recorded = read_status(folder).ok().flatten().and_then(|status| JobId::new(&status.job_id));
    recorded.or_else(|| JobId::new(folder.canonicalize_utf8().ok()?.file_name()?))
}

fn read_status(run_dir: &Utf8Path) -> anyhow::Result<Option<Status>> {
    let path = run_dir.join(STATUS_FILE);
    match fs::read(&path) {
        Ok(bytes) => {
            let status = serde_json::from_slice(&bytes);
            status.map(Some).with_context(|| format!("failed to understand `{path}`"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to read `{path}`")),
    }
}

/// The cluster file, for where it says that runs lie. It is found as `srtctl apply` finds it.
fn cluster(environment: &Environment) -> anyhow::Result<ClusterConfig> {
    let Some(source) = read_cluster_file(environment)? else { return Ok(ClusterConfig::none()) };
    let (cluster, diagnostics) = srt_schema::load_cluster(&source);
    if diagnostics.iter().any(srt_yaml::Diagnostic::is_error) {
        terminal::print_diagnostics(&diagnostics);
        return Err(CommandError::Reported.into());
    }
    Ok(cluster)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(events: &[&str], expected: &Expect) {
        let lines: Vec<String> = (0_u32..)
            .zip(events)
            .map(|(seq, event)| format!(r#"{{"v":1,"seq":{seq},"time":"2026-01-01T00:00:00Z",{event}}}"#))
            .collect();
        let mut story = Story::default();
        events_in(lines.join("\n").as_bytes()).for_each(|event| story.hear(&event));
        let said = story.ending().map_or_else(
            || "not ended".to_owned(),
            |it| format!("{:?}, exit code {}, {:?}", it.verdict, it.outcome.code(), it.failure),
        );
        expected.assert_eq(&said);
    }

    const VALID: &str = r#""event":"run_ended","verdict":"valid""#;
    const INVALID: &str = r#""event":"run_ended","verdict":{"invalid":{"reasons":[]}}"#;
    const FAILED: &str = r#""event":"run_ended","verdict":{"failed":{"stage":"benchmark","text":"t"}}"#;
    const FAILURE: &str = r#""event":"failed","failure":{"stage":"benchmark","text":"decode_0 died","step":null,"node":null,"exit":null,"log":null,"log_tail":[]}"#;
    const SIGINT: &str = r#""event":"end_requested","by":"SIGINT","times":1"#;
    const SIGTERM_AGAIN: &str = r#""event":"end_requested","by":"SIGTERM","times":2"#;

    #[test]
    fn an_ending_has_the_exit_code_of_its_run() {
        check(&[VALID], &expect!["Valid, exit code 0, None"]);
        check(&[INVALID], &expect!["Invalid { reasons: [] }, exit code 4, None"]);
        check(
            &[FAILURE, FAILED],
            &expect![[r#"Failed { stage: "benchmark", text: "t" }, exit code 3, Some("decode_0 died")"#]],
        );
    }

    #[test]
    fn the_first_signal_counts() {
        let failed = expect![[r#"Failed { stage: "benchmark", text: "t" }, exit code 130, None"#]];
        check(&[SIGINT, SIGTERM_AGAIN, FAILED], &failed);
    }

    #[test]
    fn a_signal_after_the_failure_or_the_measurement_changes_nothing() {
        check(
            &[FAILURE, SIGINT, FAILED],
            &expect![[r#"Failed { stage: "benchmark", text: "t" }, exit code 3, Some("decode_0 died")"#]],
        );
        check(&[SIGINT, VALID], &expect!["Valid, exit code 0, None"]);
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        check(&[r#""event":"from_the_future""#, r#""event""#], &expect!["not ended"]);
    }
}
