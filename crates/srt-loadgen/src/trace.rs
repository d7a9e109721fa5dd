//! Mooncake traces: lengths and times of real requests, and which blocks of their input they have in common.

use std::{fs, path::Path, time::Duration};

use serde::Deserialize;

use crate::{prompts::Run, workload::WorkloadError};

/// Tokens that one hash of a trace stands for.
const BLOCK_TOKENS: u32 = 512;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    timestamp: Option<f64>,
    input_length: u32,
    output_length: u32,
    #[serde(default)]
    hash_ids: Vec<u64>,
    #[serde(default)]
    session_id: Option<serde_json::Value>,
    /// Milliseconds after the end of the turn before.
    #[serde(default)]
    delay: Option<f64>,
}

/// The requests of one session.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TraceSession {
    pub(crate) start: Duration,
    pub(crate) turns: Vec<TraceTurn>,
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TraceTurn {
    pub(crate) pause: Duration,
    pub(crate) runs: Box<[Run]>,
    pub(crate) input_tokens: u32,
    pub(crate) output_tokens: u32,
}

/// Reads the sessions of `path` in the order in which they start.
pub(crate) fn load(path: &Path, vocab_size: u32) -> Result<Vec<TraceSession>, WorkloadError> {
    let text =
        fs::read_to_string(path).map_err(|source| WorkloadError::Read { path: path.to_owned(), source })?;
    let mut sessions: Vec<TraceSession> = Vec::new();
    let mut by_id = std::collections::HashMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |reason: String| WorkloadError::Line { path: path.to_owned(), line: index + 1, reason };
        let line: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if line.input_length == 0 || line.output_length == 0 {
            return Err(wrong("`input_length` and `output_length` must be at least 1".to_owned()));
        }
        let milliseconds = |value: Option<f64>| {
            Duration::try_from_secs_f64(value.unwrap_or_default() / 1000.0)
                .map_err(|_| wrong("a time must be a number of milliseconds, and not negative".to_owned()))
        };
        let turn = TraceTurn {
            pause: milliseconds(line.delay)?,
            runs: runs(&line, index, vocab_size),
            input_tokens: line.input_length,
            output_tokens: line.output_length,
        };
        let start = milliseconds(line.timestamp)?;
        let position = match line.session_id {
            Some(id) => *by_id.entry(id.to_string()).or_insert(sessions.len()),
            None => sessions.len(),
        };
        match sessions.get_mut(position) {
            Some(session) => session.turns.push(turn),
            None => sessions.push(TraceSession { start, turns: vec![turn] }),
        }
    }
    if sessions.is_empty() {
        return Err(WorkloadError::EmptyTrace { path: path.to_owned() });
    }
    sessions.sort_by_key(|session| session.start);
    Ok(sessions)
}

/// Tokens for each block: the same for the same hash, others for another. What no hash covers is like no other.
fn runs(line: &Line, index: usize, vocab_size: u32) -> Box<[Run]> {
    let mut runs = Vec::with_capacity(line.hash_ids.len() + 1);
    let mut left = line.input_length;
    for &hash in &line.hash_ids {
        let length = left.min(BLOCK_TOKENS);
        if length == 0 {
            break;
        }
        runs.push(run_of(hash, length, vocab_size));
        left -= length;
    }
    if left > 0 {
        // Hashes of traces are small numbers, so that those from the top down are free.
        runs.push(run_of(u64::MAX - index as u64, left, vocab_size));
    }
    runs.into()
}

fn run_of(hash: u64, length: u32, vocab_size: u32) -> Run {
    // Any mixing that spreads neighbouring hashes over the vocabulary will do.
    let mixed = (hash.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let size = u64::from(vocab_size.max(2));
    let part = |value: u64| u32::try_from(value % size).expect("a remainder is less than its divisor");
    Run { first: part(mixed), stride: part(mixed >> 32).max(1), length }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use expect_test::{Expect, expect};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "an expectation is written at the call")]
    #[track_caller]
    fn check(lines: &str, expected: Expect) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(lines.as_bytes()).unwrap();
        let shown = match load(file.path(), 1000) {
            Ok(sessions) => {
                let lines = sessions.iter().flat_map(|session| {
                    session.turns.iter().map(|turn| {
                        let runs: Vec<String> = turn
                            .runs
                            .iter()
                            .map(|it| format!("{}+{}x{}", it.first, it.stride, it.length))
                            .collect();
                        format!(
                            "{:?} {:?} {} -> {}: {}",
                            session.start,
                            turn.pause,
                            turn.input_tokens,
                            turn.output_tokens,
                            runs.join(" ")
                        )
                    })
                });
                lines.collect::<Vec<_>>().join("\n")
            }
            Err(error) => error.to_string().replace(&*file.path().to_string_lossy(), "FILE"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn sessions_blocks_and_times_are_read() {
        check(
            r#"{"session_id":"a","input_length":1200,"output_length":50,"hash_ids":[0,1,2],"timestamp":500}
{"session_id":"a","input_length":1300,"output_length":30,"hash_ids":[0,1],"delay":100}
{"input_length":600,"output_length":40,"hash_ids":[0],"timestamp":0}
"#,
            expect![[r#"
                0ns 0ns 600 -> 40: 828+814x512 649+620x88
                500ms 0ns 1200 -> 50: 828+814x512 576+274x512 361+190x176
                500ms 100ms 1300 -> 30: 828+814x512 576+274x512 775+565x276"#]],
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        check(
            "{\"input_length\":1}\n",
            expect!["`FILE`, line 1: missing field `output_length` at line 1 column 18"],
        );
        check(
            "{\"input_length\":0,\"output_length\":1}\n",
            expect!["`FILE`, line 1: `input_length` and `output_length` must be at least 1"],
        );
        check(
            "{\"input_length\":1,\"output_length\":1,\"timestamp\":-1}\n",
            expect!["`FILE`, line 1: a time must be a number of milliseconds, and not negative"],
        );
        check(
            "",
            expect![[r#"`FILE` holds no request; a line must be `{"input_length": …, "output_length": …}`"#]],
        );
    }
}
