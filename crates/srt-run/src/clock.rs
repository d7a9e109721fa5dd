//! [`Clock`]: what time it is, for records.

use jiff::Timestamp;

/// What time it is. Only records ask; waits and limits count elapsed time and need no clock.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
