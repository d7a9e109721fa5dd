//! Does the benchmark still get anywhere?
//!
//! A load generator that waits for an answer that will never come looks alive: it reports again and again that nothing
//! has changed. The processes live, so nothing else would end such a run before its time limit, hours later.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

/// Nothing for this long is worth a word.
pub const NO_PROGRESS_WARNING: Duration = Duration::from_mins(1);

/// Nothing for this long ends the run. The first requests may wait for kernels to be compiled, which takes many
/// minutes, and as long as the workers' start may take by default.
pub const NO_PROGRESS_LIMIT: Duration = Duration::from_mins(30);

/// When the benchmark last got anywhere.
#[derive(Debug)]
pub(super) struct Movement {
    last: Instant,
    counts: Option<Counts>,
    warned: bool,
}

/// The part of a line of progress that tells whether anything moves. Other programs' lines lack it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct Counts {
    completed: u64,
    failed: u64,
    in_flight: u64,
    output_tps: f64,
}

/// What a benchmark that gets nowhere comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stall {
    Warn(String),
    Fail(String),
}

impl Movement {
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, counts: None, warned: false }
    }

    /// Takes a line of progress into account.
    pub(super) fn see(&mut self, progress: &serde_json::Value, now: Instant) {
        let counts = Counts::deserialize(progress).ok();
        let stands_still = match (self.counts, counts) {
            (Some(before), Some(after)) => {
                after.output_tps <= 0.0
                    && (before.completed, before.failed) == (after.completed, after.failed)
            }
            // Anything but a count is news: a point begins or ends.
            _ => false,
        };
        self.counts = counts;
        if !stands_still {
            self.last = now;
            self.warned = false;
        }
    }

    /// When to ask [`judge`](Self::judge) next. Never for a benchmark that does not count.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.counts?;
        Some(self.last + if self.warned { NO_PROGRESS_LIMIT } else { NO_PROGRESS_WARNING })
    }

    /// What is to be said or done now.
    pub(super) fn judge(&mut self, now: Instant) -> Option<Stall> {
        let counts = self.counts?;
        let silent = now.duration_since(self.last);
        let text = format!(
            "the benchmark has seen no token and no end of a request for {} s: {} completed, {} failed, {} in flight",
            silent.as_secs(),
            counts.completed,
            counts.failed,
            counts.in_flight
        );
        if silent >= NO_PROGRESS_LIMIT {
            return Some(Stall::Fail(text));
        }
        let warns = silent >= NO_PROGRESS_WARNING && !self.warned;
        self.warned |= warns;
        warns.then_some(Stall::Warn(text))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn counts(completed: u64, output_tps: f64) -> serde_json::Value {
        json!({"event": "progress", "completed": completed, "failed": 0, "in_flight": 1, "output_tps": output_tps})
    }

    /// Lines at seconds since the start; what is said at each next look up to an hour.
    #[track_caller]
    fn check(lines: &[(u64, serde_json::Value)], expect: &Expect) {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut movement = Movement::new(start);
        for (second, line) in lines {
            movement.see(line, at(*second));
        }
        let mut said = Vec::new();
        for _look in 0..4 {
            let Some(next) = movement.next_look() else { break };
            if let Some(stall) = movement.judge(next) {
                let failed = matches!(stall, Stall::Fail(_));
                said.push(format!("{} s: {stall:?}", next.duration_since(start).as_secs()));
                if failed {
                    break;
                }
            }
        }
        expect.assert_eq(&said.join("\n"));
    }

    #[test]
    fn silence_warns_and_then_fails() {
        check(
            &[(0, counts(3, 10.0)), (1, counts(3, 0.0)), (2, counts(3, 0.0))],
            &expect![[r#"
            60 s: Warn("the benchmark has seen no token and no end of a request for 60 s: 3 completed, 0 failed, 1 in flight")
            1800 s: Fail("the benchmark has seen no token and no end of a request for 1800 s: 3 completed, 0 failed, 1 in flight")"#]],
        );
    }

    #[test]
    fn tokens_or_ended_requests_are_movement() {
        check(
            &[(0, counts(3, 0.0)), (100, counts(3, 0.5))],
            &expect![[r#"
            160 s: Warn("the benchmark has seen no token and no end of a request for 60 s: 3 completed, 0 failed, 1 in flight")
            1900 s: Fail("the benchmark has seen no token and no end of a request for 1800 s: 3 completed, 0 failed, 1 in flight")"#]],
        );
        check(
            &[(0, counts(3, 0.0)), (200, counts(4, 0.0))],
            &expect![[r#"
            260 s: Warn("the benchmark has seen no token and no end of a request for 60 s: 4 completed, 0 failed, 1 in flight")
            2000 s: Fail("the benchmark has seen no token and no end of a request for 1800 s: 4 completed, 0 failed, 1 in flight")"#]],
        );
    }

    #[test]
    fn a_benchmark_that_does_not_count_is_never_called_stalled() {
        check(&[], &expect![[""]]);
        check(&[(0, json!({"event": "working"}))], &expect![[""]]);
        check(&[(0, counts(3, 0.0)), (1, json!({"event": "point_started"}))], &expect![[""]]);
    }
}
