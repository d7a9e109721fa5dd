//! The meaning of YAML text, against tables of what Python makes of it.

use serde_json::Value as Json;
use srt_yaml::{KeyOrder, Kind, Node, Source, Sources, Value, overlay, python_float, write_yaml};

fn parse(text: &str) -> Option<Node> {
    let mut sources = Sources::default();
    let file = sources.add(&Source { path: "test.yaml".to_owned(), text: text.to_owned() });
    srt_yaml::parse(&sources, file, &mut Vec::new())
}

fn rows(text: &str) -> Vec<Json> {
    serde_json::from_str(text).expect("the table is JSON")
}

#[test]
fn plain_scalars_mean_what_they_mean_to_pyyaml() {
    let mut checked = 0;
    for row in rows(include_str!("data/yaml_scalars.json")) {
        let scalar = row["scalar"].as_str().unwrap();
        let node = parse(&format!("k: {scalar}\n")).unwrap_or_else(|| panic!("`{scalar}` is YAML"));
        let value = node.at(&["k"]).unwrap();
        let kind = match value.kind {
            Kind::Null => "NoneType",
            Kind::Bool(_) => "bool",
            Kind::Int(_) => "int",
            Kind::Float(_) => "float",
            Kind::String(_) => "str",
            Kind::List(_) => "list",
            Kind::Map(_) => "dict",
        };
        match row["type"].as_str().unwrap() {
            // Dates stay the text they are, which is what they print as.
            "date" | "datetime" => assert_eq!(value.as_str(), Some(scalar)),
            // Beyond 64 bits, likewise.
            "int" if value.as_str().is_some() => assert_eq!(Some(scalar), row["str"].as_str()),
            expected => {
                assert_eq!(kind, expected, "type of `{scalar}`");
                assert_eq!(value.to_value().python_str(), row["str"].as_str().unwrap(), "`{scalar}`");
            }
        }
        checked += 1;
    }
    assert!(checked > 100, "the table was read");
}

#[test]
fn numbers_print_as_python_prints_them() {
    let texts: Vec<String> = serde_json::from_str(include_str!("data/float_repr.json")).unwrap();
    assert!(texts.len() > 20, "the table was read");
    for text in texts {
        assert_eq!(python_float(text.parse().unwrap()), text);
    }
}

#[test]
fn overrides_merge_as_in_python() {
    for row in rows(include_str!("data/deep_merge.json")) {
        let read = |key: &str| parse(&row[key].to_string()).unwrap();
        let merged = overlay(&read("base"), &read("override"));
        assert_eq!(merged.to_value(), read("result").to_value(), "{row}");
    }
}

#[test]
fn what_python_dumps_reads_back_and_is_written_back() {
    for row in rows(include_str!("data/yaml_safe_dump.json")) {
        let value = parse(row["yaml"].as_str().unwrap()).unwrap().to_value();
        let shown = row["repr"].as_str().unwrap();
        // Keys are text here, and so are integers beyond 64 bits.
        if !shown.contains("{1: ") && !shown.contains("1180591620717411303424") {
            assert_eq!(value.python_repr(), shown);
        }
        let written = write_yaml(&value, KeyOrder::Kept);
        assert_eq!(parse(&written).unwrap().to_value(), value, "{written}");
    }
}

#[test]
fn text_that_reads_as_something_else_is_quoted() {
    for row in rows(include_str!("data/yaml_scalars.json")) {
        let text = Value::from(row["scalar"].as_str().unwrap());
        let written = write_yaml(&text, KeyOrder::Kept);
        assert_eq!(parse(&written).unwrap().to_value(), text, "{written}");
    }
}
