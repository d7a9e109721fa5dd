//! Whole runs against a server that behaves.

use std::path::Path;

use srt_loadgen::{Arrival, Dataset, GpuSplit, Gpus, Point, ProgressEvent, Slos};
use srtlog::Verdict;
use tokio_util::sync::CancellationToken;

use crate::{
    config, result_of, run,
    server::{Act, Server, answer},
};

#[test]
fn the_result_has_the_names_and_the_order_of_sa_bench() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&server.url, folder.path());
    config.gpus = Gpus { total: 12, split: Some(GpuSplit { prefill: 4, decode: 8 }) };
    let (outcome, _) = run(&config);
    assert_eq!(outcome.verdict, Verdict::Valid);
    assert!(
        outcome.points[0].result_path.ends_with("results_concurrency_4_gpus_12_ctx_4_gen_8.json"),
        "{}",
        outcome.points[0].result_path
    );

    let result = result_of(&outcome);
    let keys: Vec<&str> = result.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "date backend model_id tokenizer_id best_of num_prompts request_rate burstiness \
        max_concurrency duration completed total_input_tokens total_output_tokens request_throughput \
        request_goodput output_throughput peak_output_tokens_per_s total_token_throughput input_lens \
        output_lens ttfts itls generated_texts errors mean_ttft_ms median_ttft_ms std_ttft_ms p99_ttft_ms \
        mean_tpot_ms median_tpot_ms std_tpot_ms p99_tpot_ms mean_itl_ms median_itl_ms std_itl_ms p99_itl_ms \
        mean_e2el_ms median_e2el_ms std_e2el_ms p99_e2el_ms reuse_http_connections srtctl srtctl_requests";
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    assert_eq!(result["request_rate"], "inf");
    assert_eq!(result["completed"], 12);
    assert_eq!(result["total_input_tokens"], 12 * 8);
    assert_eq!(result["total_output_tokens"], 12 * 5);
    assert_eq!(result["request_goodput"], serde_json::Value::Null);
    for column in ["input_lens", "output_lens", "ttfts", "itls", "generated_texts", "errors"] {
        assert_eq!(result[column].as_array().unwrap().len(), 12, "{column}");
    }
    assert_eq!(result["itls"][0].as_array().unwrap().len(), 4);
    assert_eq!(result["srtctl"]["verdict"], "valid");
    assert_eq!(result["srtctl"]["tokens"]["requests_with_usage"], 12);
}

#[test]
fn a_request_says_what_sa_bench_says() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&server.url, folder.path());
    config.vocab_size = Some(100);
    config.points = vec![Point { concurrency: Some(1), num_prompts: 1, num_warmup: 0 }];
    config.api_key = Some("secret".to_owned());
    run(&config);
    let requests = server.requests();
    let expected: serde_json::Value = serde_json::from_str(
        r#"{"model":"tiny","prompt":[44,45,46,47,48,49,50,51],"temperature":0.0,"best_of":1,"max_tokens":5,
            "logprobs":null,"stream":true,"stream_options":{"include_usage":true},"ignore_eos":true}"#,
    )
    .unwrap();
    assert_eq!(requests.len(), 2, "one to see whether the server answers, and one measured");
    for request in &requests {
        assert_eq!(request.body, expected);
        assert!(request.head.starts_with("POST /v1/completions HTTP/1.1\r\n"), "{}", request.head);
        assert!(request.head.contains("Authorization: Bearer secret"), "{}", request.head);
    }
}

#[test]
fn connections_are_reused_only_where_that_is_asked_for() {
    for (reuse, expected) in [(true, 4), (false, 12)] {
        let server = Server::start(|_| answer(5));
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&server.url, folder.path());
        config.reuse_http_connections = reuse;
        run(&config);
        // The first request of the run is the one before the measurement.
        let connections: std::collections::BTreeSet<usize> =
            server.requests()[1..].iter().map(|request| request.connection).collect();
        assert_eq!(connections.len(), expected, "reuse: {reuse}");
    }
}

