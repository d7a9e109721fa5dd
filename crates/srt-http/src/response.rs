//! [`ResponseDecoder`]: HTTP/1.1 responses from bytes, pushed in whatever pieces they arrive.

use memchr::memchr;

/// A head longer than this is not one of an HTTP server.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 96;

/// What became known by a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEvent<'a> {
    /// The head is complete.
    Head {
        /// HTTP status.
        status: u16,
    },
    /// A piece of the body, without its transfer encoding.
    Data(&'a [u8]),
    /// The response is complete.
    End,
}

/// Bytes that are no HTTP/1.1 response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The head cannot be parsed.
    #[error("the response head is malformed: {0}")]
    Head(#[from] httparse::Error),
    /// The head does not end.
    #[error("the response head is longer than {MAX_HEAD_BYTES} bytes")]
    HeadTooLong,
    /// `Content-Length` is no number.
    #[error("the response has an unreadable `Content-Length`")]
    ContentLength,
    /// The chunked encoding is broken.
    #[error("the chunked encoding of the response is broken")]
    Chunk,
    /// The connection ended before the response did.
    #[error("the connection was closed in the middle of the response")]
    Truncated,
    /// The connection ended before the response began.
    #[error("the connection was closed before any response")]
    NoResponse,
}

#[derive(Debug)]
enum State {
    Head,
    Length(u64),
    UntilClose,
    ChunkSize { size: u64, digits: u8 },
    ChunkExtension { size: u64 },
    ChunkData(u64),
    ChunkEnd,
    Trailer { line_is_empty: bool },
    Done,
}

/// Decodes one response after the other.
#[derive(Debug)]
pub struct ResponseDecoder {
    state: State,
    /// The part of the head that has arrived, while it is incomplete.
    head: Vec<u8>,
    status: u16,
    reason: String,
    keep_alive: bool,
}

impl Default for ResponseDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ResponseDecoder {
    /// A decoder that waits for a head.
    pub fn new() -> Self {
        Self { state: State::Head, head: Vec::new(), status: 0, reason: String::new(), keep_alive: true }
    }

    /// The status of the response, once its head is known.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase of the response.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether the response is complete and the connection may carry another one.
    pub fn is_reusable(&self) -> bool {
        matches!(self.state, State::Done) && self.keep_alive
    }

