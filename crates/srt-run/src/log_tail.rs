//! The last lines of a log, as they are shown beside a failure.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

use camino::Utf8Path;

/// Lines that are shown.
const LINES: usize = 20;
/// Bytes that are read; a single endless line must not fill the terminal either.
const BYTES: i64 = 8 * 1024;

/// The last lines of the file; none if it cannot be read.
pub(crate) fn log_tail(path: &Utf8Path) -> Vec<String> {
    let Ok(mut file) = File::open(path) else { return Vec::new() };
    // A file shorter than that is read from its start.
    let cut = file.seek(SeekFrom::End(-BYTES)).is_ok_and(|position| position > 0);
    let mut bytes = Vec::new();
    if file.take(BYTES.unsigned_abs()).read_to_end(&mut bytes).is_err() {
        return Vec::new();
    }
    last_lines(&bytes, cut)
}

fn last_lines(bytes: &[u8], starts_within_a_line: bool) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<&str> = text.lines().collect();
    if starts_within_a_line && lines.len() > 1 {
        lines.remove(0);
    }
    let first = lines.len().saturating_sub(LINES);
    lines[first..].iter().map(|line| plain(line)).collect()
}

/// Without colours and anything else that a terminal would act upon.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                if rest.as_str().starts_with('[') {
                    // A control sequence ends with its first letter.
                    rest.by_ref().skip(1).find(char::is_ascii_alphabetic);
                }
            }
            '\t' => plain.push(' '),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], cut: bool, expect: &Expect) {
        expect.assert_eq(&last_lines(bytes, cut).join("\n"));
    }

    #[test]
    fn colours_and_control_characters_are_removed() {
        check(b"\x1b[31mERROR\x1b[0m out of\tmemory\x07\r\n", false, &expect!["ERROR out of memory"]);
    }

    #[test]
    fn the_half_line_at_the_start_is_dropped() {
        check(b"lf a line\nwhole\n", true, &expect!["whole"]);
        check(b"one endless line", true, &expect!["one endless line"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        check(b"a \xff b\n", false, &expect!["a \u{fffd} b"]);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let many = "old\n".repeat(80) + &"new\n".repeat(20);
        assert_eq!(last_lines(many.as_bytes(), false), ["new"; 20]);
    }

    #[test]
    fn a_missing_file_has_no_lines() {
        assert!(log_tail(Utf8Path::new("/nonexistent/log")).is_empty());
    }
}
