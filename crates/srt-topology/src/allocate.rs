//! [`allocate_endpoints`]: workers over nodes.

use std::{collections::HashMap, fmt};

use crate::{
    gpus::GpuSet,
    names::{NodeName, Role},
};

/// What is to be placed, and where it may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllocationRequest {
    /// GPUs on every node.
    pub gpus_per_node: u32,
    /// Prefill workers.
    pub prefill: Workers,
    /// Decode workers.
    pub decode: Workers,
    /// Aggregated workers.
    pub agg: Workers,
    /// The nodes.
    pub pools: NodePools,
}

/// The workers of one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// How many.
    pub count: u32,
    /// GPUs of each, over all its nodes.
    pub gpus_each: u32,
}

impl Workers {
    /// No workers.
    pub const NONE: Self = Self { count: 0, gpus_each: 0 };
}

/// The nodes that workers may be placed on, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodePools {
    /// All roles share one list.
    Shared {
        /// The nodes.
        nodes: Vec<NodeName>,
        /// Start each worker that is smaller than a node on a node of its own.
        spread_workers: bool,
        /// Decode may start on the node on which prefill ended, although further nodes exist.
        colocate: bool,
    },
    /// Components of a heterogeneous job: prefill and decode are placed independently.
    Separate {
        /// Nodes of component 0.
        prefill: Vec<NodeName>,
        /// Nodes of component 1.
        decode: Vec<NodeName>,
    },
}

/// One worker: a set of nodes with the same GPUs on each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What it does.
    pub role: Role,
    /// Index within its role.
    pub index: u32,
    /// Its nodes; the first is the leader. Never empty.
    pub nodes: Vec<NodeName>,
    /// Its GPUs on each of its nodes.
    pub gpus: GpuSet,
    /// Component of a heterogeneous job.
    pub het_group: Option<u32>,
}

impl Endpoint {
    /// The node that other workers and routers talk to.
    pub fn leader(&self) -> &NodeName {
        &self.nodes[0]
    }

    /// GPUs over all nodes.
    pub fn total_gpus(&self) -> usize {
        self.nodes.len() * self.gpus.len()
    }

    /// The worker's name.
    pub fn id(&self) -> WorkerId {
        WorkerId { role: self.role, index: self.index }
    }
}

/// `prefill 1: n1[4-7]`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.id())?;
        self.nodes.iter().try_for_each(|node| write!(f, " {node}[{}]", self.gpus))
    }
}

/// A worker's name: `prefill 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId {
    /// Role.
    pub role: Role,
    /// Index within the role.
    pub index: u32,
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.index)
    }
}

/// Why workers cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllocationError {
    /// Nodes without GPUs.
    #[error("nodes have 0 GPUs each, so no worker can be placed")]
    NoGpusOnNodes,
    /// More GPUs on a node than any machine has.
    #[error("nodes have {gpus} GPUs each, which is more than {limit}: is `gpus_per_node` mistyped?")]
    TooManyGpusOnNodes {
        /// GPUs of a node.
        gpus: u32,
        /// The limit.
        limit: u32,
    },
    /// The nodes are used up.
    #[error(
        "{worker} needs {} {gpus_each} GPUs, but only {nodes_left} of {} left: asked for {asked}",
        if *nodes_needed == 1 { "one node with room for".to_owned() } else { format!("{nodes_needed} whole nodes for its") },
        if *nodes == 1 { "1 node is".to_owned() } else { format!("{nodes} nodes are") },
    )]
    NotEnoughNodes {
        /// The first worker that does not fit.
        worker: WorkerId,
        /// Its GPUs.
        gpus_each: u32,
        /// Nodes it needs.
        nodes_needed: usize,
        /// Nodes not yet used up when its turn came.
        nodes_left: usize,
        /// Nodes there are.
        nodes: usize,
        /// The whole request, for people.
        asked: String,
    },
    /// A worker of whole nodes would take GPUs of a worker that shares the node.
    #[error("{first} and {second} would share GPUs {gpus} of {node}: asked for {asked}")]
    Overlap {
        /// The node.
        node: NodeName,
        /// The GPUs.
        gpus: GpuSet,
        /// The worker placed first.
        first: WorkerId,
        /// The worker placed later.
        second: WorkerId,
        /// The whole request, for people.
        asked: String,
    },
    /// Aggregated workers in a job of two components.
    #[error(
        "a heterogeneous job has prefill and decode nodes only, but {count} aggregated workers are asked for"
    )]
    AggInSeparatePools {
        /// How many.
        count: u32,
    },
    /// More workers than any cluster holds.
    #[error("{asked} workers are more than the {limit} that one job may have")]
    TooManyWorkers {
        /// How many.
        asked: u64,
        /// The limit.
        limit: u64,
    },
}

