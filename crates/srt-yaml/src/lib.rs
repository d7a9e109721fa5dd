//! YAML text to a tree whose every node knows its file and bytes; merge, strict decoding, and diagnostics.

mod value;

pub use crate::value::Value;
