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
fn take_digits(text: &[u8], at: usize, mantissa: &mut u64) -> usize {
    if let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let (value, count) = digits_of_word(u64::from_le_bytes(*word));
        if count < 8 {
            *mantissa = mantissa.wrapping_mul(POWERS[count]).wrapping_add(value);
            return at + count;
        }
    }
    take_digits_one_by_one(text, at, mantissa)
}

/// The number that the digits at the start of eight bytes spell, and how many they are.
///
/// Numbers of a log differ in length from line to line, so a loop over their digits ends in a wrong guess of the
/// processor nearly every time. This takes the same steps whatever the length.
#[inline]
fn digits_of_word(word: u64) -> (u64, usize) {
    const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    // A byte is a digit if its high half is 3, and still is when 6 is added. What a byte above 0xF9 carries into the next
    // one does not matter, for it ends the number itself.
    let others =
        ((word & HIGH) | ((word.wrapping_add(0x0606_0606_0606_0606) & HIGH) >> 4)) ^ 0x3333_3333_3333_3333;
    let count = (others.trailing_zeros() / 8) as usize;
    // Digits at the end, zeros before them; then pairs, fours, and all eight are joined.
    let aligned = (word & !HIGH).checked_shl(64 - 8 * (others.trailing_zeros() / 8)).unwrap_or(0);
    let pairs = (aligned.wrapping_mul(10 * 256 + 1) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100 * 65536 + 1) >> 16) & 0x0000_FFFF_0000_FFFF;
    (fours.wrapping_mul(10_000 * 4_294_967_296 + 1) >> 32, count)
}

/// Powers of ten that eight digits reach.
const POWERS: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

fn take_digits_one_by_one(text: &[u8], mut at: usize, mantissa: &mut u64) -> usize {
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
    fn a_number_reads_the_same_whatever_its_length_and_what_follows() {
        for digits in 1..=15 {
            let text = &"987654321012345"[..digits];
            for tail in [
                "",
                ",",
                ", #queue-req: 3",
                "\u{ff}\u{ff}\u{ff}\u{ff}",
                ":::::::::",
                "/////////",
                "ms, x = 12345678",
            ] {
                let whole: i64 = text.parse().expect("digits");
                check(&format!("{text}{tail}"), Some((Number::Int(whole), digits)));
                for fraction in ["0", "25", "123456", "00000001"] {
                    if digits + fraction.len() <= 15 {
                        let text = format!("{text}.{fraction}");
                        let value: f64 = text.parse().expect("a number");
                        check(&format!("{text}{tail}"), Some((Number::Float(value), text.len())));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".", "nan", "inf", "1.2.3", "N/A", "٥"] {
            check(text, None);
        }
    }
}
