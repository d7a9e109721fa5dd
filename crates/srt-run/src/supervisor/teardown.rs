//! Ends what runs, in tiers: the load first, then what it talks to, then what that talks to.

use std::time::Duration;

use srt_launch::Stage;
use tokio::time::Instant;

use super::{Mode, Order, StepPhase, Supervisor};
use crate::{record::EventKind, stage::RunStage};

/// The tiers, in the order in which they are ended, and how long each may take after SIGTERM.
///
/// Most processes end at once. A Dynamo worker that still has a stream takes eleven seconds, so workers have twelve.
pub const TIERS: [(&[Stage], Duration); 4] = [
    (&[Stage::Benchmark, Stage::Telemetry], Duration::from_secs(5)),
    (&[Stage::Frontend], Duration::from_secs(5)),
    (&[Stage::Worker, Stage::StageModel, Stage::HfCache], Duration::from_secs(12)),
    (&[Stage::MooncakeMaster, Stage::Infra], Duration::from_secs(5)),
];

/// How long the processes of a tier, or of the whole run, may take to disappear after SIGKILL. On one machine that is
/// at once, but for a process that hangs within the kernel; Slurm asks a node that may be slow to answer.
pub const KILL_LIMIT: Duration = Duration::from_secs(12);

impl Supervisor<'_> {
    /// Ends every step that was started. After this, nothing is left but what could not be killed.
    ///
    /// Takes at most the sum of the tiers' times, and [`KILL_LIMIT`] for each; at most [`KILL_LIMIT`] once a second
    /// request to end has come.
    pub(super) async fn teardown(&mut self) {
        self.mode = Mode::Ending;
        let stage_before = self.stage;
        self.enter(RunStage::Teardown);
        for (stages, grace) in TIERS {
            let tier = self.started(|stage| stages.contains(&stage));
            if tier.is_empty() || self.must_hurry() {
                continue;
            }
            self.order(&tier, Order::Terminate);
            let all_gone = self.wait_until_gone(&tier, grace, Self::must_hurry).await;
            if !all_gone && !self.must_hurry() {
                self.order(&tier, Order::Kill);
                self.wait_until_gone(&tier, KILL_LIMIT, Self::must_hurry).await;
            }
        }
        let rest = self.started(|_| true);
        if !rest.is_empty() {
            self.order(&rest, Order::Kill);
            self.wait_until_gone(&rest, KILL_LIMIT, |_| false).await;
        }
        for step in self.left_running() {
            self.warn(format!("`{step}` did not end, not even by SIGKILL"));
        }
        self.leave();
        self.stage = stage_before;
    }

    /// The first request asks for patience, the second ends it.
    pub(super) fn must_hurry(&self) -> bool {
        self.end_requests > 1
    }

    /// Steps of these stages of which something may be left.
    fn started(&self, of_stage: impl Fn(Stage) -> bool) -> Vec<usize> {
        let is_left = |index: &usize| {
            let is_started = !matches!(self.steps[*index], StepPhase::Planned | StepPhase::Gone);
            is_started && of_stage(self.execution.steps[*index].stage)
        };
        (0..self.steps.len()).filter(is_left).collect()
    }

    fn order(&mut self, steps: &[usize], order: Order) {
        // A keeper whose command has ended is ending the rest already, and needs no more than time.
        let runs = |index: &usize| match order {
            Order::Terminate => self.steps[*index] != StepPhase::Ended,
            Order::Kill => true,
        };
        let steps: Vec<usize> = steps.iter().copied().filter(runs).collect();
        if steps.is_empty() {
            return;
        }
        let names = steps.iter().map(|index| self.execution.steps[*index].id.to_string()).collect();
        let signal = match order {
            Order::Terminate => "SIGTERM",
            Order::Kill => "SIGKILL",
        };
        self.record.event(EventKind::Ending { steps: names, signal: signal.to_owned() });
        for index in steps {
            if let Some(orders) = self.orders.get(&index) {
                // A step that takes no more orders is gone. Its inbox holds more orders than are ever sent.
                let _gone = orders.try_send(order);
            }
        }
    }

    /// Whether all steps were gone within the limit, and before `cut_short`.
    async fn wait_until_gone(
        &mut self,
        steps: &[usize],
        limit: Duration,
        cut_short: impl Fn(&Self) -> bool,
    ) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if steps.iter().all(|index| self.steps[*index] == StepPhase::Gone) {
                return true;
            }
            if cut_short(self) {
                return false;
            }
            match tokio::time::timeout_at(deadline, self.next()).await {
                Ok(Ok(())) => {}
                // While steps are ended, nothing stops that.
                Ok(Err(_stop)) => {}
                Err(_elapsed) => return false,
            }
        }
    }
}
