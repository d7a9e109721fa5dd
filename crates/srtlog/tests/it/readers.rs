//! Every form of line that the engines have written over the years.

use std::fmt::Write as _;

use expect_test::{Expect, expect, expect_file};
use srtlog::{Coverage, NodeMetrics};

use crate::support::{fixture_bytes, read};

/// One line per event, and the counts.
fn describe(metrics: &NodeMetrics, coverage: &Coverage) -> String {
    let mut out = String::new();
    for batch in &metrics.batches {
        let rank =
            [("dp", batch.rank.dp), ("tp", batch.rank.tp), ("pp", batch.rank.pp), ("ep", batch.rank.ep)];
        let rank: String =
            rank.iter().filter_map(|(name, rank)| rank.map(|rank| format!(" {name}{rank}"))).collect();
        write!(out, "{} [{}{rank}]", batch.kind.name(), batch.timestamp).expect("text grows");
        for (metric, number) in batch.values.iter() {
            write!(out, " {}={number}", metric.name()).expect("text grows");
        }
        for (metric, numbers) in &batch.lists {
            let list: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            write!(out, " {}=[{}]", metric.name(), list.join(" ")).expect("text grows");
        }
        out.push('\n');
    }
    for memory in &metrics.memory {
        writeln!(out, "{}", serde_json::to_string(memory).expect("JSON")).expect("text grows");
    }
    for request in &metrics.requests {
        writeln!(out, "{}", serde_json::to_string(request).expect("JSON")).expect("text grows");
    }
    for phase in &metrics.phases {
        writeln!(out, "{}", serde_json::to_string(phase).expect("JSON")).expect("text grows");
    }
    for problem in &metrics.problems {
        writeln!(out, "{}", serde_json::to_string(problem).expect("JSON")).expect("text grows");
    }
    writeln!(out, "{}", serde_json::to_string(coverage).expect("JSON")).expect("text grows");
    out
}

#[track_caller]
fn check(engine: &str, fixture: &str, expected: &expect_test::ExpectFile) {
    let (metrics, coverage) = read(engine, &fixture_bytes(fixture));
    expected.assert_eq(&describe(&metrics, &coverage));
}

#[test]
fn sglang_of_every_year() {
    check("sglang", "logs/sglang_variants.log", &expect_file!["expected/sglang_variants.txt"]);
}

#[test]
fn sglang_requests() {
    check("sglang", "logs/sglang_reqtimestats.log", &expect_file!["expected/sglang_reqtimestats.txt"]);
}

#[test]
fn trtllm_of_every_year() {
    check("trtllm", "logs/trtllm_variants.log", &expect_file!["expected/trtllm_variants.txt"]);
}

#[test]
fn vllm_of_every_year() {
    check("vllm", "logs/vllm_variants.log", &expect_file!["expected/vllm_variants.txt"]);
}

/// Every line that says it is a metric line is one that was read.
#[test]
fn no_metric_line_is_lost() {
    for (engine, fixture, is_metric) in [
        ("sglang", "logs/sglang_variants.log", &["Prefill batch", "Decode batch", "[Metrics]"][..]),
        ("trtllm", "logs/trtllm_variants.log", &["iter = ", "Active Request Count"][..]),
        (
            "vllm",
            "logs/vllm_variants.log",
            &["throughput:", "metrics:", "cache usage:", "hit rate:", "Iteration("][..],
        ),
    ] {
        let bytes = fixture_bytes(fixture);
        let text = String::from_utf8_lossy(&bytes);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (metrics, coverage) = read(engine, line.as_bytes());
            let is_metric_line = is_metric.iter().any(|words| line.contains(words));
            assert_eq!(!metrics.batches.is_empty(), is_metric_line, "{line}");
            assert_eq!(coverage.malformed_values, 0, "{line}");
            assert!(coverage.unknown_fields.is_empty(), "{line}: {:?}", coverage.unknown_fields);
        }
    }
}

#[track_caller]
fn check_text(engine: &str, log: &str, expected: &Expect) {
    let (metrics, coverage) = read(engine, log.as_bytes());
    expected.assert_eq(&describe(&metrics, &coverage));
}

#[test]
fn a_new_field_is_counted_and_costs_nothing() {
    check_text(
        "sglang",
        "[2026-01-16 06:20:15] Decode batch, #running-req: 3, #brand-new: 7, gen throughput (token/s): 10.5\n\
         [2026-01-16 06:20:16] Decode batch, #running-req: x, #brand-new: 8\n\
         Decode batch is what this line talks about\n",
        &expect![[r##"
            decode [2026-01-16 06:20:15] running_req=3 gen_throughput=10.5
            {"bytes":209,"lines":3,"candidates":3,"parsed":1,"malformed_values":1,"cut_lines":0,"unknown_fields":{"#brand-new":2},"unparsed_examples":["[2026-01-16 06:20:16] Decode batch, #running-req: x, #brand-new: 8","Decode batch is what this line talks about"]}
        "##]],
    );
}

#[test]
fn a_percentage_that_no_engine_writes_is_still_a_number() {
    check_text(
        "vllm",
        "Avg prompt throughput: 1.0 tokens/s, GPU KV cache usage: 95.e9%, CPU KV cache usage: 1.2.3%\n",
        &expect![[r#"
            interval [] token_usage=950000000.0 input_throughput=1.0
            {"bytes":92,"lines":1,"candidates":1,"parsed":1,"malformed_values":1,"cut_lines":0,"unknown_fields":{},"unparsed_examples":[]}
        "#]],
    );
}
