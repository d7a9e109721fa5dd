//! Plans, from recipe text to steps.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod corpus;
mod plans;
mod robustness;
mod support;
