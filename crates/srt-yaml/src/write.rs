//! [`write_yaml`]: block-style YAML that YAML 1.1 and YAML 1.2 readers understand alike.

use std::fmt::Write;

use crate::{
    scalar,
    value::{Value, python_float},
};

/// Order of keys in a written mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOrder {
    /// As they are.
    Kept,
    /// By their text, at every depth.
    Sorted,
}

/// The value as a YAML document in block style. Text that a reader could take for something else is quoted.
pub fn write_yaml(value: &Value, order: KeyOrder) -> String {
    let mut out = String::new();
    match value {
        Value::Map(map) if !map.is_empty() => write_map(value, 0, order, &mut out),
        Value::List(items) if !items.is_empty() => write_list(items, 0, order, &mut out),
        scalar => {
            write_scalar(scalar, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn write_map(value: &Value, depth: usize, order: KeyOrder, out: &mut String) {
    let Value::Map(map) = value else { return };
    let mut entries: Vec<_> = map.iter().collect();
    if order == KeyOrder::Sorted {
        entries.sort_by_key(|(key, _)| key.as_str());
    }
    for (index, (key, item)) in entries.into_iter().enumerate() {
        // The first key of a mapping in a list stands behind the dash.
        if index > 0 || !out.ends_with("- ") {
            indent(depth, out);
        }
        write_key(key, out);
        out.push(':');
        match item {
            Value::Map(inner) if !inner.is_empty() => {
                out.push('\n');
                write_map(item, depth + 1, order, out);
            }
            Value::List(items) if !items.is_empty() => {
                out.push('\n');
                write_list(items, depth, order, out);
            }
            scalar => {
                out.push(' ');
                write_scalar(scalar, depth + 1, out);
                out.push('\n');
            }
        }
    }
}

fn write_list(items: &[Value], depth: usize, order: KeyOrder, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || !out.ends_with("- ") {
            indent(depth, out);
        }
        out.push_str("- ");
        match item {
            Value::Map(inner) if !inner.is_empty() => write_map(item, depth + 1, order, out),
            Value::List(inner) if !inner.is_empty() => write_list(inner, depth + 1, order, out),
            scalar => {
                write_scalar(scalar, depth + 1, out);
                out.push('\n');
            }
        }
    }
}

fn write_key(key: &str, out: &mut String) {
    if key.contains('\n') || key.len() > 120 {
        // Long and broken keys need the explicit `? key` form in block style unless they are quoted on one line.
        write_double_quoted(key, out);
    } else {
        write_text(key, None, out);
    }
}

fn write_scalar(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(it) => out.push_str(if *it { "true" } else { "false" }),
        Value::Int(it) => write!(out, "{it}").expect("writing to a String cannot fail"),
        Value::Float(it) => out.push_str(&yaml_float(*it)),
        Value::String(it) => write_text(it, Some(depth), out),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
}

/// As Python prints it, but with a dot, without which YAML 1.1 reads text.
fn yaml_float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf".to_owned() } else { "-.inf".to_owned() };
    }
    let text = python_float(value);
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        _ => text,
    }
}

/// `block_depth`: indentation of a literal block, where one may stand.
fn write_text(text: &str, block_depth: Option<usize>, out: &mut String) {
    if text.contains('\n')
        && let Some(depth) = block_depth
        && fits_literal_block(text)
    {
        return write_literal_block(text, depth, out);
    }
    if !text.chars().all(is_printable) {
        return write_double_quoted(text, out);
    }
    if fits_plain(text) {
        out.push_str(text);
    } else {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    }
}

fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{85}' | '\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

fn fits_plain(text: &str) -> bool {
    let starts_badly = text.starts_with([
        ' ', '-', '?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`',
        '.',
    ]) && !starts_like_a_flag_or_path(text);
    let ends_badly = text.ends_with([' ', ':']);
    let contains_indicator = text.contains(": ") || text.contains(" #");
    !starts_badly && !ends_badly && !contains_indicator && !scalar::is_ambiguous(text)
}

/// `-x`, `--flag`, and `./path` are harmless, and quotes around them are noise.
fn starts_like_a_flag_or_path(text: &str) -> bool {
    let mut characters = text.chars();
    let first = characters.next();
    let harmless = |it: char| it.is_ascii_alphabetic() || it == '/';
    match first {
        Some('-') => text.trim_start_matches('-').starts_with(harmless) && !text.starts_with("---"),
        Some('.') => characters.next().is_some_and(harmless),
        _ => false,
    }
}

/// A literal block keeps every line as it is, but cannot hold control characters or a first line with leading space.
fn fits_literal_block(text: &str) -> bool {
    let printable = text.chars().all(|it| it == '\n' || it == '\t' || is_printable(it));
    let first_line = text.split('\n').find(|line| !line.is_empty());
    printable && first_line.is_some_and(|line| !line.starts_with([' ', '\t']))
}

fn write_literal_block(text: &str, depth: usize, out: &mut String) {
    let body = text.trim_end_matches('\n');
    let trailing = text.len() - body.len();
    out.push_str(match trailing {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(depth, out);
            out.push_str(line);
        }
    }
    // The caller ends the last line; kept trailing breaks are written as empty lines.
    out.extend(std::iter::repeat_n('\n', trailing.saturating_sub(1)));
}

fn write_double_quoted(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            it if is_printable(it) => out.push(it),
            it => {
                let code = u32::from(it);
                let written = if code <= 0xff {
                    write!(out, "\\x{code:02X}")
                } else if code <= 0xffff {
                    write!(out, "\\u{code:04X}")
                } else {
                    write!(out, "\\U{code:08X}")
                };
                written.expect("writing to a String cannot fail");
            }
        }
    }
    out.push('"');
}
