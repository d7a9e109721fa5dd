//! The record on disk: one JSON line with the schedule, then one per request.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    num::NonZeroU32,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::TimedError;

/// The first line: what the server was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRecord {
    /// When it started, on `CLOCK_MONOTONIC`, in which all stamps are.
    pub started_ns: u64,
    /// The same moment since 1970, to compare with other clocks.
    pub started_unix_ns: i64,
    /// From a complete request to its first token.
    pub ttft_ns: u64,
    /// Between two tokens.
    pub itl_ns: u64,
    /// Length of an answer when the request does not say it.
    pub output_tokens: u32,
    /// Tokens in one write.
    pub tokens_per_write: NonZeroU32,
}

/// One request, in the order in which their heads came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The client's `x-request-id`.
    pub request_id: Option<String>,
    /// When its head was there.
    pub head_ns: u64,
    /// When its body was there too; the schedule starts here.
    pub body_ns: u64,
    /// Tokens of the answer.
    pub output_tokens: u32,
    /// Whether the whole answer was written.
    pub complete: bool,
    /// When the kernel had accepted each write, since `head_ns`.
    pub writes_ns: Vec<u64>,
}

pub(super) fn write_record(
    path: &Path,
    schedule: &ScheduleRecord,
    requests: &[RequestRecord],
) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    serde_json::to_writer(&mut file, schedule)?;
    for request in requests {
        file.write_all(b"\n")?;
        serde_json::to_writer(&mut file, request)?;
    }
    file.write_all(b"\n")?;
    file.flush()
}

/// Reads a record back.
pub fn read_record(path: &Path) -> Result<(ScheduleRecord, Vec<RequestRecord>), TimedError> {
    let read = || -> io::Result<_> {
        let mut lines = BufReader::new(File::open(path)?).lines();
        let first = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        let schedule = serde_json::from_str(&first)?;
        let requests = lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect::<io::Result<_>>()?;
        Ok((schedule, requests))
    };
    read().map_err(|source| TimedError::ReadRecord { path: path.to_owned(), source })
}
