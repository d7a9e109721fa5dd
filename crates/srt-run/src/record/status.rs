//! [`Status`]: what `status.json` says, a fold over the events.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use srtlog::Verdict;

use super::event::{Event, EventKind, Exit, FORMAT_VERSION, Failure, RegistrationCount};

/// Where a run is. The file is replaced as a whole, never written in place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the format.
    pub v: u32,
    /// Process id of the supervisor, on its node.
    pub pid: u32,
    /// Identifier of the job.
    pub job_id: String,
    /// Name of the job.
    pub name: String,
    /// Whether it is under way.
    pub state: RunState,
    /// The stage that was entered last.
    pub stage: String,
    /// When the run began.
    pub started_at: Timestamp,
    /// When this was last true.
    pub updated_at: Timestamp,
    /// Every step of the plan.
    pub steps: Vec<StepStatus>,
    /// What is waited for.
    pub waiting: Option<Waiting>,
    /// The last that the benchmark said.
    pub benchmark: Option<serde_json::Value>,
    /// Why the run failed.
    pub failure: Option<Failure>,
    /// What is not as it should be.
    pub warnings: Vec<String>,
    /// What the run is worth, once it is over.
    pub verdict: Option<Verdict>,
}

/// Whether a run is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It is.
    Running,
    /// It is being ended.
    Ending,
    /// It is over.
    Ended,
}

/// Where a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// Name.
    pub step: String,
    /// Stage.
    pub stage: String,
    /// Nodes it runs on.
    pub nodes: Vec<String>,
    /// Its log, relative to the run folder.
    pub log: String,
    /// Where it is.
    pub state: StepState,
    /// Process id, or `job.step`, once it has started.
    pub handle: Option<String>,
    /// How it ended.
    pub exit: Option<Exit>,
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not started.
    Planned,
    /// Its process exists.
    Running,
    /// Its process has ended; others of the step may be left.
    Ended,
    /// Nothing of it is left.
    Gone,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What.
    pub what: String,
    /// Prefill workers registered.
    pub prefill: Option<RegistrationCount>,
    /// Decode workers registered.
    pub decode: Option<RegistrationCount>,
    /// What is missing, for a person.
    pub detail: String,
}

impl Status {
    /// The status of a run of which nothing has happened yet.
    pub(crate) fn new(pid: u32, now: Timestamp) -> Self {
        Self {
            v: FORMAT_VERSION,
            pid,
            job_id: String::new(),
            name: String::new(),
            state: RunState::Running,
            stage: String::new(),
            started_at: now,
            updated_at: now,
            steps: Vec::new(),
            waiting: None,
            benchmark: None,
            failure: None,
            warnings: Vec::new(),
            verdict: None,
        }
    }

    /// Takes one event into account.
    pub(crate) fn apply(&mut self, event: &Event) {
        self.updated_at = event.time;
        match &event.kind {
            EventKind::RunStarted { job_id, name, steps } => {
                self.job_id.clone_from(job_id);
                self.name.clone_from(name);
                self.steps = steps
                    .iter()
                    .map(|planned| StepStatus {
                        step: planned.step.clone(),
                        stage: planned.stage.clone(),
                        nodes: planned.nodes.clone(),
                        log: planned.log.clone(),
                        state: StepState::Planned,
                        handle: None,
                        exit: None,
                    })
                    .collect();
            }
            EventKind::StageStarted { stage } => self.stage.clone_from(stage),
            EventKind::StepStarted { step, handle } => self.update(step, |status| {
                status.state = StepState::Running;
                status.handle = Some(handle.clone());
            }),
            EventKind::StepEnded { step, exit, .. } => self.update(step, |status| {
                status.state = StepState::Ended;
                status.exit = Some(exit.clone());
            }),
            EventKind::StepGone { step } => self.update(step, |status| status.state = StepState::Gone),
            EventKind::WaitStarted { what, .. } => {
                let what = what.clone();
                self.waiting = Some(Waiting { what, prefill: None, decode: None, detail: String::new() });
            }
            EventKind::WaitProgress { what, prefill, decode, detail, ready: _ } => {
                let (prefill, decode) = (Some(*prefill), Some(*decode));
                self.waiting = Some(Waiting { what: what.clone(), prefill, decode, detail: detail.clone() });
            }
            EventKind::WaitEnded { .. } => self.waiting = None,
            EventKind::Benchmark { progress } => self.benchmark = Some(progress.clone()),
            EventKind::EndRequested { .. } => self.state = RunState::Ending,
            EventKind::Failed { failure } => {
                self.state = RunState::Ending;
                self.failure = Some(failure.clone());
            }
            EventKind::Warning { text } => self.warnings.push(text.clone()),
            EventKind::RunEnded { verdict } => {
                self.state = RunState::Ended;
                self.waiting = None;
                self.verdict = Some(verdict.clone());
            }
            EventKind::StageEnded { .. } | EventKind::Ending { .. } | EventKind::RollupWritten { .. } => {}
        }
    }

    fn update(&mut self, step: &str, change: impl FnOnce(&mut StepStatus)) {
        if let Some(status) = self.steps.iter_mut().find(|status| status.step == step) {
            change(status);
        }
    }
}
