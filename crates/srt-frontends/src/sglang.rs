//! sglang-router.

use srt_context::Job;
use srt_launch::{FrontendProtocol, Stage, Step};

use crate::{Frontend, FrontendError, FrontendLayout, router};

pub(crate) struct Sglang;

impl Frontend for Sglang {
    fn name(&self) -> &'static str {
        "sglang"
    }

    fn protocol(&self) -> FrontendProtocol {
        FrontendProtocol::SglangRouter
    }

    fn may_fan_out(&self) -> bool {
        true
    }

    fn steps(&self, job: &Job<'_>, layout: &FrontendLayout) -> Result<Vec<Step>, FrontendError> {
        let step = |(index, node)| {
            let mut argv: Vec<String> =
                ["python", "-m", "sglang_router.launch_router"].map(str::to_owned).to_vec();
            argv.extend(router::arguments(job, node, layout.port));
            if job.ctx.is_virtual(node) {
                // Its metrics would listen on all addresses, where the router of another virtual node does.
                argv.extend(["--prometheus-host".to_owned(), job.ctx.listen_address(node)]);
            }
            let mut step = job.ctx.step(Stage::Frontend, &format!("sglang_router_{index}"), node, argv);
            step.log = format!("{node}_router_{index}.out");
            step.env.clone_from(&job.recipe.frontend.env);
            step.ports = vec![layout.port];
            step
        };
        Ok(layout.nodes.iter().enumerate().map(step).collect())
    }
}
