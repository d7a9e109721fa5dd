//! Roles, endpoints, processes, GPU sets, and ports: who sits where.
//!
//! Usable alone: it knows neither recipes nor Slurm.

mod names;

pub use crate::names::{InvalidNodeName, NodeName, Role};
