//! `trace-replay` and `mooncake-router`: traces replayed by aiperf.

use srt_context::Job;
use srt_launch::flags;

use crate::{
    Benchmark, BenchmarkError, BenchmarkPlan, Expected, Target, environment,
    script::{self, concurrencies, or_default, text_of},
};

/// What both types share: aiperf in an environment of its own, and a warm-up.
const COMMON: &str = r#"
set -e
url=$1 model=$2 tokenizer=$3 folder=$4 ttft=$5 itl=$6 trace=$7
shift 7
ulimit -n 600000 2>/dev/null || ulimit -n 65536 2>/dev/null || true
export AIPERF_HTTP_SO_RCVTIMEO=120
if ! command -v aiperf >/dev/null; then
  python3 -m venv /tmp/srtctl-aiperf
  . /tmp/srtctl-aiperf/bin/activate
  python3 -m pip install --quiet "${AIPERF_PACKAGE:-aiperf}" tiktoken
fi
metrics=()
if [ -n "$AIPERF_SERVER_METRICS_URLS" ]; then
  IFS=, read -r -a urls <<<"$AIPERF_SERVER_METRICS_URLS"
  metrics=(--server-metrics "${urls[@]}" --server-metrics-formats json jsonl)
fi
base=(-m "$model" --tokenizer "$tokenizer" --tokenizer-trust-remote-code --url "$url" --streaming --ui simple --extra-inputs ignore_eos:true)
goodput=(--goodput "time_to_first_token:$ttft inter_token_latency:$itl")
stamp=$(date -u +%Y%m%d_%H%M%S)
name=$(basename "$model")
"#;

/// Further arguments: number of concurrencies, the concurrencies, then flags of aiperf.
const TRACE_REPLAY: &str = r#"
[ -f "$trace" ] || { echo "no trace file: $trace" >&2; exit 1; }
count=$1
shift
concurrencies=("${@:1:count}")
shift "$count"
aiperf profile "${base[@]}" --concurrency 1 --request-count 5 --artifact-dir "$folder/warmup"
for concurrency in "${concurrencies[@]}"; do
  aiperf profile "${base[@]}" --input-file "$trace" --custom-dataset-type mooncake_trace --concurrency "$concurrency" \
    --random-seed 42 --artifact-dir "$folder/${name}_trace_c${concurrency}_$stamp" "${metrics[@]}" "${goodput[@]}" "$@"
done
"#;

/// Further arguments: workload, then flags of aiperf.
const MOONCAKE: &str = r#"
workload=$1
shift
if [ ! -f "$trace" ]; then
  mkdir -p "$(dirname "$trace")"
  curl -sSfL -o "$trace.part" "https://raw.githubusercontent.com/kvcache-ai/Mooncake/main/FAST25-release/traces/${workload}_trace.jsonl"
  mv "$trace.part" "$trace"
fi
aiperf profile "${base[@]}" --concurrency 10 --request-count 20 --artifact-dir "$folder/warmup"
aiperf profile "${base[@]}" --input-file "$trace" --custom-dataset-type mooncake_trace --fixed-schedule --random-seed 42 \
  --artifact-dir "$folder/${name}_${workload}_$stamp" "${metrics[@]}" "${goodput[@]}" "$@"
"#;

fn aiperf(
    job: &Job<'_>,
    target: &Target,
    kind: &'static str,
    script: &str,
    (trace, arguments): (String, Vec<String>),
) -> Result<BenchmarkPlan, BenchmarkError> {
    let benchmark = &job.recipe.benchmark;
    let mut argv = vec![
        target.url.clone(),
        job.ctx.served_model_name.clone(),
        script::tokenizer(job),
        format!("{}/artifacts", job.ctx.logs),
        or_default(benchmark.ttft_threshold_ms, 2000, kind, "ttft_threshold_ms")?.to_string(),
        or_default(benchmark.itl_threshold_ms, 25, kind, "itl_threshold_ms")?.to_string(),
        trace,
    ];
    argv.extend(arguments);
    argv.extend(flags::in_order(&benchmark.aiperf_args));
    let mut step = script::step(job, target, &format!("{COMMON}{script}"), argv)?;
    let urls = environment::metrics_urls(job, false, target);
    step.env.insert("AIPERF_SERVER_METRICS_URLS".to_owned(), urls);
    if let Some(package) = &benchmark.aiperf_package {
        step.env.insert("AIPERF_PACKAGE".to_owned(), package.clone());
    }
    Ok(BenchmarkPlan { step: Some(step), expected: Expected::ExitCode })
}

pub(crate) struct TraceReplay;

impl Benchmark for TraceReplay {
    fn name(&self) -> &'static str {
        "trace-replay"
    }

    fn plan(&self, job: &Job<'_>, target: &Target) -> Result<BenchmarkPlan, BenchmarkError> {
        let trace = text_of(job.recipe.benchmark.trace_file.as_ref(), self.name(), "trace_file")?;
        let numbers = concurrencies(job.recipe.benchmark.concurrencies.as_ref(), self.name())?;
        let mut arguments = vec![numbers.len().to_string()];
        arguments.extend(numbers.iter().map(u64::to_string));
        aiperf(job, target, self.name(), TRACE_REPLAY, (trace.clone(), arguments))
    }
}

const WORKLOADS: [&str; 4] = ["mooncake", "conversation", "synthetic", "toolagent"];

pub(crate) struct MooncakeRouter;

impl Benchmark for MooncakeRouter {
    fn name(&self) -> &'static str {
        "mooncake-router"
    }

    fn plan(&self, job: &Job<'_>, target: &Target) -> Result<BenchmarkPlan, BenchmarkError> {
        let workload = job.recipe.benchmark.mooncake_workload.as_deref().unwrap_or("conversation");
        if !WORKLOADS.contains(&workload) {
            return Err(BenchmarkError::Value {
                kind: self.name(),
                field: "mooncake_workload",
                value: workload.to_owned(),
                needed: "mooncake, conversation, synthetic, or toolagent",
            });
        }
        let trace = format!("{}/traces/{workload}_trace.jsonl", job.ctx.logs);
        aiperf(job, target, self.name(), MOONCAKE, (trace, vec![workload.to_owned()]))
    }
}
