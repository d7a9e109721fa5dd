//! `RuntimeContext`: every path and value of a run, computed once.
//!
//! Everything that follows from recipe, cluster file, allocation, and surroundings is computed here and read
//! everywhere else: no other crate expands a variable, joins a log path, or asks which node is the head.

mod allocation;

pub use crate::allocation::{Allocation, HetGroups, JobId, Node, Surroundings};
