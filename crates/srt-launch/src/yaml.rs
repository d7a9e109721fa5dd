//! YAML text for files that engines read.
//!
//! The text reads the same under YAML 1.1, which Python's loader follows, and 1.2: anything that either could take
//! for something other than text is quoted.

use srt_yaml::Value;

use crate::python;

/// Block-style YAML in the order of the value.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Map(entries) if !entries.is_empty() => block(value, 0, &mut out),
        Value::List(items) if !items.is_empty() => block(value, 0, &mut out),
        _ => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
    out
}

/// The value with the keys of every mapping sorted.
#[must_use]
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.iter().map(sorted).collect()),
        Value::Map(entries) => {
            let mut entries: Vec<_> =
                entries.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Map(entries.into_iter().collect())
        }
        other => other.clone(),
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
        _ => false,
    }
}

fn block(value: &Value, indent: usize, out: &mut String) {
    let margin = " ".repeat(indent);
    match value {
        Value::Map(entries) => {
            for (key, value) in entries {
                out.extend([&margin, &string(key), ":"]);
                nested(value, indent, out);
            }
        }
        Value::List(items) => {
            for item in items {
                out.extend([&margin, "-"]);
                nested(item, indent, out);
            }
        }
        _ => out.extend([&margin, &scalar(value), "\n"]),
    }
}

fn nested(value: &Value, indent: usize, out: &mut String) {
    if is_block(value) {
        out.push('\n');
        block(value, indent + 2, out);
    } else {
        out.extend([" ", &scalar(value), "\n"]);
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::String(text) => string(text),
        Value::List(_) => "[]".to_owned(),
        Value::Map(_) => "{}".to_owned(),
    }
}

/// YAML 1.1 wants a dot before an exponent.
fn float(number: f64) -> String {
    if number.is_nan() {
        return ".nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let plain = python::float(number);
    match plain.split_once('e') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0e{exponent}"),
        _ => plain,
    }
}

/// Words that some YAML reads as a boolean or as nothing.
const RESERVED: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

fn string(text: &str) -> String {
    let starts_plainly = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/');
    let stays_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./ +@%=,".contains(c));
    let is_reserved = RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word));
    if starts_plainly && stays_plain && !is_reserved && !text.ends_with(' ') {
        return text.to_owned();
    }
    python::json_string(text)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use indexmap::IndexMap;

    use super::*;

    #[test]
    fn text_that_could_be_something_else_is_quoted() {
        let entries = [
            ("z", Value::String("AUTO".to_owned())),
            ("bool_text", Value::String("yes".to_owned())),
            ("number_text", Value::String("1e5".to_owned())),
            ("time", Value::String("1:30".to_owned())),
            ("small", Value::Float(1e-5)),
            ("share", Value::Float(0.8)),
            ("nothing", Value::Null),
            ("quoted", Value::String("a: b # \"c\" é".to_owned())),
            ("empty", Value::Map(IndexMap::new())),
            (
                "list",
                Value::List(vec![Value::Int(1), Value::List(vec![Value::Bool(true)]), Value::List(vec![])]),
            ),
            ("map", Value::Map(IndexMap::from([("n".to_owned(), Value::Int(2))]))),
        ];
        let value = Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
        expect![[r#"
            bool_text: "yes"
            empty: {}
            list:
              - 1
              -
                - true
              - []
            map:
              "n": 2
            nothing: null
            number_text: "1e5"
            quoted: "a: b # \"c\" \u00e9"
            share: 0.8
            small: 1.0e-05
            time: "1:30"
            z: AUTO
        "#]]
        .assert_eq(&text(&sorted(&value)));
    }
}
