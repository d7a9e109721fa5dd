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
    if success_ratio < thresholds.min_success_ratio {
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
