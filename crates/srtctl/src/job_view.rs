//! Where jobs are: what their records say first, and what Slurm says second.

use std::collections::BTreeMap;

use serde_json::json;
use srt_context::JobId;
use srt_run::record::{RunState, Status};
use srt_slurm::{JobReport, JobState, Phase, Slurm};
use srtlog::Verdict;

use crate::{
    environment::Environment,
    exit::Outcome,
    run_directory::{Ending, Job},
    signals::SIGTERM,
    submit,
};

/// A job, and everything that is known of it.
#[derive(Debug)]
pub(crate) struct JobView {
    /// The job.
    pub(crate) job: Job,
    /// What its record says; `None` before the run has begun.
    pub(crate) record: Option<Status>,
    /// What Slurm says, where it was asked and knows the job.
    pub(crate) slurm: Option<JobReport>,
    /// What follows from both.
    pub(crate) state: State,
}

/// Where a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits in Slurm's queue.
    Pending {
        /// Slurm's state, and its reason.
        text: String,
    },
    /// It has its nodes, and the run has not begun.
    Starting,
    /// It runs.
    Running {
        /// The stage.
        stage: String,
    },
    /// It is being ended.
    Ending {
        /// The stage.
        stage: String,
    },
    /// It is over, and its record is complete.
    Ended(Ending),
    /// It is over, and its record does not say how it ended.
    Lost {
        /// What is known.
        text: String,
        /// What it came to, as far as that is known.
        outcome: Outcome,
    },
    /// Nobody can be asked, or the answer is not understood.
    Unknown {
        /// What is known.
        text: String,
    },
}

