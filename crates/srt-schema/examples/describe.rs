//! Prints a document about the format: `recipe-schema`, `cluster-schema`, or `reference`.
//!
//!     cargo run -p srt-schema --example describe -- reference

#![expect(clippy::print_stdout, reason = "the output of the example")]

use srt_schema::{Format, json_schema, reference_markdown};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("recipe-schema") => println!("{:#}", json_schema(Format::Recipe)),
        Some("cluster-schema") => println!("{:#}", json_schema(Format::Cluster)),
        Some("reference") => println!("{}", reference_markdown()),
        _ => panic!("usage: describe recipe-schema|cluster-schema|reference"),
    }
}
