//! `vllm serve` itself: the worker answers the clients.

use srt_context::Job;
use srt_launch::{FrontendProtocol, Step};

use crate::{Frontend, FrontendError, FrontendLayout};

pub(crate) struct Vllm;

impl Frontend for Vllm {
    fn name(&self) -> &'static str {
        "vllm"
    }

    fn protocol(&self) -> FrontendProtocol {
        FrontendProtocol::Vllm
    }

    fn listed_model(&self, job: &Job<'_>) -> Option<String> {
        Some(job.ctx.served_model_name.clone())
    }

    fn steps(&self, _job: &Job<'_>, _layout: &FrontendLayout) -> Result<Vec<Step>, FrontendError> {
        Ok(Vec::new())
    }
}