    /// Takes the bytes of one read. Returns how many belong to this response: all, unless it ended before them.
    pub fn push(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(BodyEvent<'_>),
    ) -> Result<usize, ResponseError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.state {
                State::Head => rest = self.take_head(rest, sink)?,
                State::Length(left) => {
                    let (data, after) = split(rest, left);
                    sink(BodyEvent::Data(data));
                    rest = after;
                    self.state = State::Length(left - data.len() as u64);
                    if left == data.len() as u64 {
                        self.end(sink);
                    }
                }
                State::UntilClose => {
                    sink(BodyEvent::Data(rest));
                    rest = &[];
                }
                State::ChunkSize { size, digits } => {
                    let (byte, after) = (rest[0], &rest[1..]);
                    rest = after;
                    self.state = match (char::from(byte).to_digit(16), byte) {
                        (Some(digit), _) if digits < 16 => {
                            State::ChunkSize { size: size << 4 | u64::from(digit), digits: digits + 1 }
                        }
                        (None, b'\n') if digits > 0 => Self::after_size(size),
                        (None, b'\r' | b';' | b' ' | b'\t') if digits > 0 => State::ChunkExtension { size },
                        _ => return Err(ResponseError::Chunk),
                    };
                }
                State::ChunkExtension { size } => match memchr(b'\n', rest) {
                    Some(at) => {
                        rest = &rest[at + 1..];
                        self.state = Self::after_size(size);
                    }
                    None => rest = &[],
                },
                State::ChunkData(left) => {
                    let (data, after) = split(rest, left);
                    sink(BodyEvent::Data(data));
                    rest = after;
                    let left = left - data.len() as u64;
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                }
                State::ChunkEnd => match rest {
                    [b'\r', after @ ..] => rest = after,
                    [b'\n', after @ ..] => {
                        rest = after;
                        self.state = State::ChunkSize { size: 0, digits: 0 };
                    }
                    _ => return Err(ResponseError::Chunk),
                },
                State::Trailer { line_is_empty } => {
                    let (byte, after) = (rest[0], &rest[1..]);
                    rest = after;
                    match byte {
                        b'\n' if line_is_empty => self.end(sink),
                        b'\n' => self.state = State::Trailer { line_is_empty: true },
                        b'\r' => {}
                        _ => self.state = State::Trailer { line_is_empty: false },
                    }
                }
                State::Done => break,
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Takes the end of the connection.
    pub fn finish(&mut self, sink: &mut impl FnMut(BodyEvent<'_>)) -> Result<(), ResponseError> {
        self.keep_alive = false;
        match self.state {
            State::UntilClose => {
                self.end(sink);
                Ok(())
            }
            State::Done => Ok(()),
            State::Head if self.head.is_empty() => Err(ResponseError::NoResponse),
            _ => Err(ResponseError::Truncated),
        }
    }

    fn end(&mut self, sink: &mut impl FnMut(BodyEvent<'_>)) {
        self.state = State::Done;
        sink(BodyEvent::End);
    }

    fn after_size(size: u64) -> State {
        if size == 0 { State::Trailer { line_is_empty: true } } else { State::ChunkData(size) }
    }

    fn take_head<'a>(
        &mut self,
        bytes: &'a [u8],
        sink: &mut impl FnMut(BodyEvent<'_>),
    ) -> Result<&'a [u8], ResponseError> {
        let before = self.head.len();
        let taken = &bytes[..bytes.len().min(MAX_HEAD_BYTES + 1 - before.min(MAX_HEAD_BYTES))];
        self.head.extend_from_slice(taken);
        // Parsing starts over with every piece; a head is short, and nearly always arrives in one.
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        let length = match parsed.parse(&self.head)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial if self.head.len() > MAX_HEAD_BYTES => {
                return Err(ResponseError::HeadTooLong);
            }
            httparse::Status::Partial => return Ok(&bytes[taken.len()..]),
        };
        let status = parsed.code.unwrap_or_default();
        let head = Head::read(&parsed)?;
        let reason = parsed.reason.unwrap_or_default().to_owned();
        let after = &bytes[length - before..];
        self.head = Vec::new();
        if (100..200).contains(&status) {
            return Ok(after);
        }
        self.status = status;
        self.reason = reason;
        self.keep_alive = head.keep_alive;
        sink(BodyEvent::Head { status });
        let without_body = matches!(status, 204 | 304);
        match head.framing {
            _ if without_body => self.end(sink),
            Framing::Length(0) => self.end(sink),
            Framing::Length(length) => self.state = State::Length(length),
            Framing::Chunked => self.state = State::ChunkSize { size: 0, digits: 0 },
            Framing::UntilClose => {
                self.keep_alive = false;
                self.state = State::UntilClose;
            }
        }
        Ok(after)
    }
}

fn split(bytes: &[u8], left: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()))
}

enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

struct Head {
    framing: Framing,
    keep_alive: bool,
}

