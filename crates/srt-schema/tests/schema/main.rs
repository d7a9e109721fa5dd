//! Texts in, recipes and diagnostics out.

#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

mod any_text;
mod common;
mod diagnostics;
mod documents;
mod mistakes;
mod model;
mod mutations;
mod variants;
