//! Bytes to a tree. What is a tree is written and read back to the same value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use srt_yaml::{KeyOrder, Source, Sources, Value, write_yaml};

fuzz_target!(|bytes: &[u8]| {
    let source = match Source::from_bytes("fuzz.yaml".to_owned(), bytes.to_vec()) {
        Ok(source) => source,
        Err(problem) => {
            assert!(!problem.render(false).is_empty());
            return;
        }
    };
    let mut sources = Sources::default();
    let file = sources.add(&source);
    let mut diagnostics = Vec::new();
    let node = srt_yaml::parse(&sources, file, &mut diagnostics);
    assert!(node.is_some() || !diagnostics.is_empty(), "no tree, and no reason");
    for diagnostic in diagnostics {
        assert!(!diagnostic.render(false).is_empty());
    }
    let Some(node) = node else { return };
    let value = node.to_value();
    let written = write_yaml(&value, KeyOrder::Kept);
    let mut again = Sources::default();
    let file = again.add(&Source { path: "again.yaml".to_owned(), text: written.clone() });
    let back = srt_yaml::parse(&again, file, &mut Vec::new()).expect("what was written is YAML");
    if !holds_nan(&value) {
        assert_eq!(back.to_value(), value, "{written}");
    }
});

fn holds_nan(value: &Value) -> bool {
    match value {
        Value::Float(number) => number.is_nan(),
        Value::List(items) => items.iter().any(holds_nan),
        Value::Map(map) => map.values().any(holds_nan),
        _ => false,
    }
}
