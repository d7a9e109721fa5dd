//! What a benchmark needs, and what it does not read.

use srt_yaml::{FromNode, Node, Section, SectionTable, Value};

use super::Rules;
use crate::{
    recipe::{Concurrencies, FrontendKind},
    sections::{BenchmarkSection, FrontendSection},
};

/// The code of warnings about a benchmark that will fail when its turn comes.
const CANNOT_RUN: &str = "benchmark-cannot-run";

const KNOWN_BENCHMARKS: [&str; 12] = [
    "manual",
    "custom",
    "gpqa",
    "gsm8k",
    "lm-eval",
    "longbenchv2",
    "mmlu",
    "mooncake-router",
    "router",
    "sa-bench",
    "sglang-bench",
    "trace-replay",
];

impl Rules<'_, '_> {
    /// Fields that the chosen type does not read were silently ignored by earlier versions.
    pub(super) fn unused_fields(&mut self) {
        let benchmark = self.file.benchmark.kind.as_str();
        if KNOWN_BENCHMARKS.contains(&benchmark) {
            self.unused_in("benchmark", benchmark, &BenchmarkSection::table());
        }
        if let Value::String(frontend) = FromNode::show(&self.file.frontend.kind) {
            self.unused_in("frontend", &frontend, &FrontendSection::table());
        }
    }

    fn unused_in(&mut self, section: &str, kind: &str, table: &SectionTable) {
        for field in &table.fields {
            let Some(users) = field.rules.used_by.filter(|users| !users.contains(&kind)) else { continue };
            let Some(entry) =
                self.tree.at(&[section]).and_then(Node::as_map).and_then(|map| map.entry(field.key))
            else {
                continue;
            };
            if entry.value.is_null() {
                continue;
            }
            let message = format!("`{section}.{}` has no effect with `{section}.type: {kind}`", field.key);
            let list: Vec<String> = users.iter().map(|it| format!("`{it}`")).collect();
            let help = format!("remove the line; it is read by {}", list.join(", "));
            let span = entry.key_span;
            self.decoder.warning(span, "unused-by-type", message, Some(help));
        }
    }

    pub(super) fn benchmark_name(&mut self) {
        let kind = self.file.benchmark.kind.as_str();
        if KNOWN_BENCHMARKS.contains(&kind) {
            return;
        }
        let at = ["benchmark", "type"];
        let message = format!("there is no benchmark `{kind}`");
        if let Some(near) = srt_yaml::nearest(kind, KNOWN_BENCHMARKS) {
            self.error(&at, "unknown-value", &message, &format!("did you mean `{near}`?"));
        } else {
            let known = KNOWN_BENCHMARKS.map(|it| format!("`{it}`")).join(", ");
            self.warning(&at, CANNOT_RUN, &message, &format!("known are {known}"));
        }
    }

    /// What the benchmark would refuse when its turn comes, hours into the job. The earlier tool loaded such recipes,
    /// and they may be meant for serving only, so these are warnings.
    pub(super) fn benchmark(&mut self) {
        let benchmark = &self.file.benchmark;
        let kind = benchmark.kind.as_str();
        let custom_dataset = benchmark.dataset_name.as_deref() == Some("custom");
        let blank = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
        let needs_lengths = (kind == "sa-bench" && !custom_dataset) || kind == "sglang-bench";
        let mut missing: Vec<&str> = Vec::new();
        if needs_lengths {
            missing.extend(benchmark.isl.is_none().then_some("isl"));
            missing.extend(benchmark.osl.is_none().then_some("osl"));
        }
        if matches!(kind, "sa-bench" | "sglang-bench" | "trace-replay") {
            missing.extend(benchmark.concurrencies.is_none().then_some("concurrencies"));
        }
        missing.extend(
            (kind == "sa-bench" && custom_dataset && blank(&benchmark.dataset_path))
                .then_some("dataset_path"),
        );
        missing.extend((kind == "custom" && blank(&benchmark.command)).then_some("command"));
        missing.extend((kind == "trace-replay" && blank(&benchmark.trace_file)).then_some("trace_file"));
        for key in missing {
            let message = format!("`benchmark.type: {kind}` needs `benchmark.{key}`");
            self.warning(&["benchmark", "type"], CANNOT_RUN, &message, &format!("add `{key}:`"));
        }
        if matches!(kind, "sa-bench" | "sglang-bench") && benchmark.concurrencies.is_some() {
            let good = concurrency_points(benchmark)
                .is_some_and(|points| !points.is_empty() && points.iter().all(|it| *it > 0));
            if !good {
                let message = "`benchmark.concurrencies` must be integers above 0";
                self.warning(
                    &["benchmark", "concurrencies"],
                    CANNOT_RUN,
                    message,
                    "write [4, 8], or \"4x8\"",
                );
            }
        }
        if kind == "router" && self.file.frontend.kind != FrontendKind::Sglang {
            let message = "`benchmark.type: router` needs `frontend.type: sglang`";
            self.warning(&["benchmark", "type"], CANNOT_RUN, message, "");
        }
        let workloads = ["mooncake", "conversation", "synthetic", "toolagent"];
        if kind == "mooncake-router"
            && let Some(workload) =
                benchmark.mooncake_workload.as_deref().filter(|it| !workloads.contains(it))
        {
            let message = format!("there is no trace `{workload}`");
            let known = workloads.map(|it| format!("`{it}`")).join(", ");
            self.warning(
                &["benchmark", "mooncake_workload"],
                CANNOT_RUN,
                &message,
                &format!("known are {known}"),
            );
        }
        let thresholds = [
            ("ttft_threshold_ms", benchmark.ttft_threshold_ms),
            ("itl_threshold_ms", benchmark.itl_threshold_ms),
        ];
        let evaluation = [
            ("num_examples", benchmark.num_examples),
            ("max_tokens", benchmark.max_tokens),
            ("num_threads", benchmark.num_threads),
            ("repeat", benchmark.repeat),
            ("num_shots", benchmark.num_shots.map(|shots| shots + 1)),
        ];
        let counts: &[(&str, Option<i64>)] = match kind {
            "mooncake-router" => &thresholds,
            "gsm8k" => &evaluation,
            _ => &[],
        };
        for (key, count) in counts {
            if count.is_some_and(|count| count <= 0) {
                self.warning(&["benchmark", key], CANNOT_RUN, &format!("`benchmark.{key}` is too small"), "");
            }
        }
    }
}

/// The concurrencies as numbers; `None` where the text holds something else.
pub(super) fn concurrency_points(benchmark: &BenchmarkSection) -> Option<Vec<i64>> {
    match benchmark.concurrencies.as_ref()? {
        Concurrencies::List(points) => Some(points.clone()),
        Concurrencies::Text(text) => text.split('x').map(|part| part.trim().parse().ok()).collect(),
    }
}
