//! [`NodeRoles`]: what each node of an allocation is for.

use crate::names::NodeName;

/// Which services get a node without workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DedicatedNodes {
    /// etcd and NATS.
    pub infra: bool,
    /// The frontend.
    pub frontend: bool,
    /// The benchmark client.
    pub client: bool,
    /// They share one node instead of one each.
    pub shared: bool,
}

impl DedicatedNodes {
    /// Nodes beyond those of the workers.
    pub fn count(self) -> usize {
        let services = [self.infra, self.frontend, self.client].iter().filter(|wanted| **wanted).count();
        if self.shared { services.min(1) } else { services }
    }

    fn names(self) -> String {
        let services = [(self.infra, "infra"), (self.frontend, "frontend"), (self.client, "client")];
        services.iter().filter(|(wanted, _)| *wanted).map(|(_, name)| *name).collect::<Vec<_>>().join("+")
    }
}

/// What each node of an allocation is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRoles {
    /// nginx, frontends, and the endpoint that clients use.
    pub head: NodeName,
    /// etcd, NATS, and the Mooncake master.
    pub infra: NodeName,
    /// The benchmark client.
    pub bench: NodeName,
    /// Workers, in order.
    pub workers: Vec<NodeName>,
    /// The worker nodes by component, in a heterogeneous job.
    pub het: Option<HetPools>,
}

/// Worker nodes of a heterogeneous job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HetPools {
    /// Component 0.
    pub prefill: Vec<NodeName>,
    /// Component 1.
    pub decode: Vec<NodeName>,
}

/// Why nodes cannot be given their roles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RolesError {
    /// Nothing left for workers.
    #[error(
        "dedicated node(s) for {services} and at least one worker node need {needed} nodes, but there are {nodes}"
    )]
    TooFewNodes {
        /// `infra+client`.
        services: String,
        /// Nodes needed.
        needed: usize,
        /// Nodes there are.
        nodes: usize,
    },
    /// No node at all.
    #[error("the allocation has no nodes")]
    NoNodes,
    /// A component of a heterogeneous job is too small.
    #[error("the {component} component of the heterogeneous job has {nodes} node(s), but needs {needed}")]
    SmallComponent {
        /// `prefill` or `decode`.
        component: &'static str,
        /// Nodes there are.
        nodes: usize,
        /// Nodes needed.
        needed: usize,
    },
}

impl NodeRoles {
    /// Roles in an ordinary job. Infrastructure and frontend are reserved from the front, the client from the back.
    pub fn assign(nodes: &[NodeName], dedicated: DedicatedNodes) -> Result<Self, RolesError> {
        let reserved = dedicated.count();
        let mut workers = nodes.to_vec();
        if workers.is_empty() {
            return Err(RolesError::NoNodes);
        }
        if workers.len() <= reserved {
            let (needed, nodes) = (reserved + 1, workers.len());
            return Err(RolesError::TooFewNodes { services: dedicated.names(), needed, nodes });
        }
        let (mut infra, mut frontend, mut client) = (None, None, None);
        if dedicated.shared && reserved > 0 {
            let shared = if dedicated.client { workers.remove(workers.len() - 1) } else { workers.remove(0) };
            infra = dedicated.infra.then(|| shared.clone());
            frontend = dedicated.frontend.then(|| shared.clone());
            client = dedicated.client.then_some(shared);
        } else {
            if dedicated.infra {
                infra = Some(workers.remove(0));
            }
            if dedicated.frontend {
                frontend = Some(workers.remove(0));
            }
            if dedicated.client {
                client = workers.pop();
            }
        }
        let head = frontend.unwrap_or_else(|| workers[0].clone());
        Ok(Self {
            bench: client.unwrap_or_else(|| head.clone()),
            infra: infra.unwrap_or_else(|| head.clone()),
            head,
            workers,
            het: None,
        })
    }

    /// Roles in a heterogeneous job: everything but decode sits in the prefill component.
    pub fn assign_het(
        prefill: &[NodeName],
        decode: &[NodeName],
        dedicated_infra: bool,
    ) -> Result<Self, RolesError> {
        let needed = if dedicated_infra { 2 } else { 1 };
        if prefill.len() < needed {
            return Err(RolesError::SmallComponent { component: "prefill", nodes: prefill.len(), needed });
        }
        if decode.is_empty() {
            return Err(RolesError::SmallComponent { component: "decode", nodes: 0, needed: 1 });
        }
        let pools = HetPools { prefill: prefill[needed - 1..].to_vec(), decode: decode.to_vec() };
        let head = pools.prefill[0].clone();
        Ok(Self {
            infra: prefill[0].clone(),
            bench: head.clone(),
            head,
            workers: pools.prefill.iter().chain(&pools.decode).cloned().collect(),
            het: Some(pools),
        })
    }

    /// The component that a node belongs to; `None` in an ordinary job.
    pub fn het_group(&self, node: &NodeName) -> Option<u32> {
        let pools = self.het.as_ref()?;
        if pools.decode.contains(node) {
            return Some(1);
        }
        (pools.prefill.contains(node) || *node == self.infra || *node == self.head).then_some(0)
    }

    /// Every node once: head, infrastructure, client, workers.
    pub fn all(&self) -> Vec<&NodeName> {
        let mut nodes = Vec::new();
        for node in [&self.infra, &self.head].into_iter().chain(&self.workers).chain([&self.bench]) {
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        nodes
    }
}
