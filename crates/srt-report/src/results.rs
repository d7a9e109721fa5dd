//! The results of a run: one row per measured point, and the verdict.

use std::iter;

use comfy_table::{CellAlignment, Table};
use srtlog::{BenchmarkResult, Number, Rollup, Verdict};

/// The latencies of a point, each with mean, median, and 99th percentile.
const LATENCIES: [&str; 4] = ["TTFT", "TPOT", "ITL", "E2EL"];

/// A table of all measured points; empty for a run without any.
pub fn table(rollup: &Rollup) -> String {
    if rollup.results.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(crate::style());
    let latencies = LATENCIES.iter().map(|name| format!("{name} ms\nmean / median / p99"));
    let titles = ["concurrency", "requests", "output\ntokens/s", "tokens/s\nper GPU"].map(str::to_owned);
    table.set_header(titles.into_iter().chain(latencies).collect::<Vec<_>>());
    for result in &rollup.results {
        table.add_row(row(result, rollup.total_gpus));
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn row(result: &BenchmarkResult, total_gpus: Option<i64>) -> Vec<String> {
    let output_tps = result.output_tps.map(Number::as_f64);
    let gpus = total_gpus.filter(|&gpus| gpus > 0);
    #[expect(clippy::cast_precision_loss, reason = "GPUs are few")]
    let per_gpu = output_tps.zip(gpus).map(|(tps, gpus)| tps / gpus as f64);
    let latencies = [
        [result.mean_ttft_ms, result.median_ttft_ms, result.p99_ttft_ms],
        [result.mean_tpot_ms, result.median_tpot_ms, result.p99_tpot_ms],
        [result.mean_itl_ms, result.median_itl_ms, result.p99_itl_ms],
        [result.mean_e2el_ms, result.median_e2el_ms, result.p99_e2el_ms],
    ];
    let mut cells = vec![
        result.concurrency.map_or_else(|| "–".to_owned(), |it| it.to_string()),
        completed(result),
        number(output_tps),
        number(per_gpu),
    ];
    cells.extend(latencies.map(|three| three.map(|it| number(it.map(Number::as_f64))).join(" / ")));
    cells
}

fn completed(result: &BenchmarkResult) -> String {
    match (result.completed, result.num_prompts) {
        (Some(completed), Some(asked)) => format!("{completed}/{asked}"),
        _ => "–".to_owned(),
    }
}

/// Three significant digits or more: enough to compare, and short enough for a row.
fn number(value: Option<f64>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    let decimals = match value.abs() {
        it if it < 10.0 => 2,
        it if it < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// The verdict, and every reason behind it.
pub fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Valid => "verdict: valid".to_owned(),
        Verdict::Invalid { reasons } => {
            let reasons = reasons.iter().map(|it| format!("  - {} ({})", it.text, it.code));
            iter::once("verdict: invalid".to_owned()).chain(reasons).collect::<Vec<_>>().join("\n")
        }
        Verdict::Failed { stage, text } => format!("verdict: failed in {stage}\n  - {text}"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use srtlog::Reason;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Expect) {
        expected.assert_eq(text);
    }

    #[test]
    fn reasons_stand_below_the_verdict() {
        let reason =
            Reason { code: "zero_output_tokens".to_owned(), text: "no request has a token".to_owned() };
        let invalid = Verdict::Invalid { reasons: vec![reason] };
        check(
            &verdict(&invalid),
            &expect![[r"
            verdict: invalid
              - no request has a token (zero_output_tokens)"]],
        );
        let failed =
            Verdict::Failed { stage: "workers".to_owned(), text: "`decode_0` was killed".to_owned() };
        check(
            &verdict(&failed),
            &expect![[r"
            verdict: failed in workers
              - `decode_0` was killed"]],
        );
        check(&verdict(&Verdict::Valid), &expect!["verdict: valid"]);
    }

    #[test]
    fn a_point_without_figures_keeps_its_row() {
        let known = BenchmarkResult {
            concurrency: Some(Number::Int(4)),
            completed: Some(Number::Int(20)),
            num_prompts: Some(Number::Int(20)),
            output_tps: Some(Number::Float(1234.56)),
            mean_ttft_ms: Some(Number::Float(20.0)),
            ..BenchmarkResult::default()
        };
        let unknown = BenchmarkResult { concurrency: Some(Number::Int(8)), ..BenchmarkResult::default() };
        let rows = [row(&known, Some(12)), row(&unknown, None)].map(|cells| cells.join(" | "));
        check(
            &rows.join("\n"),
            &expect![[r"
            4 | 20/20 | 1235 | 103 | 20.0 / – / – | – / – / – | – / – / – | – / – / –
            8 | – | – | – | – / – / – | – / – / – | – / – / – | – / – / –"]],
        );
    }
}
