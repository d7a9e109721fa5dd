//! `manual`: the run serves until it is ended.

use srt_context::Job;

use crate::{Benchmark, BenchmarkError, BenchmarkPlan, Expected, Target};

pub(crate) struct Manual;

impl Benchmark for Manual {
    fn name(&self) -> &'static str {
        "manual"
    }

    fn plan(&self, _job: &Job<'_>, _target: &Target) -> Result<BenchmarkPlan, BenchmarkError> {
        Ok(BenchmarkPlan { step: None, expected: Expected::Serving })
    }
}
