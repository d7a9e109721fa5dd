//! The HTTP/1.1 server that engine and router share: an accept loop, and replies.

use std::{convert::Infallible, error::Error, future::Future, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

/// Any error, as bodies report it.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The body of a reply: complete, or a stream.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Larger request bodies are refused; a prompt of a million token ids has 7 MB.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// Pause after a failed `accept`, which is almost always a lack of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Serves connections until dropped; then every open connection is closed.
pub(crate) async fn serve<H, F>(listener: TcpListener, handler: H) -> Infallible
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // A token that waits for its successor would show as a wrong inter-token latency.
                    stream.set_nodelay(true).ok();
                    let handler = handler.clone();
                    let service = service_fn(move |request| {
                        let response = handler(request);
                        async { Ok::<_, Infallible>(response.await) }
                    });
                    connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
                Err(_) => sleep(ACCEPT_RETRY).await,
            },
            // A connection that ends with an error is a client that went away, which is its right.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Reads a whole request body, or says which reply the client gets instead.
pub(crate) async fn read_body(body: Incoming) -> Result<Bytes, Box<Response<Body>>> {
    match Limited::new(body, MAX_REQUEST_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Box::new(text(StatusCode::PAYLOAD_TOO_LARGE, "request body over 64 MiB")))
        }
        Err(error) => Err(Box::new(text(StatusCode::BAD_REQUEST, format!("request body: {error}")))),
    }
}

/// A plain-text reply.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    full(status, "text/plain; charset=utf-8", text.into())
}

/// A JSON reply.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(value).expect("replies have string keys only");
    full(status, "application/json", bytes.into())
}

/// A complete reply.
pub(crate) fn full(status: StatusCode, content_type: &'static str, bytes: Bytes) -> Response<Body> {
    reply(
        status,
        HeaderValue::from_static(content_type),
        Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
    )
}

/// A reply with any body.
pub(crate) fn reply(status: StatusCode, content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
