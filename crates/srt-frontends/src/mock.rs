//! The mock router: this very program, with sglang-router's flags. Always one: a fan-out needs nginx, and the mock
//! router is there for machines that have nothing.

use srt_context::Job;
use srt_launch::{FrontendProtocol, SELF_PROGRAM, Stage, Step};

use crate::{Frontend, FrontendError, FrontendLayout, router};

pub(crate) struct Mock;

impl Frontend for Mock {
    fn name(&self) -> &'static str {
        "mock"
    }

    fn protocol(&self) -> FrontendProtocol {
        FrontendProtocol::SglangRouter
    }

    fn listed_model(&self, job: &Job<'_>) -> Option<String> {
        Some(job.ctx.served_model_name.clone())
    }

    fn steps(&self, job: &Job<'_>, layout: &FrontendLayout) -> Result<Vec<Step>, FrontendError> {
        let step = |(index, node)| {
            let mut argv: Vec<String> = [SELF_PROGRAM, "mock", "router"].map(str::to_owned).to_vec();
            argv.extend(router::arguments(job, node, layout.port));
            let mut step = job.ctx.step(Stage::Frontend, &format!("mock_router_{index}"), node, argv);
            step.log = format!("{node}_router_{index}.out");
            step.env.clone_from(&job.recipe.frontend.env);
            step.ports = vec![layout.port];
            // The program lies on the host, not in an engine's image.
            step.container = None;
            step
        };
        Ok(layout.nodes.iter().enumerate().map(step).collect())
    }
}
