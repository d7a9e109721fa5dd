//! Tests of the crate from outside, in one binary.

mod golden;
mod ours;
mod readers;
mod results;
mod robust;
mod support;
mod tables;
