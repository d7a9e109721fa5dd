//! Host lists as Slurm writes them: `node[08-10,15],login1`.

use std::{fmt::Write as _, str::FromStr as _};

use srt_topology::NodeName;

/// More names than any job has nodes. A list that asks for more is a mistake, or an attack on memory.
const MOST_NAMES: usize = 65_536;

/// A text that is not a host list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a host list: {reason}")]
pub struct HostlistError {
    /// The text, shortened when long.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The names of a host list, in order.
///
/// # Errors
/// When the text is not a host list, or names more nodes than any job has.
pub fn expand(text: &str) -> Result<Vec<NodeName>, HostlistError> {
    expand_names(text).map_err(|reason| {
        let mut shown: String = text.chars().take(80).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        HostlistError { text: shown, reason }
    })
}

/// A host list of the names in their order, ranges written as ranges.
pub fn compress(names: &[NodeName]) -> String {
    let mut text = String::new();
    let mut rest = names;
    while let Some(first) = rest.first() {
        if !text.is_empty() {
            text.push(',');
        }
        let taken = write_group(&mut text, first.as_str(), rest);
        rest = &rest[taken..];
    }
    text
}

fn expand_names(text: &str) -> Result<Vec<NodeName>, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut names = Vec::new();
    for item in split_outside_brackets(text)? {
        for name in expand_item(item)? {
            if names.len() >= MOST_NAMES {
                return Err(format!("it names more than {MOST_NAMES} nodes"));
            }
            names.push(NodeName::from_str(&name).map_err(|error| error.to_string())?);
        }
    }
    Ok(names)
}

/// The parts between those commas that stand outside brackets.
fn split_outside_brackets(text: &str) -> Result<Vec<&str>, String> {
    let mut items = Vec::new();
    let mut start = 0;
    let mut inside = false;
    for (at, byte) in text.bytes().enumerate() {
        match (byte, inside) {
            (b'[', false) => inside = true,
            (b']', true) => inside = false,
            (b'[', true) => return Err("a bracket within brackets".to_owned()),
            (b']', false) => return Err("a closing bracket without an opening one".to_owned()),
            (b',', false) => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err("a bracket is not closed".to_owned());
    }
    items.push(&text[start..]);
    Ok(items)
}

/// `rack[0-1]node[01-02]` to every combination, the last bracket counting fastest.
fn expand_item(item: &str) -> Result<Vec<String>, String> {
    if item.is_empty() {
        return Err("a name is missing between commas".to_owned());
    }
    let mut names = vec![String::new()];
    let mut rest = item;
    while let Some((before, after)) = rest.split_once('[') {
        let (inside, after) = after.split_once(']').expect("brackets were paired when the list was split");
        let numbers = expand_ranges(inside)?;
        if names.len().saturating_mul(numbers.len()) > MOST_NAMES {
            return Err(format!("it names more than {MOST_NAMES} nodes"));
        }
        names = names
            .iter()
            .flat_map(|name| numbers.iter().map(move |number| format!("{name}{before}{number}")))
            .collect();
        rest = after;
    }
    for name in &mut names {
        name.push_str(rest);
    }
    Ok(names)
}

/// `08-10,15` to `08`, `09`, `10`, and `15`.
fn expand_ranges(text: &str) -> Result<Vec<String>, String> {
    let mut numbers = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (from, to) = (number(first, range)?, number(last, range)?);
        if from > to {
            return Err(format!("the range `{range}` runs backwards"));
        }
        if to - from >= MOST_NAMES as u64 || numbers.len() >= MOST_NAMES {
            return Err(format!("it names more than {MOST_NAMES} nodes"));
        }
        let width = first.len();
        numbers.extend((from..=to).map(|number| format!("{number:0width$}")));
    }
    Ok(numbers)
}

fn number(text: &str, range: &str) -> Result<u64, String> {
    // `parse` would also take a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.filter(|_| text.len() <= 18).ok_or_else(|| format!("`{range}` is neither a number nor a range"))
}

/// Writes the longest run of names that start with the same letters and end in numbers, and says how long it is.
fn write_group(text: &mut String, first: &str, names: &[NodeName]) -> usize {
    let (prefix, _) = split_number(first);
    let suffixes: Vec<&str> = names
        .iter()
        .map_while(|name| {
            let (its_prefix, number) = split_number(name.as_str());
            (its_prefix == prefix && !number.is_empty()).then_some(number)
        })
        .collect();
    if suffixes.len() < 2 {
        text.push_str(first);
        return 1;
    }
    text.push_str(prefix);
    text.push('[');
    let mut at = 0;
    while at < suffixes.len() {
        let length = run_length(&suffixes[at..]);
        if at > 0 {
            text.push(',');
        }
        text.push_str(suffixes[at]);
        if length > 1 {
            let _infallible = write!(text, "-{}", suffixes[at + length - 1]);
        }
        at += length;
    }
    text.push(']');
    suffixes.len()
}

