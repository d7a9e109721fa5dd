//! The vocabulary of a step: what is started, where, with which environment, and when it counts as ready.
//!
//! A [`Step`] is one thing that a launcher starts: a local process, or one `srun`. Producers (backends,
//! frontends, benchmarks) make steps; only the supervisor starts them. A step says everything there is to say,
//! so that what `dry-run` prints is what runs.

mod file;
pub mod flags;
mod probe;
pub mod python;
pub mod shell;
mod step;

pub use crate::{
    file::PlannedFile,
    probe::{FrontendProtocol, Probe, Readiness, Wait},
    step::{
        Container, Environment, INVALID_RESULT_EXIT_CODE, Lifetime, Mount, Preamble, SELF_PROGRAM, Stage,
        Step, StepId, StepOrigin, is_secret_variable,
    },
};
