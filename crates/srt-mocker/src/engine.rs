//! A mock inference engine.
//!
//! [`Engine::bind`] opens the ports, [`Engine::serve`] lives until it is told to stop or a [`Fault`](crate::fault::Fault) ends it.
//! Inside, one task (`worker`) owns the simulated scheduler and the log; HTTP connections and KV links talk to it by messages.

mod bootstrap;
mod config;
mod handler;
mod log;
mod metrics;
pub(crate) mod prompt;
mod scheduler;
mod telemetry;
pub(crate) mod wire;
mod worker;

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

pub use self::config::{EngineConfig, InvalidEngineConfig, LogFormat, UnknownLogFormat};
use crate::http;

/// Why an engine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// It was told to stop.
    Shutdown,
    /// A fault ended it; the process exits with this code.
    Crashed {
        /// Exit code of the process.
        code: u8,
    },
}

/// Why an engine could not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The configuration contradicts itself.
    #[error("invalid engine configuration")]
    Config(#[from] InvalidEngineConfig),
    /// A port could not be opened.
    #[error("failed to listen on {host}:{port}")]
    Listen {
        /// Host to listen on.
        host: String,
        /// Port to listen on.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The log could not be written.
    #[error("failed to write the engine log")]
    Log(#[source] io::Error),
}

/// An engine whose ports are open and which does not serve yet.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    listener: TcpListener,
    address: SocketAddr,
    bootstrap: Option<TcpListener>,
}

impl Engine {
    /// Checks the configuration and opens the HTTP port and, for the prefill role, the bootstrap port.
    /// Port 0 takes any free port.
    pub async fn bind(mut config: EngineConfig) -> Result<Self, EngineError> {
        config.check()?;
        let (listener, address) = listen(&config.host, config.port).await?;
        config.port = address.port();
        let bootstrap = match config.role {
            srt_topology::Role::Prefill => {
                let (listener, address) = listen(&config.host, config.bootstrap_port).await?;
                config.bootstrap_port = address.port();
                Some(listener)
            }
            srt_topology::Role::Decode | srt_topology::Role::Agg => None,
        };
        Ok(Self { config, listener, address, bootstrap })
    }

    /// Where it listens for HTTP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where decode workers announce their rooms; `None` unless the role is prefill.
    pub fn bootstrap_port(&self) -> Option<u16> {
        self.bootstrap.is_some().then_some(self.config.bootstrap_port)
    }

    /// Serves until `shutdown` fires or a fault ends the engine; all connections are closed on return.
    pub async fn serve(
        self,
        log: impl Write + Send,
        shutdown: CancellationToken,
    ) -> Result<ExitReason, EngineError> {
        let Self { config, listener, bootstrap, address: _ } = self;
        // Unbounded because a dropped stream must report itself without waiting; it holds a few entries per open connection.
        let (commands, inbox) = mpsc::unbounded_channel();
        let (worker, phase) = worker::Worker::new(&config, log, commands.clone());
        let handler = handler::Handler::new(&config, commands.clone(), phase);
        tokio::select! {
            ended = worker.run(inbox, shutdown) => ended,
            never = http::serve(listener, move |request| handler.clone().handle(request)) => match never {},
            never = bootstrap::serve(bootstrap, commands) => match never {},
        }
    }
}

/// [`Engine::bind`], then [`Engine::serve`].
pub async fn run(
    config: EngineConfig,
    log: impl Write + Send,
    shutdown: CancellationToken,
) -> Result<ExitReason, EngineError> {
    Engine::bind(config).await?.serve(log, shutdown).await
}

async fn listen(host: &str, port: u16) -> Result<(TcpListener, SocketAddr), EngineError> {
    let failed = |source| EngineError::Listen { host: host.to_owned(), port, source };
    let listener = TcpListener::bind((host, port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
