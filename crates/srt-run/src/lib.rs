//! The supervisor: executes a plan through a launcher, and leaves a record.

pub mod command;
pub mod keeper;
pub mod launcher;
pub mod local;
mod ports;
