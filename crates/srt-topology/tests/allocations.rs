//! A table of allocations known from practice, and properties that hold for every request.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::HashSet, fmt::Write};

use proptest::prelude::*;
use srt_topology::{
    AllocationError, AllocationRequest, DataParallel, Endpoint, Layout, NodeName, NodePools, Process, Role,
    Workers, allocate_endpoints, lay_out_processes,
};

const TABLE: &str = include_str!("../../../fixtures/topology/allocations.txt");

fn nodes(prefix: &str, count: usize) -> Vec<NodeName> {
    (0..count).map(|number| format!("{prefix}{number}").parse().unwrap()).collect()
}

fn parse(head: &str) -> AllocationRequest {
    let words: Vec<&str> = head.split_whitespace().collect();
    let number = |at: usize| words[at].parse::<u32>().unwrap();
    let workers = |at: usize| Workers { count: number(at), gpus_each: number(at + 3) };
    AllocationRequest {
        gpus_per_node: number(6),
        prefill: workers(0),
        decode: workers(1),
        agg: workers(2),
        pools: NodePools::Shared {
            nodes: nodes("n", number(7) as usize),
            spread_workers: words[8] == "spread",
            colocate: words[9] == "colocate",
        },
    }
}

fn describe(request: &AllocationRequest) -> String {
    let endpoints = match allocate_endpoints(request) {
        Ok(endpoints) => endpoints,
        Err(AllocationError::NotEnoughNodes { .. }) => return "not enough nodes".to_owned(),
        Err(AllocationError::Overlap { .. }) => return "overlap".to_owned(),
        Err(other) => return other.to_string(),
    };
    let processes = lay_out_processes(&endpoints, |_| Layout::PerNode).unwrap();
    let workers: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    let ports: Vec<String> = processes.iter().map(ports).collect();
    format!("{} | {}", workers.join("; "), ports.join("; "))
}

fn ports(process: &Process) -> String {
    let ports = process.ports;
    let mut text = format!("{} {} {}", process.node, process.rank, ports.system);
    for port in [ports.http, ports.bootstrap, Some(ports.kv_events), Some(ports.nixl)] {
        match port {
            Some(port) => write!(text, " {port}").unwrap(),
            None => text.push_str(" -"),
        }
    }
    text
}

#[test]
fn workers_sit_where_the_table_has_them() {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    let mut checked = 0;
    for row in rows {
        let (head, expected) = row.split_once(" | ").unwrap();
        assert_eq!(describe(&parse(head)), expected, "{head}");
        checked += 1;
    }
    assert!(checked > 300, "the table has only {checked} rows");
}

/// The part of a request that says what to place.
fn workers() -> impl Strategy<Value = Workers> {
    (0_u32..5, 0_u32..20).prop_map(|(count, gpus_each)| Workers { count, gpus_each })
}

fn pools() -> impl Strategy<Value = NodePools> {
    let shared = (0_usize..9, any::<bool>(), any::<bool>()).prop_map(|(count, spread_workers, colocate)| {
        NodePools::Shared { nodes: nodes("n", count), spread_workers, colocate }
    });
    let separate = (0_usize..5, 0_usize..5).prop_map(|(first, second)| NodePools::Separate {
        prefill: nodes("p", first),
        decode: nodes("d", second),
    });
    prop_oneof![3 => shared, 1 => separate]
}

prop_compose! {
    fn requests()(
        gpus_per_node in prop_oneof![Just(1_u32), Just(2), Just(4), Just(8)],
        prefill in workers(),
        decode in workers(),
        agg in prop_oneof![4 => Just(Workers::NONE), 1 => workers()],
        pools in pools(),
    ) -> AllocationRequest {
        AllocationRequest { gpus_per_node, prefill, decode, agg, pools }
    }
}

/// How a data-parallel engine could split these workers.
fn layouts() -> impl Strategy<Value = Layout> {
    let sizes = (0_u32..9, 1_u32..5, 1_u32..3);
    prop_oneof![
        Just(Layout::PerNode),
        sizes.prop_map(|(size, tensor, pipeline)| {
            Layout::DataParallelPerNode(DataParallel { size, tensor, pipeline })
        }),
        (0_u32..9).prop_map(|size| Layout::DataParallelPerGpu { size: Some(size) }),
    ]
}

