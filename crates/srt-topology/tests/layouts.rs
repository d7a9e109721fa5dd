//! Who is what, and which process gets which port: worked examples, as pictures.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use expect_test::{Expect, expect};
use srt_topology::{
    AllocationRequest, DataParallel, DedicatedNodes, Layout, NodeName, NodePools, NodeRoles, Process, Role,
    Workers, allocate_endpoints, lay_out_processes,
};

fn nodes(names: &[&str]) -> Vec<NodeName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn shared(names: &[&str]) -> NodePools {
    NodePools::Shared { nodes: nodes(names), spread_workers: false, colocate: false }
}

fn workers(count: u32, gpus_each: u32) -> Workers {
    Workers { count, gpus_each }
}

fn describe(process: &Process) -> String {
    let port = |port: Option<u16>| port.map_or("-".to_owned(), |port| port.to_string());
    let ports = process.ports;
    format!(
        "{}[{}] {} rank {}: system {} http {} bootstrap {} kv {} nixl {} rpc {}\n",
        process.node,
        process.gpus,
        process.worker(),
        process.rank,
        ports.system,
        port(ports.http),
        port(ports.bootstrap),
        ports.kv_events,
        ports.nixl,
        port(ports.dp_rpc),
    )
}

#[track_caller]
fn check_processes(request: &AllocationRequest, layout: impl Fn(Role) -> Layout, expected: &Expect) {
    let endpoints = allocate_endpoints(request).unwrap();
    let picture = match lay_out_processes(&endpoints, layout) {
        Err(error) => format!("{error}\n"),
        Ok(processes) => processes.iter().map(describe).collect::<Vec<_>>().concat(),
    };
    expected.assert_eq(&picture);
}

