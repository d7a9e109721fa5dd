//! Reads worker logs and benchmark results of LLM inference runs, and rolls them up

mod verdict;

pub use verdict::{Reason, Verdict};
