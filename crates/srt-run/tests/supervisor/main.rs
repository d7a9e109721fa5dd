//! The supervisor with real processes: what a run leaves behind, whatever happens to it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod harness;
mod keeper;
mod killed;
#[path = "../../stand_in/scenario.rs"]
mod scenario;
