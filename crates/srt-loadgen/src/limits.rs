//! What this machine allows: open files and ports.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that a process has open besides its connections: logs, timers, the event loops' own.
const OTHER_FILES: u64 = 64;

/// More streams than this machine allows.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// Open files.
    #[error(
        "{streams} concurrent requests need {needed} open files and this process may have {allowed}; raise the \
         hard limit (`ulimit -Hn {needed}`) or lower the concurrency"
    )]
    OpenFiles {
        /// Concurrent requests asked for.
        streams: u64,
        /// Open files they need.
        needed: u64,
        /// Open files allowed.
        allowed: u64,
    },
}

/// Raises the limit of open files as far as `streams` connections need.
pub(crate) fn raise_open_files(streams: u64) -> Result<(), LimitError> {
    let needed = streams + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= needed {
        return Ok(());
    }
    let maximum = limit.maximum.unwrap_or(u64::MAX);
    // A privileged process may raise the hard limit as well; an error leaves the limits as they are.
    let raised = Rlimit { current: Some(needed), maximum: Some(maximum.max(needed)) };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    Err(LimitError::OpenFiles { streams, needed, allowed: maximum })
}