#[test]
fn warm_up_is_sent_and_not_measured() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&server.url, folder.path());
    config.points = vec![Point::of_concurrency(4, 3, 2), Point::of_concurrency(2, 1, 0)];
    let (outcome, events) = run(&config);
    assert_eq!(server.requests().len(), (1 + 8) + (1 + 12) + (1 + 2));
    assert_eq!(outcome.points.iter().map(|point| point.completed).collect::<Vec<_>>(), [12, 2]);
    let names: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            ProgressEvent::Warmup { .. } => Some("warmup"),
            ProgressEvent::PointStarted { .. } => Some("started"),
            ProgressEvent::PointFinished(_) => Some("finished"),
            ProgressEvent::Finished { .. } => Some("end"),
            ProgressEvent::Progress(_) => None,
        })
        .collect();
    assert_eq!(names, ["warmup", "started", "finished", "started", "finished", "end"]);
}

#[test]
fn a_schedule_is_kept_and_its_lateness_told() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&server.url, folder.path());
    config.arrival = Arrival::Gamma { rate_rps: 100.0, burstiness: 1.0 };
    let (outcome, _) = run(&config);
    let result = result_of(&outcome);
    assert_eq!(result["request_rate"], 100.0);
    let sent_s: Vec<f64> = result["srtctl_requests"]["sent_s"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_f64().unwrap())
        .collect();
    // Requests are never early, whatever the machine does.
    let late = result["srtctl_requests"]["send_lateness_ms"].as_array().unwrap();
    assert!(late.iter().all(|late| late.as_f64().unwrap() >= 0.0));
    assert!(sent_s.windows(2).all(|pair| pair[0] <= pair[1]), "{sent_s:?}");
    assert!(*sent_s.last().unwrap() > 0.02, "{sent_s:?}");
}

#[test]
fn goodput_counts_requests_that_keep_every_limit() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    for (limit_ms, is_good) in [(0.0, false), (1e9, true)] {
        let mut config = config(&server.url, folder.path());
        config.slos = Slos { ttft_ms: Some(limit_ms), ..Slos::default() };
        let (outcome, _) = run(&config);
        let point = &outcome.points[0];
        let expected = if is_good { point.request_rps } else { 0.0 };
        assert!((point.request_goodput_rps.unwrap() - expected).abs() < 1e-9, "{point:?}");
    }
}

#[test]
fn a_run_that_is_ended_keeps_finished_points_and_says_how_far_it_came() {
    // The second point's requests after the first never end.
    let server = Server::start(|request| if request < 7 { answer(5) } else { vec![Act::Stall] });
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&server.url, folder.path());
    config.points = vec![Point::of_concurrency(2, 2, 0), Point::of_concurrency(2, 4, 0)];
    let cancel = CancellationToken::new();
    let on_event = |event| {
        if let ProgressEvent::Progress(progress) = event
            && progress.num_prompts == 8
            && progress.completed == 1
        {
            cancel.cancel();
        }
    };
    let outcome = srt_loadgen::run(&config, on_event, &cancel).unwrap();
    assert_eq!(outcome.points.len(), 1);
    assert!(std::fs::exists(&outcome.points[0].result_path).unwrap());
    let unfinished = outcome.unfinished.unwrap();
    assert_eq!((unfinished.num_prompts, unfinished.completed), (8, 1));
    let Verdict::Failed { stage, text } = outcome.verdict else { panic!("{:?}", outcome.verdict) };
    assert_eq!(stage, "benchmark");
    assert_eq!(text, "concurrency 2 (1 of 2 points finished): the run was ended from outside");
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn the_console_block_is_that_of_sa_bench() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    let (outcome, _) = run(&config(&server.url, folder.path()));
    let block = outcome.points[0].console_block();
    let lines: Vec<&str> = block.lines().collect();
    assert_eq!(lines.len(), 26, "{block}");
    assert_eq!(lines[0], "============ Serving Benchmark Result ============");
    assert_eq!(lines[1], "Successful requests:                     12        ");
    assert_eq!(lines[9], "---------------Time to First Token----------------");
    assert_eq!(lines[13], "-----Time per Output Token (excl. 1st token)------");
    assert_eq!(lines[17], "---------------Inter-token Latency----------------");
    assert!(lines[11].starts_with("Median TTFT (ms):                        "), "{block}");
    assert_eq!(lines.last(), Some(&"=================================================="));
}

