//! Each thing a server can do wrong is counted under its own name, and spoils no other number.

use std::time::Duration;

use srt_loadgen::{FailureKind, Point};
use srtlog::Verdict;

use crate::{
    config, result_of, run,
    server::{Act, Server, answer, chunk, done, event, head, token, usage},
};

/// Every third measured request goes wrong as `fault` does; the others are good.
#[track_caller]
fn check(fault: impl Fn() -> Vec<Act> + Send + 'static, kind: FailureKind, says: &str) {
    // Request 0 is the one before the measurement.
    let server = Server::start(move |request| if request % 3 == 1 { fault() } else { answer(5) });
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&server.url, folder.path());
    config.request_timeout_s = if says.starts_with("not finished") { 0.5 } else { 20.0 };
    // On a kept connection this fault is no failure: the request goes over another one.
    config.reuse_http_connections = kind != FailureKind::ClosedBeforeResponse;
    let (outcome, _) = run(&config);
    let result = result_of(&outcome);
    assert_eq!(result["completed"], 8, "{}", result["srtctl"]["errors"]);
    assert_eq!(result["total_output_tokens"], 8 * 5);
    let errors = result["srtctl"]["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["kind"], kind.name());
    assert_eq!(errors[0]["count"], 4);
    let example = errors[0]["example"].as_str().unwrap();
    assert!(example.contains(says), "{example}");
    let of_requests: Vec<&str> =
        result["errors"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(of_requests.iter().filter(|it| it.starts_with(kind.name())).count(), 4, "{of_requests:?}");
    let Verdict::Invalid { reasons } = &outcome.verdict else { panic!("{:?}", outcome.verdict) };
    assert_eq!(reasons[0].code, "requests_failed");
    assert!(reasons[0].text.contains(&format!("4 of 12 requests failed (4 {})", kind.name())), "{reasons:?}");
}

#[test]
fn a_reset_in_the_middle_is_counted() {
    check(|| vec![head(), token(), Act::Reset], FailureKind::ConnectionReset, "reset");
}

#[test]
fn a_close_in_the_middle_is_counted() {
    check(|| vec![head(), token(), Act::Close], FailureKind::ClosedMidStream, "in the middle");
}

#[test]
fn a_close_before_the_answer_is_counted() {
    check(|| vec![Act::Close], FailureKind::ClosedBeforeResponse, "before any response");
}

#[test]
fn a_stall_in_the_middle_is_counted() {
    check(
        || vec![head(), token(), token(), Act::Stall],
        FailureKind::TimeoutMidStream,
        "not finished within 0.5 s, after 2 chunks",
    );
}

#[test]
fn a_stall_before_the_first_token_is_counted() {
    check(|| vec![head(), Act::Stall], FailureKind::TimeoutBeforeFirstToken, "not finished within 0.5 s");
}

#[test]
fn an_event_that_is_no_json_is_counted() {
    check(
        || {
            let mut acts = vec![head(), token(), event(r#"{"choices":[{"te"#)];
            acts.extend(done());
            acts
        },
        FailureKind::MalformedEvent,
        r#"{"choices":[{"te"#,
    );
}

#[test]
fn an_error_inside_a_good_answer_is_counted() {
    check(
        || {
            let mut acts = vec![
                head(),
                token(),
                event(r#"{"error":{"message":"Service temporarily unavailable","code":503}}"#),
            ];
            acts.extend(done());
            acts
        },
        FailureKind::ErrorEvent,
        "Service temporarily unavailable",
    );
}

#[test]
fn an_error_status_is_counted_with_its_body() {
    check(
        || {
            let body = r#"{"message":"Model not found"}"#;
            let head = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n", body.len());
            vec![Act::Send(head.into_bytes()), Act::Send(body.into())]
        },
        FailureKind::HttpStatus,
        r#"404 Not Found: {"message":"Model not found"}"#,
    );
}

#[test]
fn a_stream_without_tokens_is_counted() {
    check(
        || {
            let mut acts = vec![head(), usage(0)];
            acts.extend(done());
            acts
        },
        FailureKind::NoTokens,
        "without any chunk",
    );
}

#[test]
fn what_is_no_http_is_counted() {
    check(
        || vec![Act::Send(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Act::Close],
        FailureKind::MalformedHttp,
        "head",
    );
}

#[test]
fn a_refused_connection_ends_the_run_before_the_load() {
    let server = Server::start(|_| answer(5));
    let url = server.url.clone();
    drop(server);
    let folder = tempfile::tempdir().unwrap();
    let (outcome, _) = run(&config(&url, folder.path()));
    let Verdict::Failed { text, .. } = &outcome.verdict else { panic!("{:?}", outcome.verdict) };
    assert!(text.contains("the first request failed, so nothing was measured: connect_refused"), "{text}");
    assert!(outcome.points.is_empty());
}

#[test]
fn a_server_that_generates_nothing_is_never_valid() {
    let server = Server::start(|_| {
        let mut acts = vec![head(), event(r#"{"choices":[{"text":"","finish_reason":"stop"}]}"#), usage(0)];
        acts.extend(done());
        acts
    });
    let folder = tempfile::tempdir().unwrap();
    let (outcome, _) = run(&config(&server.url, folder.path()));
    let Verdict::Invalid { reasons } = &outcome.verdict else { panic!("{:?}", outcome.verdict) };
    let codes: Vec<&str> = reasons.iter().map(|reason| reason.code.as_str()).collect();
    assert_eq!(codes, ["no_output_tokens", "output_too_short"]);
}

/// What is no fault: the numbers must be right although the stream is unusual.
#[track_caller]
fn check_good(acts: impl Fn() -> Vec<Act> + Send + 'static, tokens: u32, chunks: u32) -> serde_json::Value {
    let server = Server::start(move |_| acts());
    let folder = tempfile::tempdir().unwrap();
    let (outcome, _) = run(&config(&server.url, folder.path()));
    let result = result_of(&outcome);
    assert_eq!(result["completed"], 12, "{}", result["srtctl"]["errors"]);
    assert_eq!(result["output_lens"][3], tokens);
    assert_eq!(result["srtctl_requests"]["chunks"][3], chunks);
    result
}

#[test]
fn a_character_split_over_chunks_and_reads_is_one_token() {
    let result = check_good(
        || {
            let data = "data: {\"choices\":[{\"text\":\"é\"}]}\n\n".as_bytes();
            let at = data.iter().position(|&byte| byte == 0xc3).unwrap() + 1;
            let mut acts = vec![head()];
            for _ in 0..5 {
                acts.extend([chunk(&data[..at]), Act::Pause(Duration::from_millis(2)), chunk(&data[at..])]);
            }
            acts.push(usage(5));
            acts.extend(done());
            acts
        },
        5,
        5,
    );
    assert_eq!(result["srtctl"]["verdict"], "valid");
}

#[test]
fn without_usage_chunks_with_text_are_counted_and_that_is_said() {
    let result = check_good(
        || {
            let mut acts = vec![head()];
            acts.extend(std::iter::repeat_n(token(), 5));
            acts.push(event(r#"{"choices":[{"text":"","finish_reason":"length"}]}"#));
            acts.extend(done());
            acts
        },
        5,
        6,
    );
    assert_eq!(result["srtctl"]["tokens"]["requests_without_usage"], 12);
    assert_eq!(result["srtctl"]["tokens"]["empty_chunks"], 12);
}

#[test]
fn several_tokens_in_a_chunk_are_told_apart_from_one() {
    let result = check_good(
        || {
            let pause = Act::Pause(Duration::from_millis(5));
            let mut acts = vec![head(), token(), pause, token(), usage(5)];
            acts.extend(done());
            acts
        },
        5,
        2,
    );
    let ours = &result["srtctl"];
    assert_eq!(ours["tokens"]["requests_of_one_token_per_chunk"], 0);
    let (chunk_ms, token_ms) =
        (ours["itl_chunk_ms"]["mean"].as_f64().unwrap(), ours["itl_token_ms"]["mean"].as_f64().unwrap());
    assert!((chunk_ms / token_ms - 2.5).abs() < 0.1, "{chunk_ms} {token_ms}");
}

#[test]
fn a_stream_that_ends_without_done_is_good_and_counted() {
    let result = check_good(
        || {
            let mut acts = vec![head()];
            acts.extend(std::iter::repeat_n(token(), 5));
            acts.extend([usage(5), Act::Send(b"0\r\n\r\n".to_vec())]);
            acts
        },
        5,
        5,
    );
    assert_eq!(result["srtctl"]["tokens"]["streams_without_done"], 12);
}

#[test]
fn a_server_that_closes_kept_connections_costs_no_request() {
    // Every answer promises to keep the connection, and the connection is closed all the same.
    let result = check_good(
        || {
            let mut acts = answer(5);
            acts.push(Act::Close);
            acts
        },
        5,
        5,
    );
    assert_eq!(result["srtctl"]["errors"], serde_json::json!([]));
}

#[test]
fn a_request_repeated_because_its_connection_had_been_closed_is_told() {
    // The connection is closed only when the next request is on its way, too late for the client to notice.
    let server =
        Server::start(|request| if request > 0 && request % 2 == 0 { vec![Act::Close] } else { answer(5) });
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&server.url, folder.path());
    config.points = vec![Point::of_concurrency(1, 6, 0)];
    let (outcome, _) = run(&config);
    let result = result_of(&outcome);
    assert_eq!(result["completed"], 6, "{}", result["srtctl"]["errors"]);
    assert_eq!(result["srtctl"]["retries"], 5);
}
