//! The plan: everything a run will do, as data.
//!
//! [`plan()`] composes what topology, backends, frontends, and benchmarks decide into one [`Plan`]. `dry-run` prints it,
//! the supervisor runs it, tests snapshot it. [`json`] is its form for machines, [`batch_script`] the text for Slurm.

mod allocation;
mod batch;
mod build;
mod infra;
pub mod json;
mod model;
mod plan;

pub use srt_benchmarks::{Expected, Target};
pub use srt_frontends::{FrontendLayout, NginxPlan};
pub use srt_launch::PlannedFile;

pub use crate::{
    allocation::{LOCAL_NETWORK, local_allocation, preview_allocation},
    batch::{BatchError, Program, batch_script},
    build::{PlanError, plan},
    json::PlannedVariant,
    plan::{PerRole, Plan, Summary},
};
