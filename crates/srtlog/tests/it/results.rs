//! Result files of every benchmark client.

use std::{fmt::Write as _, fs, path::Path};

use expect_test::{Expect, expect};
use srtlog::{BENCHMARK_PARSERS, RunFacts, Verdict, benchmark_parser};

use crate::support::fixture;

/// The results of a file, without what it does not have.
fn read(benchmark: &str, file: &str) -> Result<String, String> {
    let parser = benchmark_parser(benchmark).expect("registered");
    let mut stream = fs::File::open(fixture(&format!("runs/results/{file}"))).expect("the fixture is there");
    let results = parser.read(&mut stream).map_err(|error| error.to_string())?;
    let mut value = serde_json::to_value(&results).expect("JSON");
    for result in value.as_array_mut().expect("a list") {
        result.as_object_mut().expect("an object").retain(|key, value| !value.is_null() && key != "srtctl");
    }
    Ok(value.to_string().replace(",\"", "\n\"").replace("},{", "}\n{"))
}

#[track_caller]
fn check(benchmark: &str, file: &str, expected: &Expect) {
    expected.assert_eq(&read(benchmark, file).expect("the file holds results"));
}

#[test]
fn serving_benchmarks() {
    check(
        "sa-bench",
        "sa-bench.json",
        &expect![[r#"
        [{"concurrency":8
        "output_tps":6407.950889343826
        "total_tps":19223.85266803148
        "request_throughput":100.12423264599728
        "request_rate":"inf"
        "mean_ttft_ms":55.63791021997531
        "mean_tpot_ms":0.21525114063479123
        "mean_itl_ms":0.21262285355881463
        "mean_e2el_ms":69.19873207996716
        "median_ttft_ms":55.397787999936554
        "median_tpot_ms":0.17357068253702543
        "median_itl_ms":0.011235999863856705
        "median_e2el_ms":68.8958374998947
        "p99_ttft_ms":95.64073468012795
        "p99_tpot_ms":0.7583055209512363
        "p99_itl_ms":8.600100500111582
        "p99_e2el_ms":102.81400772038525
        "total_input_tokens":12800
        "total_output_tokens":6400
        "duration":0.9987592150000637
        "completed":100
        "num_prompts":100
        "std_ttft_ms":15.862687883559833
        "std_tpot_ms":0.2052527688107066
        "std_itl_ms":1.6269356967567177
        "std_e2el_ms":16.00846510097059}]"#]],
    );
    check(
        "vllm-bench",
        "vllm-bench.json",
        &expect![[r#"
        [{"concurrency":8
        "output_tps":7047.177162343499
        "total_tps":21152.542701346658
        "request_throughput":110.11214316161717
        "request_rate":"inf"
        "mean_ttft_ms":30.680518180001854
        "mean_tpot_ms":0.5569658084127622
        "mean_itl_ms":0.5515379743791894
        "mean_e2el_ms":65.76936411000588
        "median_ttft_ms":26.550823999968998
        "median_tpot_ms":0.6761839127027506
        "median_itl_ms":0.0035760001537710195
        "median_e2el_ms":66.85652500004835
        "p99_ttft_ms":61.26157312009584
        "p99_tpot_ms":1.0747092968216436
        "p99_itl_ms":38.93986029998828
        "p99_e2el_ms":96.49663978999797
        "total_input_tokens":12810
        "total_output_tokens":6400
        "duration":0.908165050000207
        "completed":100
        "num_prompts":100
        "std_ttft_ms":14.61839743411162
        "std_tpot_ms":0.2845379518714612
        "std_itl_ms":4.690632045759546
        "std_e2el_ms":13.659328944303319}]"#]],
    );
    check(
        "sglang-bench",
        "sglang-bench.jsonl",
        &expect![[r#"
        [{"concurrency":8
        "output_tps":8661.74682514753
        "total_tps":25985.240475442588
        "request_throughput":135.33979414293015
        "request_rate":"inf"
        "mean_ttft_ms":41.17734290000499
        "mean_tpot_ms":0.12740056777775388
        "mean_itl_ms":0.10888664071493843
        "mean_e2el_ms":49.20357867000348
        "median_ttft_ms":42.09379200005969
        "median_tpot_ms":0.07166843650858416
        "median_itl_ms":0.012137999874539673
        "median_e2el_ms":48.23134850016686
        "p99_ttft_ms":73.3782985497419
        "p99_tpot_ms":0.5846766250829569
        "p99_itl_ms":2.9370920899009274
        "p99_e2el_ms":75.95790958011094
        "total_input_tokens":12800
        "total_output_tokens":6400
        "duration":0.7388809819999551
        "completed":100
        "std_ttft_ms":16.176307195492406
        "std_tpot_ms":0.14982735217011567
        "std_itl_ms":0.9801575815791953
        "std_e2el_ms":14.325271817538386}]"#]],
    );
}

#[test]
fn aiperf() {
    check(
        "mooncake-router",
        "profile_export_aiperf.json",
        &expect![[r#"
        [{"concurrency":4
        "output_tps":3193.877155382047
        "total_tps":9110.176372298141
        "request_throughput":46.22108763215698
        "mean_ttft_ms":42.616950975
        "mean_tpot_ms":0.3285040866810909
        "mean_itl_ms":0.3285040866810909
        "mean_e2el_ms":64.8485723
        "median_ttft_ms":43.077935499999995
        "median_tpot_ms":0.06368172687038988
        "median_itl_ms":0.06368172687038988
        "median_e2el_ms":65.279494
        "p99_ttft_ms":94.47199755
        "p99_tpot_ms":0.9049740221354166
        "p99_itl_ms":0.9049740221354166
        "p99_e2el_ms":113.89564173999999
        "total_input_tokens":5120.0
        "total_output_tokens":2764.0
        "duration":0.851412736
        "completed":40.0
        "num_prompts":40.0
        "std_ttft_ms":24.09644519884624
        "std_itl_ms":0.34657363864196555
        "std_e2el_ms":22.966904106788846
        "output_tps_per_user":7960.727767590065}]"#]],
    );
    check(
        "trace-replay",
        "profile_export_aiperf.json",
        &expect![[r#"
        [{"concurrency":4
        "output_tps":3193.877155382047
        "total_tps":9110.176372298141
        "request_throughput":46.22108763215698
        "mean_ttft_ms":42.616950975
        "mean_tpot_ms":0.3285040866810909
        "mean_itl_ms":0.3285040866810909
        "mean_e2el_ms":64.8485723
        "median_ttft_ms":43.077935499999995
        "median_tpot_ms":0.06368172687038988
        "median_itl_ms":0.06368172687038988
        "median_e2el_ms":65.279494
        "p99_ttft_ms":94.47199755
        "p99_tpot_ms":0.9049740221354166
        "p99_itl_ms":0.9049740221354166
        "p99_e2el_ms":113.89564173999999
        "total_input_tokens":5120.0
        "total_output_tokens":2764.0
        "duration":0.851412736
        "completed":40.0
        "num_prompts":40.0
        "std_ttft_ms":24.09644519884624
        "std_itl_ms":0.34657363864196555
        "std_e2el_ms":22.966904106788846
        "output_tps_per_user":7960.727767590065}]"#]],
    );
}

#[test]
fn accuracy_evaluations() {
    check(
        "gsm8k",
        "gsm8k_run1.json",
        &expect![[r#"
        [{"scores":{"accuracy":0.95
        "invalid_rate":0.0
        "latency":12.5
        "num_questions":200
        "seed":42}}]"#]],
    );
    check(
        "lm-eval",
        "results_lm-eval.json",
        &expect![[r#"
        [{"scores":{"gsm8k/exact_match,strict-match":0.94
        "gsm8k/exact_match_stderr,strict-match":0.006}}]"#]],
    );
}

#[test]
fn what_the_load_generator_adds_is_kept() {
    let parser = benchmark_parser("sa-bench").expect("registered");
    let mut stream = fs::File::open(fixture("runs/results/srtctl.json")).expect("the fixture is there");
    let result = parser.read(&mut stream).expect("a result").remove(0);
    let Some(Verdict::Invalid { reasons }) = &result.verdict else { panic!("{:?}", result.verdict) };
    assert_eq!(reasons[0].code, "client_saturated");
    assert_eq!(result.srtctl.expect("kept")["seed"], 0);
    assert_eq!(result.mean_itl_ms, None, "Python's NaN is no number");
}

#[test]
fn a_file_that_is_no_result_says_why() {
    let parser = benchmark_parser("sa-bench").expect("registered");
    let cases: [(&str, &Expect); 5] = [
        ("", &expect!["no result: `max_concurrency` is missing"]),
        ("[1, 2]", &expect!["no result: `max_concurrency` is missing"]),
        ("{\"output_throughput\": 1}", &expect!["no result: `max_concurrency` is missing"]),
        (
            "{\"max_concurrency\": 1, \"output_th",
            &expect!["not JSON, or cut short: EOF while parsing a string at line 1 column 33"],
        ),
        ("\u{0}\u{1}", &expect!["not JSON, or cut short: expected value at line 1 column 1"]),
    ];
    for (text, expected) in cases {
        let error = parser.read(&mut text.as_bytes()).expect_err("no result");
        expected.assert_eq(&error.to_string());
    }
}

#[test]
fn each_reader_knows_its_files() {
    let places = [
        "sa-bench_isl_1024_osl_1024/results_concurrency_4_gpus_16.json",
        "sa-bench_custom_1/results_concurrency_4.json",
        "sa-bench_isl_1024_osl_1024/results_concurrency_8.json.gz",
        "artifacts/m_trace_c4/profile_export_aiperf.json",
        "artifacts/warmup/profile_export_aiperf.json",
        "accuracy/gsm8k_run1.json",
        "accuracy/longbench_v2_1.json",
        "eval_results/results_2026.json",
        "bench/out.jsonl",
        "other/result.json",
        "rollup.json",
    ];
    let mut out = String::new();
    for name in BENCHMARK_PARSERS {
        let parser = benchmark_parser(name).expect("every listed name is registered");
        assert_eq!(parser.name(), *name);
        let read: Vec<&str> = places.into_iter().filter(|place| parser.reads(Path::new(place))).collect();
        writeln!(out, "{name}: {}", read.join(" ")).expect("text grows");
    }
    expect![[r#"
        sa-bench: sa-bench_isl_1024_osl_1024/results_concurrency_4_gpus_16.json sa-bench_custom_1/results_concurrency_4.json sa-bench_isl_1024_osl_1024/results_concurrency_8.json.gz
        vllm-bench: sa-bench_isl_1024_osl_1024/results_concurrency_4_gpus_16.json sa-bench_custom_1/results_concurrency_4.json sa-bench_isl_1024_osl_1024/results_concurrency_8.json.gz
        sglang-bench: sa-bench_isl_1024_osl_1024/results_concurrency_4_gpus_16.json sa-bench_custom_1/results_concurrency_4.json sa-bench_isl_1024_osl_1024/results_concurrency_8.json.gz bench/out.jsonl
        mooncake-router: artifacts/m_trace_c4/profile_export_aiperf.json
        trace-replay: artifacts/m_trace_c4/profile_export_aiperf.json
        mmlu: 
        gpqa: 
        gsm8k: accuracy/gsm8k_run1.json
        longbenchv2: accuracy/longbench_v2_1.json
        lm-eval: eval_results/results_2026.json
    "#]].assert_eq(&out);
}

#[test]
fn a_run_of_several_replays_has_them_by_concurrency() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    fs::write(folder.path().join("config.yaml"), "benchmark: {type: trace-replay}\n").expect("written");
    for concurrency in [16, 2] {
        let artifacts = folder.path().join(format!("logs/artifacts/m_trace_c{concurrency}_20260116_060000"));
        fs::create_dir_all(&artifacts).expect("made");
        let report = fs::read_to_string(fixture("runs/results/profile_export_aiperf.json")).expect("read");
        let report = report.replace("\"concurrency\": 4", &format!("\"concurrency\": {concurrency}"));
        fs::write(artifacts.join("profile_export_aiperf.json"), report).expect("written");
    }
    let rollup = srtlog::rollup(folder.path(), RunFacts::UNKNOWN).expect("a run");
    let concurrencies: Vec<f64> =
        rollup.results.iter().filter_map(|result| Some(result.concurrency?.as_f64())).collect();
    assert_eq!(concurrencies, [2.0, 16.0]);
    assert!(rollup.max_output_tps.is_some());
}
