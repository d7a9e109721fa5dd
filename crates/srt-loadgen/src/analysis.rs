//! From the records of a point to its figures. No I/O, no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    config::Slos,
    prompts::Prompt,
    record::{FailureKind, Record},
    stats::{GapCounts, Summary, as_f64, percentile},
};

/// A window is steady while at least this share of the most requests ever in flight is in flight.
const STEADY_SHARE: f64 = 0.9;
const NS_PER_S: f64 = 1e9;

/// The figures of a point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Analysis {
    pub(crate) duration_s: f64,
    pub(crate) completed: u32,
    pub(crate) failed: u32,
    pub(crate) retries: u32,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// Output tokens that the successful requests asked for.
    pub(crate) requested_output_tokens: u64,
    pub(crate) good_requests: u32,
    pub(crate) peak_output_tps: f64,
    pub(crate) ttft_ms: Summary,
    pub(crate) tpot_ms: Summary,
    /// Gaps between chunks.
    pub(crate) itl_ms: Summary,
    /// The same, each gap divided by the tokens that a chunk of its request holds on average.
    pub(crate) itl_token_ms: Summary,
    pub(crate) e2el_ms: Summary,
    pub(crate) connect_ms: Summary,
    /// How much later than intended requests were sent.
    pub(crate) send_lateness_ms: Summary,
    pub(crate) tokens: TokenCounts,
    pub(crate) steady: Option<SteadyWindow>,
    pub(crate) series: Series,
    pub(crate) errors: Vec<ErrorCount>,
}

/// Where the numbers of tokens come from, and how they compare with what was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCounts {
    /// Successful requests with counts of the server.
    pub requests_with_usage: u32,
    /// Successful requests without; their chunks with text are counted instead.
    pub requests_without_usage: u32,
    /// Chunks that carried choices.
    pub chunks: u64,
    /// Chunks among them without text.
    pub empty_chunks: u64,
    /// Requests whose chunks with text number as many as their output tokens.
    pub requests_of_one_token_per_chunk: u32,
    /// Input tokens as the server counted them.
    pub server_input_tokens: u64,
    /// Streams that ended well but without `[DONE]`.
    pub streams_without_done: u32,
}

/// The time in which the load was steady.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SteadyWindow {
    /// Seconds after the start of the point.
    pub start_s: f64,
    /// Seconds after the start of the point.
    pub end_s: f64,
    /// Output tokens per second within.
    pub output_tps: f64,
    /// Requests that ended well within, per second.
    pub request_rps: f64,
    /// Time to first token of requests sent within: mean.
    pub mean_ttft_ms: f64,
    /// Time to first token of requests sent within: 99th percentile.
    pub p99_ttft_ms: f64,
}

impl SteadyWindow {
    /// How long it lasted.
    pub fn duration_s(&self) -> f64 {
        self.end_s - self.start_s
    }
}

/// Figures of each second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Output tokens in the second.
    pub output_tokens: Vec<f64>,
    /// Requests in flight at the end of the second.
    pub in_flight: Vec<u32>,
    /// Requests that ended well in the second.
    pub completed: Vec<u32>,
    /// Requests that failed in the second.
    pub failed: Vec<u32>,
    /// Median time to first token, of the first tokens of the second.
    pub p50_ttft_ms: Vec<f64>,
    /// 99th percentile of the time to first token, of the first tokens of the second.
    pub p99_ttft_ms: Vec<f64>,
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// Its kind.
    pub kind: FailureKind,
    /// How often it happened.
    pub count: u32,
    /// What the first one said.
    pub example: String,
}

