//! Values spelled as Python spells them: engines and routers parse their command lines in Python.

use std::fmt::Write;

use srt_yaml::Value;

/// `str(value)`: text as it is, `True`, `None`, `1e-05`, and `repr` for lists and mappings.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// `repr(value)`: like [`text`], with quotes around text.
pub fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::String(text) => quoted(text),
        Value::List(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{}: {}", quoted(key), repr(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// Shortest decimal text that reads back as the same number; with an exponent below 1e-4 and from 1e16 on.
pub fn float(number: f64) -> String {
    if !number.is_finite() {
        let sign = if number.is_sign_negative() && !number.is_nan() { "-" } else { "" };
        return format!("{sign}{}", if number.is_nan() { "nan" } else { "inf" });
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a decimal exponent");
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = number.to_string();
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

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
        Value::Float(number) => float(*number),
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

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_ascii_control() => {
                write!(out, "\\x{:02x}", u32::from(c)).expect("writing to a String cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

pub(crate) fn json_string(text: &str) -> String {
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
    use expect_test::{Expect, expect};
    use indexmap::IndexMap;

    use super::*;

    #[track_caller]
    fn check(value: &Value, expected: &Expect) {
        expected.assert_eq(&format!("{} | {} | {}", text(value), repr(value), json(value)));
    }

    #[test]
    fn numbers_are_spelled_as_python_spells_them() {
        let floats =
            [0.85, 1.0, 1e-5, 0.0001, 1e22, 1e16, 1e15, 123_456_789.125, -0.0, 5e-324, f64::INFINITY];
        let spelled: Vec<_> = floats.iter().map(|number| float(*number)).collect();
        expect!["0.85 1.0 1e-05 0.0001 1e+22 1e+16 1000000000000000.0 123456789.125 -0.0 5e-324 inf"]
            .assert_eq(&spelled.join(" "));
        check(&Value::Float(f64::NAN), &expect!["nan | nan | NaN"]);
    }

    #[test]
    fn lists_and_mappings_become_python_text_or_json() {
        let mapping = IndexMap::from([
            ("a".to_owned(), Value::Int(1)),
            (
                "b".to_owned(),
                Value::List(vec![Value::Bool(true), Value::Null, Value::String("x'y".to_owned())]),
            ),
        ]);
        check(
            &Value::Map(mapping),
            &expect![[
                r#"{'a': 1, 'b': [True, None, "x'y"]} | {'a': 1, 'b': [True, None, "x'y"]} | {"a": 1, "b": [true, null, "x'y"]}"#
            ]],
        );
    }

    #[test]
    fn text_is_verbatim_quoted_or_escaped() {
        check(
            &Value::String("é\u{1f600} \"q\" 'p' \\".to_owned()),
            &expect![[r#"é😀 "q" 'p' \ | 'é😀 "q" \'p\' \\' | "\u00e9\ud83d\ude00 \"q\" 'p' \\""#]],
        );
        assert_eq!(repr(&Value::String("\n\u{1}".to_owned())), r"'\n\x01'");
        assert_eq!(json(&Value::String("\n\u{1}".to_owned())), r#""\n\u0001""#);
    }
}
