//! A server that does, for each request, what a script says.

use std::{
    net::SocketAddr,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// One thing the server does.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Sends these bytes, in a write of their own.
    Send(Vec<u8>),
    /// Waits.
    Pause(Duration),
    /// Closes the connection in order.
    Close,
    /// Resets the connection.
    Reset,
    /// Says nothing more and keeps the connection.
    Stall,
}

/// A request as the server got it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) connection: usize,
    pub(crate) head: String,
    pub(crate) body: serde_json::Value,
}

type Script = Box<dyn Fn(usize) -> Vec<Act> + Send>;

/// A server on a thread of its own; gone when dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    stop: CancellationToken,
    seen: mpsc::Receiver<Request>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server that answers request number `n` by `script(n)`.
    pub(crate) fn start(script: impl Fn(usize) -> Vec<Act> + Send + 'static) -> Self {
        let (report, reported) = mpsc::channel();
        let (tell, seen) = mpsc::channel();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = thread::spawn(move || serve(Box::new(script), &report, &tell, &stopped));
        let address = reported.recv().expect("the server starts");
        Self { url: format!("http://{address}"), stop, seen, thread: Some(thread) }
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.try_iter().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server does not panic");
        }
    }
}

fn serve(
    script: Script,
    report: &mpsc::Sender<SocketAddr>,
    seen: &mpsc::Sender<Request>,
    stop: &CancellationToken,
) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        report.send(listener.local_addr().unwrap()).unwrap();
        let script = std::rc::Rc::new(script);
        let number = std::rc::Rc::new(std::cell::Cell::new(0));
        let mut connections = JoinSet::new();
        let mut accepted = 0;
        loop {
            let stream = tokio::select! {
                () = stop.cancelled() => return,
                accept = listener.accept() => accept.unwrap().0,
            };
            stream.set_nodelay(true).unwrap();
            let (script, number, seen) = (script.clone(), number.clone(), seen.clone());
            let connection = accepted;
            accepted += 1;
            connections.spawn_local(async move {
                let mut stream = stream;
                while let Some((head, body)) = read_request(&mut stream).await {
                    let request = number.get();
                    number.set(request + 1);
                    let body = serde_json::from_slice(&body).unwrap_or_default();
                    // Nobody listens once the test has ended.
                    let _sent = seen.send(Request { connection, head, body });
                    if !act(&mut stream, script(request)).await {
                        return;
                    }
                }
            });
        }
    });
}

/// Returns whether the connection may carry another request.
async fn act(stream: &mut TcpStream, acts: Vec<Act>) -> bool {
    for act in acts {
        match act {
            Act::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return false;
                }
                // The next piece must not leave in the same segment.
                tokio::task::yield_now().await;
            }
            Act::Pause(time) => tokio::time::sleep(time).await,
            Act::Close => return false,
            Act::Reset => {
                stream.set_zero_linger().unwrap();
                return false;
            }
            Act::Stall => std::future::pending().await,
        }
    }
    true
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |length| length.parse::<usize>().unwrap());
        while bytes.len() < end + 4 + length {
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        return Some((head, bytes[end + 4..].to_vec()));
    }
}

/// The head of a streaming answer.
pub(crate) fn head() -> Act {
    Act::Send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
    )
}

/// Bytes of the body, as one chunk of the transfer encoding.
pub(crate) fn chunk(bytes: &[u8]) -> Act {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    Act::Send(framed)
}

/// An event with this data.
pub(crate) fn event(data: &str) -> Act {
    chunk(format!("data: {data}\n\n").as_bytes())
}

/// One token.
pub(crate) fn token() -> Act {
    event(r#"{"choices":[{"text":" a","index":0}],"usage":null}"#)
}

/// The server's counts.
pub(crate) fn usage(output: u32) -> Act {
    event(&format!(r#"{{"choices":[],"usage":{{"prompt_tokens":8,"completion_tokens":{output}}}}}"#))
}

/// `[DONE]` and the end of the body.
pub(crate) fn done() -> Vec<Act> {
    vec![event("[DONE]"), Act::Send(b"0\r\n\r\n".to_vec())]
}

/// A whole good answer.
pub(crate) fn answer(tokens: usize) -> Vec<Act> {
    let mut acts = vec![head()];
    acts.extend(std::iter::repeat_n(token(), tokens));
    acts.push(usage(u32::try_from(tokens).unwrap()));
    acts.extend(done());
    acts
}
