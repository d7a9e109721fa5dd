//! [`lay_out_processes`]: endpoints to processes with ports.

use crate::{
    allocate::{Endpoint, WorkerId},
    gpus::GpuSet,
    names::{NodeName, Role},
    ports::{PortAllocator, PortError, Ports},
};

/// One process of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Role of the worker.
    pub role: Role,
    /// Index of the worker within its role.
    pub index: u32,
    /// Rank within the worker: of the node, or the first data-parallel rank of the process.
    pub rank: u32,
    /// The node it runs on.
    pub node: NodeName,
    /// Its GPUs.
    pub gpus: GpuSet,
    /// Its ports.
    pub ports: Ports,
    /// Component of a heterogeneous job.
    pub het_group: Option<u32>,
}

impl Process {
    /// Whether routers and clients talk to this process of the worker.
    pub fn is_leader(&self) -> bool {
        self.rank == 0
    }

    /// The worker it belongs to.
    pub fn worker(&self) -> WorkerId {
        WorkerId { role: self.role, index: self.index }
    }
}

/// How the workers of a role are split into processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One process per node.
    PerNode,
    /// One process per node, each running several data-parallel ranks.
    DataParallelPerNode(DataParallel),
    /// One process per GPU, each a data-parallel rank.
    DataParallelPerGpu {
        /// Data-parallel size; `None` is the number of GPUs.
        size: Option<u32>,
    },
}

/// Sizes of a data-parallel worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataParallel {
    /// Replicas; 0 is as many as fit.
    pub size: u32,
    /// Tensor-parallel GPUs of a replica.
    pub tensor: u32,
    /// Pipeline stages of a replica.
    pub pipeline: u32,
}

/// Why a worker cannot be split into processes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Sizes and GPUs do not match.
    #[error(
        "{worker}: data-parallel-size={}, tensor-parallel-size={}, and pipeline-parallel-size={} require {needed} GPUs, but the worker has {gpus}",
        sizes.size, sizes.tensor, sizes.pipeline
    )]
    GpuMismatch {
        /// The worker.
        worker: WorkerId,
        /// Its sizes.
        sizes: DataParallel,
        /// GPUs they need.
        needed: u64,
        /// GPUs the worker has.
        gpus: usize,
    },
    /// A replica does not divide a node.
    #[error("{worker}: a replica of {replica} GPUs does not divide the {gpus} GPUs the worker has on a node")]
    PartialReplica {
        /// The worker.
        worker: WorkerId,
        /// GPUs of a replica.
        replica: u64,
        /// GPUs of the worker on a node.
        gpus: usize,
    },
    /// A replica of several nodes does not fill them.
    #[error(
        "{worker}: a replica of {replica} GPUs does not divide evenly across nodes with {gpus} GPUs each"
    )]
    UnevenReplica {
        /// The worker.
        worker: WorkerId,
        /// GPUs of a replica.
        replica: u64,
        /// GPUs of the worker on a node.
        gpus: usize,
    },
    /// Ports are used up.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Splits workers into processes, in the order of the workers and of their nodes, and gives each its ports.
pub fn lay_out_processes(
    endpoints: &[Endpoint],
    layout: impl Fn(Role) -> Layout,
) -> Result<Vec<Process>, LayoutError> {
    let mut ports = PortAllocator::default();
    let mut processes = Vec::new();
    for endpoint in endpoints {
        match layout(endpoint.role) {
            Layout::PerNode => per_node(endpoint, &mut ports, &mut processes)?,
            Layout::DataParallelPerNode(sizes) => match local_replicas(endpoint, sizes)? {
                Some((size, local)) => {
                    data_parallel_per_node(endpoint, size, local, &mut ports, &mut processes)?;
                }
                None => per_node(endpoint, &mut ports, &mut processes)?,
            },
            Layout::DataParallelPerGpu { size } => {
                data_parallel_per_gpu(endpoint, size, &mut ports, &mut processes)?;
            }
        }
    }
    Ok(processes)
}

