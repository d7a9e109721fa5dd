//! Run folders of srtctl itself.

use std::{fmt::Write as _, fs, path::Path};

use expect_test::expect;
use serde_json::Value as Json;
use srtlog::{Rollup, RollupError, RunFacts, Verdict};

use crate::support::fixture;

/// The parts of a rollup that a reader looks at first.
fn headline(rollup: &Rollup) -> String {
    let value = serde_json::to_value(rollup).expect("JSON");
    let keys = [
        "job_id",
        "job_name",
        "verdict",
        "partial",
        "failed_stage",
        "backend_type",
        "frontend_type",
        "total_gpus",
        "concurrencies",
        "missing_concurrencies",
    ];
    let mut out = String::new();
    for key in keys {
        writeln!(out, "{key}: {}", value[key]).expect("text grows");
    }
    for result in value["results"].as_array().into_iter().flatten() {
        let has_own = !result["srtctl"].is_null();
        writeln!(out, "result at {} in {}, ours: {has_own}", result["concurrency"], result["file"])
            .expect("text grows");
    }
    for node in value["nodes_summary"]["nodes"].as_array().into_iter().flatten() {
        let phases: Vec<&str> = node["startup"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|phase| phase["phase"].as_str())
            .collect();
        writeln!(
            out,
            "{} {} {}: {} lines, {} batches, {}; {}",
            node["node_name"],
            node["worker_type"],
            node["worker_id"],
            node["log_format"],
            node["total_batches"],
            phases.join(" "),
            node["launch_command"]["raw_command"],
        )
        .expect("text grows");
    }
    out + &format!("benchmark: {}\n", value["benchmark_command"]["raw_command"])
}

#[test]
fn a_run_that_failed_is_labelled_and_keeps_what_it_has() {
    let rollup = srtlog::rollup(&fixture("runs/local"), RunFacts::UNKNOWN).expect("a run");
    expect![[r#"
        job_id: "local-20261123-163611-2998"
        job_name: "quickstart"
        verdict: {"failed":{"stage":"benchmark","text":"ended by SIGINT"}}
        partial: true
        failed_stage: "benchmark"
        backend_type: "mocker"
        frontend_type: "mock"
        total_gpus: 12
        concurrencies: [4,16,64]
        missing_concurrencies: [16,64]
        result at 4 in "sa-bench_isl_512_osl_64/results_concurrency_4_gpus_12_ctx_4_gen_8.json", ours: true
        "local1" "prefill" "w0": "sglang" lines, 29 batches, distributed weights kv_cache ready; "srtctl mock engine --host 127.0.1.1 --port 6100 --role prefill --model-path /models/mock/tiny-llm --served-model-name tiny-llm --bootstrap-port 7200 --gpus 4"
        "local2" "decode" "w0": "sglang" lines, 17 batches, distributed weights kv_cache graph_capture ready; "srtctl mock engine --host 127.0.1.2 --port 6100 --role decode --model-path /models/mock/tiny-llm --served-model-name tiny-llm --gpus 4"
        "local2" "decode" "w1": "sglang" lines, 13 batches, distributed weights kv_cache graph_capture ready; "srtctl mock engine --host 127.0.1.2 --port 6132 --role decode --model-path /models/mock/tiny-llm --served-model-name tiny-llm --gpus 4"
        benchmark: "srtctl bench sa-bench --url http://127.0.1.1:8000 --model tiny-llm --isl 512 --osl 64 --random-range-ratio 0.8 --dataset-name random --concurrencies 4x16x64 --request-rate inf --num-prompts-mult 5 --num-warmup-mult 1 --result-dir /runs/local-20261123-163611-2998/logs/sa-bench_isl_512_osl_64 --total-gpus 12 --prefill-gpus 4 --decode-gpus 8 --progress /runs/local-20261123-163611-2998/logs/benchmark.progress.jsonl"
    "#]].assert_eq(&headline(&rollup));
    assert_eq!(rollup.warnings, [] as [&str; 0]);
}

#[test]
fn what_the_caller_knows_wins_over_the_files() {
    let facts = RunFacts {
        job_name: Some("mine".to_owned()),
        verdict: Some(Verdict::Valid),
        partial: Some(false),
        ..RunFacts::UNKNOWN
    };
    let rollup = srtlog::rollup(&fixture("runs/local"), facts).expect("a run");
    assert_eq!((rollup.job_name.as_deref(), rollup.partial), (Some("mine"), Some(false)));
    assert_eq!((rollup.verdict, rollup.failed_stage), (Some(Verdict::Valid), None));
}

#[test]
fn a_run_killed_before_its_end_is_partial() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    fs::write(folder.path().join("config.yaml"), "name: x\n").expect("written");
    fs::write(folder.path().join("status.json"), r#"{"job_id": "7", "state": "running", "verdict": null}"#)
        .expect("written");
    let rollup = srtlog::rollup(folder.path(), RunFacts::UNKNOWN).expect("a run");
    assert_eq!((rollup.partial, rollup.job_id.as_deref()), (Some(true), Some("7")));
}

#[test]
fn a_rollup_reads_back_as_it_was_written() {
    let rollup = srtlog::rollup(&fixture("runs/local"), RunFacts::UNKNOWN).expect("a run");
    assert_eq!(Rollup::from_json(&rollup.to_json()).expect("our own format"), rollup);
    // A later version adds fields, which an older reader passes over.
    let mut value: Json = serde_json::from_str(&rollup.to_json()).expect("JSON");
    value["added_later"] = Json::Bool(true);
    assert_eq!(Rollup::from_json(&value.to_string()).expect("still readable"), rollup);
}

#[test]
fn folders_that_are_no_run_say_so() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let error = srtlog::rollup(folder.path(), RunFacts::UNKNOWN).expect_err("nothing is there");
    assert!(matches!(error, RollupError::NoRun { .. }));
    let text = error.to_string().replace(&folder.path().display().to_string(), "DIR");
    expect!["`DIR` is no run folder: it has no `config.yaml`, no worker log, and no result; name the folder that holds `logs/`"].assert_eq(&text);
    let error =
        srtlog::rollup(Path::new("/no/such/folder"), RunFacts::UNKNOWN).expect_err("nothing is there");
    expect!["failed to read run folder `/no/such/folder`: No such file or directory (os error 2)"]
        .assert_eq(&error.to_string());
}

#[test]
fn the_oldest_layout_keeps_logs_and_results_in_one_folder() {
    let source = fixture("runs/python/01_sglang_disagg");
    let folder = tempfile::tempdir().expect("a folder for the test");
    let run = folder.path().join("4404_old");
    copy(&source.join("logs"), &run);
    fs::copy(source.join("config.yaml"), run.join("config.yaml")).expect("copied");
    fs::write(run.join("4404.json"), r#"{"job_id": "4404", "job_name": "old"}"#).expect("written");
    let rollup = srtlog::rollup(&run, RunFacts::UNKNOWN).expect("a run");
    assert_eq!(rollup.job_id.as_deref(), Some("4404"));
    assert_eq!(rollup.results.len(), 3);
    assert_eq!(rollup.nodes_summary.expect("logs").nodes.len(), 3);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let path = entry.expect("listed").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}
