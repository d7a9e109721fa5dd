//! Addresses of a job's nodes, from Slurm itself.
//!
//! An address is never searched in whatever a command happened to print: it is one field of one line whose form is
//! known, it is parsed as an address, and every node must have one.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr},
};

use srt_context::{Allocation, JobId, Node};
use srt_topology::NodeName;

use crate::{
    client::{Slurm, SlurmError, words},
    hostlist::compress,
    job::JobEnvironment,
};

/// A node without a usable address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Slurm could not be asked.
    #[error(transparent)]
    Slurm(#[from] SlurmError),
    /// Slurm does not know the node.
    #[error("Slurm does not say where node `{node}` is")]
    NotKnown {
        /// The node.
        node: NodeName,
    },
    /// Slurm knows the node by a name that does not resolve.
    #[error("node `{node}` is called `{name}`, which does not resolve: {source}")]
    NotResolved {
        /// The node.
        node: NodeName,
        /// The name that Slurm uses.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The name resolves to an address that no other node can use.
    #[error(
        "node `{node}` is called `{name}`, which resolves to {address} here: no other node can use that; \
         name the nodes' interface as `network_interface` in srtslurm.yaml"
    )]
    Loopback {
        /// The node.
        node: NodeName,
        /// The name that Slurm uses.
        name: String,
        /// What it resolves to.
        address: IpAddr,
    },
    /// The interface of the cluster file has no usable address on a node.
    #[error(
        "interface `{interface}` has no address on node `{node}` that another node can use{}: \
         change `network_interface` in srtslurm.yaml, or remove it to use Slurm's own addresses",
        among(found)
    )]
    NoInterface {
        /// The interface.
        interface: String,
        /// The node.
        node: NodeName,
        /// The addresses that it has.
        found: Vec<Ipv4Addr>,
    },
}

fn among(addresses: &[Ipv4Addr]) -> String {
    let list = addresses.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ");
    if list.is_empty() { String::new() } else { format!(" (it has {list})") }
}

/// Prints `MARK NODE ADDRESS` for every IPv4 address of the interface in `$1`. The interface is an argument and never
/// part of the script's text.
const INTERFACE_SCRIPT: &str = r#"PATH=$PATH:/usr/sbin:/sbin
ip -4 -o addr show dev "$1" | while read -r _ _ _ address _; do
    printf '%s %s %s\n' "$2" "$SLURMD_NODENAME" "${address%/*}"
done"#;

/// First word of the lines that count. A prolog, or a site's shell profile, may print others.
const MARK: &str = "srtctl-node-address";

impl Slurm {
    /// The nodes of a job with their addresses: those of `interface` on every node, or, without one, those by which
    /// Slurm itself reaches the nodes.
    ///
    /// # Errors
    /// When a node has no usable address.
    pub async fn allocation(
        &self,
        job: &JobEnvironment,
        interface: Option<&str>,
    ) -> Result<Allocation, AddressError> {
        let nodes = match interface.filter(|name| !name.is_empty()) {
            Some(interface) => self.interface_addresses(job, interface).await?,
            None => self.slurm_addresses(job).await?,
        };
        Ok(Allocation { job_id: job.job_id.clone(), nodes, het: job.het })
    }

    async fn slurm_addresses(&self, job: &JobEnvironment) -> Result<Vec<Node>, AddressError> {
        let argv = words(&["scontrol", "--oneliner", "show", "node", &compress(&job.nodes)]);
        let answer = self.run(&argv).await?;
        let known = parse_nodes(&answer);
        let mut nodes = Vec::with_capacity(job.nodes.len());
        for node in &job.nodes {
            let name =
                known.get(node.as_str()).ok_or_else(|| AddressError::NotKnown { node: node.clone() })?;
            let address = resolve(node, name, job.nodes.len() == 1).await?;
            nodes.push(Node { name: node.clone(), address });
        }
        Ok(nodes)
    }

    async fn interface_addresses(
        &self,
        job: &JobEnvironment,
        interface: &str,
    ) -> Result<Vec<Node>, AddressError> {
        let mut nodes = Vec::with_capacity(job.nodes.len());
        for (group, names) in components(job) {
            let answer = self.run(&interface_argv(&job.job_id, group, names, interface)).await?;
            let found = parse_interface(&answer);
            for name in names {
                let addresses = found.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
                let address = best(addresses).ok_or_else(|| AddressError::NoInterface {
                    interface: interface.to_owned(),
                    node: name.clone(),
                    found: addresses.to_vec(),
                })?;
                nodes.push(Node { name: name.clone(), address: IpAddr::V4(address) });
            }
        }
        Ok(nodes)
    }
}

/// The components of a job, each with its number where there are several.
fn components(job: &JobEnvironment) -> Vec<(Option<u32>, &[NodeName])> {
    match job.het {
        None => vec![(None, &job.nodes)],
        Some(het) => {
            let (prefill, decode) = job.nodes.split_at(het.prefill_nodes.min(job.nodes.len()));
            vec![(Some(0), prefill), (Some(1), decode)]
        }
    }
}

