//! The supervisor with real processes: what a run leaves behind, whatever happens to it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes expectations this way")]
#![expect(clippy::assigning_clones, reason = "a scenario is changed once, and reads better so")]

mod faults;
mod harness;
mod killed;
mod reliability;
#[path = "../../stand_in/scenario.rs"]
mod scenario;