/// Workers in one job. The largest clusters hold fewer; what asks for more is a typing error.
const MAX_WORKERS: u64 = 10_000;

/// A number no machine reaches, so that a mistyped one is refused rather than enumerated.
const MAX_GPUS_PER_NODE: u32 = 128;

/// Lays workers over nodes: all prefill workers, then decode, then aggregated.
///
/// A worker of at least a node's GPUs takes whole nodes, with all their GPUs; smaller ones are packed, never over
/// a node's end. Decode starts on a fresh node unless there is none left, so that prefill and decode share the
/// last node where the recipe gives decode no nodes of its own.
pub fn allocate_endpoints(request: &AllocationRequest) -> Result<Vec<Endpoint>, AllocationError> {
    if request.gpus_per_node == 0 {
        return Err(AllocationError::NoGpusOnNodes);
    }
    if request.gpus_per_node > MAX_GPUS_PER_NODE {
        let (gpus, limit) = (request.gpus_per_node, MAX_GPUS_PER_NODE);
        return Err(AllocationError::TooManyGpusOnNodes { gpus, limit });
    }
    let workers = [request.prefill, request.decode, request.agg];
    let asked = workers.iter().map(|workers| u64::from(workers.count)).sum();
    if asked > MAX_WORKERS {
        return Err(AllocationError::TooManyWorkers { asked, limit: MAX_WORKERS });
    }
    let endpoints = match &request.pools {
        NodePools::Shared { nodes, spread_workers, colocate } => {
            let mut cursor = Cursor::new(request, nodes, *spread_workers, None);
            cursor.place(Role::Prefill, request.prefill)?;
            if request.decode.count > 0 && !colocate {
                cursor.leave_started_node();
            }
            cursor.place(Role::Decode, request.decode)?;
            cursor.place(Role::Agg, request.agg)?;
            cursor.endpoints
        }
        NodePools::Separate { prefill, decode } => {
            if request.agg.count > 0 {
                return Err(AllocationError::AggInSeparatePools { count: request.agg.count });
            }
            let mut first = Cursor::new(request, prefill, false, Some(0));
            first.place(Role::Prefill, request.prefill)?;
            let mut second = Cursor::new(request, decode, false, Some(1));
            second.place(Role::Decode, request.decode)?;
            first.endpoints.append(&mut second.endpoints);
            first.endpoints
        }
    };
    refuse_overlaps(request, &endpoints)?;
    Ok(endpoints)
}

/// The next free GPU while workers are placed on one list of nodes.
struct Cursor<'a> {
    request: &'a AllocationRequest,
    nodes: &'a [NodeName],
    spread_workers: bool,
    het_group: Option<u32>,
    node: usize,
    gpu: u32,
    endpoints: Vec<Endpoint>,
}

impl<'a> Cursor<'a> {
    fn new(
        request: &'a AllocationRequest,
        nodes: &'a [NodeName],
        spread_workers: bool,
        het_group: Option<u32>,
    ) -> Self {
        Self { request, nodes, spread_workers, het_group, node: 0, gpu: 0, endpoints: Vec::new() }
    }

