//! A server that writes tokens on a fixed schedule and records when it wrote each one.
//!
//! Ground truth for a load generator: what the client reports is compared with the record. So there is no scheduler and no
//! hyper here. One task (`driver`) owns all answers under way and writes them straight to their sockets, and the stamp of a
//! write is taken when the kernel has accepted it. A late write is therefore recorded as late, never as an error of the client.
//!
//! Stamps are `CLOCK_MONOTONIC`, which a client on the same machine shares.

mod connection;
mod driver;
mod record;

use std::{io, net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub use self::record::{RequestRecord, ScheduleRecord, read_record};

/// A timed server. [`Default`] is on 127.0.0.1:30000, with 50 ms to the first of 128 tokens and 10 ms between two.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedConfig {
    /// Host to listen on (127.0.0.1).
    pub host: String,
    /// HTTP port (30000); 0 takes any free port.
    pub port: u16,
    /// From a complete request to its first token (50 ms).
    pub ttft: Duration,
    /// Between two tokens (10 ms). With zero here and in `ttft` the answer leaves as fast as possible.
    pub itl: Duration,
    /// Length of an answer, unless the request has `max_tokens` (128).
    pub output_tokens: u32,
    /// Tokens in one write (1). Several leave when the last of them is due; more than the answer has make it one write.
    pub tokens_per_write: NonZeroU32,
    /// Where the record is written at the end, as JSON lines (nowhere).
    pub record: Option<PathBuf>,
}

impl Default for TimedConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 30_000,
            ttft: Duration::from_millis(50),
            itl: Duration::from_millis(10),
            output_tokens: 128,
            tokens_per_write: NonZeroU32::MIN,
            record: None,
        }
    }
}

/// Why a timed server could not run.
#[derive(Debug, thiserror::Error)]
pub enum TimedError {
    /// The port could not be opened.
    #[error("failed to listen on {host}:{port}")]
    Listen {
        /// Host to listen on.
        host: String,
        /// Port to listen on.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The record could not be written.
    #[error("failed to write the record `{path}`")]
    WriteRecord {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record could not be read.
    #[error("failed to read the record `{path}`")]
    ReadRecord {
        /// The file.
        path: PathBuf,
        /// What the system said, or what the file holds instead.
        source: io::Error,
    },
}

/// What a timed server did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedSummary {
    /// Answers begun.
    pub requests: u64,
    /// Answers written to their end.
    pub complete: u64,
    /// Writes of tokens.
    pub writes: u64,
    /// How long after its time the latest write was accepted.
    pub worst_lateness: Duration,
}

/// A timed server whose port is open and which does not serve yet.
#[derive(Debug)]
pub struct TimedServer {
    config: TimedConfig,
    listener: TcpListener,
    address: SocketAddr,
}

impl TimedServer {
    /// Opens the port.
    pub async fn bind(config: TimedConfig) -> Result<Self, TimedError> {
        let failed = |source| TimedError::Listen { host: config.host.clone(), port: config.port, source };
        let listener = TcpListener::bind((config.host.as_str(), config.port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { config, listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` fires, then writes the record. Wants a runtime of one thread, best on a core of its own.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<TimedSummary, TimedError> {
        let Self { config, listener, address: _ } = self;
        // Unbounded, but holds at most one request per open connection.
        let (requests, inbox) = mpsc::unbounded_channel();
        let mut driver = driver::Driver::new(&config);
        tokio::select! {
            () = shutdown.cancelled() => {}
            never = driver.run(inbox) => match never {},
            () = accept(listener, requests) => {}
        }
        driver.finish(&config)
    }
}

/// [`TimedServer::bind`], then [`TimedServer::serve`].
pub async fn run(config: TimedConfig, shutdown: CancellationToken) -> Result<TimedSummary, TimedError> {
    TimedServer::bind(config).await?.serve(shutdown).await
}

/// Pause after a failed `accept`, which is almost always a lack of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

async fn accept(listener: TcpListener, requests: mpsc::UnboundedSender<driver::Request>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection::serve(stream, requests.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("a monotonic clock starts at 0");
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).expect("a fraction of a second")
}
