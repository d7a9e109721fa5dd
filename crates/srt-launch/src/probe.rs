//! When something counts as ready.

/// One condition that can be asked for over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A TCP connection succeeds.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// `GET` answers with status 200.
    Http {
        /// The whole URL.
        url: String,
    },
    /// The frontend knows its workers and serves the model.
    Frontend(Readiness),
}

/// A condition, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The condition.
    pub probe: Probe,
    /// What is waited for, for people: `etcd`, `prefill worker 0`.
    pub what: String,
    /// Seconds between attempts.
    pub interval_s: u32,
    /// Seconds until the wait is given up.
    pub timeout_s: u32,
}

/// What a frontend must report before the benchmark may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whose answers are read.
    pub protocol: FrontendProtocol,
    /// Host name or address of the public endpoint.
    pub host: String,
    /// Port of the public endpoint.
    pub port: u16,
    /// Prefill registrations expected.
    pub prefill: u32,
    /// Decode (or aggregated) registrations expected.
    pub decode: u32,
    /// Name under which the model must be listed; `None` accepts any.
    pub model: Option<String>,
}

/// The protocol in which a frontend reports its workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontendProtocol {
    /// `GET /health` with `instances`.
    Dynamo,
    /// `GET /workers` with `workers` and `stats`; also the mock router's.
    SglangRouter,
    /// `GET /health` with status 200.
    TrtllmServe,
    /// `GET /health` with status 200 and a listed model.
    Vllm,
}
