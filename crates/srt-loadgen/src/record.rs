//! What is kept of each request: times, counts, and how it ended. No texts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Everything that is kept of one request. Times are since the start of the point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// Position in the point's order of requests.
    pub(crate) index: u32,
    /// When the arrival schedule wanted it sent.
    pub(crate) intended_ns: u64,
    /// When its first byte was handed to the socket.
    pub(crate) sent_ns: u64,
    /// When its answer had ended, or had failed.
    pub(crate) finished_ns: u64,
    /// How long its connection took to open; `None` for one that was open already.
    pub(crate) connect_ns: Option<u64>,
    /// From sending to the first chunk; `None` if none came.
    pub(crate) ttft_ns: Option<u64>,
    /// From sending to the last chunk, or for a failed request to its failure.
    pub(crate) latency_ns: u64,
    /// Gaps between chunks.
    pub(crate) gaps: Gaps,
    /// Chunks that carried choices.
    pub(crate) chunks: u32,
    /// Chunks among them without text.
    pub(crate) empty_chunks: u32,
    /// Input tokens as the server counted them.
    pub(crate) prompt_tokens: Option<u32>,
    /// Output tokens as the server counted them.
    pub(crate) completion_tokens: Option<u32>,
    /// Whether the stream ended with `[DONE]`.
    pub(crate) is_done_seen: bool,
    /// How often it was sent again because the kept connection it went over had been closed.
    pub(crate) retries: u32,
    /// How it failed, if it did.
    pub(crate) failure: Option<Failure>,
}

impl Record {
    /// Output tokens: the server's count, else one for each chunk with text.
    pub(crate) fn output_tokens(&self) -> u32 {
        if self.failure.is_some() {
            return 0;
        }
        self.completion_tokens.unwrap_or(self.chunks - self.empty_chunks)
    }
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, text: impl fmt::Display) -> Self {
        Self { kind, text: text.to_string() }
    }
}

/// The kinds of failure that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The server refused the connection.
    ConnectRefused,
    /// The connection could not be opened for another reason.
    ConnectFailed,
    /// This machine refused: no file descriptor, no port, no memory.
    SystemRefused,
    /// The connection was reset.
    ConnectionReset,
    /// The connection was closed before any response.
    ClosedBeforeResponse,
    /// The connection was closed in the middle of the response.
    ClosedMidStream,
    /// A status other than 200.
    HttpStatus,
    /// The response was no HTTP.
    MalformedHttp,
    /// An event of the stream was no JSON, or not of the expected shape.
    MalformedEvent,
    /// The server reported an error inside the stream.
    ErrorEvent,
    /// The stream ended without any chunk that carries choices.
    NoTokens,
    /// No first token in time.
    TimeoutBeforeFirstToken,
    /// The stream stalled until the time was up.
    TimeoutMidStream,
}

impl FailureKind {
    /// The kind's name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect_refused",
            Self::ConnectFailed => "connect_failed",
            Self::SystemRefused => "system_refused",
            Self::ConnectionReset => "connection_reset",
            Self::ClosedBeforeResponse => "closed_before_response",
            Self::ClosedMidStream => "closed_mid_stream",
            Self::HttpStatus => "http_status",
            Self::MalformedHttp => "malformed_http",
            Self::MalformedEvent => "malformed_event",
            Self::ErrorEvent => "error_event",
            Self::NoTokens => "no_tokens",
            Self::TimeoutBeforeFirstToken => "timeout_before_first_token",
            Self::TimeoutMidStream => "timeout_mid_stream",
        }
    }
}

/// Gaps in microseconds, seven bits to a byte: two bytes for 10 ms, however many tokens a run has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Gaps {
    bytes: Vec<u8>,
}

impl Gaps {
    pub(crate) fn push(&mut self, mut gap_us: u64) {
        while gap_us >= 0x80 {
            self.bytes.push(gap_us.to_le_bytes()[0] | 0x80);
            gap_us >>= 7;
        }
        self.bytes.push(gap_us.to_le_bytes()[0]);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let mut bytes = self.bytes.iter();
        std::iter::from_fn(move || {
            let mut gap_us = 0;
            let mut shift = 0;
            loop {
                let byte = *bytes.next()?;
                gap_us |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    return Some(gap_us);
                }
                shift += 7;
            }
        })
    }

    /// Gives back what growing reserved beyond the gaps.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn gaps_come_back_as_they_went_in(gaps in proptest::collection::vec(0_u64..1 << 56, 0..50)) {
            let mut kept = Gaps::default();
            for &gap in &gaps {
                kept.push(gap);
            }
            prop_assert_eq!(kept.iter().collect::<Vec<_>>(), gaps);
        }
    }

    #[test]
    fn a_gap_of_ten_milliseconds_takes_two_bytes() {
        let mut kept = Gaps::default();
        kept.push(10_000);
        assert_eq!(kept.bytes.len(), 2);
    }
}
