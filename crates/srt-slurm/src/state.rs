//! [`JobState`]: every state in which Slurm shows a job.

use std::{convert::Infallible, fmt, str::FromStr};

/// A job's state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Waits for its nodes.
    Pending,
    /// Has its nodes, which still boot.
    Configuring,
    /// Runs.
    Running,
    /// Stopped, its nodes given to others.
    Suspended,
    /// Stopped, its nodes kept.
    Stopped,
    /// Its size is being changed.
    Resizing,
    /// Is being signalled.
    Signaling,
    /// Its data is being moved out.
    StageOut,
    /// Is over; processes are still being ended, or the epilog runs.
    Completing,
    /// Ended with exit code 0.
    Completed,
    /// Ended with another exit code.
    Failed,
    /// Ended by a person or an administrator.
    Cancelled,
    /// Ended by its time limit.
    Timeout,
    /// Ended by its deadline.
    Deadline,
    /// Ended because a node failed.
    NodeFail,
    /// Ended because it took more memory than it had.
    OutOfMemory,
    /// Ended for the sake of a more important job.
    Preempted,
    /// Its nodes did not boot.
    BootFail,
    /// It could not be launched on its nodes.
    LaunchFailed,
    /// Its nodes could not be configured for it.
    ReconfigFail,
    /// Taken away by another cluster of a federation.
    Revoked,
    /// Put back into the queue.
    Requeued,
    /// Put back into the queue of a federation.
    RequeueFed,
    /// Put back into the queue, and held.
    RequeueHold,
    /// Put back into the queue, and held, by an exit code that asks for it.
    SpecialExit,
    /// Held because its reservation was deleted.
    ResvDelHold,
    /// Its nodes are being powered up.
    PowerUpNode,
    /// The accounting database is being told.
    UpdateDb,
    /// A state that this program does not know, as Slurm shows it.
    Other(String),
}

/// What a state means to someone who waits for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has not started, or will start again.
    Waiting,
    /// It has its nodes.
    Active,
    /// It is over.
    Finished,
    /// Only Slurm knows.
    Unknown,
}

const NAMES: [(JobState, &str); 28] = [
    (JobState::Pending, "PENDING"),
    (JobState::Configuring, "CONFIGURING"),
    (JobState::Running, "RUNNING"),
    (JobState::Suspended, "SUSPENDED"),
    (JobState::Stopped, "STOPPED"),
    (JobState::Resizing, "RESIZING"),
    (JobState::Signaling, "SIGNALING"),
    (JobState::StageOut, "STAGE_OUT"),
    (JobState::Completing, "COMPLETING"),
    (JobState::Completed, "COMPLETED"),
    (JobState::Failed, "FAILED"),
    (JobState::Cancelled, "CANCELLED"),
    (JobState::Timeout, "TIMEOUT"),
    (JobState::Deadline, "DEADLINE"),
    (JobState::NodeFail, "NODE_FAIL"),
    (JobState::OutOfMemory, "OUT_OF_MEMORY"),
    (JobState::Preempted, "PREEMPTED"),
    (JobState::BootFail, "BOOT_FAIL"),
    (JobState::LaunchFailed, "LAUNCH_FAILED"),
    (JobState::ReconfigFail, "RECONFIG_FAIL"),
    (JobState::Revoked, "REVOKED"),
    (JobState::Requeued, "REQUEUED"),
    (JobState::RequeueFed, "REQUEUE_FED"),
    (JobState::RequeueHold, "REQUEUE_HOLD"),
    (JobState::SpecialExit, "SPECIAL_EXIT"),
    (JobState::ResvDelHold, "RESV_DEL_HOLD"),
    (JobState::PowerUpNode, "POWER_UP_NODE"),
    (JobState::UpdateDb, "UPDATE_DB"),
];

impl JobState {
    /// What it means to someone who waits.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Pending
            | Self::Requeued
            | Self::RequeueFed
            | Self::RequeueHold
            | Self::SpecialExit
            | Self::ResvDelHold
            | Self::PowerUpNode => Phase::Waiting,
            // A job that completes has ended its script, but its nodes and files are still in use.
            Self::Configuring
            | Self::Running
            | Self::Suspended
            | Self::Stopped
            | Self::Resizing
            | Self::Signaling
            | Self::StageOut
            | Self::Completing
            | Self::UpdateDb => Phase::Active,
            Self::Completed
            | Self::Failed
            | Self::Cancelled
            | Self::Timeout
            | Self::Deadline
            | Self::NodeFail
            | Self::OutOfMemory
            | Self::Preempted
            | Self::BootFail
            | Self::LaunchFailed
            | Self::ReconfigFail
            | Self::Revoked => Phase::Finished,
            Self::Other(_) => Phase::Unknown,
        }
    }
}

impl FromStr for JobState {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        // The accounting database says `CANCELLED by 1000`, and older versions cut with a `+`.
        let word = text.split_whitespace().next().unwrap_or_default().trim_end_matches('+');
        let known = NAMES.iter().find(|(_, name)| *name == word);
        Ok(known.map_or_else(|| Self::Other(text.to_owned()), |(state, _)| state.clone()))
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(text) => f.write_str(text),
            known => {
                let name = NAMES.iter().find(|(state, _)| state == known);
                f.write_str(name.map(|(_, name)| *name).expect("every other state stands in the table"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_reads_as_it_is_written() {
        for (state, name) in NAMES {
            assert_eq!(state.to_string(), name);
            assert_eq!(name.parse::<JobState>(), Ok(state.clone()));
            assert_ne!(state.phase(), Phase::Unknown, "{name}");
        }
    }

    #[test]
    fn what_slurm_adds_does_not_hide_the_state() {
        assert_eq!("CANCELLED by 1000".parse(), Ok(JobState::Cancelled));
        assert_eq!("CANCELLED+".parse(), Ok(JobState::Cancelled));
    }

    #[test]
    fn an_unknown_state_is_shown_as_it_is() {
        let state: JobState = "EXPEDITING soon".parse().unwrap();
        assert_eq!(state.to_string(), "EXPEDITING soon");
        assert_eq!(state.phase(), Phase::Unknown);
    }
}