/// Works out the figures of `records`. Whether requests were sent on a schedule, rather than as others ended,
/// decides what counts as steady.
pub(crate) fn analyse(
    records: &[Record],
    prompts: &[Prompt],
    slos: Slos,
    is_scheduled: bool,
    duration_s: f64,
) -> Analysis {
    let succeeded: Vec<&Record> = records.iter().filter(|record| record.failure.is_none()).collect();
    let prompt_of = |record: &Record| &prompts[record.index as usize];
    let sum = |value: &dyn Fn(&Record) -> u64| succeeded.iter().map(|record| value(record)).sum::<u64>();

    let mut gaps = GapCounts::new();
    let mut token_gaps = GapCounts::new();
    for record in &succeeded {
        gaps.add(&record.gaps, 1.0);
        token_gaps
            .add(&record.gaps, f64::from(record.output_tokens().max(1)) / f64::from(record.chunks.max(1)));
    }
    let timeline = Timeline::of(&succeeded, duration_s);
    Analysis {
        duration_s,
        completed: count(succeeded.len()),
        failed: count(records.len() - succeeded.len()),
        retries: records.iter().map(|record| record.retries).sum(),
        input_tokens: sum(&|record| u64::from(prompt_of(record).input_tokens)),
        output_tokens: sum(&|record| u64::from(record.output_tokens())),
        requested_output_tokens: sum(&|record| u64::from(prompt_of(record).output_tokens)),
        good_requests: count(succeeded.iter().filter(|record| is_good(record, slos)).count()),
        peak_output_tps: timeline.peak_tps(),
        ttft_ms: Summary::of(succeeded.iter().filter_map(|record| record.ttft_ns.map(ms)).collect()),
        tpot_ms: Summary::of(succeeded.iter().filter_map(|record| tpot_ms(record)).collect()),
        itl_ms: gaps.summary_ms(),
        itl_token_ms: token_gaps.summary_ms(),
        e2el_ms: Summary::of(succeeded.iter().map(|record| ms(record.latency_ns)).collect()),
        connect_ms: Summary::of(records.iter().filter_map(|record| record.connect_ns.map(ms)).collect()),
        send_lateness_ms: Summary::of(
            records.iter().map(|record| ms(record.sent_ns.saturating_sub(record.intended_ns))).collect(),
        ),
        tokens: token_counts(&succeeded),
        steady: steady_window(records, is_scheduled),
        series: series(records, &timeline, duration_s),
        errors: error_counts(records),
    }
}

/// Time per output token after the first; `None` where there is no second one.
pub(crate) fn tpot_ms(record: &Record) -> Option<f64> {
    let tokens = record.output_tokens();
    let ttft_ns = record.ttft_ns?;
    (tokens > 1).then(|| ms(record.latency_ns.saturating_sub(ttft_ns)) / f64::from(tokens - 1))
}

fn is_good(record: &Record, slos: Slos) -> bool {
    let keeps = |limit: Option<f64>, value: f64| limit.is_none_or(|limit| value <= limit);
    keeps(slos.ttft_ms, record.ttft_ns.map_or(0.0, ms))
        && keeps(slos.tpot_ms, tpot_ms(record).unwrap_or_default())
        && keeps(slos.e2el_ms, ms(record.latency_ns))
}

fn token_counts(succeeded: &[&Record]) -> TokenCounts {
    let mut counts = TokenCounts::default();
    for record in succeeded {
        match record.completion_tokens {
            Some(_) => counts.requests_with_usage += 1,
            None => counts.requests_without_usage += 1,
        }
        counts.chunks += u64::from(record.chunks);
        counts.empty_chunks += u64::from(record.empty_chunks);
        counts.requests_of_one_token_per_chunk +=
            u32::from(record.chunks - record.empty_chunks == record.output_tokens());
        counts.server_input_tokens += u64::from(record.prompt_tokens.unwrap_or_default());
        counts.streams_without_done += u32::from(!record.is_done_seen);
    }
    counts
}

fn error_counts(records: &[Record]) -> Vec<ErrorCount> {
    let mut errors: BTreeMap<FailureKind, ErrorCount> = BTreeMap::new();
    for failure in records.iter().filter_map(|record| record.failure.as_ref()) {
        let entry = errors.entry(failure.kind).or_insert_with(|| ErrorCount {
            kind: failure.kind,
            count: 0,
            example: failure.text.clone(),
        });
        entry.count += 1;
    }
    errors.into_values().collect()
}

/// When tokens came, in buckets of one second from the first request on.
struct Timeline {
    /// Tokens by second since the first request was sent.
    since_first: Vec<f64>,
    /// Tokens by second since the start of the point.
    since_start: Vec<f64>,
}

