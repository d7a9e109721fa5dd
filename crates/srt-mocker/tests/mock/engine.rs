#![expect(clippy::needless_raw_string_hashes, reason = "the snapshot tool writes them so")]

use expect_test::{Expect, expect};
use srt_mocker::engine::{EngineConfig, ExitReason};

use crate::harness::{RunningEngine, fast, get, post, request, send, until, without_number};

/// One request to a fresh engine.
#[track_caller]
fn check(method: &str, path: &str, body: &str, expected: &Expect) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(async {
        let engine = RunningEngine::ready(fast()).await;
        request(engine.address, method, path, body).await.show()
    });
    expected.assert_eq(&without_number(&answer, "\"port\":"));
}

#[test]
fn health() {
    check(
        "GET",
        "/health",
        "",
        &expect![[r#"
        200 text/plain; charset=utf-8
    "#]],
    );
    check(
        "GET",
        "/health_generate",
        "",
        &expect![[r#"
        200 text/plain; charset=utf-8
    "#]],
    );
}

#[test]
fn server_info() {
    check(
        "GET",
        "/get_server_info",
        "",
        &expect![[r#"
        200 application/json
        {"model_path":"/model","tokenizer_path":"/model","served_model_name":"mock","host":"127.0.0.1","port":N,"tp_size":1,"pp_size":1,"dp_size":1,"ep_size":1,"disaggregation_mode":"null","disaggregation_bootstrap_port":0,"max_total_num_tokens":524288,"max_running_requests":256,"chunked_prefill_size":8192,"status":"ready","version":"srt-mocker 0.1.0","internal_states":[{"last_gen_throughput":0.0,"load":0,"memory_usage":{"token_capacity":524288}}]}
    "#]],
    );
    check(
        "GET",
        "/server_info",
        "",
        &expect![[r#"
        200 application/json
        {"model_path":"/model","tokenizer_path":"/model","served_model_name":"mock","host":"127.0.0.1","port":N,"tp_size":1,"pp_size":1,"dp_size":1,"ep_size":1,"disaggregation_mode":"null","disaggregation_bootstrap_port":0,"max_total_num_tokens":524288,"max_running_requests":256,"chunked_prefill_size":8192,"status":"ready","version":"srt-mocker 0.1.0","internal_states":[{"last_gen_throughput":0.0,"load":0,"memory_usage":{"token_capacity":524288}}]}
    "#]],
    );
}

#[test]
fn model_info() {
    check(
        "GET",
        "/get_model_info",
        "",
        &expect![[r#"
        200 application/json
        {"model_path":"/model","tokenizer_path":"/model","is_generation":true,"preferred_sampling_params":null,"weight_version":"default","has_image_understanding":false,"has_audio_understanding":false,"model_type":"mock","architectures":["MockForCausalLM"]}
    "#]],
    );
    check(
        "GET",
        "/model_info",
        "",
        &expect![[r#"
        200 application/json
        {"model_path":"/model","tokenizer_path":"/model","is_generation":true,"preferred_sampling_params":null,"weight_version":"default","has_image_understanding":false,"has_audio_understanding":false,"model_type":"mock","architectures":["MockForCausalLM"]}
    "#]],
    );
    check(
        "GET",
        "/v1/models",
        "",
        &expect![[r#"
        200 application/json
        {"object":"list","data":[{"id":"mock","object":"model","created":N,"owned_by":"sglang","root":"mock","parent":null,"max_model_len":524288}]}
    "#]],
    );
}

#[test]
fn load() {
    check(
        "GET",
        "/get_load",
        "",
        &expect![[r#"
        200 application/json
        [{"dp_rank":0,"num_reqs":0,"num_waiting_reqs":0,"num_tokens":0}]
    "#]],
    );
    check(
        "GET",
        "/v1/loads",
        "",
        &expect![[r#"
        200 application/json
        {"dp_rank_count":1,"loads":[{"dp_rank":0,"num_running_reqs":0,"num_waiting_reqs":0,"num_used_tokens":0,"max_total_num_tokens":524288,"gen_throughput":0.0,"cache_hit_rate":0.0,"max_running_requests":256}]}
    "#]],
    );
    check(
        "GET",
        "/metrics",
        "",
        &expect![[r#"
        200 text/plain; version=0.0.4; charset=utf-8
        # HELP sglang:num_running_reqs Requests being decoded.
        # TYPE sglang:num_running_reqs gauge
        sglang:num_running_reqs{engine_type="agg",model_name="mock",pp_rank="0",tp_rank="0"} 0.0
        # HELP sglang:num_queue_reqs Requests that wait.
        # TYPE sglang:num_queue_reqs gauge
        sglang:num_queue_reqs{engine_type="agg",model_name="mock",pp_rank="0",tp_rank="0"} 0.0
        # HELP sglang:num_used_tokens Tokens in the KV cache.
        # TYPE sglang:num_used_tokens gauge
        sglang:num_used_tokens{engine_type="agg",model_name="mock",pp_rank="0",tp_rank="0"} 0.0
        # HELP sglang:max_total_num_tokens Tokens that the KV cache holds.
        # TYPE sglang:max_total_num_tokens gauge
        sglang:max_total_num_tokens{engine_type="agg",model_name="mock",pp_rank="0",tp_rank="0"} 524288.0
        # HELP sglang:token_usage Share of the KV cache in use.
        # TYPE sglang:token_usage gauge
        sglang:token_usage{engine_type="agg",model_name="mock",pp_rank="0",tp_rank="0"} 0.0
        # HELP sglang:gen_throughput Generated tokens per second.
        # TYPE sglang:gen_throughput gauge
        sglang:gen_throughput{engine_type="agg",model_name="mock",pp_rank="0",tp_rank="0"} 0.0
        # HELP sglang:cache_hit_rate Share of prompt tokens found in the cache.
        # TYPE sglang:cache_hit_rate gauge
        sglang:cache_hit_rate{engine_type="agg",model_name="mock",pp_rank="0",tp_rank="0"} 0.0
        # HELP sglang:num_prealloc_queue_reqs Requests without space or peer for their KV cache.
        # TYPE sglang:num_prealloc_queue_reqs gauge
        sglang:num_prealloc_queue_reqs{engine_type="agg",model_name="mock",pp_rank="0",tp_rank="0"} 0.0
        # HELP sglang:num_transfer_queue_reqs Requests whose KV cache is on its way.
        # TYPE sglang:num_transfer_queue_reqs gauge
        sglang:num_transfer_queue_reqs{engine_type="agg",model_name="mock",pp_rank="0",tp_rank="0"} 0.0
        # HELP sglang:prompt_tokens_total Prompt tokens computed.
        # TYPE sglang:prompt_tokens_total counter
        sglang:prompt_tokens_total{engine_type="agg",model_name="mock",pp_rank="0",tp_rank="0"} 0
        # HELP sglang:generation_tokens_total Tokens generated.
        # TYPE sglang:generation_tokens_total counter
        sglang:generation_tokens_total{engine_type="agg",model_name="mock",pp_rank="0",tp_rank="0"} 0
        # HELP sglang:num_requests_total Requests received.
        # TYPE sglang:num_requests_total counter
        sglang:num_requests_total{engine_type="agg",model_name="mock",pp_rank="0",tp_rank="0"} 0
    "#]],
    );
}

#[test]
fn controls() {
    check(
        "POST",
        "/flush_cache",
        "",
        &expect![[r#"
        200 text/plain; charset=utf-8
        Cache flushed.
    "#]],
    );
    check(
        "POST",
        "/start_profile",
        "",
        &expect![[r#"
        200 text/plain; charset=utf-8
        Start profiling.
    "#]],
    );
    check(
        "POST",
        "/stop_profile",
        "",
        &expect![[r#"
        200 text/plain; charset=utf-8
        Stop profiling.
    "#]],
    );
    check(
        "POST",
        "/slow_down",
        r#"{"forward_sleep_time": 0.001}"#,
        &expect![[r#"
        200 text/plain; charset=utf-8
    "#]],
    );
    check(
        "POST",
        "/slow_down",
        r#"{"forward_sleep_time": "slow"}"#,
        &expect![[r#"
        400 application/json
        {"object":"error","message":"invalid type: string \"slow\", expected f64 at line 1 column 29","type":"BadRequestError","param":null,"code":400}
    "#]],
    );
    check(
        "GET",
        "/nothing",
        "",
        &expect![[r#"
        404 application/json
        {"detail":"Not Found"}
    "#]],
    );
}

#[test]
fn completions_stream() {
    check(
        "POST",
        "/v1/completions",
        r#"{"model": "m", "prompt": [1, 2, 3], "max_tokens": 2, "stream": true, "stream_options": {"include_usage": true}}"#,
        &expect![[r#"
            200 text/event-stream; charset=utf-8
            data: {"id":"00000000000000000000000000000000","object":"text_completion","created":N,"model":"m","choices":[{"index":0,"text":" the","logprobs":null,"finish_reason":null}]}

            data: {"id":"00000000000000000000000000000000","object":"text_completion","created":N,"model":"m","choices":[{"index":0,"text":" node","logprobs":null,"finish_reason":"length"}]}

            data: {"id":"00000000000000000000000000000000","object":"text_completion","created":N,"choices":[],"model":"m","usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}

            data: [DONE]
        "#]],
    );
    check(
        "POST",
        "/v1/completions",
        r#"{"prompt": "a b", "max_tokens": 1, "stream": true}"#,
        &expect![[r#"
        200 text/event-stream; charset=utf-8
        data: {"id":"00000000000000000000000000000000","object":"text_completion","created":N,"model":"mock","choices":[{"index":0,"text":" the","logprobs":null,"finish_reason":"length"}]}

        data: [DONE]
    "#]],
    );
}

#[test]
fn completions_whole() {
    check(
        "POST",
        "/v1/completions",
        r#"{"prompt": ["a b", "c"], "n": 2, "max_tokens": 2}"#,
        &expect![[r#"
        200 application/json
        {"id":"00000000000000000000000000000000","object":"text_completion","created":N,"model":"mock","choices":[{"index":0,"text":" the node","logprobs":null,"finish_reason":"length"},{"index":1,"text":" the node","logprobs":null,"finish_reason":"length"},{"index":2,"text":" the node","logprobs":null,"finish_reason":"length"},{"index":3,"text":" the node","logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":6,"completion_tokens":8,"total_tokens":14}}
    "#]],
    );
}

#[test]
fn chat_stream() {
    check(
        "POST",
        "/v1/chat/completions",
        r#"{"messages": [{"role": "user", "content": "a b c"}], "max_completion_tokens": 2, "stream": true, "stream_options": {"include_usage": true}}"#,
        &expect![[r#"
            200 text/event-stream; charset=utf-8
            data: {"id":"00000000000000000000000000000000","object":"chat.completion.chunk","created":N,"model":"mock","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}

            data: {"id":"00000000000000000000000000000000","object":"chat.completion.chunk","created":N,"model":"mock","choices":[{"index":0,"delta":{"content":" the"},"logprobs":null,"finish_reason":null}]}

            data: {"id":"00000000000000000000000000000000","object":"chat.completion.chunk","created":N,"model":"mock","choices":[{"index":0,"delta":{"content":" node"},"logprobs":null,"finish_reason":null}]}

            data: {"id":"00000000000000000000000000000000","object":"chat.completion.chunk","created":N,"model":"mock","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]}

            data: {"id":"00000000000000000000000000000000","object":"chat.completion.chunk","created":N,"choices":[],"model":"mock","usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}

            data: [DONE]
        "#]],
    );
}

#[test]
fn chat_whole() {
    check(
        "POST",
        "/v1/chat/completions",
        r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "a b c"}]}], "max_tokens": 3}"#,
        &expect![[r#"
            200 application/json
            {"id":"00000000000000000000000000000000","object":"chat.completion","created":N,"model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":" the node holds"},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}}
        "#]],
    );
}

#[test]
fn generate() {
    check(
        "POST",
        "/generate",
        r#"{"input_ids": [1, 2], "sampling_params": {"max_new_tokens": 2, "ignore_eos": true}, "stream": true}"#,
        &expect![[r#"
            200 text/event-stream; charset=utf-8
            data: {"text":" the","output_ids":[1000],"meta_info":{"id":"00000000000000000000000000000000","finish_reason":null,"prompt_tokens":2,"completion_tokens":1,"cached_tokens":0,"weight_version":"default"}}

            data: {"text":" the node","output_ids":[1000,1001],"meta_info":{"id":"00000000000000000000000000000000","finish_reason":{"type":"length","length":2},"prompt_tokens":2,"completion_tokens":2,"cached_tokens":0,"weight_version":"default"}}

            data: [DONE]
        "#]],
    );
    check(
        "POST",
        "/generate",
        r#"{"text": "a", "sampling_params": {"max_new_tokens": 2}}"#,
        &expect![[r#"
        200 application/json
        {"text":" the node","output_ids":[1000,1001],"meta_info":{"id":"00000000000000000000000000000000","finish_reason":{"type":"length","length":2},"prompt_tokens":1,"completion_tokens":2,"cached_tokens":0,"weight_version":"default"}}
    "#]],
    );
}

#[test]
fn wrong_requests() {
    check(
        "POST",
        "/v1/completions",
        "{",
        &expect![[r#"
        400 application/json
        {"object":"error","message":"EOF while parsing an object at line 1 column 1","type":"BadRequestError","param":null,"code":400}
    "#]],
    );
    check(
        "POST",
        "/v1/completions",
        r#"{"max_tokens": 2}"#,
        &expect![[r#"
        400 application/json
        {"object":"error","message":"`prompt` is missing","type":"BadRequestError","param":null,"code":400}
    "#]],
    );
    check(
        "POST",
        "/v1/completions",
        r#"{"prompt": "a", "n": 1000}"#,
        &expect![[r#"
        400 application/json
        {"object":"error","message":"prompts × `n` must be between 1 and 128","type":"BadRequestError","param":null,"code":400}
    "#]],
    );
    check(
        "POST",
        "/v1/completions",
        r#"{"prompt": "a", "max_tokens": 600000, "ignore_eos": true}"#,
        &expect![[r#"
        400 application/json
        {"object":"error","message":"prompt of 1 tokens and answer of 600000 do not fit into the KV cache of 524288 tokens","type":"BadRequestError","param":null,"code":400}
    "#]],
    );
    check(
        "POST",
        "/v1/chat/completions",
        r#"{"messages": []}"#,
        &expect![[r#"
        400 application/json
        {"object":"error","message":"`messages` is missing or empty","type":"BadRequestError","param":null,"code":400}
    "#]],
    );
    check(
        "POST",
        "/generate",
        "{}",
        &expect![[r#"
        400 application/json
        {"object":"error","message":"`text` or `input_ids` is missing","type":"BadRequestError","param":null,"code":400}
    "#]],
    );
}

#[tokio::test]
async fn the_model_stops_by_itself_unless_told_to_go_on() {
    let engine = RunningEngine::ready(EngineConfig { eos_after_tokens: 3, ..fast() }).await;
    let stops =
        post(engine.address, "/v1/completions", r#"{"prompt": "a", "max_tokens": 9, "stream": true}"#).await;
    assert_eq!((stops.tokens(), stops.body.contains(r#""finish_reason":"stop""#)), (3, true));
    let goes_on = r#"{"prompt": "a", "max_tokens": 9, "stream": true, "ignore_eos": true}"#;
    let goes_on = post(engine.address, "/v1/completions", goes_on).await;
    assert_eq!((goes_on.tokens(), goes_on.body.contains(r#""finish_reason":"length""#)), (9, true));
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place() {
    let config = EngineConfig { max_running_requests: 1, speedup: 1.0, ..fast() };
    let mut engine = RunningEngine::ready(config).await;
    let endless = r#"{"prompt": "a", "max_tokens": 400000, "stream": true, "ignore_eos": true}"#;
    let stream = send(engine.address, "POST", "/v1/completions", endless).await;
    engine.log_line("Decode batch").await;
    drop(stream);
    let answer = post(engine.address, "/v1/completions", r#"{"prompt": "b", "max_tokens": 2}"#).await;
    assert_eq!(answer.status, "200");
}

#[tokio::test]
async fn many_streams_get_all_their_tokens() {
    let config = EngineConfig { max_running_requests: 512, speedup: 5.0, ..fast() };
    let mut engine = RunningEngine::ready(config).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let address = engine.address;
        clients.spawn(async move {
            let body = r#"{"prompt": "a b c", "max_tokens": 50, "stream": true}"#;
            post(address, "/v1/completions", body).await.tokens()
        });
    }
    assert_eq!(clients.join_all().await, vec![50; 300]);
    let line = engine.log_line("Decode batch").await;
    assert!(line.contains("gen throughput (token/s): "), "{line}");
    let metrics = get(engine.address, "/metrics").await.body;
    assert!(metrics.contains("sglang:generation_tokens_total{engine_type=\"agg\",model_name=\"mock\",pp_rank=\"0\",tp_rank=\"0\"} 15000\n"), "{metrics}");
    engine.shutdown.cancel();
    assert_eq!(engine.ended().await, ExitReason::Shutdown);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let engine = RunningEngine::ready(fast()).await;
    let config = EngineConfig { port: engine.address.port(), ..fast() };
    let error = srt_mocker::engine::Engine::bind(config).await.expect_err("it is taken");
    assert_eq!(error.to_string(), format!("failed to listen on {}", engine.address));
}

#[tokio::test]
async fn a_contradictory_configuration_is_named() {
    let config = EngineConfig { speedup: 0.0, ..fast() };
    let error = srt_mocker::engine::Engine::bind(config).await.expect_err("time must pass");
    let reason = std::error::Error::source(&error).expect("it has a reason").to_string();
    assert_eq!(reason, "`speedup` must be a number above 0: 0");
}

/// Nothing here may end in a panic: the loop of an engine would end with it.
#[tokio::test]
async fn absurd_numbers_do_no_harm() {
    let config = EngineConfig {
        kv_capacity_tokens: u64::MAX,
        kv_timeout_s: 1e300,
        itl_per_running_us: 1e300,
        max_running_requests: u32::MAX,
        chunked_prefill_tokens: u32::MAX,
        ..fast()
    };
    let engine = RunningEngine::ready(config).await;
    let body = r#"{"prompt": "a", "max_tokens": 4294967295, "ignore_eos": true, "stream": true}"#;
    let waiting = send(engine.address, "POST", "/v1/completions", body).await;
    until(engine.address, "/get_load", "\"num_reqs\":1").await;
    assert_eq!(post(engine.address, "/slow_down", r#"{"forward_sleep_time": 1e300}"#).await.status, "200");
    assert_eq!(post(engine.address, "/slow_down", r#"{"forward_sleep_time": -1}"#).await.status, "200");
    assert_eq!(get(engine.address, "/metrics").await.status, "200");
    drop(waiting);
    until(engine.address, "/get_load", "\"num_reqs\":0").await;
}