/// One step over all nodes of a component.
fn interface_argv(job: &JobId, group: Option<u32>, nodes: &[NodeName], interface: &str) -> Vec<String> {
    let count = nodes.len();
    let mut argv = words(&["srun", "--quiet"]);
    argv.extend([format!("--jobid={job}"), "--overlap".to_owned(), "--job-name=addresses".to_owned()]);
    argv.extend([format!("--nodes={count}"), format!("--ntasks={count}"), "--ntasks-per-node=1".to_owned()]);
    argv.push(format!("--nodelist={}", compress(nodes)));
    argv.extend(group.map(|group| format!("--het-group={group}")));
    argv.extend(words(&[
        "--export=ALL",
        "--input=none",
        "sh",
        "-c",
        INTERFACE_SCRIPT,
        "sh",
        interface,
        MARK,
    ]));
    argv
}

/// Nodes and what Slurm calls them on the network, from `scontrol --oneliner show node`. Both fields stand before
/// any that holds free text.
fn parse_nodes(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| {
            let value = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key));
            Some((value("NodeName=")?, value("NodeAddr=")?))
        })
        .collect()
}

fn parse_interface(text: &str) -> BTreeMap<&str, Vec<Ipv4Addr>> {
    let mut found: BTreeMap<&str, Vec<Ipv4Addr>> = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(' ');
        if let (Some(MARK), Some(node), Some(address), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
            && let Ok(address) = address.parse()
        {
            found.entry(node).or_default().push(address);
        }
    }
    found
}

/// The first private address, or else the first that others can reach at all.
fn best(addresses: &[Ipv4Addr]) -> Option<Ipv4Addr> {
    let usable = |it: &&Ipv4Addr| !(it.is_unspecified() || it.is_loopback() || it.is_link_local());
    let private = addresses.iter().find(|it| it.is_private());
    private.or_else(|| addresses.iter().find(usable)).copied()
}

/// The address that Slurm's name for a node stands for. One that Slurm itself wrote as an address is taken as it is.
async fn resolve(node: &NodeName, name: &str, alone: bool) -> Result<IpAddr, AddressError> {
    if let Ok(address) = name.parse() {
        return Ok(address);
    }
    let failed = |source| AddressError::NotResolved { node: node.clone(), name: name.to_owned(), source };
    let found: Vec<IpAddr> =
        tokio::net::lookup_host((name, 0)).await.map_err(failed)?.map(|it| it.ip()).collect();
    let address = choose(&found).ok_or_else(|| failed(io::Error::other("it has no address")))?;
    if address.is_loopback() && !alone {
        return Err(AddressError::Loopback { node: node.clone(), name: name.to_owned(), address });
    }
    Ok(address)
}

/// IPv4 before IPv6, and a loopback address, with which Debian answers for a machine's own name, last.
fn choose(found: &[IpAddr]) -> Option<IpAddr> {
    found.iter().copied().min_by_key(|it| (it.is_loopback(), it.is_ipv6()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured from scontrol 22.05, shortened at the end.
    const NODES: &str = "\
NodeName=node1 Arch=x86_64 CoresPerSocket=1  CPUAlloc=1 CPUEfctv=64 CPUTot=64 CPULoad=0.19 AvailableFeatures=(null) ActiveFeatures=(null) Gres=gpu:8 NodeAddr=127.119.150.1 NodeHostName=node1 Port=29901 Version=22.05.8 OS=Linux 6.18 #1 SMP State=MIXED Reason=a NodeAddr=6.6.6.6
NodeName=node2 Arch=x86_64 Gres=gpu:8 NodeAddr=compute-2 NodeHostName=compute-2 OS=Linux
slurm_load_node error: whatever
";

    #[test]
    fn nodes_are_known_by_their_first_fields() {
        let expected = BTreeMap::from([("node1", "127.119.150.1"), ("node2", "compute-2")]);
        assert_eq!(parse_nodes(NODES), expected);
    }

    #[test]
    fn only_marked_lines_hold_addresses() {
        let text = "\
Welcome to 10.9.9.9!
srtctl-node-address node1 10.0.0.1
srtctl-node-address node1 10.0.0.2 trailing
srtctl-node-address node2 999.0.0.1
srtctl-node-address node2 169.254.0.7
srtctl-node-address node2 8.8.4.4
srun: error: 10.1.1.1
";
        let found = parse_interface(text);
        assert_eq!(found["node1"], [Ipv4Addr::new(10, 0, 0, 1)]);
        assert_eq!(found["node2"], [Ipv4Addr::new(169, 254, 0, 7), Ipv4Addr::new(8, 8, 4, 4)]);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn private_addresses_come_first_and_unreachable_ones_never() {
        let parse = |text: &str| text.split(' ').map(|it| it.parse().unwrap()).collect::<Vec<Ipv4Addr>>();
        assert_eq!(best(&parse("127.0.0.1 8.8.4.4 172.16.0.1")), Some(Ipv4Addr::new(172, 16, 0, 1)));
        assert_eq!(best(&parse("169.254.1.1 8.8.4.4")), Some(Ipv4Addr::new(8, 8, 4, 4)));
        assert_eq!(best(&parse("127.0.0.1 0.0.0.0 169.254.1.1")), None);
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn names_resolve_to_what_others_can_reach() {
        let parse = |text: &str| text.split(' ').map(|it| it.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(choose(&parse("127.0.1.1 fd00::1 10.0.0.1")), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(choose(&parse("127.0.1.1 fd00::1")), Some("fd00::1".parse().unwrap()));
        assert_eq!(choose(&[]), None);
    }
}
