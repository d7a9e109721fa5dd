//! One client connection: reads requests one after the other and hands each to the driver.

use std::{io, sync::Arc};

use serde_json::json;
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
};

use super::{driver::Request, now_ns};
use crate::engine::wire::{Api, GenerationRequest};

/// Longer heads and bodies are not requests that a load generator sends.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_BODY_BYTES: usize = 64 << 20;

/// Serves a connection to its end; how it ends is in the record of its last request.
pub(super) async fn serve(stream: TcpStream, requests: mpsc::UnboundedSender<Request>) {
    serve_requests(&Arc::new(stream), &requests).await.ok();
}

async fn serve_requests(
    stream: &Arc<TcpStream>,
    requests: &mpsc::UnboundedSender<Request>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::with_capacity(4096);
    loop {
        let head_length = loop {
            if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if received.len() > MAX_HEAD_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            read(stream, &mut received).await?;
        };
        let head_ns = now_ns();
        let head = Head::parse(&received[..head_length]).ok_or(io::ErrorKind::InvalidData)?;
        let length = head_length + head.content_length;
        while received.len() < length {
            read(stream, &mut received).await?;
        }
        let body_ns = now_ns();
        let answer = match head.api {
            None => Some(small_answer(&head.path)),
            Some(api) => match GenerationRequest::read(api, &received[head_length..length]) {
                Err(message) => Some(answer("400 Bad Request", &json!({ "message": message }).to_string())),
                Ok(wanted) => {
                    let (written, all_written) = oneshot::channel();
                    let request = Request {
                        socket: Arc::clone(stream),
                        wanted,
                        client_id: head.request_id,
                        head_ns,
                        body_ns,
                        written,
                    };
                    requests.send(request).map_err(|_| io::ErrorKind::BrokenPipe)?;
                    all_written.await.map_err(|_| io::ErrorKind::BrokenPipe)?;
                    None
                }
            },
        };
        if let Some(answer) = answer {
            write(stream, answer.as_bytes()).await?;
        }
        if head.closes {
            return Ok(());
        }
        received.drain(..length);
    }
}

async fn read(stream: &TcpStream, into: &mut Vec<u8>) -> io::Result<()> {
    loop {
        stream.readable().await?;
        match stream.try_read_buf(into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

struct Head {
    path: String,
    /// Set for a `POST` that asks for tokens.
    api: Option<Api>,
    content_length: usize,
    request_id: Option<String>,
    /// The client wants the connection to end with the answer.
    closes: bool,
}

impl Head {
    /// What matters of a request's head; `None` if it is none, or has a body whose length it does not say.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        let mut first = lines.next()?.split(' ');
        let (method, path) = (first.next()?, first.next()?.to_owned());
        let mut content_length = 0;
        let mut request_id = None;
        let mut closes = false;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                content_length = value.parse().ok().filter(|length| *length <= MAX_BODY_BYTES)?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return None;
            } else if name.eq_ignore_ascii_case("x-request-id") {
                request_id = Some(value.to_owned());
            } else if name.eq_ignore_ascii_case("connection") {
                closes = value.eq_ignore_ascii_case("close");
            }
        }
        let api =
            (method == "POST").then_some(if path.contains("/chat/") { Api::Chat } else { Api::Completions });
        Some(Self { path, api, content_length, request_id, closes })
    }
}

/// What clients ask before they send load.
fn small_answer(path: &str) -> String {
    let body = match path {
        "/v1/models" => {
            json!({ "object": "list", "data": [{ "id": "mock", "object": "model", "owned_by": "srt-mocker" }] })
        }
        _ => json!({}),
    };
    answer("200 OK", &body.to_string())
}

/// A complete JSON answer.
pub(super) fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}
