use std::{num::NonZeroU32, time::Duration};

use expect_test::expect;
use srt_mocker::timed::{RequestRecord, TimedConfig, TimedServer, TimedSummary, read_record};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::harness::{Answer, post, send};

/// Sends these requests one after the other; returns the answers, what the server says, and its record.
async fn serve(config: TimedConfig, bodies: &[&str]) -> (Vec<Answer>, TimedSummary, Vec<RequestRecord>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("record.jsonl");
    let config = TimedConfig { port: 0, record: Some(path.clone()), ..config };
    let server = TimedServer::bind(config).await.expect("a free port");
    let address = server.address();
    let shutdown = CancellationToken::new();
    let mut task = JoinSet::new();
    task.spawn(server.serve(shutdown.clone()));
    let mut answers = Vec::new();
    for body in bodies {
        answers.push(post(address, "/v1/completions", body).await);
    }
    // A client that goes away without reading.
    drop(send(address, "POST", "/v1/completions", "{\"pro").await);
    shutdown.cancel();
    let summary = task.join_next().await.expect("a task").expect("no panic").expect("a record");
    let (schedule, records) = read_record(&path).expect("a record");
    assert!(schedule.started_ns > 0 && schedule.started_unix_ns > 0);
    (answers, summary, records)
}

const STREAM: &str =
    r#"{"prompt": [1, 2, 3], "max_tokens": 3, "stream": true, "stream_options": {"include_usage": true}}"#;

#[tokio::test]
async fn every_token_is_written_at_its_time_or_later() {
    let (ttft, itl) = (Duration::from_millis(20), Duration::from_millis(5));
    let config = TimedConfig { ttft, itl, ..TimedConfig::default() };
    let (answers, summary, records) = serve(config, &[STREAM, STREAM]).await;
    expect![[r#"
        200 text/event-stream
        data: {"id":"timed","object":"text_completion","model":"mock","choices":[{"index":0,"text":" w","finish_reason":null}]}

        data: {"id":"timed","object":"text_completion","model":"mock","choices":[{"index":0,"text":" w","finish_reason":null}]}

        data: {"id":"timed","object":"text_completion","model":"mock","choices":[{"index":0,"text":" w","finish_reason":"length"}]}

        data: {"id":"timed","model":"mock","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}}

        data: [DONE]
    "#]]
    .assert_eq(&answers[0].show());
    assert_eq!((summary.requests, summary.complete, summary.writes), (2, 2, 6));
    for record in records {
        assert_eq!((record.writes_ns.len(), record.output_tokens, record.complete), (3, 3, true));
        let body_ns = record.body_ns - record.head_ns;
        for (token, write_ns) in (0..).zip(&record.writes_ns) {
            let due = ttft + itl * token;
            assert!(Duration::from_nanos(*write_ns - body_ns) >= due, "token {token} at {write_ns} ns");
        }
        assert!(record.writes_ns.is_sorted());
    }
}

#[tokio::test]
async fn tokens_may_share_a_write() {
    let config = TimedConfig {
        ttft: Duration::ZERO,
        itl: Duration::ZERO,
        tokens_per_write: NonZeroU32::new(2).expect("two"),
        output_tokens: 5,
        ..TimedConfig::default()
    };
    let whole = r#"{"prompt": "a"}"#;
    let (answers, summary, _) =
        serve(config, &[STREAM, r#"{"prompt": "a", "stream": true}"#, whole, "{}"]).await;
    assert_eq!(answers.iter().map(Answer::tokens).collect::<Vec<_>>(), [3, 5, 1, 0]);
    assert_eq!((summary.requests, summary.complete, summary.writes), (3, 3, 2 + 3 + 1));
    expect![[r#"
        200 application/json
        {"id":"timed","model":"mock","choices":[{"index":0,"text":" w w w w w","finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":5,"total_tokens":6}}
    "#]]
    .assert_eq(&answers[2].show());
    expect![[r#"
        400 application/json
        {"message":"`prompt` is missing"}
    "#]]
    .assert_eq(&answers[3].show());
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_a_cut_answer_is_recorded() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("record.jsonl");
    let config =
        TimedConfig { port: 0, ttft: Duration::ZERO, record: Some(path.clone()), ..TimedConfig::default() };
    let server = TimedServer::bind(config).await.expect("a free port");
    let address = server.address();
    let shutdown = CancellationToken::new();
    let mut task = JoinSet::new();
    task.spawn(server.serve(shutdown.clone()));
    // Two requests in a row, then one whose answer nobody waits for.
    let request = |body: &str| {
        format!(
            "POST /v1/completions HTTP/1.1\r\nx-request-id: r\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let one = r#"{"prompt": "a", "max_tokens": 1}"#;
    let endless = r#"{"prompt": "a", "max_tokens": 100000000, "stream": true}"#;
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let all = "GET /health HTTP/1.1\r\n\r\n".to_owned() + &request(one) + &request(one) + &request(endless);
    stream.write_all(all.as_bytes()).await.expect("the server reads");
    let mut received = String::new();
    while received.matches("HTTP/1.1 200 OK").count() < 4 {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.expect("the server writes");
        assert!(length > 0, "{received}");
        received.push_str(std::str::from_utf8(&buffer[..length]).expect("text"));
    }
    shutdown.cancel();
    task.join_next().await.expect("a task").expect("no panic").expect("a record");
    let (_, records) = read_record(&path).expect("a record");
    let shown: Vec<_> = records.iter().map(|it| (it.request_id.as_deref(), it.complete)).collect();
    assert_eq!(shown, [(Some("r"), true), (Some("r"), true), (Some("r"), false)]);
    assert!(!records[2].writes_ns.is_empty());
}

#[tokio::test]
async fn a_missing_record_is_named() {
    let error = read_record("/nonexistent/record".as_ref()).expect_err("it is not there");
    assert_eq!(error.to_string(), "failed to read the record `/nonexistent/record`");
}