impl Timeline {
    fn of(succeeded: &[&Record], duration_s: f64) -> Self {
        let first_sent_ns = succeeded.iter().map(|record| record.sent_ns).min().unwrap_or_default();
        let last_ns =
            succeeded.iter().map(|record| record.sent_ns + record.latency_ns).max().unwrap_or_default();
        let length = if succeeded.is_empty() {
            0
        } else {
            whole((as_f64(last_ns - first_sent_ns) / NS_PER_S).ceil()) + 1
        };
        let mut since_first = vec![0.0; length];
        let mut since_start = vec![0.0; whole(duration_s.ceil()).max(1)];
        for record in succeeded {
            let per_chunk = f64::from(record.output_tokens()) / f64::from(record.chunks.max(1));
            for chunk_ns in chunk_times(record) {
                *at(&mut since_first, chunk_ns - first_sent_ns) += per_chunk;
                *at(&mut since_start, chunk_ns) += per_chunk;
            }
        }
        Self { since_first, since_start }
    }

    /// The highest mean over ten seconds; over a shorter time, a tenth of all.
    fn peak_tps(&self) -> f64 {
        if self.since_first.len() < 10 {
            // A sum over nothing is the negative zero.
            return self.since_first.iter().sum::<f64>().abs() / 10.0;
        }
        self.since_first.windows(10).map(|window| window.iter().sum::<f64>() / 10.0).fold(0.0, f64::max)
    }
}

/// When the chunks of a request came, since the start of the point.
fn chunk_times(record: &Record) -> impl Iterator<Item = u64> + '_ {
    let first = record.ttft_ns.map(|ttft_ns| record.sent_ns + ttft_ns);
    let mut time = first.unwrap_or_default();
    let later = record.gaps.iter().map(move |gap_us| {
        time += gap_us * 1000;
        time
    });
    first.into_iter().chain(later)
}

fn steady_window(records: &[Record], is_scheduled: bool) -> Option<SteadyWindow> {
    let (start_ns, end_ns) = if is_scheduled { scheduled_window(records) } else { full_window(records) }?;
    let length_s = as_f64(end_ns.saturating_sub(start_ns)) / NS_PER_S;
    if length_s <= 0.0 {
        return None;
    }

    let within = |time: u64| (start_ns..end_ns).contains(&time);
    let succeeded = || records.iter().filter(|record| record.failure.is_none());
    let mut tokens = 0.0;
    for record in succeeded() {
        let inside = chunk_times(record).filter(|&time| within(time)).count() as u64;
        tokens += as_f64(inside) * f64::from(record.output_tokens()) / f64::from(record.chunks.max(1));
    }
    let ended = succeeded().filter(|record| within(record.finished_ns)).count() as u64;
    let ttfts =
        succeeded().filter(|record| within(record.sent_ns)).filter_map(|record| record.ttft_ns.map(ms));
    let ttft_ms = Summary::of(ttfts.collect());
    Some(SteadyWindow {
        start_s: as_f64(start_ns) / NS_PER_S,
        end_s: as_f64(end_ns) / NS_PER_S,
        output_tps: tokens / length_s,
        request_rps: as_f64(ended) / length_s,
        mean_ttft_ms: ttft_ms.mean,
        p99_ttft_ms: ttft_ms.p99,
    })
}

/// While requests were still being sent, from the end of the first on.
fn scheduled_window(records: &[Record]) -> Option<(u64, u64)> {
    let first_end = records.iter().map(|record| record.finished_ns).min()?;
    let last_sent = records.iter().map(|record| record.sent_ns).max()?;
    Some((first_end, last_sent))
}

/// From the first to the last time at which nearly as many requests were in flight as ever.
fn full_window(records: &[Record]) -> Option<(u64, u64)> {
    let mut changes: Vec<(u64, i64)> =
        records.iter().flat_map(|record| [(record.sent_ns, 1), (record.finished_ns, -1)]).collect();
    changes.sort_unstable();
    let levels = changes.iter().scan(0_i64, |level, &(time, change)| {
        *level += change;
        Some((time, *level))
    });
    let levels: Vec<(u64, i64)> = levels.collect();
    let peak = u32::try_from(levels.iter().map(|&(_, level)| level).max()?).ok()?;
    let enough = i64::from(whole_u32((f64::from(peak) * STEADY_SHARE).ceil()).max(1));
    let start = levels.iter().position(|&(_, level)| level >= enough)?;
    let last = levels.iter().rposition(|&(_, level)| level >= enough)?;
    Some((levels[start].0, levels.get(last + 1)?.0))
}

