//! Roles, endpoints, processes, GPU sets, and ports: who sits where.
//!
//! Usable alone: it knows neither recipes nor Slurm. [`NodeRoles`] says what each node is for,
//! [`allocate_endpoints`] lays workers over the worker nodes, and [`lay_out_processes`] splits them into processes
//! with their ports.
//!
//! ```
//! use srt_topology::{AllocationRequest, NodePools, Workers, allocate_endpoints};
//!
//! let nodes = vec!["n1".parse().unwrap(), "n2".parse().unwrap()];
//! let request = AllocationRequest {
//!     gpus_per_node: 8,
//!     prefill: Workers { count: 2, gpus_each: 4 },
//!     decode: Workers { count: 1, gpus_each: 8 },
//!     agg: Workers::NONE,
//!     pools: NodePools::Shared { nodes, spread_workers: false, colocate: false },
//! };
//! let endpoints = allocate_endpoints(&request).unwrap();
//! assert_eq!(endpoints[1].to_string(), "prefill 1: n1[4-7]");
//! assert_eq!(endpoints[2].to_string(), "decode 0: n2[0-7]");
//! ```

mod allocate;
mod gpus;
mod names;
mod ports;
mod processes;
mod roles;

pub use crate::{
    allocate::{
        AllocationError, AllocationRequest, Endpoint, NodePools, WorkerId, Workers, allocate_endpoints,
    },
    gpus::GpuSet,
    names::{InvalidNodeName, NodeName, Role},
    ports::{
        DIST_INIT_PORT, ETCD_PEER_PORT, ETCD_PORT, FRONTEND_PORT, MOONCAKE_METADATA_PORT,
        MOONCAKE_METRICS_PORT, MOONCAKE_PORT, NATS_PORT, PUBLIC_PORT, PortError, Ports,
    },
    processes::{DataParallel, Layout, LayoutError, Process, lay_out_processes},
    roles::{DedicatedNodes, HetPools, NodeRoles, RolesError},
};