/// How many numbers follow each other by one, written at least as wide as the first.
fn run_length(numbers: &[&str]) -> usize {
    let Some((first, rest)) = numbers.split_first() else { return 0 };
    let Ok(mut value) = first.parse::<u64>() else { return 1 };
    let width = first.len();
    let follows = rest.iter().take_while(|number| {
        value += 1;
        format!("{value:0width$}") == **number
    });
    1 + follows.count()
}

/// A name and the number at its end; a number too long to count with belongs to the name.
fn split_number(name: &str) -> (&str, &str) {
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    name.split_at(name.len() - if digits > 18 { 0 } else { digits })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Expect) {
        let found = match expand(text) {
            Ok(names) => names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&found);
    }

    #[track_caller]
    fn check_compressed(names: &str, expected: &Expect) {
        let names: Vec<NodeName> = names.split(' ').map(|name| name.parse().unwrap()).collect();
        expected.assert_eq(&compress(&names));
    }

    #[test]
    fn ranges_keep_their_width_and_order() {
        check("node1", &expect!["node1"]);
        check("node[1-3,5],login1", &expect!["node1 node2 node3 node5 login1"]);
        check("node[08-11]", &expect!["node08 node09 node10 node11"]);
        check("node[8-11]", &expect!["node8 node9 node10 node11"]);
        check(
            "gb200-rack[0-1]node[01-02]-ib",
            &expect!["gb200-rack0node01-ib gb200-rack0node02-ib gb200-rack1node01-ib gb200-rack1node02-ib"],
        );
        check("b2,b1,b[3,1]", &expect!["b2 b1 b3 b1"]);
    }

    #[test]
    fn what_is_no_host_list_is_refused() {
        for (text, expected) in [
            ("", expect!["`` is not a host list: it is empty"]),
            ("a,,b", expect!["`a,,b` is not a host list: a name is missing between commas"]),
            ("node[1-", expect!["`node[1-` is not a host list: a bracket is not closed"]),
            ("node[1]]", expect!["`node[1]]` is not a host list: a closing bracket without an opening one"]),
            ("node[[1]]", expect!["`node[[1]]` is not a host list: a bracket within brackets"]),
            ("node[]", expect!["`node[]` is not a host list: `` is neither a number nor a range"]),
            ("node[3-1]", expect!["`node[3-1]` is not a host list: the range `3-1` runs backwards"]),
            (
                "node[1-2-3]",
                expect!["`node[1-2-3]` is not a host list: `1-2-3` is neither a number nor a range"],
            ),
            (
                "node[+1-2]",
                expect!["`node[+1-2]` is not a host list: `+1-2` is neither a number nor a range"],
            ),
            ("node[a-c]", expect!["`node[a-c]` is not a host list: `a-c` is neither a number nor a range"]),
            (
                "node[0-99999999999]",
                expect!["`node[0-99999999999]` is not a host list: it names more than 65536 nodes"],
            ),
            (
                "n[0-9999][0-9999]",
                expect!["`n[0-9999][0-9999]` is not a host list: it names more than 65536 nodes"],
            ),
            (
                "node1;reboot",
                expect![
                    "`node1;reboot` is not a host list: `node1;reboot` is not a node name: expected letters, digits, `-`, `.`, and `_`"
                ],
            ),
            (
                "-w",
                expect![
                    "`-w` is not a host list: `-w` is not a node name: expected letters, digits, `-`, `.`, and `_`"
                ],
            ),
            (
                "(null)",
                expect![
                    "`(null)` is not a host list: `(null)` is not a node name: expected letters, digits, `-`, `.`, and `_`"
                ],
            ),
        ] {
            check(text, &expected);
        }
    }

    #[test]
    fn runs_become_ranges() {
        check_compressed("node1 node2 node3 node5 login1", &expect!["node[1-3,5],login1"]);
        check_compressed("node08 node09 node10", &expect!["node[08-10]"]);
        check_compressed("node9 node10 node011", &expect!["node[9-10,011]"]);
        check_compressed("node3 node2 node1", &expect!["node[3,2,1]"]);
        check_compressed("a b a1", &expect!["a,b,a1"]);
        check_compressed("n1-ib n2-ib", &expect!["n1-ib,n2-ib"]);
    }

    proptest! {
        #[test]
        fn compressing_loses_nothing(names in prop::collection::vec("[a-c._]{1,2}-?[0-9]{0,3}(-ib)?", 0..40)) {
            let names: Vec<NodeName> = names.iter().map(|name| name.parse().unwrap()).collect();
            if !names.is_empty() {
                prop_assert_eq!(expand(&compress(&names)).unwrap(), names);
            }
        }

        #[test]
        fn consecutive_names_become_one_range(start in 0_u64..2_000, count in 2_u64..50, width in 1_usize..6) {
            let names: Vec<NodeName> =
                (start..start + count).map(|it| format!("n{it:0width$}").parse().unwrap()).collect();
            let text = compress(&names);
            prop_assert!(!text.contains(','), "{}", text);
            prop_assert_eq!(expand(&text).unwrap(), names);
        }

        #[test]
        fn any_text_is_expanded_or_refused(text in "[a-b0-9\\[\\],\\-é ]{0,24}") {
            if let Ok(names) = expand(&text) {
                prop_assert_eq!(expand(&compress(&names)).unwrap(), names);
            }
        }
    }
}
