//! A mock router with the worker-list side of sglang-router.
//!
//! [`Router::bind`] opens the port, [`Router::serve`] lives until it is told to stop. One task (`registry`) owns the list
//! of workers and their load; it asks each worker's `/health` at an interval, so that a late worker is registered and a
//! dead one avoided. Requests are forwarded without buffering; a prefill/decode pair gets the same body.

mod handler;
mod registry;
mod upstream;

use std::{fmt, io, net::SocketAddr, str::FromStr};

use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::http;

/// A mock router. [`Default`] has no workers and listens on 127.0.0.1:30000; workers may be added while it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterConfig {
    /// Host to listen on (127.0.0.1).
    pub host: String,
    /// HTTP port (30000); 0 takes any free port.
    pub port: u16,
    /// Aggregated workers.
    pub worker_urls: Vec<WorkerUrl>,
    /// Prefill workers. With one of these, or with a decode worker, each request goes to a pair.
    pub prefill: Vec<PrefillWorker>,
    /// Decode workers.
    pub decode_urls: Vec<WorkerUrl>,
    /// How a worker is chosen (round robin).
    pub policy: Policy,
    /// Seconds between two health checks of a worker (0.5; the real one's 60 would hide what a test wants to see).
    pub health_interval_s: f64,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 30_000,
            worker_urls: Vec::new(),
            prefill: Vec::new(),
            decode_urls: Vec::new(),
            policy: Policy::RoundRobin,
            health_interval_s: 0.5,
        }
    }
}

/// A prefill worker, and the port where decode workers ask it for KV caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefillWorker {
    /// Where it serves.
    pub url: WorkerUrl,
    /// Its bootstrap port; `None` leaves the engine's default.
    pub bootstrap_port: Option<u16>,
}

/// How a worker is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastLoad,
}

/// A text that names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no policy: expected `round_robin` or `least_load`")]
pub struct UnknownPolicy(String);

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        match text {
            "round_robin" => Ok(Self::RoundRobin),
            "least_load" => Ok(Self::LeastLoad),
            _ => Err(UnknownPolicy(text.to_owned())),
        }
    }
}

/// `http://HOST:PORT`, where a worker serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkerUrl {
    host: String,
    port: u16,
}

/// A text that is no address of a worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no worker URL: expected `http://HOST:PORT`")]
pub struct InvalidWorkerUrl(String);

impl WorkerUrl {
    /// Host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for WorkerUrl {
    type Err = InvalidWorkerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidWorkerUrl> {
        let invalid = || InvalidWorkerUrl(text.to_owned());
        let authority = text.strip_prefix("http://").ok_or_else(invalid)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = authority.rsplit_once(':').ok_or_else(invalid)?;
        let host = match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
            Some(_) => return Err(invalid()),
            None => host,
        };
        let named = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if host.is_empty() || !(host.contains(':') || host.chars().all(named)) {
            return Err(invalid());
        }
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(invalid)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for WorkerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "http://[{host}]:{port}")
        } else {
            write!(f, "http://{host}:{port}")
        }
    }
}

/// Why a router could not run.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// Requests go either to aggregated workers or to pairs.
    #[error("a router has either `worker_urls`, or `prefill` and `decode_urls`, not both")]
    MixedModes,
    /// The interval must be a time.
    #[error("`health_interval_s` must be a number above 0: {0}")]
    HealthInterval(f64),
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
}

/// A router whose port is open and which does not serve yet.
#[derive(Debug)]
pub struct Router {
    config: RouterConfig,
    listener: TcpListener,
    address: SocketAddr,
}

impl Router {
    /// Checks the configuration and opens the port.
    pub async fn bind(config: RouterConfig) -> Result<Self, RouterError> {
        let has_pairs = !config.prefill.is_empty() || !config.decode_urls.is_empty();
        if has_pairs && !config.worker_urls.is_empty() {
            return Err(RouterError::MixedModes);
        }
        if !(config.health_interval_s.is_finite() && config.health_interval_s > 0.0) {
            return Err(RouterError::HealthInterval(config.health_interval_s));
        }
        let failed = |source| RouterError::Listen { host: config.host.clone(), port: config.port, source };
        let listener = TcpListener::bind((config.host.as_str(), config.port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { config, listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` fires; all connections are closed on return.
    pub async fn serve(self, shutdown: CancellationToken) {
        let Self { config, listener, address: _ } = self;
        // Unbounded because a finished request must report itself without waiting; it holds a few entries per open request.
        let (commands, inbox) = mpsc::unbounded_channel();
        let registry = registry::Registry::new(&config, commands.clone());
        let handler = handler::Handler::new(&config, commands);
        tokio::select! {
            () = shutdown.cancelled() => {}
            never = registry.run(inbox) => match never {},
            never = http::serve(listener, move |request| handler.clone().handle(request)) => match never {},
        }
    }
}

/// [`Router::bind`], then [`Router::serve`].
pub async fn run(config: RouterConfig, shutdown: CancellationToken) -> Result<(), RouterError> {
    Router::bind(config).await?.serve(shutdown).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = match text.parse::<WorkerUrl>() {
            Ok(url) => format!("{} {} {url}", url.host(), url.port()),
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn worker_urls_are_checked() {
        check("http://127.0.1.2:30000", "127.0.1.2 30000 http://127.0.1.2:30000");
        check("http://node-1:30000/", "node-1 30000 http://node-1:30000");
        check("http://[::1]:80", "::1 80 http://[::1]:80");
        for wrong in [
            "127.0.0.1:1",
            "https://a:1",
            "http://a",
            "http://a:0",
            "http://a:99999",
            "http://a b:1",
            "http://[x]:1",
        ] {
            check(wrong, &format!("`{wrong}` is no worker URL: expected `http://HOST:PORT`"));
        }
    }
}
