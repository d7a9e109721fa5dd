//! [`RunOutcome`]: what a run came to.

use std::fmt;

use camino::Utf8PathBuf;
use srt_launch::StepId;
use srt_topology::NodeName;
use srtlog::Verdict;

use crate::{launcher::StepExit, stage::RunStage};

/// What a run came to.
#[derive(Debug, Clone)]
pub struct RunOutcome {
    /// What its numbers are worth.
    pub verdict: Verdict,
    /// How it came to its end.
    pub end: RunEnd,
    /// The rollup, if it could be written.
    pub rollup: Option<Utf8PathBuf>,
    /// Steps that could not be ended, or were not seen to end.
    pub left_running: Vec<StepId>,
    /// What is not as it should be, and did not end the run.
    pub warnings: Vec<String>,
}

/// How a run came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// All its stages are complete; a run that serves was told to end.
    Completed,
    /// Something failed.
    Failed(RunFailure),
    /// Someone ended it.
    Interrupted {
        /// The signal, or whatever else it was.
        by: String,
        /// The stage it was in.
        stage: RunStage,
    },
}

/// What failed, and in which stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFailure {
    /// The stage.
    pub stage: RunStage,
    /// What.
    pub cause: FailureCause,
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureCause {
    /// A process ended that should not have, or ended with an error.
    StepEnded {
        /// The step.
        step: StepId,
        /// Its first node.
        node: Option<NodeName>,
        /// How.
        exit: StepExit,
        /// Its log, relative to the run folder.
        log: String,
        /// The last lines of the log.
        log_tail: Vec<String>,
    },
    /// A step could not be started.
    NotStarted {
        /// The step.
        step: StepId,
        /// Its first node.
        node: Option<NodeName>,
        /// Why.
        text: String,
    },
    /// What was waited for did not come.
    NotReady {
        /// What was missing.
        text: String,
    },
    /// The benchmark lived on and got nowhere.
    NoProgress {
        /// For how long, and how far it had come.
        text: String,
    },
    /// The logs and results could not be rolled up.
    Rollup {
        /// Why.
        text: String,
    },
    /// A task of the supervisor itself died.
    Internal {
        /// What is known.
        text: String,
    },
}

impl fmt::Display for RunFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on =
            |node: &Option<NodeName>| node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        match &self.cause {
            // Only what must live until the end fails a run by ending well.
            FailureCause::StepEnded { step, node, exit, .. } if exit.is_success() => {
                write!(f, "`{step}`{} exited with code 0, but must run until the run ends", on(node))
            }
            FailureCause::StepEnded { step, node, exit, .. } => write!(f, "`{step}`{} {exit}", on(node)),
            FailureCause::NotStarted { step, node, text } => {
                write!(f, "`{step}`{} could not be started: {text}", on(node))
            }
            FailureCause::NotReady { text }
            | FailureCause::NoProgress { text }
            | FailureCause::Internal { text } => f.write_str(text),
            FailureCause::Rollup { text } => write!(f, "the results could not be rolled up: {text}"),
        }
    }
}
