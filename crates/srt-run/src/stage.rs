//! [`RunStage`]: where a run is.

use std::fmt;

use srt_launch::Stage;

/// Where a run is: the stages of a plan's steps, and what the supervisor does between and after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunStage {
    /// Steps of this stage are started, and tasks among them awaited.
    Steps(Stage),
    /// The frontend must know its workers and serve the model.
    Readiness,
    /// Serving until told to end.
    Serving,
    /// Logs and results are read.
    Rollup,
    /// Everything is ended.
    Teardown,
}

impl RunStage {
    /// The stage's name in events, status, verdicts, and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps(Stage::Infra) => "infrastructure",
            Self::Steps(Stage::Worker) => "workers",
            Self::Steps(stage) => stage.name(),
            Self::Readiness => "readiness",
            Self::Serving => "serving",
            Self::Rollup => "rollup",
            Self::Teardown => "teardown",
        }
    }
}

impl fmt::Display for RunStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
