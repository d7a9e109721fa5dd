//! [`Stream`]: one answer as it comes in, from bytes with their time to counts and gaps. No I/O.

use std::{io, time::Instant};

use srt_http::{BodyEvent, ResponseDecoder, ResponseError, SseDecoder, SseEvent};

use crate::{
    chunk::{Chunk, Usage, shorten},
    record::{Failure, FailureKind, Gaps},
};

/// Of a body that reports an error, this much is kept.
const MAX_ERROR_BODY_BYTES: usize = 2048;

/// One answer as it comes in.
#[derive(Debug)]
pub(crate) struct Stream {
    decoder: ResponseDecoder,
    sse: SseDecoder,
    tally: Tally,
    error_body: Vec<u8>,
}

/// What has been seen of an answer.
#[derive(Debug)]
pub(crate) struct Tally {
    sent: Instant,
    pub(crate) ttft_ns: Option<u64>,
    /// From sending to the last chunk with choices.
    pub(crate) last_ns: u64,
    /// The same in the whole microseconds that gaps are kept in, so that rounding does not add up.
    last_us: u64,
    pub(crate) gaps: Gaps,
    pub(crate) chunks: u32,
    pub(crate) empty_chunks: u32,
    pub(crate) usage: Option<Usage>,
    pub(crate) is_done_seen: bool,
    pub(crate) failure: Option<Failure>,
}

impl Stream {
    /// Waits for the answer to a request whose first byte was handed over at `sent`.
    pub(crate) fn new(sent: Instant) -> Self {
        let tally = Tally {
            sent,
            ttft_ns: None,
            last_ns: 0,
            last_us: 0,
            gaps: Gaps::default(),
            chunks: 0,
            empty_chunks: 0,
            usage: None,
            is_done_seen: false,
            failure: None,
        };
        Self { decoder: ResponseDecoder::new(), sse: SseDecoder::new(), tally, error_body: Vec::new() }
    }

    /// Chunks seen so far.
    pub(crate) fn chunks(&self) -> u32 {
        self.tally.chunks
    }

    /// Whether another request may go over the same connection.
    pub(crate) fn is_reusable(&self) -> bool {
        self.decoder.is_reusable() && self.tally.failure.is_none()
    }

    /// Takes the bytes of one read; none is the end of the connection. Returns whether nothing more is to come.
    pub(crate) fn push(&mut self, at: Instant, bytes: &[u8]) -> bool {
        let Self { decoder, sse, tally, error_body } = self;
        let mut status = decoder.status();
        let mut has_ended = false;
        let mut sink = |event: BodyEvent<'_>| match event {
            BodyEvent::Head { status: seen } => status = seen,
            BodyEvent::Data(data) if status == 200 => {
                sse.push(data, &mut |event| tally.take(at, event));
            }
            BodyEvent::Data(data) => {
                let room = MAX_ERROR_BODY_BYTES - error_body.len();
                error_body.extend_from_slice(&data[..data.len().min(room)]);
            }
            BodyEvent::End => has_ended = true,
        };
        let result = if bytes.is_empty() {
            decoder.finish(&mut sink)
        } else {
            decoder.push(bytes, &mut sink).map(drop)
        };
        if let Err(error) = result {
            let kind = match error {
                ResponseError::NoResponse => FailureKind::ClosedBeforeResponse,
                ResponseError::Truncated => FailureKind::ClosedMidStream,
                ResponseError::Head(_)
                | ResponseError::HeadTooLong
                | ResponseError::ContentLength
                | ResponseError::Chunk => FailureKind::MalformedHttp,
            };
            self.fail(kind, error);
        } else if has_ended {
            self.end(at);
        }
        has_ended || self.tally.failure.is_some()
    }

    /// Takes an error of the connection.
    pub(crate) fn break_off(&mut self, error: &io::Error) {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                FailureKind::ConnectionReset
            }
            _ if self.decoder.status() == 0 => FailureKind::ClosedBeforeResponse,
            _ => FailureKind::ClosedMidStream,
        };
        self.fail(kind, error);
    }

    /// Takes the end of the time a request may take.
    pub(crate) fn time_out(&mut self, timeout_s: f64) {
        let kind = match self.tally.ttft_ns {
            None => FailureKind::TimeoutBeforeFirstToken,
            Some(_) => FailureKind::TimeoutMidStream,
        };
        self.fail(kind, format!("not finished within {timeout_s} s, after {} chunks", self.tally.chunks));
    }

    /// Whether the connection went away before it brought anything: on a kept connection, the server had
    /// closed it before it saw the request.
    pub(crate) fn is_lost_before_response(&self) -> bool {
        let kind = self.tally.failure.as_ref().map(|failure| failure.kind);
        self.decoder.status() == 0
            && matches!(kind, Some(FailureKind::ConnectionReset | FailureKind::ClosedBeforeResponse))
    }

    /// What has been seen.
    pub(crate) fn into_tally(mut self) -> Tally {
        self.tally.gaps.shrink();
        self.tally
    }

    fn fail(&mut self, kind: FailureKind, text: impl std::fmt::Display) {
        // The first failure is the cause; what follows from it is not.
        self.tally.failure.get_or_insert_with(|| Failure::new(kind, text));
    }

    fn end(&mut self, at: Instant) {
        let Self { sse, tally, .. } = self;
        sse.finish(&mut |event| tally.take(at, event));
        let status = self.decoder.status();
        if status != 200 {
            let reason = self.decoder.reason().to_owned();
            let body = shorten(&self.error_body);
            self.fail(FailureKind::HttpStatus, format!("{status} {reason}: {body}"));
        } else if self.tally.ttft_ns.is_none() {
            self.fail(FailureKind::NoTokens, "the stream ended without any chunk that carries choices");
        }
    }
}

impl Tally {
    fn take(&mut self, at: Instant, event: SseEvent<'_>) {
        match Chunk::parse(event.kind, event.data) {
            Chunk::Done => self.is_done_seen = true,
            Chunk::Piece { has_text, usage } => {
                self.usage = usage.or(self.usage);
                if let Some(has_text) = has_text {
                    self.take_piece(at, has_text);
                }
            }
            Chunk::Error(text) => {
                self.failure.get_or_insert_with(|| Failure::new(FailureKind::ErrorEvent, text));
            }
            Chunk::Malformed(text) => {
                self.failure.get_or_insert_with(|| Failure::new(FailureKind::MalformedEvent, text));
            }
        }
    }

    fn take_piece(&mut self, at: Instant, has_text: bool) {
        let since_sent = at.saturating_duration_since(self.sent);
        let nanoseconds = u64::try_from(since_sent.as_nanos()).unwrap_or(u64::MAX);
        let microseconds = nanoseconds / 1000;
        if self.ttft_ns.is_none() {
            self.ttft_ns = Some(nanoseconds);
        } else {
            self.gaps.push(microseconds.saturating_sub(self.last_us));
        }
        self.last_ns = nanoseconds;
        self.last_us = microseconds;
        self.chunks += 1;
        self.empty_chunks += u32::from(!has_text);
    }
}
