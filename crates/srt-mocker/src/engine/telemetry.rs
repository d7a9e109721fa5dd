//! What an engine tells about its own speed: throughput per interval, and totals.

use std::time::Duration;

use super::scheduler::{StepReport, StepWork};

/// SGLang prints a decode line every so many decode steps.
const DECODE_LINE_INTERVAL: u64 = 40;

/// A step worth a line in an SGLang log, with the throughput since the line of its kind before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BatchLine<'a> {
    pub(super) step: &'a StepReport,
    pub(super) throughput_tps: f64,
}

/// Totals since the start.
#[derive(Debug, Default)]
pub(super) struct Telemetry {
    speedup: f64,
    pub(super) requests: u64,
    pub(super) prompt_tokens: u64,
    pub(super) cached_tokens: u64,
    pub(super) generated_tokens: u64,
    /// As in the last decode line.
    pub(super) gen_throughput_tps: f64,
    decode_steps: u64,
    prefill: Interval,
    decode: Interval,
}

#[derive(Debug, Default)]
struct Interval {
    tokens: u64,
    since: Option<Duration>,
}

impl Interval {
    /// Tokens per second of the clock since the last call, which ends this interval.
    fn end(&mut self, now: Duration, speedup: f64) -> f64 {
        let elapsed = self.since.map(|since| now.saturating_sub(since).as_secs_f64() / speedup);
        self.since = Some(now);
        #[expect(clippy::cast_precision_loss, reason = "an interval has far fewer tokens than 2^52")]
        let tokens = std::mem::take(&mut self.tokens) as f64;
        elapsed.filter(|it| *it > 0.0).map_or(0.0, |elapsed| tokens / elapsed)
    }
}

impl Telemetry {
    pub(super) fn new(speedup: f64) -> Self {
        Self { speedup, ..Self::default() }
    }

    /// Counts a step; returns the line that SGLang would print for it.
    pub(super) fn observe<'a>(&mut self, step: &'a StepReport) -> Option<BatchLine<'a>> {
        match step.work {
            StepWork::Prefill { new_tokens, cached_tokens, .. } => {
                self.prompt_tokens += new_tokens + cached_tokens;
                self.cached_tokens += cached_tokens;
                self.prefill.tokens += new_tokens;
                let throughput_tps = self.prefill.end(step.ended_at, self.speedup);
                Some(BatchLine { step, throughput_tps })
            }
            StepWork::Decode { sequences } => {
                self.decode_steps += 1;
                self.decode.since.get_or_insert(step.started_at);
                self.decode.tokens += u64::from(sequences);
                if !self.decode_steps.is_multiple_of(DECODE_LINE_INTERVAL) {
                    return None;
                }
                self.gen_throughput_tps = self.decode.end(step.ended_at, self.speedup);
                Some(BatchLine { step, throughput_tps: self.gen_throughput_tps })
            }
        }
    }

    /// Share of prompt tokens that came from the prefix cache.
    pub(super) fn cache_hit_rate(&self) -> f64 {
        if self.prompt_tokens == 0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a run has far fewer tokens than 2^52")]
        let rate = self.cached_tokens as f64 / self.prompt_tokens as f64;
        rate
    }
}