#[test]
fn with_a_tokenizer_prompts_are_text_of_exact_length() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&server.url, folder.path());
    config.tokenizer = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tokenizer"));
    config.dataset = Dataset::Random { isl: 40, osl: 5, range_ratio: 0.5 };
    config.use_chat_template = true;
    let (outcome, _) = run(&config);
    let result = result_of(&outcome);
    let source = result["srtctl"]["workload"]["prompts"].as_str().unwrap();
    assert!(source.starts_with("text of exact length by `"), "{source}");
    let requests = server.requests();
    let prompts: Vec<&str> =
        requests.iter().map(|request| request.body["prompt"].as_str().unwrap()).collect();
    assert!(prompts.iter().all(|prompt| prompt.starts_with("<s>[user]")), "{prompts:?}");
    let lengths = result["input_lens"].as_array().unwrap();
    assert!(lengths.iter().all(|length| (20..=40).contains(&length.as_u64().unwrap())), "{lengths:?}");
}

#[test]
fn a_tokenizer_that_is_not_there_is_said_in_the_result() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&server.url, folder.path());
    std::fs::write(folder.path().join("config.json"), r#"{"vocab_size": 9}"#).unwrap();
    config.tokenizer = Some(folder.path().to_owned());
    let (outcome, _) = run(&config);
    let source = result_of(&outcome)["srtctl"]["workload"]["prompts"].as_str().unwrap().to_owned();
    assert!(source.starts_with("token ids, because there is no `"), "{source}");
    for request in server.requests() {
        let ids = request.body["prompt"].as_array().unwrap();
        assert!(ids.iter().all(|id| id.as_u64().unwrap() < 9), "{ids:?}");
    }
}

#[test]
fn the_prompts_of_a_file_are_sent_in_the_order_of_sa_bench() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.jsonl");
    let lines: Vec<String> = (0..10)
        .map(|n| format!("{{\"prompt\":\"number {n}\",\"max_tokens\":5,\"prompt_len\":{n}}}"))
        .collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let mut config = config(&server.url, &folder.path().join("results"));
    config.dataset = Dataset::Custom { path };
    config.points = vec![Point { concurrency: Some(1), num_prompts: 4, num_warmup: 0 }];
    let (outcome, _) = run(&config);
    let sent: Vec<String> =
        server.requests()[1..].iter().map(|it| it.body["prompt"].as_str().unwrap().to_owned()).collect();
    assert_eq!(sent, ["number 7", "number 8", "number 1", "number 5"]);
    assert_eq!(result_of(&outcome)["input_lens"], serde_json::json!([7, 8, 1, 5]));
}

#[test]
fn a_trace_keeps_times_sessions_and_shared_blocks() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    std::fs::write(
        &path,
        r#"{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [7, 8]}
{"timestamp": 40, "session_id": "s", "input_length": 520, "output_length": 5, "hash_ids": [7, 9]}
{"session_id": "s", "delay": 20, "input_length": 530, "output_length": 5, "hash_ids": [7, 9]}
{"timestamp": 20, "input_length": 10, "output_length": 5, "hash_ids": [1]}
"#,
    )
    .unwrap();
    let mut config = config(&server.url, &folder.path().join("results"));
    config.dataset = Dataset::Trace { path };
    config.arrival = Arrival::Trace { speedup: 0.5 };
    config.points = vec![Point { concurrency: None, num_prompts: 100, num_warmup: 0 }];
    let (outcome, _) = run(&config);
    let result = result_of(&outcome);
    assert!(outcome.points[0].result_path.ends_with("results_concurrency_unlimited_gpus_8.json"));
    assert_eq!(result["max_concurrency"], serde_json::Value::Null);
    assert_eq!(result["num_prompts"], 4);
    assert_eq!(result["input_lens"], serde_json::json!([600, 10, 520, 530]));
    let sent_s: Vec<f64> = result["srtctl_requests"]["sent_s"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_f64().unwrap())
        .collect();
    assert!(sent_s[1] >= 0.04 && sent_s[2] >= 0.08 && sent_s[3] >= sent_s[2] + 0.02, "{sent_s:?}");

    let requests = server.requests();
    let ids = |number: usize| requests[number].body["prompt"].as_array().unwrap().clone();
    assert_eq!(ids(1)[..512], ids(3)[..512], "block 7 is the same in both sessions");
    assert_ne!(ids(1)[512..520], ids(3)[512..520], "blocks 8 and 9 are not");
    assert_eq!(ids(3)[..], ids(4)[..520], "a later turn starts as the turn before");
}

