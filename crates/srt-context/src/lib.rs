//! [`RuntimeContext`]: every path and value of a run, computed once.
//!
//! Everything that follows from recipe, cluster file, allocation, and surroundings is computed here and read
//! everywhere else: no other crate expands a variable, joins a log path, or asks which node is the head.
//! [`Job`] adds who sits where; it is what backends, frontends, and benchmarks are given.

mod allocation;
mod context;
mod job;
mod model;
mod mounts;
mod paths;
mod setup;
mod text;

pub use crate::{
    allocation::{Allocation, HetGroups, JobId, Node, Surroundings},
    context::{ContextError, RuntimeContext, dedicated_nodes},
    job::{Job, PlacementError},
    model::ModelLocation,
    paths::{output_base, resolve, run_dir},
};
