//! `router`: prefix-cache hit rates through sglang-router, by Dynamo's benchmark script.

use srt_context::Job;
use srt_yaml::python_float;

use crate::{
    Benchmark, BenchmarkError, BenchmarkPlan, Expected, Target,
    environment::frontend_name,
    script::{self, or_default},
};

const KIND: &str = "router";

/// Arguments: URL, model, tokenizer, result folder, input length, output length, requests, concurrency, ratios.
const SCRIPT: &str = r#"
set -e
url=$1 model=$2 tokenizer=$3 folder=$4 isl=$5 osl=$6 requests=$7 concurrency=$8
shift 8
[ -d /tmp/dynamo ] || git clone --quiet --depth 1 https://github.com/ai-dynamo/dynamo.git /tmp/dynamo
cd /tmp/dynamo/benchmarks/router
python3 prefix_ratio_benchmark.py --url "$url" --model "$model" --tokenizer "$tokenizer" --output-dir "$folder" \
  --isl "$isl" --osl "$osl" --requests "$requests" --concurrency "$concurrency" --prefix-ratios "$@"
"#;

pub(crate) struct Router;

impl Benchmark for Router {
    fn name(&self) -> &'static str {
        KIND
    }

    fn plan(&self, job: &Job<'_>, target: &Target) -> Result<BenchmarkPlan, BenchmarkError> {
        let benchmark = &job.recipe.benchmark;
        let frontend = frontend_name(job);
        if frontend != "sglang" {
            return Err(BenchmarkError::Frontend { kind: KIND, needed: "sglang", frontend });
        }
        let number = |value, default, field| {
            Ok::<_, BenchmarkError>(or_default(value, default, KIND, field)?.to_string())
        };
        let mut arguments = vec![
            target.url.clone(),
            job.ctx.served_model_name.clone(),
            script::tokenizer(job),
            format!("{}/router-bench", job.ctx.logs),
            number(benchmark.isl, 14000, "isl")?,
            number(benchmark.osl, 200, "osl")?,
            number(benchmark.num_requests, 200, "num_requests")?,
            number(benchmark.concurrency, 20, "concurrency")?,
        ];
        let default = [0.1, 0.3, 0.5, 0.7, 0.9];
        let ratios =
            benchmark.prefix_ratios.as_deref().filter(|ratios| !ratios.is_empty()).unwrap_or(&default);
        arguments.extend(ratios.iter().map(|ratio| python_float(*ratio)));
        let step = script::step(job, target, SCRIPT, arguments)?;
        Ok(BenchmarkPlan { step: Some(step), expected: Expected::ExitCode })
    }
}
