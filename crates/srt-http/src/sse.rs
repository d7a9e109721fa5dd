//! [`SseDecoder`]: server-sent events from bytes, pushed in whatever pieces they arrive.
//!
//! Follows the event stream format of the HTML standard: lines end in LF, CRLF, or CR; `data` lines of an event
//! are joined by LF; a line that starts with a colon is a comment. One difference: the stream's end closes the
//! last event, because servers end streams without the blank line.

use std::mem;

use memchr::memchr2;

/// An event longer than this is cut, so that a server cannot take the client's memory.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// Its type; empty where the server named none.
    pub kind: &'a [u8],
    /// Its data.
    pub data: &'a [u8],
    /// Whether data beyond the longest event that is kept was dropped.
    pub is_cut: bool,
}

/// Decodes the body of a `text/event-stream` response.
#[derive(Debug, Default)]
pub struct SseDecoder {
    /// The line whose end has not arrived.
    line: Vec<u8>,
    /// Data lines of the event whose end has not arrived, each followed by LF.
    data: Vec<u8>,
    kind: Vec<u8>,
    has_data: bool,
    is_cut: bool,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Something other than a byte order mark has been seen.
    has_started: bool,
}

impl SseDecoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream and hands complete events to `sink`.
    pub fn push(&mut self, bytes: &[u8], sink: &mut impl FnMut(SseEvent<'_>)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.keep(rest);
                return;
            };
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            self.after_cr = rest[end] == b'\r';
            rest = after;
            if self.line.is_empty() {
                // The common event is one data line and a blank one in the same read: no copy of it is made.
                if let (true, Some(data), [b'\n', after @ ..]) =
                    (self.is_between_events(), data_of(line), rest)
                    && !self.after_cr
                {
                    self.has_started = true;
                    rest = after;
                    sink(SseEvent { kind: b"", data, is_cut: false });
                    continue;
                }
                self.take_line(line, sink);
            } else {
                self.keep(line);
                let mut whole = mem::take(&mut self.line);
                self.take_line(&whole, sink);
                whole.clear();
                self.line = whole;
            }
        }
    }

    /// Takes the end of the stream, which also ends the last line and event. Returns whether anything had been
    /// left open.
    pub fn finish(&mut self, sink: &mut impl FnMut(SseEvent<'_>)) -> bool {
        let line = mem::take(&mut self.line);
        let was_open = !line.is_empty() || self.has_data;
        if !line.is_empty() {
            self.take_line(&line, sink);
        }
        self.dispatch(sink);
        was_open
    }

    /// Bytes held back because their event is incomplete.
    pub fn held_bytes(&self) -> usize {
        self.line.capacity() + self.data.capacity() + self.kind.capacity()
    }

    fn is_between_events(&self) -> bool {
        !self.has_data && self.kind.is_empty() && !self.is_cut
    }

    fn keep(&mut self, part: &[u8]) {
        let room = MAX_EVENT_BYTES.saturating_sub(self.line.len());
        self.is_cut |= part.len() > room;
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn take_line(&mut self, line: &[u8], sink: &mut impl FnMut(SseEvent<'_>)) {
        let is_first = !mem::replace(&mut self.has_started, true);
        let line = if is_first { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        if line.is_empty() {
            self.dispatch(sink);
        } else if let Some(data) = data_of(line) {
            self.has_data = true;
            let room = MAX_EVENT_BYTES.saturating_sub(self.data.len());
            self.is_cut |= data.len() > room;
            self.data.extend_from_slice(&data[..data.len().min(room)]);
            self.data.push(b'\n');
        } else if let Some(kind) = field(line, b"event") {
            self.kind.clear();
            self.kind.extend_from_slice(kind);
        }
    }

    fn dispatch(&mut self, sink: &mut impl FnMut(SseEvent<'_>)) {
        if self.has_data {
            let data = self.data.strip_suffix(b"\n").unwrap_or(&self.data);
            sink(SseEvent { kind: &self.kind, data, is_cut: self.is_cut });
        }
        self.data.clear();
        self.kind.clear();
        self.has_data = false;
        self.is_cut = false;
    }
}

fn data_of(line: &[u8]) -> Option<&[u8]> {
    field(line, b"data")
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> String {
        let mut decoder = SseDecoder::new();
        let mut shown = String::new();
        let mut sink = |event: SseEvent<'_>| {
            use std::fmt::Write as _;
            let kind = String::from_utf8_lossy(event.kind);
            writeln!(
                shown,
                "{kind}[{}]{}",
                event.data.escape_ascii(),
                if event.is_cut { " cut" } else { "" }
            )
            .unwrap();
        };
        for piece in pieces {
            decoder.push(piece, &mut sink);
        }
        if decoder.finish(&mut sink) {
            shown.push_str("open\n");
        }
        shown
    }

    #[expect(clippy::needless_pass_by_value, reason = "an expectation is written at the call")]
    #[track_caller]
    fn check(stream: &str, expected: Expect) {
        let whole = decode(&[stream.as_bytes()]);
        expected.assert_eq(&whole);
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(decode(&bytes), whole, "the result depends on how the bytes were split");
    }

    #[test]
    fn events_are_split_at_blank_lines() {
        check(
            "data: {\"a\":1}\n\ndata: [DONE]\n\n",
            expect![[r#"
            [{\"a\":1}]
            [[DONE]]
        "#]],
        );
    }

    #[test]
    fn every_line_end_counts() {
        check(
            "data: a\r\n\r\ndata: b\r\rdata: c\n\n",
            expect![[r"
            [a]
            [b]
            [c]
        "]],
        );
    }

    #[test]
    fn comments_kinds_and_several_data_lines_are_understood() {
        check(
            ": ping\n\nevent: error\ndata: x\ndata: y\nid: 7\nretry: 1\nnonsense\n\ndata\n\n",
            expect![[r"
            error[x\ny]
            []
        "]],
        );
    }

    #[test]
    fn only_one_space_after_the_colon_is_dropped() {
        check(
            "data:a\n\ndata:  b\n\n",
            expect![[r"
            [a]
            [ b]
        "]],
        );
    }

    #[test]
    fn the_end_of_the_stream_ends_the_last_event() {
        check(
            "data: a\n\ndata: b",
            expect![[r"
            [a]
            [b]
            open
        "]],
        );
        check(
            "data: a\n",
            expect![[r"
            [a]
            open
        "]],
        );
    }

    #[test]
    fn a_byte_order_mark_is_dropped_once() {
        check(
            "\u{feff}data: a\n\n\u{feff}data: b\n\n",
            expect![[r"
            [a]
        "]],
        );
    }

    #[test]
    fn an_endless_line_is_cut_and_said_to_be() {
        let mut decoder = SseDecoder::new();
        let mut seen = Vec::new();
        let piece = vec![b'x'; 1 << 20];
        decoder.push(b"data: ", &mut |_| {});
        for _ in 0..20 {
            decoder.push(&piece, &mut |_| {});
        }
        assert!(decoder.held_bytes() <= 2 * MAX_EVENT_BYTES);
        decoder.push(b"\n\ndata: next\n\n", &mut |event| seen.push((event.data.len(), event.is_cut)));
        assert_eq!(seen, [(MAX_EVENT_BYTES - "data: ".len(), true), (4, false)]);
    }

    proptest! {
        #[test]
        fn how_the_stream_is_split_does_not_matter(
            stream in r"(data: ?|event: |:|\n|\r|[ax \n\r]|é|\n\n){0,60}",
            cuts in proptest::collection::vec(0_usize..200, 0..6),
        ) {
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            pieces.push(&bytes[from..]);
            prop_assert_eq!(decode(&pieces), decode(&[bytes]));
        }
    }
}
