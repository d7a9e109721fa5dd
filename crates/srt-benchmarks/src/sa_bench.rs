//! `sa-bench`: fixed concurrencies of random or given prompts, by our own client.

use srt_context::Job;
use srt_launch::{Lifetime, SELF_PROGRAM, Stage, Step};
use srt_schema::recipe::{Engine, FrontendKind};
use srt_yaml::python_float;

use crate::{
    Benchmark, BenchmarkError, BenchmarkPlan, Expected, Target,
    script::{concurrencies, in_range, required, text_of},
};

/// Name of the progress file under the log folder.
const PROGRESS: &str = "benchmark.progress.jsonl";
const KIND: &str = "sa-bench";

pub(crate) struct SaBench;

impl Benchmark for SaBench {
    fn name(&self) -> &'static str {
        KIND
    }

    fn plan(&self, job: &Job<'_>, target: &Target) -> Result<BenchmarkPlan, BenchmarkError> {
        let benchmark = &job.recipe.benchmark;
        let concurrencies = concurrencies(benchmark.concurrencies.as_ref(), KIND)?;
        let dataset = benchmark.dataset_name.as_deref().unwrap_or("random");
        let mut argv: Vec<String> = [SELF_PROGRAM, "bench", "sa-bench"].map(str::to_owned).to_vec();
        let mut add = |flag: &str, value: String| argv.extend([flag.to_owned(), value]);
        add("--url", target.url.clone());
        add("--model", job.ctx.served_model_name.clone());
        let tokenizer = tokenizer(job);
        if let Some(path) = &tokenizer {
            add("--tokenizer", path.clone());
        }
        let folder = if dataset == "custom" {
            let path = text_of(benchmark.dataset_path.as_ref(), KIND, "dataset_path")?;
            add("--dataset-name", dataset.to_owned());
            add("--dataset-path", path.clone());
            let file = path.rsplit('/').next().unwrap_or(path);
            format!("sa-bench_custom_{}", file.rsplit_once('.').map_or(file, |(stem, _)| stem))
        } else {
            let isl = in_range(required(benchmark.isl, KIND, "isl")?, 1, KIND, "isl")?;
            let osl = in_range(required(benchmark.osl, KIND, "osl")?, 1, KIND, "osl")?;
            add("--isl", isl.to_string());
            add("--osl", osl.to_string());
            add("--random-range-ratio", python_float(benchmark.random_range_ratio.unwrap_or(0.8)));
            add("--dataset-name", dataset.to_owned());
            format!("sa-bench_isl_{isl}_osl_{osl}")
        };
        let joined = concurrencies.iter().map(u64::to_string).collect::<Vec<_>>().join("x");
        add("--concurrencies", joined);
        add("--request-rate", request_rate(benchmark.req_rate.as_deref()));
        let factor =
            |number: Option<i64>, default, field| in_range(number.unwrap_or(default), 0, KIND, field);
        add("--num-prompts-mult", factor(benchmark.num_prompts_mult, 10, "num_prompts_mult")?.to_string());
        add("--num-warmup-mult", factor(benchmark.num_warmup_mult, 2, "num_warmup_mult")?.to_string());
        if let Some(implementation) = &benchmark.custom_tokenizer {
            add("--custom-tokenizer", implementation.clone());
        }
        add("--result-dir", format!("{}/{folder}", job.ctx.log_dir));
        add_gpus(job, &mut add);
        add("--progress", format!("{}/{PROGRESS}", job.ctx.log_dir));
        // A template is the tokenizer's; prompts of token ids have none.
        if benchmark.use_chat_template && tokenizer.is_some() {
            argv.push("--chat-template".to_owned());
        }
        if benchmark.reuse_http_connections {
            argv.push("--reuse-http-connections".to_owned());
        }
        let step = native_step(job, argv)?;
        Ok(BenchmarkPlan { step: Some(step), expected: Expected::Points { folder, concurrencies } })
    }
}

/// A step of our own client: on the host, where this program lies.
fn native_step(job: &Job<'_>, argv: Vec<String>) -> Result<Step, BenchmarkError> {
    let mut step = job.ctx.step(Stage::Benchmark, "benchmark", job.client_node()?, argv);
    step.container = None;
    step.lifetime = Lifetime::Task;
    Ok(step)
}

/// A mock engine has no weights and no tokenizer; a model of the hub has no folder that could be named here.
fn tokenizer(job: &Job<'_>) -> Option<String> {
    let is_mock =
        matches!(job.recipe.engine, Engine::Mocker(_)) && job.recipe.frontend.kind != FrontendKind::Dynamo;
    (!is_mock && !job.ctx.model.is_hub).then(|| job.ctx.model.path.clone())
}

fn request_rate(rate: Option<&str>) -> String {
    match rate.map(str::trim) {
        None | Some("" | "0") => "inf".to_owned(),
        Some(rate) => rate.to_owned(),
    }
}

fn add_gpus(job: &Job<'_>, add: &mut impl FnMut(&str, String)) {
    let (roles, hardware) = (&job.recipe.roles, &job.recipe.hardware);
    let gpus =
        |role: &srt_schema::recipe::RoleSpec| u64::from(role.workers) * u64::from(role.gpus_per_worker);
    if roles.disaggregated {
        let (prefill, decode) = (gpus(&roles.prefill), gpus(&roles.decode));
        add("--total-gpus", (prefill + decode).to_string());
        add("--prefill-gpus", prefill.to_string());
        add("--decode-gpus", decode.to_string());
    } else {
        let nodes = roles.agg.nodes.filter(|nodes| *nodes > 0).unwrap_or(1);
        add("--total-gpus", (u64::from(nodes) * u64::from(hardware.gpus_per_node)).to_string());
    }
}
