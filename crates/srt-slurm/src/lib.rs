//! Slurm as it is: host lists, job states, submission, queries, the options it knows, and steps by srun.
//!
//! [`Slurm`] stands for the command line tools of an installed Slurm; every question it asks has a limit in time.
//! What the tools answer is parsed by pure functions over text that was captured from a real Slurm.
//! [`SrunLauncher`] starts the steps of a plan in a job.

mod client;
mod dialect;
pub mod hostlist;
mod job;
mod launcher;
mod messages;
mod nodes;
mod query;
mod srun;
mod state;
mod submit;

pub use crate::{
    client::{Slurm, SlurmError},
    dialect::{Tool, UnknownOption},
    job::{JobEnvironment, JobEnvironmentError},
    launcher::SrunLauncher,
    nodes::AddressError,
    query::{JobExit, JobReport, Jobs},
    srun::{JobContext, srun_argv, srun_environment},
    state::{JobState, Phase},
    submit::{Submission, SubmitError},
};
