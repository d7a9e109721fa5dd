//! Servers in tasks, and a client that shows what they answer.

use std::{
    fmt::Write as _,
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use srt_mocker::{
    engine::{Engine, EngineConfig, EngineError, ExitReason},
    router::{Router, RouterConfig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Far longer than anything takes; a test that waits for what never comes fails after it.
const LIMIT: Duration = Duration::from_mins(1);

/// Fast, and otherwise as by default.
pub(crate) fn fast() -> EngineConfig {
    EngineConfig { port: 0, bootstrap_port: 0, speedup: 20.0, ..EngineConfig::default() }
}

/// An engine in a task of its own.
pub(crate) struct RunningEngine {
    pub(crate) address: SocketAddr,
    pub(crate) bootstrap_port: Option<u16>,
    pub(crate) shutdown: CancellationToken,
    log: mpsc::UnboundedReceiver<String>,
    task: JoinSet<Result<ExitReason, EngineError>>,
}

impl RunningEngine {
    pub(crate) async fn start(config: EngineConfig) -> Self {
        let engine = Engine::bind(config).await.expect("a free port");
        let (address, bootstrap_port) = (engine.address(), engine.bootstrap_port());
        let (lines, log) = mpsc::unbounded_channel();
        let shutdown = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(engine.serve(Lines { lines, rest: String::new() }, shutdown.clone()));
        Self { address, bootstrap_port, shutdown, log, task }
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn ready(config: EngineConfig) -> Self {
        let mut engine = Self::start(config).await;
        engine.log_line("Uvicorn running").await;
        engine
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for a line of the log that contains this text.
    pub(crate) async fn log_line(&mut self, text: &str) -> String {
        let find = async {
            while let Some(line) = self.log.recv().await {
                if line.contains(text) {
                    return line;
                }
            }
            panic!("the log ended without `{text}`");
        };
        timeout(LIMIT, find).await.expect("the line comes")
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> ExitReason {
        let ended = timeout(LIMIT, self.task.join_next()).await.expect("it ends");
        ended.expect("there is a task").expect("it does not panic").expect("it runs")
    }

    /// As a process that is killed: its connections break.
    pub(crate) async fn kill(&mut self) {
        self.task.shutdown().await;
    }
}

/// Sends each line to a channel.
struct Lines {
    lines: mpsc::UnboundedSender<String>,
    rest: String,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.push_str(std::str::from_utf8(bytes).map_err(io::Error::other)?);
        while let Some((line, rest)) = self.rest.split_once('\n') {
            // A test that reads no log has dropped its end.
            self.lines.send(line.to_owned()).ok();
            self.rest = rest.to_owned();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A router in a task of its own.
pub(crate) struct RunningRouter {
    pub(crate) address: SocketAddr,
    _task: JoinSet<()>,
}

impl RunningRouter {
    pub(crate) async fn start(config: RouterConfig) -> Self {
        let config = RouterConfig { port: 0, health_interval_s: 0.02, ..config };
        let router = Router::bind(config).await.expect("a free port");
        let address = router.address();
        let mut task = JoinSet::new();
        task.spawn(router.serve(CancellationToken::new()));
        Self { address, _task: task }
    }

    /// [`until`] of this router.
    pub(crate) async fn until(&self, path: &str, text: &str) -> Answer {
        until(self.address, path, text).await
    }
}

/// Asks until the answer contains this text; returns the answer.
pub(crate) async fn until(address: SocketAddr, path: &str, text: &str) -> Answer {
    let ask = async {
        loop {
            let answer = get(address, path).await;
            if answer.body.contains(text) {
                return answer;
            }
            // Something else must happen first, so others get the processor.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, ask).await.expect("the answer changes")
}

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: String,
    content_type: String,
    pub(crate) body: String,
    /// Whether the body ended as it should.
    pub(crate) complete: bool,
}

impl Answer {
    /// Everything that is the same in every run.
    pub(crate) fn show(&self) -> String {
        let mut text = format!("{} {}\n{}", self.status, self.content_type, self.body.trim_end());
        if !self.complete {
            text.push_str("\n(cut)");
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        without_number(&text, "\"created\":")
    }

    /// The texts of the chunks of a completion stream.
    pub(crate) fn tokens(&self) -> usize {
        self.body.lines().filter(|line| line.contains("\"text\":\" ")).count()
    }
}

/// Replaces the digits that follow a text.
pub(crate) fn without_number(text: &str, after: &str) -> String {
    let mut parts = text.split(after);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        write!(shown, "{after}N{}", part.trim_start_matches(|c: char| c.is_ascii_digit())).expect("a string");
    }
    shown
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, "").await
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    request(address, "POST", path, body).await
}

pub(crate) async fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let stream = send(address, method, path, body).await;
    timeout(LIMIT, receive(stream)).await.expect("the answer ends")
}

/// Sends a request; the answer is not read yet.
pub(crate) async fn send(address: SocketAddr, method: &str, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    stream
}

/// Reads an answer to its end, which may be a broken connection.
pub(crate) async fn receive(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A server that is killed may reset the connection; what came before counts.
    stream.read_to_end(&mut bytes).await.ok();
    let text = String::from_utf8(bytes).expect("answers are UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let status = head.split(' ').nth(1).unwrap_or("no answer").to_owned();
    let (body, complete) = if header("transfer-encoding").is_some() {
        dechunk(body)
    } else {
        let length = header("content-length").map_or(0, |length| length.parse().expect("a length"));
        (body.to_owned(), body.len() == length && !head.is_empty())
    };
    Answer { status, content_type: header("content-type").unwrap_or_default(), body, complete }
}

fn dechunk(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((length, chunk)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("the length of a chunk");
        if length == 0 {
            return (body, true);
        }
        let Some(text) = chunk.get(..length) else { break };
        body.push_str(text);
        rest = chunk[length..].trim_start_matches("\r\n");
    }
    (body, false)
}