/// Who executes a job, as far as it could be found out.
#[derive(Debug)]
enum Executor<'a> {
    /// A process of this machine.
    Process { pid: Option<u32>, is_here: bool },
    /// Slurm, which knows the job.
    Slurm(&'a JobReport),
    /// Slurm, which does not know the job.
    Forgotten { has_accounting: bool },
    /// Slurm, which could not be asked.
    Unasked(&'a str),
}

/// Whether there is a Slurm to ask, and how to ask it.
#[derive(Debug)]
pub(crate) struct Controller {
    slurm: Option<Slurm>,
}

/// What came of asking Slurm.
enum Answer {
    Known { found: BTreeMap<JobId, JobReport>, has_accounting: bool },
    None(String),
}

impl Controller {
    /// The Slurm of the environment, if there is one.
    pub(crate) fn new(environment: &Environment) -> Self {
        Self { slurm: submit::has_program("squeue", environment).then(Slurm::new) }
    }

    /// Slurm itself.
    pub(crate) fn slurm(&self) -> Option<&Slurm> {
        self.slurm.as_ref()
    }

    /// Where one job is.
    pub(crate) async fn look_at(&self, job: Job) -> JobView {
        let mut views = self.look(vec![job]).await;
        views.pop().expect("there is one view per job")
    }

    /// Where jobs are, in their order. Slurm is asked once, and only about those whose records are not complete.
    pub(crate) async fn look(&self, jobs: Vec<Job>) -> Vec<JobView> {
        let records = jobs.into_iter().map(|job| {
            let record = job.status();
            (job, record)
        });
        let records: Vec<_> = records.collect();
        let is_open = |record: &anyhow::Result<Option<Status>>| match record {
            Ok(Some(status)) => status.state != RunState::Ended,
            Ok(None) | Err(_) => true,
        };
        let open: Vec<JobId> = records
            .iter()
            .filter(|(job, record)| !job.is_local() && is_open(record))
            .map(|(job, _)| job.job_id.clone())
            .collect();
        let answer = self.ask(&open).await;
        let views = records.into_iter().map(|(job, record)| {
            let seen = record.and_then(|record| view(job.clone(), record, &answer));
            // A record that cannot be read must not hide the other jobs.
            seen.unwrap_or_else(|error| JobView {
                job,
                record: None,
                slurm: None,
                state: State::Unknown { text: format!("{error:#}") },
            })
        });
        views.collect()
    }

    async fn ask(&self, ids: &[JobId]) -> Answer {
        let Some(slurm) = &self.slurm else { return Answer::None("there is no `squeue` on PATH".to_owned()) };
        match slurm.jobs(ids).await {
            Ok(jobs) => Answer::Known { found: jobs.found, has_accounting: jobs.has_accounting },
            Err(error) => Answer::None(error.to_string()),
        }
    }
}

fn view(job: Job, record: Option<Status>, answer: &Answer) -> anyhow::Result<JobView> {
    let ending = record.as_ref().map_or(Ok(None), |it| job.ending(it))?;
    let slurm = match answer {
        Answer::Known { found, .. } => found.get(&job.job_id).cloned(),
        Answer::None(_) => None,
    };
    let state = if let Some(ending) = ending {
        State::Ended(ending)
    } else {
        let executor = match (&slurm, answer) {
            _ if job.is_local() => {
                let pid = record.as_ref().map(|it| it.pid);
                Executor::Process { pid, is_here: pid.is_some_and(|pid| job.is_executed_by(pid)) }
            }
            (Some(report), _) => Executor::Slurm(report),
            (None, Answer::Known { has_accounting, .. }) => {
                Executor::Forgotten { has_accounting: *has_accounting }
            }
            (None, Answer::None(text)) => Executor::Unasked(text),
        };
        judge(record.as_ref(), job.run_dir.is_some(), &executor)
    };
    Ok(JobView { job, record, slurm, state })
}

/// Where a job is whose record is not complete.
fn judge(record: Option<&Status>, has_run_dir: bool, executor: &Executor<'_>) -> State {
    let lost = |text: String, outcome| {
        let text = match record {
            Some(status) => format!("{text}; its record ends in stage `{}`", status.stage),
            None => format!("{text}; it left no record"),
        };
        State::Lost { text, outcome }
    };
    match executor {
        Executor::Process { is_here: true, .. } => as_recorded(record),
        Executor::Process { pid: Some(pid), .. } => {
            lost(format!("its process {pid} is not on this machine any more"), Outcome::RunFailed)
        }
        Executor::Process { pid: None, .. } => {
            lost("nothing shows that it began".to_owned(), Outcome::RunFailed)
        }
        Executor::Slurm(report) => match report.state.phase() {
            Phase::Waiting => State::Pending { text: slurm_text(report) },
            Phase::Active => as_recorded(record),
            Phase::Finished => {
                let outcome = outcome_without_record(report, has_run_dir);
                lost(format!("Slurm says {}", slurm_text(report)), outcome)
            }
            Phase::Unknown => State::Unknown { text: format!("Slurm says {}", slurm_text(report)) },
        },
        // An empty queue says nothing about how a job ended.
        Executor::Forgotten { has_accounting: true } => {
            lost("Slurm does not know it, nor do its accounts".to_owned(), Outcome::RunFailed)
        }
        Executor::Forgotten { has_accounting: false } => lost(
            "Slurm does not know it (any more), and this cluster keeps no accounts".to_owned(),
            Outcome::RunFailed,
        ),
        Executor::Unasked(why) => match record {
            Some(_) => as_recorded(record),
            None => State::Unknown { text: (*why).to_owned() },
        },
    }
}

fn as_recorded(record: Option<&Status>) -> State {
    match record {
        None => State::Starting,
        Some(status) if status.state == RunState::Ending => State::Ending { stage: status.stage.clone() },
        Some(status) => State::Running { stage: status.stage.clone() },
    }
}

/// What a job came to of which only Slurm can tell.
fn outcome_without_record(report: &JobReport, has_run_dir: bool) -> Outcome {
    match (&report.state, report.exit.code, report.exit.signal) {
        (JobState::Cancelled, ..) => Outcome::Signalled(SIGTERM),
        // Its run lies somewhere else; the script ends as the run did.
        (JobState::Completed, 0, 0) if !has_run_dir => Outcome::Success,
        (_, _, signal @ 1..=64) => Outcome::Signalled(u8::try_from(signal).expect("it is at most 64")),
        (_, code @ 1..=255, _) => Outcome::Process(u8::try_from(code).expect("it is at most 255")),
        _ => Outcome::RunFailed,
    }
}

/// Slurm's state with its reason: `PENDING (Resources)`.
fn slurm_text(report: &JobReport) -> String {
    match &report.reason {
        Some(reason) => format!("{} ({reason})", report.state),
        None => report.state.to_string(),
    }
}

impl State {
    /// Whether nothing more will happen.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Lost { .. })
    }

    /// A word for machines.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Starting => "starting",
            Self::Running { .. } => "running",
            Self::Ending { .. } => "ending",
            Self::Ended(_) => "ended",
            Self::Lost { .. } => "lost",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// A few words for a person.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Pending { text } => format!("pending: {text}"),
            Self::Starting => "starting".to_owned(),
            Self::Running { stage } => format!("running: {stage}"),
            Self::Ending { stage } => format!("ending: {stage}"),
            Self::Ended(ending) => match &ending.verdict {
                Verdict::Valid => "ended: valid".to_owned(),
                Verdict::Invalid { .. } => "ended: invalid".to_owned(),
                Verdict::Failed { stage, .. } => match ending.outcome {
                    Outcome::Signalled(_) => format!("ended: interrupted in {stage}"),
                    _ => format!("ended: failed in {stage}"),
                },
            },
            Self::Lost { text, .. } => format!("lost: {text}"),
            Self::Unknown { text } => format!("unknown: {text}"),
        }
    }
}

