//! [`Timestamp`]: the time a line states, in whichever of the engines' forms.

use std::{fmt, ops::Range};

use serde::{Serialize, Serializer};

const CAPACITY: usize = 31;

/// The time a line states, kept as it was written.
///
/// Engines write ISO times with and without a zone, dates in brackets, `month/day/year-time`, times without a year, and
/// times without a date. What was left out is unknown, not guessed: [`Timestamp::seconds`] of two lines of one file may
/// be subtracted, whatever their form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timestamp {
    text: [u8; CAPACITY],
    length: u8,
}

impl Timestamp {
    /// No time stated.
    pub const NONE: Timestamp = Timestamp { text: [0; CAPACITY], length: 0 };

    #[inline]
    pub(crate) fn new(text: &[u8]) -> Timestamp {
        let mut stamp = Timestamp::NONE;
        let length = text.len().min(CAPACITY);
        stamp.text[..length].copy_from_slice(&text[..length]);
        stamp.length = u8::try_from(length).expect("the capacity is below 256");
        stamp
    }

    /// The text as logged; empty when the line stated no time.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.length)]).expect("only ASCII times are stored")
    }

    /// Whether the line stated no time.
    pub fn is_none(&self) -> bool {
        self.length == 0
    }

    /// Seconds since 1970 for a full date; since the start of the year or day for times that leave these out.
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay far below 2^53")]
    pub fn seconds(&self) -> Option<f64> {
        let text = &self.text[..usize::from(self.length)];
        let (date, time) = match text.iter().position(|byte| matches!(byte, b'T' | b' ')) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None if text.get(10) == Some(&b'-') => (&text[..10], &text[11..]),
            None => (&text[..0], text),
        };
        let days = match date.len() {
            0 => 0,
            5 => days_since_1970(1970, two(date, 0)?, two(date, 3)?),
            _ if date.get(2) == Some(&b'/') => {
                days_since_1970(two(date, 6)? * 100 + two(date, 8)?, two(date, 0)?, two(date, 3)?)
            }
            _ => days_since_1970(two(date, 0)? * 100 + two(date, 2)?, two(date, 5)?, two(date, 8)?),
        };
        let whole = ((days * 24 + two(time, 0)?) * 60 + two(time, 3)?) * 60 + two(time, 6)?;
        let fraction = match time.get(8) {
            Some(b'.') => {
                let digits = time[9..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let text = std::str::from_utf8(&time[8..9 + digits]).ok()?;
                text.parse().unwrap_or(0.0)
            }
            _ => 0.0,
        };
        Some(whole as f64 + fraction)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

fn two(text: &[u8], at: usize) -> Option<i64> {
    let tens = text.get(at).filter(|byte| byte.is_ascii_digit())?;
    let ones = text.get(at + 1).filter(|byte| byte.is_ascii_digit())?;
    Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

/// Days from 1 January 1970 in the proleptic Gregorian calendar, counted from March so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The first time in `text`, in any known form.
#[inline]
pub(crate) fn find(text: &[u8]) -> Option<Range<usize>> {
    let mut at = 0;
    while at < text.len() {
        if text[at].is_ascii_digit()
            && let Some(length) = length_at(&text[at..])
        {
            return Some(at..at + length);
        }
        at += 1;
    }
    None
}

/// The last time in `text`, in any known form.
pub(crate) fn find_last(text: &[u8]) -> Option<Range<usize>> {
    // A date holds shorter forms inside it, so the search starts at dates and only then falls back to bare times.
    let dated = (0..text.len())
        .rev()
        .find_map(|at| length_at(&text[at..]).filter(|&length| length >= 19).map(|length| at..at + length));
    dated
        .or_else(|| (0..text.len()).rev().find_map(|at| length_at(&text[at..]).map(|length| at..at + length)))
}

/// Length of the time that starts at the first byte, if one does.
#[inline]
pub(crate) fn length_at(text: &[u8]) -> Option<usize> {
    if matches(text, b"dddd-dd-dd") && matches!(text.get(10), Some(b'T' | b' ')) {
        return clock_length(&text[11..]).map(|length| 11 + length);
    }
    if matches(text, b"dd/dd/dddd-dd:dd:dd") {
        return Some(19);
    }
    if matches(text, b"dd-dd dd:dd:dd") {
        return Some(6 + clock_length(&text[6..])?);
    }
    if matches(text, b"dd:dd:dd") { clock_length(text) } else { None }
}

/// Length of `hh:mm:ss` with an optional fraction and zone letter.
#[inline]
fn clock_length(text: &[u8]) -> Option<usize> {
    if !matches(text, b"dd:dd:dd") {
        return None;
    }
    let mut length = 8;
    if matches!(text.get(8), Some(b'.' | b',')) && text.get(9).is_some_and(u8::is_ascii_digit) {
        length = 9 + text[9..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    }
    if text.get(length) == Some(&b'Z') {
        length += 1;
    }
    Some(length)
}

/// Whether `text` starts with `pattern`, in which `d` stands for a digit.
#[inline]
fn matches(text: &[u8], pattern: &[u8]) -> bool {
    text.len() >= pattern.len()
        && text.iter().zip(pattern).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            _ => byte == wanted,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, text: &str, seconds: f64) {
        let stamp =
            find(line.as_bytes()).map_or(Timestamp::NONE, |range| Timestamp::new(&line.as_bytes()[range]));
        assert_eq!(stamp.as_str(), text);
        assert!((stamp.seconds().unwrap_or(-1.0) - seconds).abs() < 1e-6, "{stamp}");
    }

    #[test]
    fn every_engine_form_is_found() {
        check(
            "\x1b[2m2025-12-30T15:52:38.206058Z\x1b[0m x",
            "2025-12-30T15:52:38.206058Z",
            1_767_109_958.206_058,
        );
        check("[2025-05-18 08:57:40 DP8 TP8] x", "2025-05-18 08:57:40", 1_747_558_660.0);
        check("[01/16/2026-06:20:17] [TRT-LLM]", "01/16/2026-06:20:17", 1_768_544_417.0);
        check("INFO 07-08 07:17:34 metrics.py:334]", "07-08 07:17:34", 16_269_454.0);
        check("[16:43:29 TP0] Prefill", "16:43:29", 60_209.0);
        check("2026-05-12T08:01:39.331095044Z (API", "2026-05-12T08:01:39.331095044Z", 1_778_572_899.331_095);
        check("I0518 08:57:40.157846 104603", "08:57:40.157846", 32_260.157_846);
        check("no time here 12:3", "", -1.0);
        check("2024-02-29 00:00:00", "2024-02-29 00:00:00", 1_709_164_800.0);
    }

    #[test]
    fn the_last_time_is_found_whole() {
        let text = b"#queue-req: 32026-01-16T06:20:15.206058Z INFO ";
        assert_eq!(&text[find_last(text).expect("there is one")], b"2026-01-16T06:20:15.206058Z");
    }
}
