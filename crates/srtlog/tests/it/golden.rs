//! The Python tool's own figures over the same run folders: equal, field by field, but for the corrections that
//! docs/rollup.md numbers. Each expectation below is the whole list of differences.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use expect_test::{Expect, expect};
use serde_json::{Value as Json, json};
use srtlog::{BatchKind, Metric, RunFacts, Setting};

use crate::support::{differences, fixture, read};

fn facts() -> RunFacts {
    RunFacts {
        job_id: Some("12345".to_owned()),
        generated_at: Some("2025-01-01 00:00:00".to_owned()),
        tags: vec!["golden".to_owned()],
        ..RunFacts::UNKNOWN
    }
}

/// Python writes `NaN` and `Infinity`, which JSON does not have.
fn python_json(path: &Path) -> Json {
    let text = fs::read_to_string(path).expect("the scenario has its expectation");
    let text = text.replace(": NaN", ": \"NaN\"").replace(": Infinity", ": \"Infinity\"");
    serde_json::from_str(&text).expect("the expectation is JSON")
}

/// Compares the rollup of a scenario as it is.
#[track_caller]
fn check(scenario: &str, expected: &Expect) {
    check_folder(&fixture(&format!("runs/python/{scenario}")), scenario, expected);
}

/// Compares the rollup of a scenario without the batches whose form the Python tool does not know (correction 1), so
/// that every figure over all other batches can be compared.
#[track_caller]
fn check_without_newer_forms(scenario: &str, expected: &Expect) {
    let source = fixture(&format!("runs/python/{scenario}"));
    let copy = tempfile::tempdir().expect("a folder for the test");
    copy_without_newer_forms(&source, copy.path());
    check_folder(copy.path(), scenario, expected);
}

#[track_caller]
fn check_folder(folder: &Path, scenario: &str, expected: &Expect) {
    let theirs = python_json(&fixture(&format!("runs/python/{scenario}/expected-rollup.json")));
    let rollup = srtlog::rollup(folder, facts()).expect("the scenario is a run folder");
    let ours = serde_json::to_value(&rollup).expect("a rollup is JSON");
    expected.assert_eq(&differences(&theirs, &ours));
}

fn copy_without_newer_forms(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("the folder can be listed");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_without_newer_forms(&entry.path(), &target);
            continue;
        }
        let bytes = fs::read(entry.path()).expect("the file can be read");
        let kept: Vec<&[u8]> =
            bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_newer_form(line)).collect();
        fs::write(target, kept.concat()).expect("the file can be written");
    }
}

fn is_newer_form(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    text.starts_with("[2026-") && (text.contains(" Prefill batch") || text.contains(" Decode batch"))
}

