//! [`Job`]: what backends, frontends, and benchmarks are given.

use srt_launch::{Probe, Wait};
use srt_schema::recipe::{FrontendKind, Placement, Recipe};
use srt_topology::{Endpoint, NodeName, PUBLIC_PORT, Process, Role};

use crate::context::RuntimeContext;

/// One job with everything decided about nodes, GPUs, and ports.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// What was asked for.
    pub recipe: &'a Recipe,
    /// Paths and values.
    pub ctx: &'a RuntimeContext,
    /// Workers.
    pub endpoints: &'a [Endpoint],
    /// Their processes.
    pub processes: &'a [Process],
}

/// A placement that names a node that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is `{placement}`, but the job has no decode workers: use `head`")]
pub struct PlacementError {
    /// The recipe's field.
    pub field: &'static str,
    /// Its value.
    pub placement: &'static str,
}

impl<'a> Job<'a> {
    /// The leader processes of a role, by worker index.
    pub fn leaders(&self, role: Role) -> impl Iterator<Item = &'a Process> + use<'a> {
        self.processes.iter().filter(move |process| process.role == role && process.is_leader())
    }

    /// The worker of a process.
    pub fn endpoint(&self, process: &Process) -> &'a Endpoint {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.id() == process.worker())
            .expect("every process was laid out from one of these endpoints")
    }

    /// Whether `vllm serve` or `trtllm-serve` itself answers the clients.
    pub fn worker_is_public(&self) -> bool {
        let aggregated = !self.recipe.roles.disaggregated;
        match self.recipe.frontend.kind {
            FrontendKind::Vllm => true,
            FrontendKind::TrtllmServe => aggregated,
            FrontendKind::Dynamo | FrontendKind::Sglang | FrontendKind::Mock => false,
        }
    }

    /// The node of a single frontend.
    pub fn orchestrator_node(&self) -> Result<&'a NodeName, PlacementError> {
        self.placed(
            self.recipe.frontend.orchestrator_placement,
            "frontend.orchestrator_placement",
            &self.ctx.nodes.head,
        )
    }

    /// The node of the benchmark client.
    pub fn client_node(&self) -> Result<&'a NodeName, PlacementError> {
        self.placed(
            self.recipe.benchmark.client_placement,
            "benchmark.client_placement",
            &self.ctx.nodes.bench,
        )
    }

    /// A wait for a worker, as long as the recipe's health check may take.
    pub fn worker_wait(&self, what: String, probe: Probe) -> Wait {
        let seconds =
            |number: i64| u32::try_from(number).unwrap_or(if number < 0 { 1 } else { u32::MAX }).max(1);
        let interval_s = seconds(self.recipe.health_check.interval_s);
        let timeout_s = interval_s.saturating_mul(seconds(self.recipe.health_check.max_attempts));
        Wait { probe, what, interval_s, timeout_s }
    }

    /// Port that clients use.
    pub fn public_port(&self) -> u16 {
        PUBLIC_PORT
    }

    fn placed(
        &self,
        placement: Placement,
        field: &'static str,
        head: &'a NodeName,
    ) -> Result<&'a NodeName, PlacementError> {
        let mut decode = self.leaders(Role::Decode).map(|leader| &leader.node);
        match placement {
            Placement::Head => Ok(head),
            Placement::FirstDecode => {
                decode.next().ok_or(PlacementError { field, placement: "first_decode" })
            }
            Placement::LastDecode => decode.last().ok_or(PlacementError { field, placement: "last_decode" }),
        }
    }
}
