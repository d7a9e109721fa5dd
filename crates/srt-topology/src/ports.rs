//! [`Ports`] of a process, and the allocator that hands them out.

use std::collections::HashMap;

use crate::names::NodeName;

/// Port of etcd's client API.
pub const ETCD_PORT: u16 = 2379;
/// Port of etcd's peer API.
pub const ETCD_PEER_PORT: u16 = 2380;
/// Port of NATS.
pub const NATS_PORT: u16 = 4222;
/// Port that clients use.
pub const PUBLIC_PORT: u16 = 8000;
/// Port of a frontend behind nginx.
pub const FRONTEND_PORT: u16 = 8180;
/// Rendezvous port of a multi-node SGLang worker, on its leader.
pub const DIST_INIT_PORT: u16 = 8300;
/// Port of the Mooncake master.
pub const MOONCAKE_PORT: u16 = 8700;
/// Port of the Mooncake metadata server.
pub const MOONCAKE_METADATA_PORT: u16 = 8701;
/// Port of the Mooncake metrics.
pub const MOONCAKE_METRICS_PORT: u16 = 8702;

const SYSTEM: u32 = 7500;
const HTTP: u32 = 6100;
const HTTP_STRIDE: u32 = 32;
const BOOTSTRAP: u32 = 7200;
const KV_EVENTS: u32 = 5200;
const NIXL: u32 = 5400;
const DP_RPC: u32 = 8400;
const NCCL: u32 = 17500;
const VLLM: u32 = 20000;
const VLLM_STRIDE: u32 = 50;
const KVBM: u32 = 5600;

/// The ports of one process. A port that a process does not listen on is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Dynamo's system server.
    pub system: u16,
    /// The engine's HTTP server.
    pub http: Option<u16>,
    /// KV transfer bootstrap of the worker's prefill leader; every process of the worker knows it.
    pub bootstrap: Option<u16>,
    /// KV event publisher; the first of a block where a process runs several data-parallel ranks.
    pub kv_events: u16,
    /// NIXL side channel; the first of a block shared by a data-parallel worker.
    pub nixl: u16,
    /// Data-parallel RPC of the worker, on its leader.
    pub dp_rpc: Option<u16>,
}

impl Ports {
    fn ordinal(&self) -> u32 {
        u32::from(self.system) - SYSTEM
    }

    /// SGLang's NCCL port.
    pub fn nccl(&self) -> Result<u16, PortError> {
        port("NCCL", NCCL + self.ordinal())
    }

    /// vLLM's base port; it counts upwards from there.
    pub fn vllm(&self) -> Result<u16, PortError> {
        port("VLLM_PORT", VLLM + VLLM_STRIDE * self.ordinal())
    }

    /// KVBM leader's publish and acknowledge ports, where both exist.
    pub fn kvbm(&self) -> Option<(u16, u16)> {
        let publish = KVBM + 2 * u32::from(self.kv_events).checked_sub(KV_EVENTS)?;
        let acknowledge = port("KVBM", publish + 1).ok()?;
        Some((acknowledge - 1, acknowledge))
    }
}

/// A port that there is no room for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the job has too many processes: the {kind} port would be {number}, but must stay below {end}")]
pub struct PortError {
    /// What the port is for.
    pub kind: &'static str,
    /// The number.
    pub number: u32,
    /// The first number that belongs to something else.
    pub end: u32,
}

fn port(kind: &'static str, number: u32) -> Result<u16, PortError> {
    port_below(kind, number, 1 << 16)
}

/// Kinds that count on each node must not grow into each other.
fn port_below(kind: &'static str, number: u32, end: u32) -> Result<u16, PortError> {
    let wrong = || PortError { kind, number, end };
    u16::try_from(number).ok().filter(|_| number < end).ok_or_else(wrong)
}

/// Hands out ports: some count over the whole job, some on each node.
#[derive(Debug, Default)]
pub(crate) struct PortAllocator {
    system: u32,
    kv_events: u32,
    nixl: u32,
    http: HashMap<NodeName, u32>,
    bootstrap: HashMap<NodeName, u32>,
    dp_rpc: HashMap<NodeName, u32>,
}

impl PortAllocator {
    pub(crate) fn system(&mut self) -> Result<u16, PortError> {
        port("system", SYSTEM + take(&mut self.system, 1))
    }

    pub(crate) fn kv_events(&mut self, block: u32) -> Result<u16, PortError> {
        port("KV event", KV_EVENTS + take(&mut self.kv_events, block))
    }

    pub(crate) fn nixl(&mut self, block: u32) -> Result<u16, PortError> {
        port("NIXL", NIXL + take(&mut self.nixl, block))
    }

    pub(crate) fn http(&mut self, node: &NodeName) -> Result<u16, PortError> {
        let number = HTTP + take(self.http.entry(node.clone()).or_default(), HTTP_STRIDE);
        port_below("HTTP", number, BOOTSTRAP)
    }

    pub(crate) fn bootstrap(&mut self, node: &NodeName) -> Result<u16, PortError> {
        let number = BOOTSTRAP + take(self.bootstrap.entry(node.clone()).or_default(), 1);
        port_below("bootstrap", number, SYSTEM)
    }

    pub(crate) fn dp_rpc(&mut self, node: &NodeName) -> Result<u16, PortError> {
        port("data-parallel RPC", DP_RPC + take(self.dp_rpc.entry(node.clone()).or_default(), 1))
    }
}

/// Advances a counter and returns what it was. Saturates: the port made of it is refused anyway.
fn take(counter: &mut u32, block: u32) -> u32 {
    let before = *counter;
    *counter = before.saturating_add(block).min(1 << 20);
    before
}
