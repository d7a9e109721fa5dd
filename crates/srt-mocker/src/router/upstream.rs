//! One request to a worker, on a connection of its own.
//!
//! The connection is driven by whoever reads the answer: no task outlives the request, and a client that goes away
//! closes the connection to the worker too.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::WorkerUrl;
use crate::http::BoxError;

/// Why a worker gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    /// Nobody listens there.
    #[error("failed to connect to `{url}`: {source}")]
    Connect { url: WorkerUrl, source: io::Error },
    /// The connection broke before there was an answer.
    #[error("no answer from `{url}`: {source}")]
    Exchange { url: WorkerUrl, source: hyper::Error },
}

type Driver = Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>;

/// An open connection to a worker.
pub(super) struct Connection {
    url: WorkerUrl,
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
}

impl Connection {
    pub(super) async fn open(url: &WorkerUrl) -> Result<Self, UpstreamError> {
        let stream = TcpStream::connect((url.host(), url.port()))
            .await
            .map_err(|source| UpstreamError::Connect { url: url.clone(), source })?;
        // A request that waits for its acknowledgement would show as a wrong time to first token.
        stream.set_nodelay(true).ok();
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| UpstreamError::Exchange { url: url.clone(), source })?;
        Ok(Self { url: url.clone(), sender, driver: Box::pin(driver) })
    }

    /// Sends the request and waits for the head of the answer.
    pub(super) async fn send(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let Self { url, mut sender, driver } = self;
        let mut driver = Some(driver);
        let response = {
            let mut response = pin!(sender.send_request(request));
            loop {
                tokio::select! {
                    biased;
                    response = &mut response => break response,
                    // After this the answer is there, or never will be.
                    _ = drive(&mut driver), if driver.is_some() => driver = None,
                }
            }
        };
        let response = response.map_err(|source| UpstreamError::Exchange { url, source })?;
        Ok(response.map(|body| UpstreamBody { body, driver }))
    }
}

async fn drive(driver: &mut Option<Driver>) -> hyper::Result<()> {
    match driver {
        Some(driver) => driver.as_mut().await,
        None => Ok(()),
    }
}

/// The rest of an answer.
pub(super) struct UpstreamBody {
    body: Incoming,
    driver: Option<Driver>,
}

impl HttpBody for UpstreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(driver) = &mut this.driver
            && driver.as_mut().poll(ctx).is_ready()
        {
            this.driver = None;
        }
        Pin::new(&mut this.body).poll_frame(ctx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
