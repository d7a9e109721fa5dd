//! What a command came to, and the one table of exit codes.

use std::process::ExitCode;

use srt_launch::INVALID_RESULT_EXIT_CODE;

/// The table of exit codes, as `--help` shows it.
pub(crate) const HELP: &str = "\
Exit codes:
  0    success; a run whose verdict is `valid`
  1    internal error, or a file that could not be read or written
  2    bad input: arguments, recipe, or cluster file; nothing was started
  3    the run failed: a process died, or a stage did not complete
  4    the run completed, but its result is `invalid`
  5    the cluster refused: no Slurm, or a submission that it does not take
  130  ended by SIGINT (143: by SIGTERM, 129: by SIGHUP); partial results are kept";

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well.
    Success,
    /// Something that should not happen, or a file that could not be read or written.
    Internal,
    /// Arguments, recipe, or cluster file.
    BadInput,
    /// A process died, or a stage did not complete.
    RunFailed,
    /// The run completed with an invalid result.
    InvalidResult,
    /// No Slurm, or it refused.
    Cluster,
    /// Ended by a signal.
    Signalled(u8),
    /// A stand-in that ends as its process would.
    Process(u8),
}

/// An error whose exit code is known where it arises. Anything else is internal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// Diagnostics that have been printed already.
    #[error("{0}")]
    BadInput(String),
    /// Slurm is missing or refused.
    #[error("{0}")]
    Cluster(String),
    /// Diagnostics were printed in full; nothing is left to say.
    #[error("the input has errors")]
    Reported,
}

impl Outcome {
    /// Classifies an error.
    pub(crate) fn of_error(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<CommandError>() {
            Some(CommandError::BadInput(_) | CommandError::Reported) => Self::BadInput,
            Some(CommandError::Cluster(_)) => Self::Cluster,
            None => Self::Internal,
        }
    }

    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Internal => 1,
            Self::BadInput => 2,
            Self::RunFailed => 3,
            Self::InvalidResult => INVALID_RESULT_EXIT_CODE,
            Self::Cluster => 5,
            Self::Signalled(signal) => 128 + signal,
            Self::Process(code) => code,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}