#[test]
fn prompts_share_a_prefix_of_the_ratio_that_was_asked_for() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&server.url, folder.path());
    config.dataset = Dataset::SharedPrefix { isl: 40, osl: 5, prefix_ratio: 0.5, num_prefixes: 1 };
    let (outcome, _) = run(&config);
    assert!(outcome.points[0].result_path.ends_with("results_concurrency_4_gpus_8_prefix_0.5.json"));
    let prompts: Vec<_> =
        server.requests().iter().map(|it| it.body["prompt"].as_array().unwrap().clone()).collect();
    for prompt in &prompts[2..] {
        assert_eq!(prompt.len(), 40);
        assert_eq!(prompt[..20], prompts[1][..20]);
        assert_ne!(prompt[20..], prompts[1][20..]);
    }
}

#[test]
fn conversations_are_sent_turn_after_turn() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talk.json");
    let talk = r#"[{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"hello"},
        {"from":"human","value":"bye"},{"from":"gpt","value":"ciao"}]}]"#;
    std::fs::write(&path, talk).unwrap();
    let mut config = config(&server.url, &folder.path().join("results"));
    for (multi_turn, expected) in [(true, &["hi", "hi\nhello\nbye"][..]), (false, &["hi"])] {
        config.dataset = Dataset::ShareGpt { path: path.clone(), output_tokens: Some(5), multi_turn };
        config.points = vec![Point { concurrency: Some(4), num_prompts: 10, num_warmup: 0 }];
        run(&config);
        let sent: Vec<String> =
            server.requests()[1..].iter().map(|it| it.body["prompt"].as_str().unwrap().to_owned()).collect();
        assert_eq!(sent, expected);
    }
}

#[test]
fn srtlog_reads_the_result() {
    let server = Server::start(|_| answer(5));
    let folder = tempfile::tempdir().unwrap();
    let (outcome, _) = run(&config(&server.url, folder.path()));
    let point = &outcome.points[0];
    let path = Path::new(&point.result_path);
    let parser = srtlog::benchmark_parser("sa-bench").unwrap();
    assert!(parser.reads(&Path::new("sa-bench_isl_8_osl_5").join(path.file_name().unwrap())));
    let results = parser.read(&mut std::fs::File::open(path).unwrap()).unwrap();
    let read = serde_json::to_value(&results[0]).unwrap();
    assert_eq!(read["concurrency"], 4);
    assert_eq!(read["completed"], 12);
    assert_eq!(read["request_rate"], "inf");
    assert_eq!(read["verdict"], "valid");
    for (name, value) in [
        ("output_tps", point.output_tps),
        ("total_tps", point.total_tps),
        ("mean_ttft_ms", point.mean_ttft_ms),
        ("p99_itl_ms", point.p99_itl_ms),
        ("median_tpot_ms", point.median_tpot_ms),
        ("p99_e2el_ms", point.p99_e2el_ms),
    ] {
        assert!((read[name].as_f64().unwrap() - value).abs() < 1e-9, "{name}: {read}");
    }
}
