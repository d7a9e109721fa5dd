//! `lm-eval`: the evaluation of a workspace that is mounted at `/infmax-workspace`.

use srt_context::Job;

use crate::{Benchmark, BenchmarkError, BenchmarkPlan, Expected, Target, concurrency_values, script};

/// Arguments: port, model, result folder, concurrent requests.
const SCRIPT: &str = r#"
set -e
export MODEL_NAME=$2 EVAL_CONCURRENT_REQUESTS="${EVAL_CONC:-$4}"
cd /infmax-workspace
. benchmarks/benchmark_lib.sh
code=0
run_eval --framework lm-eval --port "$1" || code=$?
append_lm_eval_summary || true
mkdir -p "$3"
for file in meta_env.json results*.json sample*.jsonl; do if [ -e "$file" ]; then cp "$file" "$3/"; fi; done
exit $code
"#;

pub(crate) struct LmEval;

impl Benchmark for LmEval {
    fn name(&self) -> &'static str {
        "lm-eval"
    }

    fn plan(&self, job: &Job<'_>, target: &Target) -> Result<BenchmarkPlan, BenchmarkError> {
        let concurrencies = job.recipe.benchmark.concurrencies.as_ref().and_then(concurrency_values);
        let concurrent = concurrencies.and_then(|numbers| numbers.into_iter().max()).unwrap_or(256);
        let arguments = vec![
            target.port.to_string(),
            job.ctx.served_model_name.clone(),
            format!("{}/eval_results", job.ctx.logs),
            concurrent.to_string(),
        ];
        let step = script::step(job, target, SCRIPT, arguments)?;
        Ok(BenchmarkPlan { step: Some(step), expected: Expected::ExitCode })
    }
}
