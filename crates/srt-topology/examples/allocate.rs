//! `cargo run -p srt-topology --example allocate`: a disaggregated job on three nodes, as a picture.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use srt_topology::{
    AllocationRequest, DedicatedNodes, Endpoint, Layout, NodeName, NodePools, NodeRoles, Workers,
    allocate_endpoints, lay_out_processes,
};

const GPUS_PER_NODE: u32 = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nodes: Vec<NodeName> =
        ["node1", "node2", "node3"].iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let dedicated = DedicatedNodes { infra: false, frontend: false, client: false, shared: true };
    let roles = NodeRoles::assign(&nodes, dedicated)?;
    let request = AllocationRequest {
        gpus_per_node: GPUS_PER_NODE,
        prefill: Workers { count: 2, gpus_each: 4 },
        decode: Workers { count: 1, gpus_each: 16 },
        agg: Workers::NONE,
        pools: NodePools::Shared { nodes: roles.workers.clone(), spread_workers: false, colocate: false },
    };
    let endpoints = allocate_endpoints(&request)?;

    println!("who sits where ({} is the head)\n", roles.head);
    for node in &roles.workers {
        let seats: Vec<String> = (0..GPUS_PER_NODE).map(|gpu| seat(&endpoints, node, gpu)).collect();
        println!("  {node}  [{}]", seats.join("|"));
    }
    println!("\nprocesses");
    for process in lay_out_processes(&endpoints, |_| Layout::PerNode)? {
        let http = process.ports.http.map_or("-".to_owned(), |port| port.to_string());
        println!(
            "  {} rank {} on {}, GPUs {}: system {}, http {http}, CUDA_VISIBLE_DEVICES={}",
            process.worker(),
            process.rank,
            process.node,
            process.gpus,
            process.ports.system,
            process.gpus.joined(","),
        );
    }
    Ok(())
}

/// `P0`, `D1`, or two dots for a free GPU.
fn seat(endpoints: &[Endpoint], node: &NodeName, gpu: u32) -> String {
    endpoints
        .iter()
        .find(|endpoint| endpoint.nodes.contains(node) && endpoint.gpus.indices().contains(&gpu))
        .map_or("..".to_owned(), |endpoint| {
            format!("{}{}", endpoint.role.as_str()[..1].to_uppercase(), endpoint.index)
        })
}
