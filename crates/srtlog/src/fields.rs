//! Key/value tokens of a log line: `#new-seq: 1, token usage: 0.00, host_step_time = 20.0ms, states = {…}`.

/// Iterates over `key: value` and `key = value` tokens that commas separate, in whatever order they stand.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// One token. A token without `:` or `=` has no key, and continues the field before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Fields<'a> {
    #[inline]
    pub(crate) fn new(text: &'a [u8]) -> Fields<'a> {
        Fields { rest: text }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        let text = self.rest;
        let mut start = 0;
        while start < text.len() && matches!(text[start], b' ' | b',' | b'\t' | b')' | b']' | b'}') {
            start += 1;
        }
        if start == text.len() {
            return None;
        }
        let mut at = start;
        while at < text.len() && !matches!(text[at], b':' | b'=' | b',') {
            at += 1;
        }
        let is_pair = at < text.len() && text[at] != b',';
        let key = if is_pair { trim_end(&text[start..at]) } else { b"" };
        let mut value_start = if is_pair { at + 1 } else { start };
        while value_start < text.len() && text[value_start] == b' ' {
            value_start += 1;
        }
        let value_end = value_start + value_length(&text[value_start..]);
        self.rest = &text[value_end..];
        Some(Field { key, value: trim_end(&text[value_start..value_end]) })
    }
}

/// How far a closing bracket or quote may be away. Without a bound, a line of opening brackets would take quadratic time.
const LOOKAHEAD: usize = 1024;

/// Length of a value: to the next comma outside brackets and quotes.
#[inline]
fn value_length(whole: &[u8]) -> usize {
    let text = &whole[..whole.len().min(LOOKAHEAD)];
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b',' if depth == 0 => return at,
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => {
                if depth == 0 {
                    return at;
                }
                depth -= 1;
            }
            quote @ (b'\'' | b'"') => {
                // An apostrophe that no second one closes is part of a word.
                if let Some(close) = memchr::memchr(quote, &text[at + 1..]) {
                    at += close + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    // A bracket that never closes must not swallow the rest of the line, nor must a value that never ends.
    if depth > 0 || text.len() < whole.len() {
        return memchr::memchr(b',', whole).unwrap_or(whole.len());
    }
    at.min(text.len())
}

#[inline]
fn trim_end(text: &[u8]) -> &[u8] {
    let mut end = text.len();
    while end > 0 && matches!(text[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    &text[..end]
}

/// Removes quotes around a key or a value.
pub(crate) fn unquote(text: &[u8]) -> &[u8] {
    match text {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let fields: Vec<_> = Fields::new(text.as_bytes())
            .map(|field| {
                (
                    std::str::from_utf8(field.key).expect("text in, text out"),
                    std::str::from_utf8(field.value).expect("text in, text out"),
                )
            })
            .collect();
        assert_eq!(fields, expected);
    }

    #[test]
    fn pairs_are_read_in_any_style() {
        check(
            " #new-seq: 1, input throughput (token/s): 3.5,  host_step_time = 20.0ms,a=b, ",
            &[
                ("#new-seq", "1"),
                ("input throughput (token/s)", "3.5"),
                ("host_step_time", "20.0ms"),
                ("a", "b"),
            ],
        );
    }

    #[test]
    fn lists_and_nested_tables_are_one_value() {
        check(
            "#running per DP: [2, 2], states = {'a': 1, 'b': {'c': 2}}, x: 'p, q', y: 1",
            &[
                ("#running per DP", "[2, 2]"),
                ("states", "{'a': 1, 'b': {'c': 2}}"),
                ("x", "'p, q'"),
                ("y", "1"),
            ],
        );
    }

    #[test]
    fn values_without_key_and_open_brackets_do_not_swallow_fields() {
        check("rate: 0.9, 0.8, n: 1", &[("rate", "0.9"), ("", "0.8"), ("n", "1")]);
        check("a: [1, b: 2", &[("a", "[1"), ("b", "2")]);
        check("it's: 1, b: 2", &[("it's", "1"), ("b", "2")]);
    }
}