    fn place(&mut self, role: Role, workers: Workers) -> Result<(), AllocationError> {
        for index in 0..workers.count {
            let (nodes, gpus) = if workers.gpus_each >= self.request.gpus_per_node {
                self.whole_nodes(workers.gpus_each)
            } else {
                self.part_of_node(workers.gpus_each)
            };
            let Some(nodes) = self.nodes.get(nodes.clone()) else {
                return Err(AllocationError::NotEnoughNodes {
                    worker: WorkerId { role, index },
                    gpus_each: workers.gpus_each,
                    nodes_needed: nodes.len(),
                    nodes_left: self.nodes.len().saturating_sub(nodes.start),
                    nodes: self.nodes.len(),
                    asked: describe(self.request),
                });
            };
            let het_group = self.het_group;
            self.endpoints.push(Endpoint { role, index, nodes: nodes.to_vec(), gpus, het_group });
        }
        Ok(())
    }

    fn whole_nodes(&mut self, gpus: u32) -> (std::ops::Range<usize>, GpuSet) {
        let first = self.node;
        self.node += gpus.div_ceil(self.request.gpus_per_node) as usize;
        (first..self.node, GpuSet::range(0, self.request.gpus_per_node))
    }

    fn part_of_node(&mut self, gpus: u32) -> (std::ops::Range<usize>, GpuSet) {
        if self.gpu + gpus > self.request.gpus_per_node {
            self.node += 1;
            self.gpu = 0;
        }
        let (node, first) = (self.node, self.gpu);
        self.gpu += gpus;
        if self.spread_workers || self.gpu == self.request.gpus_per_node {
            self.node += 1;
            self.gpu = 0;
        }
        (node..node + 1, GpuSet::range(first, gpus))
    }

    fn leave_started_node(&mut self) {
        let another = self.node + 1 < self.nodes.len();
        if self.gpu > 0 && another {
            self.node += 1;
            self.gpu = 0;
        }
    }
}

/// A worker of whole nodes does not look at GPUs that a smaller one left on its first node, so two can meet there.
fn refuse_overlaps(request: &AllocationRequest, endpoints: &[Endpoint]) -> Result<(), AllocationError> {
    let mut placed: HashMap<&NodeName, Vec<&Endpoint>> = HashMap::new();
    for endpoint in endpoints {
        for node in &endpoint.nodes {
            let here = placed.entry(node).or_default();
            for earlier in here.iter() {
                let gpus = earlier.gpus.intersection(&endpoint.gpus);
                if !gpus.is_empty() {
                    return Err(AllocationError::Overlap {
                        node: node.clone(),
                        gpus,
                        first: earlier.id(),
                        second: endpoint.id(),
                        asked: describe(request),
                    });
                }
            }
            here.push(endpoint);
        }
    }
    Ok(())
}

/// `2 prefill workers of 4 GPUs and 1 decode worker of 8 GPUs on 2 nodes of 8 GPUs`.
fn describe(request: &AllocationRequest) -> String {
    let roles = [(Role::Prefill, request.prefill), (Role::Decode, request.decode), (Role::Agg, request.agg)];
    let workers: Vec<String> = roles
        .iter()
        .filter(|(_, workers)| workers.count > 0)
        .map(|(role, workers)| {
            let plural = if workers.count == 1 { "" } else { "s" };
            format!("{} {role} worker{plural} of {} GPUs", workers.count, workers.gpus_each)
        })
        .collect();
    let nodes = match &request.pools {
        NodePools::Shared { nodes, .. } => nodes.len().to_string(),
        NodePools::Separate { prefill, decode } => format!("{} + {}", prefill.len(), decode.len()),
    };
    let plural = if nodes == "1" { "" } else { "s" };
    format!("{} on {nodes} node{plural} of {} GPUs", workers.join(" and "), request.gpus_per_node)
}