fn check_endpoints(request: &AllocationRequest, endpoints: &[Endpoint]) {
    let mut taken = HashSet::new();
    for endpoint in endpoints {
        for node in &endpoint.nodes {
            for gpu in endpoint.gpus.indices() {
                assert!(*gpu < request.gpus_per_node, "{endpoint} has a GPU that no node has");
                assert!(taken.insert((node, *gpu)), "{endpoint} has a GPU of another worker");
            }
        }
    }
    for (role, workers) in
        [(Role::Prefill, request.prefill), (Role::Decode, request.decode), (Role::Agg, request.agg)]
    {
        let of_role: Vec<_> = endpoints.iter().filter(|endpoint| endpoint.role == role).collect();
        assert_eq!(of_role.len(), workers.count as usize, "{role} workers are missing");
        for (endpoint, index) in of_role.into_iter().zip(0..) {
            assert_eq!(endpoint.index, index);
            assert!(endpoint.total_gpus() >= workers.gpus_each as usize, "{endpoint} is incomplete");
        }
    }
}

/// Ports that a process listens on, as ranges on its node.
fn listens(process: &Process, layout: Layout, gpus: usize) -> Vec<(u16, u16)> {
    let ports = process.ports;
    let ranks = match layout {
        Layout::DataParallelPerNode(sizes) if ports.dp_rpc.is_some() => {
            u16::try_from(gpus / (sizes.tensor * sizes.pipeline) as usize).unwrap()
        }
        _ => 1,
    };
    let mut ranges = vec![(ports.system, 1), (ports.kv_events, ranks)];
    ranges.extend(ports.http.map(|port| (port, 1)));
    if process.is_leader() {
        // The side channel's and the RPC's blocks belong to the worker, and count from its leader.
        ranges.push((ports.nixl, ranks));
        ranges.extend(ports.bootstrap.map(|port| (port, 1)));
        ranges.extend(ports.dp_rpc.map(|port| (port, 1)));
    }
    ranges
}

proptest! {
    #[test]
    fn no_gpu_is_given_twice_and_every_worker_is_complete(request in requests()) {
        if let Ok(endpoints) = allocate_endpoints(&request) {
            check_endpoints(&request, &endpoints);
        }
    }

    #[test]
    fn no_port_is_given_twice_on_a_node(request in requests(), layout in layouts()) {
        let Ok(endpoints) = allocate_endpoints(&request) else { return Ok(()) };
        let Ok(processes) = lay_out_processes(&endpoints, |_| layout) else { return Ok(()) };
        let mut taken = HashSet::new();
        for process in &processes {
            for (first, count) in listens(process, layout, process.gpus.len()) {
                for port in first..first + count {
                    prop_assert!(taken.insert((&process.node, port)), "port {} twice on {}", port, process.node);
                }
            }
        }
    }

    #[test]
    fn processes_have_all_gpus_of_their_worker_and_one_leader(request in requests(), layout in layouts()) {
        let Ok(endpoints) = allocate_endpoints(&request) else { return Ok(()) };
        let Ok(processes) = lay_out_processes(&endpoints, |_| layout) else { return Ok(()) };
        for endpoint in endpoints.iter().filter(|endpoint| !endpoint.gpus.is_empty()) {
            let own: Vec<_> = processes.iter().filter(|process| process.worker() == endpoint.id()).collect();
            let gpus: usize = own.iter().map(|process| process.gpus.len()).sum();
            prop_assert_eq!(gpus, endpoint.total_gpus());
            prop_assert_eq!(own.iter().filter(|process| process.is_leader()).count(), 1);
            prop_assert_eq!(&own[0].node, endpoint.leader());
        }
    }

    #[test]
    fn a_failure_says_what_was_asked(request in requests()) {
        if let Err(AllocationError::NotEnoughNodes { asked, nodes_needed, nodes_left, .. }) = allocate_endpoints(&request) {
            prop_assert!(nodes_needed > nodes_left);
            prop_assert!(asked.contains("GPUs"));
        }
    }
}