fn series(records: &[Record], timeline: &Timeline, duration_s: f64) -> Series {
    let seconds = whole(duration_s.ceil()).max(1);
    let mut series = Series {
        output_tokens: timeline.since_start.clone(),
        in_flight: vec![0; seconds],
        completed: vec![0; seconds],
        failed: vec![0; seconds],
        p50_ttft_ms: Vec::new(),
        p99_ttft_ms: Vec::new(),
    };
    let mut changes = vec![0_i64; seconds];
    let mut ttfts: Vec<Vec<f64>> = vec![Vec::new(); seconds];
    for record in records {
        *at(&mut changes, record.sent_ns) += 1;
        *at(&mut changes, record.finished_ns) -= 1;
        let ends = if record.failure.is_some() { &mut series.failed } else { &mut series.completed };
        *at(ends, record.finished_ns) += 1;
        if let Some(ttft_ns) = record.ttft_ns {
            at(&mut ttfts, record.sent_ns + ttft_ns).push(ms(ttft_ns));
        }
    }
    let mut level = 0;
    for (in_flight, change) in series.in_flight.iter_mut().zip(changes) {
        level += change;
        *in_flight = u32::try_from(level).unwrap_or_default();
    }
    for mut second in ttfts {
        second.sort_unstable_by(f64::total_cmp);
        series.p50_ttft_ms.push(percentile(&second, 50.0));
        series.p99_ttft_ms.push(percentile(&second, 99.0));
    }
    series
}

/// The bucket of a time; what lies beyond the last belongs to the last.
fn at<T>(buckets: &mut [T], time_ns: u64) -> &mut T {
    let second = usize::try_from(time_ns / 1_000_000_000).unwrap_or(usize::MAX);
    let last = buckets.len() - 1;
    &mut buckets[second.min(last)]
}

pub(crate) fn ms(ns: u64) -> f64 {
    as_f64(ns) / 1e6
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of a run; `as` keeps any value in range"
)]
fn whole(value: f64) -> usize {
    value as usize
}

fn whole_u32(value: f64) -> u32 {
    count(whole(value))
}

