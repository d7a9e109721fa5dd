//! Tests of the crate from outside, in one binary.

mod golden;
mod readers;
mod robust;
mod support;
