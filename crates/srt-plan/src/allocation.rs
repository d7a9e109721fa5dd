//! How many nodes a recipe asks for, and allocations made up for a preview or a local run.

use std::net::{IpAddr, Ipv4Addr};

use srt_backends::backend;
use srt_context::{Allocation, HetGroups, JobId, Node, dedicated_nodes};
use srt_schema::recipe::Recipe;
use srt_topology::NodeName;

/// Nodes of the workers.
pub(crate) fn worker_nodes(recipe: &Recipe) -> u32 {
    let roles = &recipe.roles;
    if backend(&recipe.engine).may_colocate(recipe) {
        let gpus = [&roles.prefill, &roles.decode, &roles.agg]
            .iter()
            .fold(0_u32, |sum, role| sum.saturating_add(role.workers.saturating_mul(role.gpus_per_worker)));
        return gpus.div_ceil(recipe.hardware.gpus_per_node.max(1));
    }
    if roles.disaggregated {
        return roles.prefill.nodes.unwrap_or(0).saturating_add(roles.decode.nodes.unwrap_or(0));
    }
    roles.agg.nodes.filter(|nodes| *nodes > 0).unwrap_or(1)
}

/// Sizes of the components of a heterogeneous job.
pub(crate) fn het_groups(recipe: &Recipe) -> Option<HetGroups> {
    let is_het = recipe.hardware.het_jobs && recipe.roles.disaggregated;
    let nodes = |nodes: Option<u32>| nodes.unwrap_or(0) as usize;
    is_het.then(|| HetGroups {
        prefill_nodes: nodes(recipe.roles.prefill.nodes) + usize::from(recipe.infra.dedicated_node),
        decode_nodes: nodes(recipe.roles.decode.nodes),
    })
}

/// Nodes that Slurm is asked for.
pub(crate) fn total_nodes(recipe: &Recipe) -> usize {
    match het_groups(recipe) {
        Some(het) => het.prefill_nodes + het.decode_nodes,
        None => worker_nodes(recipe) as usize + dedicated_nodes(recipe).count(),
    }
}

/// Nodes node0001, node0002, … at 10.0.0.1, 10.0.0.2, …, as many as the recipe asks Slurm for.
pub fn preview_allocation(recipe: &Recipe, job_id: &JobId) -> Allocation {
    allocation(recipe, job_id, het_groups(recipe), |number| {
        (format!("node{number:04}"), Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + number))
    })
}

/// The network that local runs use: 127.0.1.0. Runs at the same time each have one of their own.
pub const LOCAL_NETWORK: u8 = 1;

/// Virtual nodes of this machine, each with a loopback address of its own: 127.0.1.1, 127.0.1.2, … in network 1.
pub fn local_allocation(recipe: &Recipe, job_id: &JobId, network: u8) -> Allocation {
    allocation(recipe, job_id, None, |number| {
        (format!("local{number}"), Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, network, 0).to_bits() + number))
    })
}

/// A recipe that asks for absurdly many nodes fails later, by name; it must not fill memory here.
const MOST_NODES: usize = 10_000;

fn allocation(
    recipe: &Recipe,
    job_id: &JobId,
    het: Option<HetGroups>,
    node: impl Fn(u32) -> (String, Ipv4Addr),
) -> Allocation {
    let nodes = (1..).take(total_nodes(recipe).min(MOST_NODES)).map(|number| {
        let (name, address) = node(number);
        let name: NodeName = name.parse().expect("letters and digits name a node");
        Node { name, address: IpAddr::V4(address) }
    });
    Allocation { job_id: job_id.clone(), nodes: nodes.collect(), het }
}