#[cfg(test)]
pub(crate) mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::{
        prompts::PromptText,
        record::{Failure, Gaps},
    };

    /// A request sent at `sent_ms` whose first token came after `ttft_ms` and whose others came every `gap_ms`.
    pub(crate) fn record(index: u32, sent_ms: u64, ttft_ms: u64, gap_ms: u64, tokens: u32) -> Record {
        let mut gaps = Gaps::default();
        for _ in 1..tokens {
            gaps.push(gap_ms * 1000);
        }
        let latency_ns = (ttft_ms + gap_ms * u64::from(tokens - 1)) * 1_000_000;
        Record {
            index,
            intended_ns: sent_ms * 1_000_000,
            sent_ns: sent_ms * 1_000_000,
            finished_ns: sent_ms * 1_000_000 + latency_ns,
            connect_ns: None,
            ttft_ns: Some(ttft_ms * 1_000_000),
            latency_ns,
            gaps,
            chunks: tokens,
            empty_chunks: 0,
            prompt_tokens: Some(7),
            completion_tokens: Some(tokens),
            is_done_seen: true,
            retries: 0,
            failure: None,
        }
    }

    pub(crate) fn analyse_all(records: &[Record], slos: Slos, is_scheduled: bool) -> Analysis {
        let prompt = Prompt { text: PromptText::from_text(""), input_tokens: 7, output_tokens: 11 };
        let prompts = vec![prompt; records.len()];
        let last = records.iter().map(|record| record.finished_ns).max().unwrap_or_default();
        analyse(records, &prompts, slos, is_scheduled, as_f64(last) / NS_PER_S)
    }

    #[expect(clippy::needless_pass_by_value, reason = "an expectation is written at the call")]
    #[track_caller]
    fn check(records: &[Record], is_scheduled: bool, expected: Expect) {
        let slos = Slos { ttft_ms: Some(150.0), ..Slos::default() };
        let it = analyse_all(records, slos, is_scheduled);
        let steady = it.steady.map_or_else(
            || "never".to_owned(),
            |it| format!("{:.1}..{:.1} s, {:.1} tokens/s", it.start_s, it.end_s, it.output_tps),
        );
        expected.assert_eq(&format!(
            "{:.1} s, {} completed, {} failed, {} good, {} in, {} out, peak {:.1}\n\
             ttft {:.1} tpot {:.1} itl {:.1} per token {:.1} e2el {:.1}\nsteady {steady}\n\
             tokens {:?} in flight {:?}\nerrors {:?}",
            it.duration_s,
            it.completed,
            it.failed,
            it.good_requests,
            it.input_tokens,
            it.output_tokens,
            it.peak_output_tps,
            it.ttft_ms.mean,
            it.tpot_ms.mean,
            it.itl_ms.mean,
            it.itl_token_ms.mean,
            it.e2el_ms.mean,
            it.series.output_tokens,
            it.series.in_flight,
            it.errors.iter().map(|error| (error.kind.name(), error.count)).collect::<Vec<_>>(),
        ));
    }

    #[test]
    fn two_streams_side_by_side() {
        check(
            &[record(0, 0, 100, 100, 11), record(1, 100, 200, 100, 11)],
            false,
            expect![[r#"
            1.3 s, 2 completed, 0 failed, 1 good, 14 in, 22 out, peak 2.2
            ttft 150.0 tpot 100.0 itl 100.0 per token 100.0 e2el 1150.0
            steady 0.1..1.1 s, 18.0 tokens/s
            tokens [16.0, 6.0] in flight [2, 0]
            errors []"#]],
        );
    }

    #[test]
    fn a_failed_request_has_no_part_in_latencies_and_tokens() {
        let mut failed = record(1, 0, 900, 900, 11);
        failed.failure = Some(Failure::new(FailureKind::ErrorEvent, "boom"));
        check(
            &[record(0, 0, 100, 100, 11), failed],
            false,
            expect![[r#"
            9.9 s, 1 completed, 1 failed, 1 good, 7 in, 11 out, peak 1.1
            ttft 100.0 tpot 100.0 itl 100.0 per token 100.0 e2el 1100.0
            steady 0.0..1.1 s, 9.1 tokens/s
            tokens [9.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0] in flight [2, 1, 1, 1, 1, 1, 1, 1, 1, 0]
            errors [("error_event", 1)]"#]],
        );
    }

    #[test]
    fn several_tokens_in_a_chunk() {
        let mut coarse = record(0, 0, 100, 100, 11);
        coarse.completion_tokens = Some(22);
        check(
            &[coarse],
            false,
            expect![[r#"
            1.1 s, 1 completed, 0 failed, 1 good, 7 in, 22 out, peak 2.2
            ttft 100.0 tpot 47.6 itl 100.0 per token 50.0 e2el 1100.0
            steady 0.0..1.1 s, 18.2 tokens/s
            tokens [18.0, 4.0] in flight [1, 0]
            errors []"#]],
        );
    }

    #[test]
    fn a_schedule_is_steady_while_requests_are_sent() {
        let records: Vec<Record> = (0..5).map(|n| record(n, u64::from(n) * 1000, 100, 10, 11)).collect();
        check(
            &records,
            true,
            expect![[r#"
            4.2 s, 5 completed, 0 failed, 5 good, 35 in, 55 out, peak 5.5
            ttft 100.0 tpot 10.0 itl 10.0 per token 10.0 e2el 200.0
            steady 0.2..4.0 s, 8.9 tokens/s
            tokens [11.0, 11.0, 11.0, 11.0, 11.0] in flight [0, 0, 0, 0, 0]
            errors []"#]],
        );
    }

    #[test]
    fn nothing_is_no_division_by_zero() {
        check(
            &[],
            false,
            expect![[r#"
            0.0 s, 0 completed, 0 failed, 0 good, 0 in, 0 out, peak 0.0
            ttft 0.0 tpot 0.0 itl 0.0 per token 0.0 e2el 0.0
            steady never
            tokens [0.0] in flight [0]
            errors []"#]],
        );
    }
}
