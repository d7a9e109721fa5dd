//! What results are worth, against what was expected. Pure.

use srt_plan::Expected;
use srtlog::{BenchmarkResult, Number, Reason, Verdict};

/// Judges a run that went to its end. An empty result is never a success.
pub(super) fn judge(expected: &Expected, results: &[BenchmarkResult]) -> Verdict {
    let reasons = match expected {
        // Nothing is to come out: serving until told to end, or a process whose exit code was 0.
        Expected::Serving | Expected::ExitCode => Vec::new(),
        Expected::Points { concurrencies, .. } if results.is_empty() => {
            let text = match concurrencies.len() {
                1 => "the expected result was not written".to_owned(),
                many => format!("none of the {many} expected results was written"),
            };
            vec![reason("no_results", text)]
        }
        Expected::Points { concurrencies, .. } => {
            let missing = concurrencies
                .iter()
                .filter(|concurrency| !results.iter().any(|result| is_of(result, **concurrency)))
                .map(|concurrency| {
                    reason("point_missing", format!("concurrency {concurrency} has no result"))
                });
            missing.chain(results.iter().flat_map(judge_result)).collect()
        }
    };
    Verdict::from_reasons(reasons)
}

fn judge_result(result: &BenchmarkResult) -> Vec<Reason> {
    let point = match result.concurrency {
        Some(concurrency) => format!("concurrency {concurrency}"),
        None => "a result without a concurrency".to_owned(),
    };
    let mut reasons = Vec::new();
    if !is_positive(result.completed) {
        reasons.push(reason("no_requests_completed", format!("{point}: no request completed")));
    }
    if !is_positive(result.total_output_tokens) {
        reasons.push(reason("no_output_tokens", format!("{point}: no output token was generated")));
    }
    match &result.verdict {
        Some(Verdict::Valid) => {}
        Some(Verdict::Invalid { reasons: own }) => {
            let named = |own: &Reason| reason(&own.code, format!("{point}: {}", own.text));
            reasons.extend(own.iter().map(named));
        }
        Some(Verdict::Failed { text, .. }) => {
            reasons.push(reason("point_failed", format!("{point}: {text}")));
        }
        // A tool that does not judge itself: a request that is missing is all that can be seen.
        None => {
            if let (Some(completed), Some(asked)) = (result.completed, result.num_prompts)
                && completed.as_f64() < asked.as_f64()
            {
                let text = format!("{point}: {completed} of {asked} requests completed");
                reasons.push(reason("requests_failed", text));
            }
        }
    }
    reasons
}

fn is_of(result: &BenchmarkResult, concurrency: u64) -> bool {
    result.concurrency.and_then(Number::as_i64) == i64::try_from(concurrency).ok()
}

fn is_positive(number: Option<Number>) -> bool {
    number.is_some_and(|number| number.as_f64() > 0.0)
}

fn reason(code: &str, text: String) -> Reason {
    Reason { code: code.to_owned(), text }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn good(concurrency: i64) -> BenchmarkResult {
        BenchmarkResult {
            concurrency: Some(Number::Int(concurrency)),
            completed: Some(Number::Int(40)),
            num_prompts: Some(Number::Int(40)),
            total_output_tokens: Some(Number::Int(4000)),
            verdict: Some(Verdict::Valid),
            ..BenchmarkResult::default()
        }
    }

    #[track_caller]
    fn check(results: &[BenchmarkResult], expect: &Expect) {
        let expected =
            Expected::Points { folder: "sa-bench_isl_8_osl_8".to_owned(), concurrencies: vec![4, 8] };
        let shown = match judge(&expected, results) {
            Verdict::Valid => "valid".to_owned(),
            Verdict::Invalid { reasons } => {
                let lines = reasons.iter().map(|reason| format!("{}: {}", reason.code, reason.text));
                lines.collect::<Vec<_>>().join("\n")
            }
            Verdict::Failed { stage, text } => format!("failed in {stage}: {text}"),
        };
        expect.assert_eq(&shown);
    }

    #[test]
    fn all_points_and_nothing_wrong_is_valid() {
        check(&[good(4), good(8)], &expect!["valid"]);
    }

    #[test]
    fn no_result_is_never_valid() {
        check(&[], &expect!["no_results: none of the 2 expected results was written"]);
    }

    #[test]
    fn a_missing_point_is_named() {
        check(&[good(8)], &expect!["point_missing: concurrency 4 has no result"]);
    }

    #[test]
    fn empty_numbers_are_not_a_success_even_if_the_tool_says_so() {
        let empty = BenchmarkResult { total_output_tokens: Some(Number::Int(0)), ..good(4) };
        check(&[empty, good(8)], &expect!["no_output_tokens: concurrency 4: no output token was generated"]);
        let nothing = BenchmarkResult { completed: None, total_output_tokens: None, ..good(4) };
        check(
            &[nothing, good(8)],
            &expect![[r"
                no_requests_completed: concurrency 4: no request completed
                no_output_tokens: concurrency 4: no output token was generated"]],
        );
    }

    #[test]
    fn the_tools_own_reasons_are_carried_on() {
        let reasons = vec![reason("client_saturated", "the client used 99% of a core".to_owned())];
        let saturated = BenchmarkResult { verdict: Some(Verdict::Invalid { reasons }), ..good(8) };
        check(
            &[good(4), saturated],
            &expect!["client_saturated: concurrency 8: the client used 99% of a core"],
        );
    }

    #[test]
    fn a_tool_without_a_judgement_is_judged_by_its_counts() {
        let some_failed = BenchmarkResult { completed: Some(Number::Int(39)), verdict: None, ..good(8) };
        check(
            &[good(4), some_failed],
            &expect!["requests_failed: concurrency 8: 39 of 40 requests completed"],
        );
    }
}
