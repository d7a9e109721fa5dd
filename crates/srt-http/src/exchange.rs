//! Whole request and answer on a connection of their own: [`get`] and [`post_json`].

use std::{error::Error, io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{Method, Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::target::{Target, TargetError};

/// Answers to probes are small; a larger one is not what was asked for.
const MAX_BODY_BYTES: usize = 64 << 20;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Bytes,
}

/// An exchange that brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The URL cannot be asked.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// No connection.
    #[error("failed to connect to {authority}: {source}")]
    Connect {
        /// Host and port.
        authority: String,
        /// Why.
        source: io::Error,
    },
    /// The connection broke, or the answer was no HTTP.
    #[error("failed to get an answer from {authority}{path}: {source}")]
    Exchange {
        /// Host and port.
        authority: String,
        /// Path.
        path: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The body is longer than any answer that is asked for here.
    #[error("the answer of {authority}{path} is longer than {MAX_BODY_BYTES} bytes")]
    TooLong {
        /// Host and port.
        authority: String,
        /// Path.
        path: String,
    },
    /// Time ran out.
    #[error("no answer from {authority}{path} within {timeout_s} s")]
    Timeout {
        /// Host and port.
        authority: String,
        /// Path.
        path: String,
        /// Seconds allowed.
        timeout_s: f64,
    },
}

/// Gets `url`. `timeout` covers name lookup, connection, and the whole answer.
pub async fn get(url: &str, timeout: Duration) -> Result<Response, RequestError> {
    request(Method::GET, url, None, timeout).await
}

/// Posts `json` to `url`. `timeout` covers name lookup, connection, and the whole answer.
pub async fn post_json(
    url: &str,
    json: impl Into<Bytes>,
    timeout: Duration,
) -> Result<Response, RequestError> {
    request(Method::POST, url, Some(json.into()), timeout).await
}

async fn request(
    method: Method,
    url: &str,
    json: Option<Bytes>,
    timeout: Duration,
) -> Result<Response, RequestError> {
    let target = Target::parse(url)?;
    match tokio::time::timeout(timeout, exchange(method, &target, json)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(RequestError::Timeout {
            authority: target.authority().to_owned(),
            path: target.path().to_owned(),
            timeout_s: timeout.as_secs_f64(),
        }),
    }
}

async fn exchange(method: Method, target: &Target, json: Option<Bytes>) -> Result<Response, RequestError> {
    let broken = |source: Box<dyn Error + Send + Sync>| RequestError::Exchange {
        authority: target.authority().to_owned(),
        path: target.path().to_owned(),
        source,
    };
    let stream = TcpStream::connect((target.host(), target.port()))
        .await
        .map_err(|source| RequestError::Connect { authority: target.authority().to_owned(), source })?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error.into()))?;

    let mut request = Request::builder()
        .method(method)
        .uri(target.path())
        .header(header::HOST, target.authority())
        .header(header::CONNECTION, "close");
    if json.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(Full::new(json.unwrap_or_default())).map_err(|error| broken(error.into()))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| broken(error.into()))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                RequestError::TooLong {
                    authority: target.authority().to_owned(),
                    path: target.path().to_owned(),
                }
            } else {
                broken(error)
            }
        })?;
        Ok(Response { status, body: body.to_bytes() })
    };
    // The connection must be driven while the exchange waits. Its own end, good or bad, shows in the exchange.
    tokio::pin!(exchange, connection);
    tokio::select! {
        biased;
        result = &mut exchange => result,
        _ended = &mut connection => exchange.await,
    }
}