fn per_node(
    endpoint: &Endpoint,
    ports: &mut PortAllocator,
    processes: &mut Vec<Process>,
) -> Result<(), LayoutError> {
    let leader = endpoint.leader();
    let bootstrap = if endpoint.role == Role::Prefill { Some(ports.bootstrap(leader)?) } else { None };
    for (node, rank) in endpoint.nodes.iter().zip(0..) {
        let http = if rank == 0 { Some(ports.http(node)?) } else { None };
        let ports = Ports {
            system: ports.system()?,
            http,
            bootstrap,
            kv_events: ports.kv_events(1)?,
            nixl: ports.nixl(1)?,
            dp_rpc: None,
        };
        processes.push(process(endpoint, rank, node, endpoint.gpus.clone(), ports));
    }
    Ok(())
}

/// Data-parallel size, and replicas on one node; `None` where one replica spans nodes.
fn local_replicas(endpoint: &Endpoint, sizes: DataParallel) -> Result<Option<(u32, u32)>, LayoutError> {
    let worker = endpoint.id();
    let total = endpoint.total_gpus();
    let local = endpoint.gpus.len();
    let replica = u64::from(sizes.tensor.max(1)) * u64::from(sizes.pipeline.max(1));
    let size = if sizes.size == 0 { total as u64 / replica } else { u64::from(sizes.size) };
    if size.saturating_mul(replica) != total as u64 {
        let needed = size.saturating_mul(replica);
        return Err(LayoutError::GpuMismatch { worker, sizes, needed, gpus: total });
    }
    if replica > local as u64 {
        if local == 0 || !replica.is_multiple_of(local as u64) {
            return Err(LayoutError::UnevenReplica { worker, replica, gpus: local });
        }
        return Ok(None);
    }
    if !(local as u64).is_multiple_of(replica) {
        return Err(LayoutError::PartialReplica { worker, replica, gpus: local });
    }
    let narrow = |number: u64| u32::try_from(number).expect("not above the worker's GPUs, which are 32-bit");
    Ok(Some((narrow(size), narrow(local as u64 / replica))))
}

fn data_parallel_per_node(
    endpoint: &Endpoint,
    size: u32,
    local: u32,
    ports: &mut PortAllocator,
    processes: &mut Vec<Process>,
) -> Result<(), LayoutError> {
    let dp_rpc = Some(ports.dp_rpc(endpoint.leader())?);
    let nixl = ports.nixl(size)?;
    for (node, position) in endpoint.nodes.iter().zip(0..) {
        let bootstrap = if endpoint.role == Role::Prefill { Some(ports.bootstrap(node)?) } else { None };
        let ports = Ports {
            system: ports.system()?,
            http: Some(ports.http(node)?),
            bootstrap,
            kv_events: ports.kv_events(local)?,
            nixl,
            dp_rpc,
        };
        processes.push(process(endpoint, position * local, node, endpoint.gpus.clone(), ports));
    }
    Ok(())
}

fn data_parallel_per_gpu(
    endpoint: &Endpoint,
    size: Option<u32>,
    ports: &mut PortAllocator,
    processes: &mut Vec<Process>,
) -> Result<(), LayoutError> {
    let gpus = u32::try_from(endpoint.total_gpus()).unwrap_or(u32::MAX);
    let dp_rpc = Some(ports.dp_rpc(endpoint.leader())?);
    let nixl = ports.nixl(size.filter(|size| *size > 0).unwrap_or(gpus))?;
    let places =
        endpoint.nodes.iter().flat_map(|node| endpoint.gpus.indices().iter().map(move |gpu| (node, *gpu)));
    for ((node, gpu), rank) in places.zip(0..) {
        let leads = rank == 0;
        let http = if leads { Some(ports.http(node)?) } else { None };
        let prefill_leads = leads && endpoint.role == Role::Prefill;
        let bootstrap = if prefill_leads { Some(ports.bootstrap(node)?) } else { None };
        let ports =
            Ports { system: ports.system()?, http, bootstrap, kv_events: ports.kv_events(1)?, nixl, dp_rpc };
        processes.push(process(endpoint, rank, node, GpuSet::range(gpu, 1), ports));
    }
    Ok(())
}

fn process(endpoint: &Endpoint, rank: u32, node: &NodeName, gpus: GpuSet, ports: Ports) -> Process {
    Process {
        role: endpoint.role,
        index: endpoint.index,
        rank,
        node: node.clone(),
        gpus,
        ports,
        het_group: endpoint.het_group,
    }
}
