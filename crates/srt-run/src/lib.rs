//! The supervisor: executes a plan through a launcher, and leaves a record.
//!
//! [`run`] takes a plan through its stages and always comes to an end with a verdict, a rollup, and nothing left
//! running. How steps are started is behind [`launcher::Launcher`]; on this machine it is [`local::LocalLauncher`],
//! which starts each step under a [`keeper`].

mod clock;
pub mod command;
mod folder;
pub mod keeper;
pub mod launcher;
pub mod local;
mod log_tail;
mod outcome;
mod ports;
pub mod record;
pub mod resources;
mod stage;
mod supervisor;

pub use crate::{
    clock::{Clock, SystemClock},
    folder::{PrepareError, RunFile, RunFolder},
    outcome::{FailureCause, RunEnd, RunFailure, RunOutcome},
    stage::RunStage,
    supervisor::{
        Control, Execution, HURRIED_ROLLUP_LIMIT, KILL_LIMIT, NO_PROGRESS_LIMIT, NO_PROGRESS_WARNING,
        ROLLUP_LIMIT, RunRequest, TIERS, execute, run,
    },
};