impl Head {
    fn read(parsed: &httparse::Response<'_, '_>) -> Result<Self, ResponseError> {
        let mut framing = Framing::UntilClose;
        let mut keep_alive = parsed.version == Some(1);
        for header in parsed.headers.iter() {
            let value = header.value.trim_ascii();
            if header.name.eq_ignore_ascii_case("transfer-encoding") {
                let is_last = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
                if value.rsplit(|&byte| byte == b',').next().is_some_and(is_last) {
                    framing = Framing::Chunked;
                }
            } else if header.name.eq_ignore_ascii_case("content-length") {
                let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                let length = length.ok_or(ResponseError::ContentLength)?;
                // Chunked wins over a length, whichever comes first.
                if !matches!(framing, Framing::Chunked) {
                    framing = Framing::Length(length);
                }
            } else if header.name.eq_ignore_ascii_case("connection") {
                for option in value.split(|&byte| byte == b',') {
                    let option = option.trim_ascii();
                    if option.eq_ignore_ascii_case(b"close") {
                        keep_alive = false;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        keep_alive = true;
                    }
                }
            }
        }
        Ok(Self { framing, keep_alive })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]], closes: bool) -> String {
        let mut decoder = ResponseDecoder::new();
        let mut shown: Vec<String> = Vec::new();
        let mut data = String::new();
        let mut status = None;
        let mut sink = |event: BodyEvent<'_>| match event {
            BodyEvent::Head { .. } => shown.push("head".to_owned()),
            BodyEvent::Data(bytes) => data.push_str(&String::from_utf8_lossy(bytes)),
            BodyEvent::End => shown.push("end".to_owned()),
        };
        let mut left = 0;
        for piece in pieces {
            match decoder.push(piece, &mut sink) {
                Ok(taken) => left += piece.len() - taken,
                Err(error) => {
                    status = Some(error);
                    break;
                }
            }
        }
        if closes && status.is_none() {
            status = decoder.finish(&mut sink).err();
        }
        let end = status.map_or_else(String::new, |error| format!("\nerror: {error}"));
        let reusable = decoder.is_reusable();
        format!(
            "{} {:?} {shown:?} {data:?} left={left} reusable={reusable}{end}",
            decoder.status(),
            decoder.reason()
        )
    }

    #[expect(clippy::needless_pass_by_value, reason = "an expectation is written at the call")]
    #[track_caller]
    fn check(response: &str, closes: bool, expected: Expect) {
        let whole = decode(&[response.as_bytes()], closes);
        expected.assert_eq(&whole);
        let bytes: Vec<&[u8]> = response.as_bytes().chunks(1).collect();
        assert_eq!(decode(&bytes, closes), whole, "the result depends on how the bytes were split");
    }

    #[test]
    fn bodies_of_every_framing_are_read() {
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloNEXT",
            false,
            expect![[r#"200 "OK" ["head", "end"] "hello" left=4 reusable=true"#]],
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nA: b\r\n\r\n",
            false,
            expect![[r#"200 "OK" ["head", "end"] "hello!" left=0 reusable=true"#]],
        );
        check(
            "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\nboom",
            true,
            expect![[r#"500 "Internal Server Error" ["head", "end"] "boom" left=0 reusable=false"#]],
        );
        check(
            "HTTP/1.1 204 No Content\r\n\r\n",
            false,
            expect![[r#"204 "No Content" ["head", "end"] "" left=0 reusable=true"#]],
        );
        check(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            false,
            expect![[r#"200 "OK" ["head", "end"] "" left=0 reusable=true"#]],
        );
    }

    #[test]
    fn a_close_announced_or_by_http_1_0_ends_reuse() {
        check(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
            false,
            expect![[r#"200 "OK" ["head", "end"] "x" left=0 reusable=false"#]],
        );
        check(
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
            false,
            expect![[r#"200 "OK" ["head", "end"] "x" left=0 reusable=false"#]],
        );
    }

    #[test]
    fn what_ends_early_or_is_no_http_is_an_error() {
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            true,
            expect![[r#"
            200 "OK" ["head"] "hel" left=0 reusable=false
            error: the connection was closed in the middle of the response"#]],
        );
        check(
            "",
            true,
            expect![[r#"
            0 "" [] "" left=0 reusable=false
            error: the connection was closed before any response"#]],
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            false,
            expect![[r#"
            200 "OK" ["head"] "" left=0 reusable=false
            error: the chunked encoding of the response is broken"#]],
        );
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            false,
            expect![[r#"
            0 "" [] "" left=0 reusable=false
            error: the response has an unreadable `Content-Length`"#]],
        );
        check(
            "SSH-2.0-OpenSSH_9.2\r\n",
            false,
            expect![[r#"
            0 "" [] "" left=0 reusable=false
            error: the response head is malformed: invalid HTTP version"#]],
        );
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let mut decoder = ResponseDecoder::new();
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(2 * MAX_HEAD_BYTES));
        let result = decoder.push(endless.as_bytes(), &mut |_| {});
        assert_eq!(result, Err(ResponseError::HeadTooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_splits_do_not_matter(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0_usize..300,
        ) {
            let mut response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            response.extend_from_slice(&bytes);
            let (left, right) = response.split_at(cut.min(response.len()));
            prop_assert_eq!(decode(&[&response], true), decode(&[left, right], true));
        }
    }
}