#[test]
fn a_worker_of_several_nodes_has_one_http_server() {
    let request = AllocationRequest {
        gpus_per_node: 8,
        prefill: workers(2, 4),
        decode: workers(2, 16),
        agg: Workers::NONE,
        pools: shared(&["n0", "n1", "n2", "n3", "n4"]),
    };
    check_processes(
        &request,
        |_| Layout::PerNode,
        &expect![[r#"
        n0[0-3] prefill 0 rank 0: system 7500 http 6100 bootstrap 7200 kv 5200 nixl 5400 rpc -
        n0[4-7] prefill 1 rank 0: system 7501 http 6132 bootstrap 7201 kv 5201 nixl 5401 rpc -
        n1[0-7] decode 0 rank 0: system 7502 http 6100 bootstrap - kv 5202 nixl 5402 rpc -
        n2[0-7] decode 0 rank 1: system 7503 http - bootstrap - kv 5203 nixl 5403 rpc -
        n3[0-7] decode 1 rank 0: system 7504 http 6100 bootstrap - kv 5204 nixl 5404 rpc -
        n4[0-7] decode 1 rank 1: system 7505 http - bootstrap - kv 5205 nixl 5405 rpc -
    "#]],
    );
}

fn data_parallel() -> AllocationRequest {
    AllocationRequest {
        gpus_per_node: 4,
        prefill: workers(2, 2),
        decode: workers(1, 8),
        agg: Workers::NONE,
        pools: shared(&["n0", "n1", "n2"]),
    }
}

fn size(role: Role) -> u32 {
    if role == Role::Prefill { 2 } else { 8 }
}

#[test]
fn data_parallel_ranks_of_a_node_share_a_process() {
    let layout =
        |role| Layout::DataParallelPerNode(DataParallel { size: size(role), tensor: 1, pipeline: 1 });
    check_processes(
        &data_parallel(),
        layout,
        &expect![[r#"
        n0[0-1] prefill 0 rank 0: system 7500 http 6100 bootstrap 7200 kv 5200 nixl 5400 rpc 8400
        n0[2-3] prefill 1 rank 0: system 7501 http 6132 bootstrap 7201 kv 5202 nixl 5402 rpc 8401
        n1[0-3] decode 0 rank 0: system 7502 http 6100 bootstrap - kv 5204 nixl 5404 rpc 8400
        n2[0-3] decode 0 rank 4: system 7503 http 6100 bootstrap - kv 5208 nixl 5404 rpc 8400
    "#]],
    );
}

#[test]
fn data_parallel_ranks_have_processes_of_their_own() {
    let layout = |role| Layout::DataParallelPerGpu { size: Some(size(role)) };
    check_processes(
        &data_parallel(),
        layout,
        &expect![[r#"
        n0[0] prefill 0 rank 0: system 7500 http 6100 bootstrap 7200 kv 5200 nixl 5400 rpc 8400
        n0[1] prefill 0 rank 1: system 7501 http - bootstrap - kv 5201 nixl 5400 rpc 8400
        n0[2] prefill 1 rank 0: system 7502 http 6132 bootstrap 7201 kv 5202 nixl 5402 rpc 8401
        n0[3] prefill 1 rank 1: system 7503 http - bootstrap - kv 5203 nixl 5402 rpc 8401
        n1[0] decode 0 rank 0: system 7504 http 6100 bootstrap - kv 5204 nixl 5404 rpc 8400
        n1[1] decode 0 rank 1: system 7505 http - bootstrap - kv 5205 nixl 5404 rpc 8400
        n1[2] decode 0 rank 2: system 7506 http - bootstrap - kv 5206 nixl 5404 rpc 8400
        n1[3] decode 0 rank 3: system 7507 http - bootstrap - kv 5207 nixl 5404 rpc 8400
        n2[0] decode 0 rank 4: system 7508 http - bootstrap - kv 5208 nixl 5404 rpc 8400
        n2[1] decode 0 rank 5: system 7509 http - bootstrap - kv 5209 nixl 5404 rpc 8400
        n2[2] decode 0 rank 6: system 7510 http - bootstrap - kv 5210 nixl 5404 rpc 8400
        n2[3] decode 0 rank 7: system 7511 http - bootstrap - kv 5211 nixl 5404 rpc 8400
    "#]],
    );
}

#[test]
fn a_replica_over_several_nodes_has_one_rank_per_node() {
    let request = AllocationRequest {
        gpus_per_node: 4,
        prefill: Workers::NONE,
        decode: Workers::NONE,
        agg: workers(1, 16),
        pools: shared(&["n0", "n1", "n2", "n3"]),
    };
    let sizes = DataParallel { size: 2, tensor: 8, pipeline: 1 };
    check_processes(
        &request,
        |_| Layout::DataParallelPerNode(sizes),
        &expect![[r#"
        n0[0-3] agg 0 rank 0: system 7500 http 6100 bootstrap - kv 5200 nixl 5400 rpc -
        n1[0-3] agg 0 rank 1: system 7501 http - bootstrap - kv 5201 nixl 5401 rpc -
        n2[0-3] agg 0 rank 2: system 7502 http - bootstrap - kv 5202 nixl 5402 rpc -
        n3[0-3] agg 0 rank 3: system 7503 http - bootstrap - kv 5203 nixl 5403 rpc -
    "#]],
    );
}

#[test]
fn sizes_that_do_not_match_the_gpus_are_refused() {
    let request = data_parallel();
    let layout = |size, tensor, pipeline| {
        move |_| Layout::DataParallelPerNode(DataParallel { size, tensor, pipeline })
    };
    check_processes(
        &request,
        layout(8, 1, 1),
        &expect![[r#"
        prefill 0: data-parallel-size=8, tensor-parallel-size=1, and pipeline-parallel-size=1 require 8 GPUs, but the worker has 2
    "#]],
    );
    let request = AllocationRequest { prefill: Workers::NONE, decode: workers(1, 12), ..request };
    check_processes(
        &request,
        layout(4, 3, 1),
        &expect![[r#"
        decode 0: a replica of 3 GPUs does not divide the 4 GPUs the worker has on a node
    "#]],
    );
    check_processes(
        &request,
        layout(2, 6, 1),
        &expect![[r#"
        decode 0: a replica of 6 GPUs does not divide evenly across nodes with 4 GPUs each
    "#]],
    );
    check_processes(
        &request,
        layout(0, 2, 1),
        &expect![[r#"
        n0[0-3] decode 0 rank 0: system 7500 http 6100 bootstrap - kv 5200 nixl 5400 rpc 8400
        n1[0-3] decode 0 rank 2: system 7501 http 6100 bootstrap - kv 5202 nixl 5400 rpc 8400
        n2[0-3] decode 0 rank 4: system 7502 http 6100 bootstrap - kv 5204 nixl 5400 rpc 8400
    "#]],
    );
}

#[track_caller]
fn check_failure(request: &AllocationRequest, expected: &Expect) {
    expected.assert_eq(&allocate_endpoints(request).unwrap_err().to_string());
}

#[test]
fn what_does_not_fit_is_named() {
    let request = AllocationRequest {
        gpus_per_node: 8,
        prefill: workers(1, 4),
        decode: workers(2, 4),
        agg: Workers::NONE,
        pools: shared(&["n0"]),
    };
    check_failure(
        &request,
        &expect![
            "decode 1 needs one node with room for 4 GPUs, but only 0 of 1 node is left: asked for 1 prefill worker of 4 GPUs and 2 decode workers of 4 GPUs on 1 node of 8 GPUs"
        ],
    );
    check_failure(
        &AllocationRequest { decode: workers(1, 8), ..request.clone() },
        &expect![
            "prefill 0 and decode 0 would share GPUs 0-3 of n0: asked for 1 prefill worker of 4 GPUs and 1 decode worker of 8 GPUs on 1 node of 8 GPUs"
        ],
    );
    check_failure(
        &AllocationRequest { decode: workers(2, 16), pools: shared(&["n0", "n1", "n2"]), ..request.clone() },
        &expect![
            "decode 1 needs 2 whole nodes for its 16 GPUs, but only 0 of 3 nodes are left: asked for 1 prefill worker of 4 GPUs and 2 decode workers of 16 GPUs on 3 nodes of 8 GPUs"
        ],
    );
    check_failure(
        &AllocationRequest { gpus_per_node: 0, ..request.clone() },
        &expect!["nodes have 0 GPUs each, so no worker can be placed"],
    );
    check_failure(
        &AllocationRequest { gpus_per_node: 80_000, ..request.clone() },
        &expect!["nodes have 80000 GPUs each, which is more than 128: is `gpus_per_node` mistyped?"],
    );
    check_failure(
        &AllocationRequest { decode: workers(u32::MAX, 0), ..request.clone() },
        &expect!["4294967296 workers are more than the 10000 that one job may have"],
    );
    let separate = NodePools::Separate { prefill: nodes(&["p0"]), decode: nodes(&["d0"]) };
    check_failure(
        &AllocationRequest { agg: workers(1, 4), pools: separate, ..request },
        &expect![
            "a heterogeneous job has prefill and decode nodes only, but 1 aggregated workers are asked for"
        ],
    );
}

#[test]
fn components_of_a_heterogeneous_job_are_filled_independently() {
    let request = AllocationRequest {
        gpus_per_node: 4,
        prefill: workers(2, 2),
        decode: workers(1, 8),
        agg: Workers::NONE,
        pools: NodePools::Separate { prefill: nodes(&["n0"]), decode: nodes(&["m0", "m1"]) },
    };
    let endpoints = allocate_endpoints(&request).unwrap();
    let picture: Vec<_> = endpoints.iter().map(|it| format!("{it} in {:?}", it.het_group)).collect();
    expect![[r#"
        prefill 0: n0[0-1] in Some(0)
        prefill 1: n0[2-3] in Some(0)
        decode 0: m0[0-3] m1[0-3] in Some(1)"#]]
    .assert_eq(&picture.join("\n"));
}

#[test]
fn services_get_nodes_of_their_own() {
    let names = ["n1", "n2", "n3", "n4", "n5", "n6"];
    let mut table = String::new();
    for (infra, frontend, client) in [
        (false, false, false),
        (true, false, false),
        (false, false, true),
        (true, false, true),
        (false, true, false),
        (true, true, false),
        (false, true, true),
        (true, true, true),
    ] {
        for shared in [true, false] {
            let dedicated = DedicatedNodes { infra, frontend, client, shared };
            let count = 3 + dedicated.count();
            let roles = NodeRoles::assign(&nodes(&names[..count]), dedicated).unwrap();
            let workers: Vec<_> = roles.workers.iter().map(NodeName::as_str).collect();
            let names = [(infra, "infra"), (frontend, "frontend"), (client, "client"), (shared, "shared")];
            let names: Vec<_> = names.iter().filter(|(wanted, _)| *wanted).map(|(_, name)| *name).collect();
            let line = format!(
                "{:28} head {} bench {} infra {} workers {}\n",
                names.join("+"),
                roles.head,
                roles.bench,
                roles.infra,
                workers.join(","),
            );
            table.push_str(&line);
        }
    }
    expect![[r#"
        shared                       head n1 bench n1 infra n1 workers n1,n2,n3
                                     head n1 bench n1 infra n1 workers n1,n2,n3
        infra+shared                 head n2 bench n2 infra n1 workers n2,n3,n4
        infra                        head n2 bench n2 infra n1 workers n2,n3,n4
        client+shared                head n1 bench n4 infra n1 workers n1,n2,n3
        client                       head n1 bench n4 infra n1 workers n1,n2,n3
        infra+client+shared          head n1 bench n4 infra n4 workers n1,n2,n3
        infra+client                 head n2 bench n5 infra n1 workers n2,n3,n4
        frontend+shared              head n1 bench n1 infra n1 workers n2,n3,n4
        frontend                     head n1 bench n1 infra n1 workers n2,n3,n4
        infra+frontend+shared        head n1 bench n1 infra n1 workers n2,n3,n4
        infra+frontend               head n2 bench n2 infra n1 workers n3,n4,n5
        frontend+client+shared       head n4 bench n4 infra n4 workers n1,n2,n3
        frontend+client              head n1 bench n5 infra n1 workers n2,n3,n4
        infra+frontend+client+shared head n4 bench n4 infra n4 workers n1,n2,n3
        infra+frontend+client        head n2 bench n6 infra n1 workers n3,n4,n5
    "#]]
    .assert_eq(&table);
    let too_few = DedicatedNodes { infra: true, frontend: false, client: true, shared: false };
    let error = NodeRoles::assign(&nodes(&names[..2]), too_few).unwrap_err();
    expect!["dedicated node(s) for infra+client and at least one worker node need 3 nodes, but there are 2"]
        .assert_eq(&error.to_string());
}

#[test]
fn a_heterogeneous_job_keeps_everything_but_decode_in_the_first_component() {
    let (prefill, decode) = (nodes(&["p1", "p2", "p3"]), nodes(&["d1"]));
    let roles = NodeRoles::assign_het(&prefill, &decode, true).unwrap();
    assert_eq!((roles.infra.as_str(), roles.head.as_str(), roles.bench.as_str()), ("p1", "p2", "p2"));
    let groups: Vec<_> =
        ["p1", "p2", "d1", "x"].iter().map(|node| roles.het_group(&node.parse().unwrap())).collect();
    assert_eq!(groups, [Some(0), Some(0), Some(1), None]);
    assert!(NodeRoles::assign_het(&prefill[..1], &decode, true).is_err());
    assert!(NodeRoles::assign_het(&prefill, &[], false).is_err());
}
