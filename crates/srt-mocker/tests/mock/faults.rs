use std::time::{Duration, Instant};

use srt_mocker::{
    engine::{EngineConfig, ExitReason, LogFormat},
    fault::Fault,
};
use srt_topology::Role;

use crate::harness::{RunningEngine, fast, get, post, receive, send};

const ONE: &str = r#"{"prompt": "a", "max_tokens": 1, "stream": true}"#;

fn with(fault: &str) -> EngineConfig {
    EngineConfig { faults: vec![fault.parse().expect("a fault")], ..fast() }
}

#[tokio::test]
async fn crash_at_start() {
    let mut engine = RunningEngine::start(with("crash-at-start=3")).await;
    engine.log_line("Load weight begin").await;
    engine.log_line("the mock engine was asked to crash").await;
    assert_eq!(engine.ended().await, ExitReason::Crashed { code: 3 });
}

#[tokio::test]
async fn crash_after_requests() {
    let mut engine = RunningEngine::ready(with("crash-after-requests=1,7")).await;
    assert_eq!(post(engine.address, "/v1/completions", ONE).await.tokens(), 1);
    let second = post(engine.address, "/v1/completions", ONE).await;
    assert_eq!((second.tokens(), second.complete), (0, false));
    engine.log_line("Scheduler hit an exception").await;
    assert_eq!(engine.ended().await, ExitReason::Crashed { code: 7 });
}

#[tokio::test]
async fn never_ready() {
    let mut engine = RunningEngine::start(with("never-ready")).await;
    engine.log_line("Load weight begin").await;
    assert_eq!(get(engine.address, "/health").await.status, "503");
    assert_eq!(post(engine.address, "/v1/completions", ONE).await.status, "503");
    engine.shutdown.cancel();
    assert_eq!(engine.ended().await, ExitReason::Shutdown);
}

#[tokio::test]
async fn slow_start() {
    let started = Instant::now();
    let mut engine = RunningEngine::start(with("slow-start=0.3")).await;
    engine.log_line("ready to roll").await;
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(get(engine.address, "/health").await.status, "200");
}

#[tokio::test]
async fn hang_after_requests() {
    let mut engine = RunningEngine::ready(with("hang-after-requests=1")).await;
    assert_eq!(post(engine.address, "/v1/completions", ONE).await.tokens(), 1);
    let hanging = send(engine.address, "POST", "/v1/completions", ONE).await;
    assert_eq!(get(engine.address, "/health").await.status, "200");
    engine.shutdown.cancel();
    assert_eq!(engine.ended().await, ExitReason::Shutdown);
    let answer = receive(hanging).await;
    assert_eq!((answer.tokens(), answer.complete), (0, false));
}

#[tokio::test]
async fn ignore_sigterm() {
    let engine = RunningEngine::ready(with("ignore-sigterm")).await;
    engine.shutdown.cancel();
    assert_eq!(post(engine.address, "/v1/completions", ONE).await.tokens(), 1);
}

#[tokio::test]
async fn out_of_memory_at_start() {
    let mut engine = RunningEngine::start(with("oom-at-start")).await;
    engine.log_line("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate").await;
    assert_eq!(engine.ended().await, ExitReason::Crashed { code: 1 });
}

#[tokio::test]
async fn out_of_memory_after_requests() {
    let config = EngineConfig { log_format: LogFormat::Trtllm, ..with("oom-after-requests=0") };
    let mut engine = RunningEngine::ready(config).await;
    assert!(!post(engine.address, "/v1/completions", ONE).await.complete);
    engine.log_line("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate").await;
    assert_eq!(engine.ended().await, ExitReason::Crashed { code: 1 });
}

#[tokio::test]
async fn zero_tokens() {
    let engine = RunningEngine::ready(with("zero-tokens")).await;
    let body =
        r#"{"prompt": "a", "max_tokens": 5, "stream": true, "stream_options": {"include_usage": true}}"#;
    let answer = post(engine.address, "/v1/completions", body).await;
    assert_eq!((answer.status.as_str(), answer.tokens(), answer.complete), ("200", 0, true));
    assert!(answer.body.contains(r#""completion_tokens":0"#), "{}", answer.body);
}

/// A prefill and a decode engine, and what a decode engine answers when both got the same request.
async fn transfer(
    prefill_faults: Vec<Fault>,
    decode_faults: Vec<Fault>,
) -> (RunningEngine, RunningEngine, String) {
    let prefill = EngineConfig { role: Role::Prefill, faults: prefill_faults, ..fast() };
    let prefill = RunningEngine::ready(prefill).await;
    let decode = EngineConfig { role: Role::Decode, faults: decode_faults, ..fast() };
    let decode = RunningEngine::ready(decode).await;
    let body = format!(
        r#"{{"prompt": "a b", "max_tokens": 3, "bootstrap_host": "127.0.0.1", "bootstrap_port": {}, "bootstrap_room": 9}}"#,
        prefill.bootstrap_port.expect("a prefill engine")
    );
    let (_, answer) = tokio::join!(
        post(prefill.address, "/v1/completions", &body),
        post(decode.address, "/v1/completions", &body)
    );
    assert_eq!(answer.status, "200");
    (prefill, decode, answer.body)
}

#[tokio::test]
async fn kv_transfer_works_without_a_fault() {
    let (_, _, answer) = transfer(vec![], vec![]).await;
    assert!(answer.contains(r#""completion_tokens":3"#), "{answer}");
}

#[tokio::test]
async fn kv_transfer_fails_in_decode() {
    let (_, mut decode, answer) = transfer(vec![], vec![Fault::KvTransferFails]).await;
    assert!(
        answer.contains(r#""finish_reason":"abort""#) && answer.contains(r#""completion_tokens":0"#),
        "{answer}"
    );
    decode.log_line("KVTransferError(bootstrap_room=9): Failed to get kvcache from prefill instance").await;
}

#[tokio::test]
async fn kv_transfer_fails_in_prefill() {
    let (_, mut decode, answer) = transfer(vec![Fault::KvTransferFails], vec![]).await;
    assert!(
        answer.contains(r#""finish_reason":"abort""#) && answer.contains(r#""completion_tokens":0"#),
        "{answer}"
    );
    decode.log_line("KVTransferError(bootstrap_room=9): Failed to get kvcache from prefill instance").await;
}

#[tokio::test]
async fn kv_transfer_needs_two_roles() {
    let error =
        srt_mocker::engine::Engine::bind(with("kv-transfer-fails")).await.expect_err("it is aggregated");
    let reason = std::error::Error::source(&error).expect("it has a reason").to_string();
    assert_eq!(reason, "fault `kv-transfer-fails` needs the role prefill or decode, not agg");
}
