//! `custom`: a shell command of the recipe.

use srt_context::Job;

use crate::{
    Benchmark, BenchmarkError, BenchmarkPlan, Expected, Target, environment,
    script::{container_step, text_of},
};

pub(crate) struct Custom;

impl Benchmark for Custom {
    fn name(&self) -> &'static str {
        "custom"
    }

    fn plan(&self, job: &Job<'_>, target: &Target) -> Result<BenchmarkPlan, BenchmarkError> {
        let benchmark = &job.recipe.benchmark;
        let command = text_of(benchmark.command.as_ref(), self.name(), "command")?;
        let argv = vec!["bash".to_owned(), "-lc".to_owned(), command.clone()];
        let mut step = container_step(job, target, argv)?;
        let urls = environment::metrics_urls(job, true, target);
        step.env.insert("AIPERF_SERVER_METRICS_URLS".to_owned(), urls);
        step.env.extend(benchmark.env.clone());
        Ok(BenchmarkPlan { step: Some(step), expected: Expected::ExitCode })
    }
}
