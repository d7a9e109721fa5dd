//! `sglang-bench`: SGLang's own serving benchmark, once per concurrency.

use srt_context::Job;

use crate::{
    Benchmark, BenchmarkError, BenchmarkPlan, Expected, Target,
    script::{self, concurrencies, in_range, required},
};

const KIND: &str = "sglang-bench";

/// Arguments: host, port, model, input length, output length, request rate, result folder, concurrencies.
const SCRIPT: &str = r#"
set -e
host=$1 port=$2 model=$3 isl=$4 osl=$5 rate=$6 folder=$7
shift 7
mkdir -p "$folder"
for concurrency in "$@"; do
  python3 -m sglang.bench_serving --backend sglang-oai --host "$host" --port "$port" --model "$model" \
    --dataset-name random --random-input-len "$isl" --random-output-len "$osl" --random-range-ratio 1 \
    --num-prompts 128 --max-concurrency "$concurrency" --request-rate "$rate" --warmup-requests 0 \
    --output-file "$folder/results_concurrency_$concurrency.jsonl"
done
"#;

pub(crate) struct SglangBench;

impl Benchmark for SglangBench {
    fn name(&self) -> &'static str {
        KIND
    }

    fn plan(&self, job: &Job<'_>, target: &Target) -> Result<BenchmarkPlan, BenchmarkError> {
        let benchmark = &job.recipe.benchmark;
        let isl = in_range(required(benchmark.isl, KIND, "isl")?, 1, KIND, "isl")?;
        let osl = in_range(required(benchmark.osl, KIND, "osl")?, 1, KIND, "osl")?;
        let rate = benchmark.req_rate.clone().unwrap_or_else(|| "inf".to_owned());
        if rate.parse::<f64>().is_ok_and(|rate| rate <= 0.0) {
            let needed = "a rate above 0, or `inf`";
            return Err(BenchmarkError::Value { kind: KIND, field: "req_rate", value: rate, needed });
        }
        let mut arguments = vec![
            target.host.clone(),
            target.port.to_string(),
            job.ctx.served_model_name.clone(),
            isl.to_string(),
            osl.to_string(),
            rate,
            format!("{}/sglang-bench", job.ctx.logs),
        ];
        arguments.extend(concurrencies(benchmark.concurrencies.as_ref(), KIND)?.iter().map(u64::to_string));
        let step = script::step(job, target, SCRIPT, arguments)?;
        Ok(BenchmarkPlan { step: Some(step), expected: Expected::ExitCode })
    }
}
