//! One HTTP connection at a time, with a timestamp per read, and a server-sent-events decoder.
//!
//! Two clients for two purposes. [`get`] and [`post_json`] are whole exchanges for probes and control requests;
//! they go through `hyper`. [`Connection`] with [`ResponseDecoder`] and [`SseDecoder`] is what a measurement
//! needs: the time of every read is taken before anything is parsed, nothing is buffered behind the caller's
//! back, and an idle stream costs no read buffer.

mod connection;
mod exchange;
mod response;
mod sse;
mod target;

pub use crate::{
    connection::Connection,
    exchange::{RequestError, Response, get, post_json},
    response::{BodyEvent, ResponseDecoder, ResponseError},
    sse::{SseDecoder, SseEvent},
    target::{Target, TargetError},
};
