//! When a result is called valid, and why not.

use srtlog::{Reason, Verdict};

use crate::{analysis::Analysis, config::BenchConfig, health::ClientHealth, stats::as_f64};

/// Judges one point.
pub(crate) fn judge(config: &BenchConfig, analysis: &Analysis, health: &ClientHealth) -> Verdict {
    let thresholds = &config.thresholds;
    let mut reasons = Vec::new();
    let mut add = |code: &str, text: String| reasons.push(Reason { code: code.to_owned(), text });

    let ended = analysis.completed + analysis.failed;
    if analysis.output_tokens == 0 {
        add("no_output_tokens", format!("{ended} requests brought no output token"));
    }
    let success_ratio = ratio(f64::from(analysis.completed), f64::from(ended));
    if ended > 0 && success_ratio < thresholds.min_success_ratio {
        let kinds: Vec<String> =
            analysis.errors.iter().map(|error| format!("{} {}", error.count, error.kind.name())).collect();
        add(
            "requests_failed",
            format!(
                "{} of {ended} requests failed ({}); at least {:.1} % must succeed",
                analysis.failed,
                kinds.join(", "),
                thresholds.min_success_ratio * 100.0,
            ),
        );
    }
    if config.ignore_eos && analysis.requested_output_tokens > 0 {
        let output_ratio = as_f64(analysis.output_tokens) / as_f64(analysis.requested_output_tokens);
        let share = format!(
            "{} output tokens came for {} asked for ({:.1} %)",
            analysis.output_tokens,
            analysis.requested_output_tokens,
            output_ratio * 100.0
        );
        if output_ratio < thresholds.min_output_ratio {
            add("output_too_short", share);
        } else if output_ratio > thresholds.max_output_ratio {
            add("output_too_long", share);
        }
    }
    let steady_s = analysis.steady.map_or(0.0, |window| window.duration_s());
    if steady_s < thresholds.min_steady_s {
        add(
            "window_too_short",
            format!(
                "the load was steady for {steady_s:.1} s; at least {:.1} s are wanted, so raise the number of prompts",
                thresholds.min_steady_s
            ),
        );
    }
    if let Some(text) = client_bound(config, analysis, health) {
        add("client_bound", text);
    }
    Verdict::from_reasons(reasons)
}

fn client_bound(config: &BenchConfig, analysis: &Analysis, health: &ClientHealth) -> Option<String> {
    let thresholds = &config.thresholds;
    if health.max_thread_cpu_share > thresholds.max_client_cpu_share {
        return Some(format!(
            "a client thread used {:.0} % of its core; the numbers are the client's rather than the server's",
            health.max_thread_cpu_share * 100.0
        ));
    }
    let allowed_ms = thresholds
        .allowed_client_lateness_ms
        .max(thresholds.max_client_lateness_ratio * analysis.ttft_ms.p50);
    (health.lateness_p90_ms > allowed_ms).then(|| {
        format!(
            "the client's event loop was late by {:.1} ms (p90), more than {allowed_ms:.1} ms; the machine it \
             runs on is too busy",
            health.lateness_p90_ms
        )
    })
}

