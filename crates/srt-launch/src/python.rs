//! What Python makes of a value: engines and routers read their command lines in Python.

use std::fmt::Write;

use srt_yaml::{Value, python_float};

/// JSON as `json.dumps` writes it: `", "` and `": "` as separators, non-ASCII characters escaped.
pub fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) if number.is_nan() => "NaN".to_owned(),
        Value::Float(number) if number.is_infinite() => {
            if *number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        Value::Float(number) => python_float(*number),
        Value::String(text) => json_string(text),
        Value::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{}: {}", json_string(key), json(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// Whether Python would take the value for true in a condition.
pub fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Int(number) => *number != 0,
        Value::Float(number) => *number != 0.0,
        Value::String(text) => !text.is_empty(),
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
    }
}

fn json_string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}").expect("writing to a String cannot fail");
                }
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;

    #[track_caller]
    fn check(value: &Value, expected: &str) {
        assert_eq!(json(value), expected);
    }

    #[test]
    fn json_has_spaces_after_separators_and_escapes_what_is_not_ascii() {
        let items = vec![Value::Bool(true), Value::Null, Value::Float(1e-5), Value::Int(-1)];
        let entries = [("a", Value::List(items)), ("b", Value::Map(IndexMap::new()))];
        let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
        check(&Value::Map(entries.collect()), r#"{"a": [true, null, 1e-05, -1], "b": {}}"#);
        check(
            &Value::from("é\u{1f600} \"q\" 'p' \\ \n\u{1}"),
            r#""\u00e9\ud83d\ude00 \"q\" 'p' \\ \n\u0001""#,
        );
        check(&Value::Float(f64::NEG_INFINITY), "-Infinity");
    }

    #[test]
    fn nothing_zero_and_empty_are_false() {
        let falsy = [Value::Null, Value::Bool(false), Value::Int(0), Value::Float(0.0), Value::from("")];
        assert!(falsy.iter().all(|value| !is_truthy(value)));
        assert!(is_truthy(&Value::from("false")) && is_truthy(&Value::List(vec![Value::Null])));
    }
}
