//! What stands in front of the workers: Dynamo, sglang-router, trtllm-serve, vLLM itself, and the mock router.
//!
//! [`layout`] says where frontends run; a [`Frontend`] says what it needs and which steps start it; [`nginx()`] fans
//! out to several of them.

mod dynamo;
mod mock;
mod nginx;
mod router;
mod sglang;
mod trtllm_serve;
mod vllm;

use srt_context::{Job, PlacementError};
use srt_launch::{FrontendProtocol, PlannedFile, Step};
use srt_schema::recipe::FrontendKind;
use srt_topology::{FRONTEND_PORT, NodeName};

pub use crate::nginx::{Nginx, NginxPlan, nginx};

/// One kind of frontend.
pub trait Frontend {
    /// Name in recipes.
    fn name(&self) -> &'static str;

    /// How it reports its workers.
    fn protocol(&self) -> FrontendProtocol;

    /// Whether etcd and NATS must run.
    fn needs_infra(&self) -> bool {
        false
    }

    /// Whether several of them may run behind nginx.
    fn may_fan_out(&self) -> bool {
        false
    }

    /// Name under which the model must be listed before the load starts; `None` accepts any.
    fn listed_model(&self, _job: &Job<'_>) -> Option<String> {
        None
    }

    /// Files that it reads.
    fn files(&self, _job: &Job<'_>, _layout: &FrontendLayout) -> Result<Vec<PlannedFile>, FrontendError> {
        Ok(Vec::new())
    }

    /// The steps that start it, one per node of the layout, or none where a worker answers the clients itself.
    fn steps(&self, job: &Job<'_>, layout: &FrontendLayout) -> Result<Vec<Step>, FrontendError>;
}

/// The frontend of a recipe.
pub fn frontend(kind: &FrontendKind) -> &'static dyn Frontend {
    match kind {
        FrontendKind::Dynamo => &dynamo::Dynamo,
        FrontendKind::Sglang => &sglang::Sglang,
        FrontendKind::TrtllmServe => &trtllm_serve::TrtllmServe,
        FrontendKind::Vllm => &vllm::Vllm,
        FrontendKind::Mock => &mock::Mock,
    }
}

/// Where frontends listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontendLayout {
    /// Node of nginx.
    pub nginx_node: Option<NodeName>,
    /// Nodes of the frontends.
    pub nodes: Vec<NodeName>,
    /// Port of a frontend.
    pub port: u16,
    /// Port that clients use.
    pub public_port: u16,
    /// The node that clients talk to.
    pub public_node: NodeName,
}

/// Why a frontend cannot be started as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrontendError {
    /// It has no node.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// A disaggregated frontend without workers of a role.
    #[error(
        "`frontend.type: {frontend}` needs prefill and decode workers, but there are {prefill} and {decode}"
    )]
    MissingWorkers {
        /// The frontend.
        frontend: &'static str,
        /// Prefill workers.
        prefill: usize,
        /// Decode workers.
        decode: usize,
    },
    /// A text that must not reach nginx's configuration.
    #[error("`frontend.{field}` is `{value}`, but may only hold {allowed}")]
    NginxText {
        /// The recipe's field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it may hold.
        allowed: &'static str,
    },
}

impl FrontendError {
    /// The recipe's field at fault.
    pub fn field(&self) -> Option<String> {
        Some(match self {
            Self::Placement(error) => error.field.to_owned(),
            Self::MissingWorkers { .. } => "frontend.type".to_owned(),
            Self::NginxText { field, .. } => format!("frontend.{field}"),
        })
    }
}

/// Decides where frontends listen: one on its own, or several on worker nodes behind nginx on the head node.
pub fn layout(job: &Job<'_>) -> Result<FrontendLayout, PlacementError> {
    let recipe = &job.recipe.frontend;
    let nodes = &job.ctx.nodes;
    let public_port = job.public_port();
    let fans_out =
        frontend(&recipe.kind).may_fan_out() && recipe.enable_multiple_frontends && nodes.workers.len() > 1;
    if !fans_out {
        let node = job.orchestrator_node()?;
        let leader = job.processes.iter().find(|process| process.is_leader()).map(|process| &process.node);
        let public_node = leader.filter(|_| job.worker_is_public()).unwrap_or(node).clone();
        return Ok(FrontendLayout {
            nginx_node: None,
            nodes: vec![node.clone()],
            port: public_port,
            public_port,
            public_node,
        });
    }
    let wanted =
        usize::try_from(recipe.num_additional_frontends.max(0)).unwrap_or(usize::MAX).saturating_add(1);
    let candidates = nodes.workers.iter().filter(|node| **node != nodes.head);
    Ok(FrontendLayout {
        nginx_node: Some(nodes.head.clone()),
        nodes: candidates.take(wanted).cloned().collect(),
        port: FRONTEND_PORT,
        public_port,
        public_node: nodes.head.clone(),
    })
}
