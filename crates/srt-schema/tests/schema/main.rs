//! Texts in, recipes and diagnostics out.

#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

mod common;
mod diagnostics;
mod mistakes;
mod model;
mod mutations;
mod variants;
