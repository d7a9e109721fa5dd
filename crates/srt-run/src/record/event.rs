//! [`Event`]: one line of `events.jsonl`. A format of its own, read by other programs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use srtlog::Verdict;

use crate::launcher::StepExit;

/// Version of the formats of `events.jsonl` and `status.json`. A reader may meet unknown events and fields; a change
/// of meaning changes the version.
pub const FORMAT_VERSION: u32 = 1;

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Version of the format.
    pub v: u32,
    /// Number in the run, from 0. Numbers may be missing in the file: what is only shown is not written.
    pub seq: u64,
    /// When.
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The run begins.
    RunStarted {
        /// Identifier of the job.
        job_id: String,
        /// Name of the job.
        name: String,
        /// Everything that will be started.
        steps: Vec<PlannedStep>,
    },
    /// A stage begins.
    StageStarted {
        /// The stage.
        stage: String,
    },
    /// A stage is complete.
    StageEnded {
        /// The stage.
        stage: String,
    },
    /// A step's process exists.
    StepStarted {
        /// The step.
        step: String,
        /// Process id, or `job.step`.
        handle: String,
    },
    /// A step's process has ended.
    StepEnded {
        /// The step.
        step: String,
        /// How.
        exit: Exit,
        /// It was meant to end: a task that succeeded, or anything after it was told to.
        expected: bool,
    },
    /// No process of a step is left.
    StepGone {
        /// The step.
        step: String,
    },
    /// Something is waited for.
    WaitStarted {
        /// What.
        what: String,
        /// Seconds it may take.
        timeout_s: u32,
    },
    /// What is waited for came closer.
    WaitProgress {
        /// What.
        what: String,
        /// Prefill workers registered.
        prefill: RegistrationCount,
        /// Decode workers registered.
        decode: RegistrationCount,
        /// Base URLs of the workers that are ready, where the frontend names them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ready: Vec<String>,
        /// What is missing, for a person.
        detail: String,
    },
    /// What was waited for is there.
    WaitEnded {
        /// What.
        what: String,
        /// Seconds it took.
        waited_s: f64,
    },
    /// The benchmark said something about its progress.
    Benchmark {
        /// A line of its progress file, as it is.
        progress: serde_json::Value,
    },
    /// Someone wants the run to end.
    EndRequested {
        /// The signal, or whatever else it was.
        by: String,
        /// How often this has happened.
        times: u32,
    },
    /// The run has failed; what follows is its end.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Something is not as it should be, and the run goes on.
    Warning {
        /// What.
        text: String,
    },
    /// Steps are told to end.
    Ending {
        /// The steps.
        steps: Vec<String>,
        /// `SIGTERM` or `SIGKILL`.
        signal: String,
    },
    /// The rollup is written.
    RollupWritten {
        /// The file, relative to the run folder.
        path: String,
        /// The run did not go to its end.
        partial: bool,
    },
    /// The run is over; nothing follows.
    RunEnded {
        /// What the run is worth.
        verdict: Verdict,
    },
}

/// A step, before it is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Name.
    pub step: String,
    /// Stage.
    pub stage: String,
    /// Nodes it runs on.
    pub nodes: Vec<String>,
    /// Its log, relative to the run folder.
    pub log: String,
}

/// Registrations there are, and registrations there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationCount {
    /// There are.
    pub have: u32,
    /// There must be.
    pub want: u32,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// In a way of which only this is known.
    Lost(String),
}

impl From<&StepExit> for Exit {
    fn from(exit: &StepExit) -> Self {
        match exit {
            StepExit::Code(code) => Self::Code(*code),
            StepExit::Signal(signal) => Self::Signal(*signal),
            StepExit::Lost(text) => Self::Lost(text.clone()),
        }
    }
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stage in which it failed.
    pub stage: String,
    /// What failed, in one sentence.
    pub text: String,
    /// The step that failed, if it was one.
    pub step: Option<String>,
    /// The node of that step.
    pub node: Option<String>,
    /// How its process ended, if it had started.
    pub exit: Option<Exit>,
    /// Its log, relative to the run folder.
    pub log: Option<String>,
    /// The last lines of that log.
    pub log_tail: Vec<String>,
}
