//! [`Number`]: a number as a log or a result file wrote it, whole or with a fraction.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number that remembers whether it was written whole, so that `100` stays `100` and never becomes `100.0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Written without a fraction.
    Int(i64),
    /// Written with a fraction or an exponent.
    Float(f64),
}

impl Number {
    /// The value, whichever way it was written.
    #[expect(clippy::cast_precision_loss, reason = "counts in logs stay far below 2^53")]
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    /// The value, when it is whole.
    pub fn as_i64(self) -> Option<i64> {
        match self {
            Number::Int(value) => Some(value),
            Number::Float(_) => None,
        }
    }

    /// The number of a JSON value, if it is one.
    pub fn from_json(value: &serde_json::Value) -> Option<Number> {
        let number = value.as_number()?;
        number.as_i64().map(Number::Int).or_else(|| number.as_f64().map(Number::Float))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Int(value) => write!(f, "{value}"),
            Number::Float(value) => write!(f, "{value:?}"),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Number::Int(value) => serializer.serialize_i64(*value),
            Number::Float(value) => serializer.serialize_f64(*value),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
                Ok(Number::Int(value))
            }
            #[expect(clippy::cast_precision_loss, reason = "only numbers above i64::MAX take this way")]
            fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
                Ok(i64::try_from(value).map_or(Number::Float(value as f64), Number::Int))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
                Ok(Number::Float(value))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Powers of ten that an `f64` holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Reads the number at the start of `text` and says how many bytes it took.
///
/// A number that runs into something number-like, such as `1.2.3`, is none: half of it would be a lie.
#[expect(clippy::inline_always, reason = "called once per value of every line, and measured to matter")]
#[inline(always)]
pub(crate) fn leading_number(text: &[u8]) -> Option<(Number, usize)> {
    let start = usize::from(text.first() == Some(&b'-'));
    let mut mantissa: u64 = 0;
    let whole_end = take_digits(text, start, &mut mantissa);
    let mut end = whole_end;
    let has_dot = text.get(end) == Some(&b'.');
    if has_dot {
        end = take_digits(text, end + 1, &mut mantissa);
    }
    let digits = end - start - usize::from(has_dot);
    if digits == 0 {
        return None;
    }
    let next = text.get(end).copied().unwrap_or(b' ');
    if digits > 15 || matches!(next, b'.' | b'e' | b'E') {
        return unusual_number(text, end, has_dot);
    }
    #[expect(clippy::cast_possible_wrap, reason = "fifteen digits fit in an i64")]
    let whole = if start == 1 { -(mantissa as i64) } else { mantissa as i64 };
    if !has_dot {
        return Some((Number::Int(whole), end));
    }
    // Both operands are exact, so the division is rounded once, as a full parse would round it.
    let value = Number::Int(whole).as_f64() / EXACT_POWERS[end - whole_end - 1];
    Some((Number::Float(value), end))
}

/// Adds the digits from `at` on to `mantissa`, and says where they end.
#[inline]
fn take_digits(text: &[u8], mut at: usize, mantissa: &mut u64) -> usize {
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

/// A number with an exponent, with more digits than an `f64` holds, or that is none.
#[cold]
fn unusual_number(text: &[u8], end: usize, has_dot: bool) -> Option<(Number, usize)> {
    if text.get(end) == Some(&b'.') {
        return None;
    }
    let exponent = exponent_length(&text[end..]);
    let end = end + exponent;
    if exponent == 0
        && !has_dot
        && let Some(whole) = std::str::from_utf8(&text[..end]).ok().and_then(|whole| whole.parse().ok())
    {
        return Some((Number::Int(whole), end));
    }
    slow_float(&text[..end]).map(|value| (Number::Float(value), end))
}

/// Length of `e5`, `E-3`, … at the start of `text`; zero when there is no exponent.
fn exponent_length(text: &[u8]) -> usize {
    if !matches!(text.first(), Some(b'e' | b'E')) {
        return 0;
    }
    let sign = usize::from(matches!(text.get(1), Some(b'+' | b'-')));
    let digits = text.iter().skip(1 + sign).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 { 0 } else { 1 + sign + digits }
}

fn slow_float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(Number, usize)>) {
        assert_eq!(leading_number(text.as_bytes()), expected, "{text:?}");
    }

    #[test]
    fn numbers_end_where_the_text_stops_being_one() {
        check("12", Some((Number::Int(12), 2)));
        check("-5, x", Some((Number::Int(-5), 2)));
        check("0.00", Some((Number::Float(0.0), 4)));
        check("20.0ms", Some((Number::Float(20.0), 4)));
        check("5.", Some((Number::Float(5.0), 2)));
        check(".5", Some((Number::Float(0.5), 2)));
        check("1e5", Some((Number::Float(1e5), 3)));
        check("1e-05x", Some((Number::Float(1e-5), 5)));
        check("3 elements", Some((Number::Int(3), 1)));
        check("12345678901234567", Some((Number::Int(12_345_678_901_234_567), 17)));
        check("99999999999999999999", Some((Number::Float(1e20), 20)));
        check("0.12345678901234567890", Some((Number::Float(0.123_456_789_012_345_68), 22)));
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".", "nan", "inf", "1.2.3", "N/A", "٥"] {
            check(text, None);
        }
    }
}