/// Correction 5.
#[test]
fn sglang_disaggregated() {
    check_without_newer_forms(
        "01_sglang_disagg",
        &expect![[r#"
        /benchmark_command/raw_command: "python3 -u /srtctl-benchmarks/sa-bench/benchmark_serving.py --model dsr1-fp8 --tokenizer /model/ --… -> "python3 -u /srtctl-benchmarks/sa-bench/benchmark_serving.py --model dsr1-fp8 --tokenizer /model/ --…
        /benchmark_command/base_url: null -> "http://localhost:8000"
        /benchmark_command/max_concurrency: 4 -> 64
        /benchmark_command/num_prompts: 8 -> 128
    "#]],
    );
}

/// No difference.
#[test]
fn sglang_aggregated() {
    check_without_newer_forms("02_sglang_agg", &expect![[""]]);
}

/// Corrections 5 and 7.
#[test]
fn trtllm_disaggregated() {
    check(
        "03_trtllm_disagg",
        &expect![[r#"
        /nodes_summary/total_cached_tokens: 0 -> null
        /nodes_summary/overall_cache_hit_rate: 0.0 -> null
        /benchmark_command/base_url: null -> "http://localhost:8000"
    "#]],
    );
}

/// Correction 7.
#[test]
fn trtllm_aggregated() {
    check(
        "04_trtllm_agg",
        &expect![[r#"
        /nodes_summary/total_cached_tokens: 0 -> null
        /nodes_summary/overall_cache_hit_rate: 0.0 -> null
    "#]],
    );
}

/// Correction 4 (a frontend on a node named `stagg01`) and 10.
#[test]
fn missing_files_and_odd_names() {
    check_without_newer_forms(
        "05_missing_files",
        &expect![[r#"
        /nodes_summary/nodes: 4 items -> 3 items
        /environment_config: null -> {"prefill_environment":{},"decode_environment":{},"aggregated_environment":{},"prefill_engine_config…
    "#]],
    );
}

/// Correction 5, and 8: infinities and `NaN`.
#[test]
fn truncated_results() {
    check_without_newer_forms(
        "06_truncated_json",
        &expect![[r#"
        /results/1/request_rate: "Infinity" -> "inf"
        /results/1/mean_ttft_ms: "NaN" -> null
        /min_mean_ttft_ms: "NaN" -> 0.9034297701420169
        /benchmark_command/base_url: null -> "http://localhost:8000"
        /benchmark_command/max_concurrency: null -> 1
        /benchmark_command/input_len: null -> 1024
        /benchmark_command/output_len: null -> 1024
    "#]],
    );
}

/// Correction 4.
#[test]
fn empty_logs() {
    check(
        "07_empty_logs",
        &expect![[r#"
        /nodes_summary/total_decode_nodes: 2 -> 1
        /nodes_summary/nodes: 3 items -> 2 items
    "#]],
    );
}

/// Correction 6.
#[test]
fn mooncake_router() {
    check_without_newer_forms(
        "08_mooncake_router",
        &expect![[r#"
        /results/0/output_tps: 0 -> 1150.92
        /max_output_tps: 0 -> 1150.92
    "#]],
    );
}

/// Correction 4.
#[test]
fn output_and_errors_of_one_worker() {
    check_without_newer_forms(
        "09_out_and_err",
        &expect![[r#"
        /nodes_summary/total_prefill_nodes: 2 -> 1
        /nodes_summary/avg_prefill_input_throughput: 15409.501 -> 14158.0285
        /nodes_summary/nodes: 4 items -> 3 items
    "#]],
    );
}

/// Corrections 1, 2, and 3: two more logs are read, and more of the others.
#[test]
fn hostile_sglang_text() {
    check_without_newer_forms(
        "10_hostile_text_sglang",
        &expect![[r#"
        /nodes_summary/total_decode_nodes: 2 -> 4
        /nodes_summary/avg_decode_gen_throughput: 2017.9764285714284 -> 9533.010424242426
        /nodes_summary/max_decode_gen_throughput: 8114.0 -> 100000.0
        /nodes_summary/nodes: 3 items -> 5 items
    "#]],
    );
}

/// Corrections 1, 2, 3, and 7.
#[test]
fn hostile_trtllm_text() {
    check(
        "11_hostile_text_trtllm",
        &expect![[r#"
        /nodes_summary/total_decode_nodes: 3 -> 4
        /nodes_summary/total_cached_tokens: 0 -> null
        /nodes_summary/overall_cache_hit_rate: 0.0 -> null
        /nodes_summary/avg_decode_gen_throughput: 25853.529088780808 -> 36658.92616443238
        /nodes_summary/max_decode_gen_throughput: 62108.953613807986 -> 124703.08788598575
        /nodes_summary/nodes: 4 items -> 5 items
    "#]],
    );
}

/// Correction 1, as a whole.
#[test]
fn bracket_timestamps() {
    check(
        "12_sglang_legacy_timestamps",
        &expect![[r#"
        /nodes_summary/total_prefill_tokens: null -> 435
        /nodes_summary/total_cached_tokens: null -> 0
        /nodes_summary/overall_cache_hit_rate: null -> 0.0
        /nodes_summary/avg_prefill_input_throughput: null -> 1.0
        /nodes_summary/max_prefill_input_throughput: null -> 1.0
        /nodes_summary/avg_decode_gen_throughput: null -> 2.0
        /nodes_summary/max_decode_gen_throughput: null -> 2.0
        /nodes_summary/nodes/0/total_batches: 0 -> 30
        /nodes_summary/nodes/0/total_prefill_batches: 0 -> 30
        /nodes_summary/nodes/0/total_new_tokens: null -> 435
        /nodes_summary/nodes/0/total_cached_tokens: null -> 0
        /nodes_summary/nodes/0/cache_hit_rate: null -> 0.0
        /nodes_summary/nodes/0/avg_input_throughput: null -> 1.0
        /nodes_summary/nodes/0/max_input_throughput: null -> 1.0
        /nodes_summary/nodes/1/total_batches: 0 -> 30
        /nodes_summary/nodes/1/total_decode_batches: 0 -> 30
        /nodes_summary/nodes/1/avg_running_requests: null -> 14.5
        /nodes_summary/nodes/1/max_running_requests: null -> 29
        /nodes_summary/nodes/1/avg_gen_throughput: null -> 2.0
        /nodes_summary/nodes/1/max_gen_throughput: null -> 2.0
        /nodes_summary/nodes/1/max_queue_requests: null -> 0
    "#]],
    );
}

/// Correction 8.
#[test]
fn unknown_benchmark() {
    check(
        "14_unknown_benchmark",
        &expect![[r#"
        /results: 4 items -> 2 items
    "#]],
    );
}

/// Correction 10.
#[test]
fn recipes_of_every_shape() {
    check(
        "15_config_empty",
        &expect![[r#"
        /environment_config/decode_engine_config: null -> {}
    "#]],
    );
    check(
        "15_config_in_logs",
        &expect![[r#"
        /environment_config/decode_engine_config: null -> {}
    "#]],
    );
    check(
        "15_config_not_yaml",
        &expect![[r#"
        /environment_config/prefill_engine_config/p: 1 -> null
        /environment_config/decode_engine_config: null -> {"tp-size":8,"served-model-name":"dsr1-fp8","mem-fraction-static":0.85}
    "#]],
    );
    check(
        "15_config_null_backend",
        &expect![[r#"
        /environment_config/decode_engine_config: null -> {}
    "#]],
    );
    check(
        "15_config_null_env",
        &expect![[r#"
        /environment_config/prefill_environment: null -> {}
        /environment_config/decode_engine_config: null -> {}
    "#]],
    );
    check("15_config_types", &expect![[""]]);
}

/// Correction 5.
#[test]
fn many_workers() {
    check_without_newer_forms(
        "16_sglang_wide",
        &expect![[r#"
        /benchmark_command/raw_command: "python3 -u /srtctl-benchmarks/sa-bench/benchmark_serving.py --model dsr1-fp8 --tokenizer /model/ --… -> "python3 -u /srtctl-benchmarks/sa-bench/benchmark_serving.py --model dsr1-fp8 --tokenizer /model/ --…
        /benchmark_command/base_url: null -> "http://localhost:8000"
        /benchmark_command/max_concurrency: 1 -> 128
        /benchmark_command/num_prompts: 2 -> 256
    "#]],
    );
}

#[test]
fn a_run_without_results_still_has_its_logs() {
    let rollup = srtlog::rollup(&fixture("runs/python/13_no_results"), facts()).expect("a run folder");
    assert_eq!(rollup.results, []);
    assert_eq!(rollup.missing_concurrencies, [4, 16, 64]);
    assert_eq!(rollup.nodes_summary.expect("there is a log").nodes.len(), 1);
}

/// One log, as the Python tool's parsers would write it: batches, memory, settings.
fn as_python(engine: &str, role: &str, log: &[u8]) -> Json {
    let (metrics, _) = read(engine, log);
    let batches: Vec<Json> = metrics
        .batches
        .iter()
        .map(|batch| {
            let kind = match batch.kind {
                BatchKind::Idle => role,
                kind => kind.name(),
            };
            let mut object = json!({"timestamp": batch.timestamp.as_str(), "batch_type": kind});
            for (metric, number) in batch.values.iter().filter(|(metric, _)| PYTHON_METRICS.contains(metric))
            {
                object[metric.name()] = json!(number);
            }
            object
        })
        .collect();
    let memory: Vec<Json> = metrics
        .memory
        .iter()
        .map(|reading| {
            let kind = serde_json::to_value(reading.kind).expect("a word");
            // The Python tool drops the time of TensorRT-LLM's KV readings.
            let has_time = engine == "sglang" || kind == "memory";
            let timestamp = if has_time { reading.timestamp.as_str() } else { "" };
            let mut object = json!({"timestamp": timestamp, "metric_type": kind});
            for (name, value) in [
                ("avail_mem_gb", json!(reading.avail_mem_gb)),
                ("mem_usage_gb", json!(reading.mem_usage_gb)),
                ("kv_cache_gb", json!(reading.kv_cache_gb)),
                ("kv_tokens", json!(reading.kv_tokens)),
            ] {
                if !value.is_null() {
                    object[name] = value;
                }
            }
            object
        })
        .collect();
    let config: BTreeMap<&str, Json> = metrics
        .config
        .iter()
        .map(|(name, value)| match value {
            Setting::Number(number) => (name.as_str(), json!(number)),
            Setting::Text(text) => (name.as_str(), json!(text)),
        })
        .collect();
    json!({"config": config, "memory": memory, "batches": batches})
}

const PYTHON_METRICS: &[Metric] = &[
    Metric::NewSeq,
    Metric::NewToken,
    Metric::CachedToken,
    Metric::TokenUsage,
    Metric::RunningReq,
    Metric::QueueReq,
    Metric::PreallocReq,
    Metric::InflightReq,
    Metric::InputThroughput,
    Metric::GenThroughput,
    Metric::TransferReq,
    Metric::NumTokens,
    Metric::PreallocatedUsage,
];

/// Compares every batch, every memory reading, and every setting of a scenario's logs.
#[track_caller]
fn check_lines(scenario: &str, engine: &str, expected: &Expect) {
    let folder = fixture(&format!("runs/python/{scenario}"));
    let theirs = python_json(&folder.join("expected-nodes.json"));
    let mut out = String::new();
    for (file, theirs) in theirs.as_object().expect("an object per file") {
        let role = ["prefill", "decode", "agg"].into_iter().find(|role| file.contains(&format!("_{role}_")));
        let log = fs::read(folder.join("logs").join(file)).expect("the log is there");
        let kept: Vec<&[u8]> =
            log.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_newer_form(line)).collect();
        let mut ours = as_python(engine, role.expect("the name says the role"), &kept.concat());
        let mut theirs = theirs.clone();
        for side in [&mut ours, &mut theirs] {
            // The Python tool sorts TensorRT-LLM's readings by kind; the order of the log is ours.
            let memory = side["memory"].as_array_mut().expect("a list");
            memory.sort_by_key(|reading| reading["metric_type"] != "memory");
        }
        keep_both_ends(&mut theirs, &mut ours);
        for line in differences(&theirs, &ours).lines() {
            writeln!(out, "{file}{line}").expect("text grows");
        }
    }
    expected.assert_eq(&out);
}

/// Where the expectation leaves out the middle of a long list, leaves it out of ours.
fn keep_both_ends(theirs: &mut Json, ours: &mut Json) {
    let [theirs, ours] = [theirs, ours].map(|side| side["batches"].as_array_mut().expect("a list"));
    let Some(gap) = theirs.iter().position(Json::is_string) else { return };
    theirs.remove(gap);
    let tail = theirs.len() - gap;
    if ours.len() > gap + tail {
        ours.drain(gap..ours.len() - tail);
    }
}

#[test]
fn every_sglang_line_reads_as_in_python() {
    check_lines("01_sglang_disagg", "sglang", &expect![""]);
    check_lines("02_sglang_agg", "sglang", &expect![""]);
    check_lines("05_missing_files", "sglang", &expect![[""]]);
    check_lines("06_truncated_json", "sglang", &expect![[""]]);
    check_lines("08_mooncake_router", "sglang", &expect![[""]]);
    check_lines("09_out_and_err", "sglang", &expect![[""]]);
    check_lines("12_sglang_legacy_timestamps", "sglang", &expect![[""]]);
    check_lines("16_sglang_wide", "sglang", &expect![[""]]);
}

/// Correction 12.
#[test]
fn every_trtllm_line_reads_as_in_python() {
    check_lines(
        "03_trtllm_disagg",
        "trtllm",
        &expect![[r#"
        node0001_prefill_w0.out/batches/27/new_token: 0 -> null
        node0002_decode_w0.out/batches/32/num_tokens: 0 -> null
        node0002_decode_w0.out/batches/35/num_tokens: 0 -> null
    "#]],
    );
    check_lines("04_trtllm_agg", "trtllm", &expect![""]);
}

/// Corrections 1, 2, and 11; from the first line that Python skips on, lines are compared with others.
#[test]
fn hostile_lines_read_as_in_python_or_better() {
    check_lines(
        "10_hostile_text_sglang",
        "sglang",
        &expect![[r#"
        node0003_decode_w1.out/batches: 7 items -> 11 items
        node0005_decode_w3.out/config/tp_size: 2 -> 3
        node0005_decode_w3.out/batches/2/running_req: 7 -> 7.5
        node0005_decode_w3.out/batches/4/timestamp: "2026-01-16T06:20:15.206058Z" -> "2026-01-16T06:20:15Z"
        node0005_decode_w3.out/batches/4/running_req: 1 -> 1000
        node0005_decode_w3.out/batches/4/gen_throughput: 0 -> null
        node0005_decode_w3.out/batches/5/gen_throughput: 1 -> 100000.0
        node0005_decode_w3.out/batches/6/timestamp: "2026-01-16T06:20:15.206058Z" -> "2026-01-16 06:20:15.5"
        node0005_decode_w3.out/batches/6/running_req: 9 -> 2000
        node0005_decode_w3.out/batches/6/gen_throughput: 9 -> null
        node0005_decode_w3.out/batches/7/running_req: 10 -> 9
        node0005_decode_w3.out/batches/7/gen_throughput: 42.25 -> 9
        node0005_decode_w3.out/batches/8/token_usage: 0.25 -> null
        node0005_decode_w3.out/batches/8/running_req: 11 -> 10
        node0005_decode_w3.out/batches/9/running_req: 5 -> 11
        node0005_decode_w3.out/batches/9/gen_throughput: 12 -> null
    "#]],
    );
    check_lines(
        "11_hostile_text_trtllm",
        "trtllm",
        &expect![[r#"
        node0003_decode_w1.out/batches: 5 items -> 9 items
        node0004_decode_w2.out/memory: 3 items -> 4 items
    "#]],
    );
}
