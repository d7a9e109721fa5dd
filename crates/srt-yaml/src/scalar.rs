//! What a plain scalar means: YAML 1.1 as `PyYAML` resolves it.

use crate::node::Kind;

/// A plain scalar that has no value here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IntegerTooLarge;

/// The value of a plain scalar's text.
pub(crate) fn resolve(text: &str) -> Result<Kind, IntegerTooLarge> {
    if let Some(kind) = resolve_word(text) {
        return Ok(kind);
    }
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => {}
        _ => return Ok(Kind::String(text.to_owned())),
    }
    if is_integer(text) {
        return match integer(text) {
            Some(Ok(value)) => Ok(Kind::Int(value)),
            Some(Err(too_large)) => Err(too_large),
            None => Ok(Kind::String(text.to_owned())),
        };
    }
    Ok(float(text).map_or_else(|| Kind::String(text.to_owned()), Kind::Float))
}

/// Whether a text written plain would be read as something else than text, by YAML 1.1 or by YAML 1.2.
pub(crate) fn is_ambiguous(text: &str) -> bool {
    let single_letter = matches!(text, "y" | "Y" | "n" | "N" | "=" | "<<");
    single_letter
        || !matches!(resolve(text), Ok(Kind::String(_)))
        || is_core_number(text)
        || looks_like_date(text)
}

fn resolve_word(text: &str) -> Option<Kind> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Kind::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Kind::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Kind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Kind::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Kind::Float(f64::NAN),
        _ => return None,
    })
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(allowed)
}

fn is_integer(text: &str) -> bool {
    let body = unsigned(text);
    let digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
    if let Some(binary) = body.strip_prefix("0b") {
        return all(binary, |byte| matches!(byte, b'0' | b'1' | b'_'));
    }
    if let Some(hex) = body.strip_prefix("0x") {
        return all(hex, |byte| byte.is_ascii_hexdigit() || byte == b'_');
    }
    if let Some(octal) = body.strip_prefix('0') {
        return octal.bytes().all(|byte| matches!(byte, b'0'..=b'7' | b'_'));
    }
    let (head, groups) = split_groups(body);
    let valid_head = head.starts_with(|first: char| matches!(first, '1'..='9')) && all(head, digit);
    valid_head && groups.is_none_or(|groups| groups.split(':').all(is_base60_group))
}

/// `4:30:00` → `4` and `30:00`.
fn split_groups(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((head, groups)) => (head, Some(groups)),
        None => (text, None),
    }
}

/// `0`–`59`, with or without a leading zero.
fn is_base60_group(text: &str) -> bool {
    match text.as_bytes() {
        [ones] | [b'0'..=b'5', ones] => ones.is_ascii_digit(),
        _ => false,
    }
}

/// The value of a text that [`is_integer`]; `None` where no digit is left without the underscores.
fn integer(text: &str) -> Option<Result<i64, IntegerTooLarge>> {
    let negative = text.starts_with('-');
    let body = unsigned(text).replace('_', "");
    let magnitude = if let Some(binary) = body.strip_prefix("0b") {
        parse_radix(binary, 2)
    } else if let Some(hex) = body.strip_prefix("0x") {
        parse_radix(hex, 16)
    } else if body.contains(':') {
        body.split(':')
            .try_fold(0_i128, |sum, group| sum.checked_mul(60)?.checked_add(group.parse::<i128>().ok()?))
    } else if body.len() > 1 && body.starts_with('0') {
        parse_radix(&body, 8)
    } else {
        parse_radix(&body, 10)
    };
    let digits = body.trim_start_matches("0b").trim_start_matches("0x");
    if digits.is_empty() {
        return None;
    }
    let signed = magnitude.map(|magnitude| if negative { -magnitude } else { magnitude });
    Some(signed.and_then(|value| i64::try_from(value).ok()).ok_or(IntegerTooLarge))
}

fn parse_radix(digits: &str, radix: u32) -> Option<i128> {
    i128::from_str_radix(digits, radix).ok()
}

fn float(text: &str) -> Option<f64> {
    let body = unsigned(text);
    let signed = body.len() != text.len();
    let negative = text.starts_with('-');
    if let Some((groups, fraction)) = body.split_once('.')
        && groups.contains(':')
    {
        let (head, rest) = split_groups(groups);
        let valid = starts_with_digit(head)
            && rest?.split(':').all(is_base60_group)
            && fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
        let seconds = valid.then(|| base60_float(&groups.replace('_', ""), &fraction.replace('_', "")))?;
        return seconds.map(|value| if negative { -value } else { value });
    }
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(index) => (&body[..index], Some(&body[index + 1..])),
        None => (body, None),
    };
    if let Some(exponent) = exponent
        && !(exponent.starts_with(['+', '-']) && all(&exponent[1..], |byte| byte.is_ascii_digit()))
    {
        return None;
    }
    let (whole, fraction) = mantissa.split_once('.')?;
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let valid = if whole.is_empty() {
        !signed && starts_with_digit(fraction)
    } else {
        starts_with_digit(whole) && digits(fraction)
    };
    if !valid {
        return None;
    }
    text.replace('_', "").parse().ok()
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
}

fn base60_float(groups: &str, fraction: &str) -> Option<f64> {
    let (high, last) = groups.rsplit_once(':')?;
    let seconds: f64 = format!("{last}.{fraction}0").parse().ok()?;
    let minutes =
        high.split(':').try_fold(0.0, |sum, group| Some(sum * 60.0 + group.parse::<f64>().ok()?))?;
    Some(minutes * 60.0 + seconds)
}

/// Numbers of YAML 1.2 that YAML 1.1 reads as text.
fn is_core_number(text: &str) -> bool {
    let body = unsigned(text);
    let octal = text.strip_prefix("0o").is_some_and(|digits| all(digits, |byte| matches!(byte, b'0'..=b'7')));
    let numeric = body.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && body.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'))
        && body.parse::<f64>().is_ok();
    octal || numeric
}

/// `2025-01-02` and what follows a date in a timestamp.
fn looks_like_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes.iter().all(|byte| byte.is_ascii_digit() || b"-:.tTzZ+ ".contains(byte))
}