/// The judgement over all points.
pub(crate) fn over_all<'a>(points: impl IntoIterator<Item = (String, &'a Verdict)>) -> Verdict {
    let mut reasons = Vec::new();
    for (name, verdict) in points {
        match verdict {
            Verdict::Valid => {}
            Verdict::Invalid { reasons: of_point } => reasons.extend(of_point.iter().map(|reason| Reason {
                code: reason.code.clone(),
                text: format!("{name}: {}", reason.text),
            })),
            Verdict::Failed { .. } => return verdict.clone(),
        }
    }
    Verdict::from_reasons(reasons)
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use expect_test::{Expect, expect};

    use super::*;
    use crate::{
        analysis::tests::{analyse_all, record},
        config::{Arrival, Dataset, Gpus, Slos, Thresholds},
        record::{Failure, FailureKind, Record},
    };

    fn config() -> BenchConfig {
        BenchConfig {
            url: String::new(),
            model: String::new(),
            tokenizer: None,
            tokenizer_id: None,
            vocab_size: None,
            use_chat_template: false,
            dataset: Dataset::Random { isl: 7, osl: 11, range_ratio: 1.0 },
            points: Vec::new(),
            arrival: Arrival::AllAtOnce,
            seed: 0,
            ignore_eos: true,
            reuse_http_connections: true,
            request_timeout_s: 1.0,
            api_key: None,
            result_dir: PathBuf::new(),
            gpus: Gpus { total: 1, split: None },
            slos: Slos::default(),
            thresholds: Thresholds::DEFAULT,
            threads: None,
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "an expectation is written at the call")]
    #[track_caller]
    fn check(records: &[Record], cpu_share: f64, lateness_p90_ms: f64, expected: Expect) {
        let analysis = analyse_all(records, Slos::default(), false);
        let mut health = ClientHealth::of(&[]);
        health.max_thread_cpu_share = cpu_share;
        health.lateness_p90_ms = lateness_p90_ms;
        let shown = match judge(&config(), &analysis, &health) {
            Verdict::Invalid { reasons } => {
                let lines = reasons.iter().map(|reason| format!("{}: {}", reason.code, reason.text));
                lines.collect::<Vec<_>>().join("\n")
            }
            other => format!("{other:?}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_good_point_is_valid() {
        check(&[record(0, 0, 100, 100, 11)], 0.5, 19.0, expect!["Valid"]);
    }

    #[test]
    fn each_reason_is_told() {
        let mut failed = record(1, 0, 100, 100, 11);
        failed.failure = Some(Failure::new(FailureKind::HttpStatus, "500"));
        check(
            &[record(0, 0, 100, 100, 11), failed],
            0.5,
            1.0,
            expect!["requests_failed: 1 of 2 requests failed (1 http_status); at least 100.0 % must succeed"],
        );
        check(
            &[],
            0.5,
            1.0,
            expect![[r#"
            no_output_tokens: 0 requests brought no output token
            window_too_short: the load was steady for 0.0 s; at least 0.5 s are wanted, so raise the number of prompts"#]],
        );
        check(
            &[record(0, 0, 100, 100, 5)],
            0.5,
            1.0,
            expect!["output_too_short: 5 output tokens came for 11 asked for (45.5 %)"],
        );
        check(
            &[record(0, 0, 100, 100, 20)],
            0.95,
            1.0,
            expect![[r#"
            output_too_long: 20 output tokens came for 11 asked for (181.8 %)
            client_bound: a client thread used 95 % of its core; the numbers are the client's rather than the server's"#]],
        );
        check(&[record(0, 0, 300, 100, 11)], 0.5, 29.0, expect!["Valid"]);
        check(
            &[record(0, 0, 300, 100, 11)],
            0.5,
            31.0,
            expect![
                "client_bound: the client's event loop was late by 31.0 ms (p90), more than 30.0 ms; the machine it runs on is too busy"
            ],
        );
    }

    #[test]
    fn all_points_must_be_valid() {
        let invalid = Verdict::from_reasons(vec![Reason { code: "x".to_owned(), text: "y".to_owned() }]);
        let failed = Verdict::Failed { stage: "s".to_owned(), text: "t".to_owned() };
        let of = |points: &[&Verdict]| over_all(points.iter().map(|&it| ("c".to_owned(), it)));
        assert_eq!(of(&[&Verdict::Valid, &Verdict::Valid]), Verdict::Valid);
        let Verdict::Invalid { reasons } = of(&[&Verdict::Valid, &invalid]) else { panic!("it is invalid") };
        assert_eq!(reasons[0].text, "c: y");
        assert_eq!(of(&[&invalid, &failed]), failed);
    }
}
