//! Waiting against real sockets on loopback.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes expectations this way")]

use expect_test::expect;
use srt_health::{WaitError, wait};
use srt_launch::{FrontendProtocol, Probe, Readiness, Wait};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

const ONE_OF_TWO: &str = r#"{"workers":[{"worker_type":"regular","is_healthy":true}]}"#;
const TWO_OF_TWO: &str = r#"{"workers":[{"worker_type":"regular","is_healthy":true},{"worker_type":"regular","is_healthy":true}]}"#;

/// Serves one answer per connection, in order, the last one for ever.
async fn serve(tasks: &mut JoinSet<()>, answers: Vec<&'static str>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        let mut answers = answers.into_iter().peekable();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let body = *answers.peek().unwrap();
            if answers.len() > 1 {
                answers.next();
            }
            let mut request = [0; 1024];
            let _read = stream.read(&mut request).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _written = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

fn router(port: u16, timeout_s: u32) -> Wait {
    let readiness = Readiness {
        protocol: FrontendProtocol::SglangRouter,
        host: "127.0.0.1".to_owned(),
        port,
        prefill: 0,
        decode: 2,
        model: None,
    };
    Wait { probe: Probe::Frontend(readiness), what: "the model".to_owned(), interval_s: 1, timeout_s }
}

#[tokio::test]
async fn every_change_is_reported_until_ready() {
    let mut tasks = JoinSet::new();
    let port = serve(&mut tasks, vec!["", ONE_OF_TWO, ONE_OF_TWO, TWO_OF_TWO]).await;
    let mut seen = Vec::new();
    let mut on_progress = |progress: &srt_health::Progress| seen.push(progress.to_string());
    wait(&router(port, 60), &mut on_progress, &CancellationToken::new()).await.unwrap();
    expect![[r#"
        decode 0/2, the answer of `/workers` cannot be read: EOF while parsing a value at line 1 column 0
        decode 1/2, waiting for workers to register
        decode 2/2"#]]
    .assert_eq(&seen.join("\n"));
}

#[tokio::test]
async fn the_end_of_the_time_names_what_was_missing() {
    let mut tasks = JoinSet::new();
    let port = serve(&mut tasks, vec![ONE_OF_TWO]).await;
    let error = wait(&router(port, 1), &mut |_| {}, &CancellationToken::new()).await.unwrap_err();
    expect!["the model was not ready after 1 s: decode 1/2, waiting for workers to register"]
        .assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_server_that_never_answers_does_not_hold_the_wait_past_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = wait(&router(port, 2), &mut |_| {}, &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, WaitError::TimedOut { timeout_s: 2, .. }), "{error}");
}

#[tokio::test]
async fn cancelling_ends_the_wait() {
    let mut tasks = JoinSet::new();
    let port = serve(&mut tasks, vec![ONE_OF_TWO]).await;
    let cancel = CancellationToken::new();
    let seen = cancel.clone();
    // The news that waiting is pointless comes while the wait is on.
    let outcome = wait(&router(port, 600), &mut move |_| seen.cancel(), &cancel).await;
    assert_eq!(outcome, Err(WaitError::Cancelled { what: "the model".to_owned() }));
}

#[tokio::test]
async fn a_tcp_probe_waits_for_the_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let probe = Probe::Tcp { host: "127.0.0.1".to_owned(), port };
    let etcd = Wait { probe, what: "etcd".to_owned(), interval_s: 1, timeout_s: 30 };
    wait(&etcd, &mut |_| {}, &CancellationToken::new()).await.unwrap();

    // Nothing listens any more; the next attempt after the first refusal finds it again.
    drop(listener);
    let mut again = None;
    let mut on_progress = |_: &srt_health::Progress| {
        again.get_or_insert_with(|| std::net::TcpListener::bind(("127.0.0.1", port)).unwrap());
    };
    wait(&etcd, &mut on_progress, &CancellationToken::new()).await.unwrap();
}

#[tokio::test]
async fn an_http_probe_wants_status_200() {
    let mut tasks = JoinSet::new();
    let port = serve(&mut tasks, vec!["ok"]).await;
    let probe = Probe::Http { url: format!("http://127.0.0.1:{port}/health") };
    let worker = Wait { probe, what: "prefill worker 0".to_owned(), interval_s: 1, timeout_s: 30 };
    wait(&worker, &mut |_| {}, &CancellationToken::new()).await.unwrap();
}
