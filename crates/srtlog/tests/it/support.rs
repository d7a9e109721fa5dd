//! What the tests share: fixtures, reading a text, comparing JSON.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value as Json;
use srtlog::{Coverage, NodeMetrics, node_parser};

/// A file or folder under `fixtures/`.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(path)
}

pub(crate) fn fixture_bytes(path: &str) -> Vec<u8> {
    fs::read(fixture(path)).unwrap_or_else(|error| panic!("fixture {path}: {error}"))
}

/// Reads a log in pieces of `chunk` bytes.
pub(crate) fn read_in_chunks(engine: &str, log: &[u8], chunk: usize) -> (NodeMetrics, Coverage) {
    let mut parser = node_parser(engine).expect("the engine is registered");
    let mut metrics = NodeMetrics::default();
    for part in log.chunks(chunk) {
        parser.push(part, &mut metrics);
    }
    parser.finish(&mut metrics);
    (metrics, parser.coverage().clone())
}

pub(crate) fn read(engine: &str, log: &[u8]) -> (NodeMetrics, Coverage) {
    read_in_chunks(engine, log, log.len().max(1))
}

/// The places where `ours` differs from `theirs`, one per line. Keys that only `ours` has are no difference.
pub(crate) fn differences(theirs: &Json, ours: &Json) -> String {
    let mut out = String::new();
    compare("", theirs, ours, &mut out);
    out
}

fn compare(path: &str, theirs: &Json, ours: &Json, out: &mut String) {
    match (theirs, ours) {
        (Json::Object(theirs), Json::Object(ours)) => {
            for (key, value) in theirs {
                compare(&format!("{path}/{key}"), value, ours.get(key).unwrap_or(&Json::Null), out);
            }
        }
        (Json::Array(theirs), Json::Array(ours)) => {
            if theirs.len() != ours.len() {
                writeln!(out, "{path}: {} items -> {} items", theirs.len(), ours.len()).expect("text grows");
                return;
            }
            for (index, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                compare(&format!("{path}/{index}"), theirs, ours, out);
            }
        }
        _ if theirs == ours => {}
        _ => writeln!(out, "{path}: {} -> {}", shown(theirs), shown(ours)).expect("text grows"),
    }
}

fn shown(value: &Json) -> String {
    let text = value.to_string();
    if text.chars().count() <= 100 {
        text
    } else {
        format!("{}…", text.chars().take(100).collect::<String>())
    }
}