impl JobView {
    /// Its name, where somebody knows it.
    pub(crate) fn name(&self) -> &str {
        let recorded = self.record.as_ref().map(|it| it.name.as_str()).filter(|it| !it.is_empty());
        recorded.or(self.slurm.as_ref().map(|it| it.name.as_str())).unwrap_or_default()
    }

    /// Nobody knows anything of such a job.
    pub(crate) fn is_nothing(&self) -> bool {
        self.job.run_dir.is_none() && self.slurm.is_none() && !matches!(self.state, State::Unknown { .. })
    }

    /// Everything as JSON; the record as it is.
    pub(crate) fn as_json(&self) -> serde_json::Value {
        let slurm = self.slurm.as_ref().map(|report| {
            json!({
                "state": report.state.to_string(),
                "reason": report.reason,
                "nodes": report.nodes,
                "start": report.start,
                "end": report.end,
                "exit_code": report.exit.code,
                "signal": report.exit.signal,
            })
        });
        let (verdict, exit_code) = match &self.state {
            State::Ended(ending) => (Some(&ending.verdict), Some(ending.outcome.code())),
            State::Lost { outcome, .. } => (None, Some(outcome.code())),
            _ => (None, None),
        };
        json!({
            "job_id": self.job.job_id.as_str(),
            "job_name": self.name(),
            "output_dir": self.job.run_dir,
            "state": self.state.word(),
            "text": self.state.text(),
            "verdict": verdict,
            "exit_code": exit_code,
            "slurm": slurm,
            "record": self.record,
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use srt_slurm::JobExit;

    use super::*;

    /// A record that ends in the stage `benchmark`.
    fn record(state: &str) -> Status {
        let text = r#"{"v":1,"pid":7,"job_id":"12","name":"n","state":"STATE","stage":"benchmark",
            "started_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z","steps":[],"waiting":null,
            "benchmark":null,"failure":null,"warnings":[],"verdict":null}"#;
        serde_json::from_str(&text.replace("STATE", state)).unwrap()
    }

    fn report(state: &str, code: u32, signal: u32) -> JobReport {
        let Ok(state) = state.parse();
        let exit = JobExit { code, signal };
        JobReport { state, reason: None, exit, nodes: None, start: None, end: None, name: "n".to_owned() }
    }

    #[track_caller]
    fn check(record: Option<&str>, executor: &Executor<'_>, expected: &Expect) {
        let record = record.map(self::record);
        let state = judge(record.as_ref(), true, executor);
        let said = match &state {
            State::Lost { outcome, .. } => format!("{}, exit code {}", state.text(), outcome.code()),
            _ => state.text(),
        };
        expected.assert_eq(&said);
    }

    #[track_caller]
    fn check_slurm(record: Option<&str>, state: &str, expected: &Expect) {
        check(record, &Executor::Slurm(&report(state, 0, 0)), expected);
    }

    #[test]
    fn slurm_tells_of_jobs_that_have_no_record_yet() {
        check_slurm(None, "PENDING", &expect!["pending: PENDING"]);
        check_slurm(None, "CONFIGURING", &expect!["starting"]);
        check_slurm(None, "RUNNING", &expect!["starting"]);
        check_slurm(None, "SOMETHING_NEW", &expect!["unknown: Slurm says SOMETHING_NEW"]);
    }

    #[test]
    fn the_record_comes_first_while_slurm_has_the_job() {
        check_slurm(Some("running"), "RUNNING", &expect!["running: benchmark"]);
        check_slurm(Some("ending"), "COMPLETING", &expect!["ending: benchmark"]);
    }

    #[test]
    fn only_a_complete_record_is_a_success() {
        check_slurm(
            Some("running"),
            "COMPLETED",
            &expect!["lost: Slurm says COMPLETED; its record ends in stage `benchmark`, exit code 3"],
        );
        check_slurm(
            Some("running"),
            "NODE_FAIL",
            &expect!["lost: Slurm says NODE_FAIL; its record ends in stage `benchmark`, exit code 3"],
        );
        check_slurm(
            None,
            "CANCELLED",
            &expect!["lost: Slurm says CANCELLED; it left no record, exit code 143"],
        );
        check(
            None,
            &Executor::Slurm(&report("FAILED", 5, 0)),
            &expect!["lost: Slurm says FAILED; it left no record, exit code 5"],
        );
        check(
            Some("running"),
            &Executor::Slurm(&report("FAILED", 0, 9)),
            &expect!["lost: Slurm says FAILED; its record ends in stage `benchmark`, exit code 137"],
        );
    }

    #[test]
    fn an_empty_queue_is_no_success() {
        let with_accounts = Executor::Forgotten { has_accounting: true };
        let without = Executor::Forgotten { has_accounting: false };
        check(
            None,
            &with_accounts,
            &expect!["lost: Slurm does not know it, nor do its accounts; it left no record, exit code 3"],
        );
        check(
            Some("running"),
            &without,
            &expect![
                "lost: Slurm does not know it (any more), and this cluster keeps no accounts; its record ends in stage `benchmark`, exit code 3"
            ],
        );
    }

    #[test]
    fn a_controller_that_does_not_answer_ends_no_job() {
        let unasked = Executor::Unasked("no answer");
        check(None, &unasked, &expect!["unknown: no answer"]);
        check(Some("running"), &unasked, &expect!["running: benchmark"]);
    }

    #[test]
    fn a_local_run_lives_as_long_as_its_process() {
        let process = |is_here| Executor::Process { pid: Some(7), is_here };
        check(Some("running"), &process(true), &expect!["running: benchmark"]);
        check(
            Some("running"),
            &process(false),
            &expect![
                "lost: its process 7 is not on this machine any more; its record ends in stage `benchmark`, exit code 3"
            ],
        );
        check(
            None,
            &Executor::Process { pid: None, is_here: false },
            &expect!["lost: nothing shows that it began; it left no record, exit code 3"],
        );
    }

    #[test]
    fn a_job_whose_run_lies_elsewhere_ends_as_its_script() {
        let ended = |code| outcome_without_record(&report("COMPLETED", code, 0), false).code();
        assert_eq!((ended(0), ended(4)), (0, 4));
    }
}
