//! Accuracy evaluations: mmlu, gpqa, gsm8k, and longbenchv2, by SGLang's `run_eval`; gsm8k on vLLM by lm-eval's kin.

use srt_context::Job;
use srt_schema::recipe::Engine;
use srt_yaml::python_float;

use crate::{
    Benchmark, BenchmarkError, BenchmarkPlan, Expected, Target,
    script::{self, in_range, or_default},
};

/// Arguments: result folder, pattern of the result files, then the arguments of `run_eval`.
const RUN_EVAL: &str = r#"
set -e
folder=$1 pattern=$2
shift 2
export OPENAI_API_KEY="${OPENAI_API_KEY:-EMPTY}"
python3 -m sglang.test.run_eval "$@"
mkdir -p "$folder"
found=$(find /tmp -maxdepth 1 -name "$pattern" -newer /proc/$$ 2>/dev/null || true)
if [ -z "$found" ]; then echo "WARNING: the evaluation left no /tmp/$pattern" >&2; exit 0; fi
printf '%s\n' "$found" | while IFS= read -r file; do cp "$file" "$folder/"; done
"#;

fn run_eval(
    job: &Job<'_>,
    target: &Target,
    name: &str,
    arguments: Vec<(&str, String)>,
) -> Result<BenchmarkPlan, BenchmarkError> {
    let mut argv = vec![format!("{}/accuracy", job.ctx.logs), format!("{name}_*")];
    argv.extend(["--base-url".to_owned(), target.url.clone()]);
    argv.extend(["--model".to_owned(), job.ctx.served_model_name.clone()]);
    argv.extend(["--eval-name".to_owned(), name.to_owned()]);
    argv.extend(arguments.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
    let step = script::step(job, target, RUN_EVAL, argv)?;
    Ok(BenchmarkPlan { step: Some(step), expected: Expected::ExitCode })
}

/// The four numbers of the multiple-choice evaluations.
fn multiple_choice(
    job: &Job<'_>,
    target: &Target,
    kind: &'static str,
    [examples, tokens, repeat, threads]: [u32; 4],
) -> Result<BenchmarkPlan, BenchmarkError> {
    let benchmark = &job.recipe.benchmark;
    let number =
        |value, default, field| or_default(value, default, kind, field).map(|number| number.to_string());
    let arguments = vec![
        ("--num-examples", number(benchmark.num_examples, examples, "num_examples")?),
        ("--max-tokens", number(benchmark.max_tokens, tokens, "max_tokens")?),
        ("--repeat", number(benchmark.repeat, repeat, "repeat")?),
        ("--num-threads", number(benchmark.num_threads, threads, "num_threads")?),
    ];
    run_eval(job, target, kind, arguments)
}

pub(crate) struct Mmlu;

impl Benchmark for Mmlu {
    fn name(&self) -> &'static str {
        "mmlu"
    }

    fn plan(&self, job: &Job<'_>, target: &Target) -> Result<BenchmarkPlan, BenchmarkError> {
        multiple_choice(job, target, self.name(), [200, 2048, 8, 512])
    }
}

pub(crate) struct Gpqa;

impl Benchmark for Gpqa {
    fn name(&self) -> &'static str {
        "gpqa"
    }

    fn plan(&self, job: &Job<'_>, target: &Target) -> Result<BenchmarkPlan, BenchmarkError> {
        multiple_choice(job, target, self.name(), [198, 32768, 8, 128])
    }
}

pub(crate) struct LongBenchV2;

impl Benchmark for LongBenchV2 {
    fn name(&self) -> &'static str {
        "longbenchv2"
    }

    fn plan(&self, job: &Job<'_>, target: &Target) -> Result<BenchmarkPlan, BenchmarkError> {
        let benchmark = &job.recipe.benchmark;
        let kind = self.name();
        let number = |value, default, field| {
            Ok::<_, BenchmarkError>(or_default(value, default, kind, field)?.to_string())
        };
        let mut arguments = vec![
            ("--max-context-length", number(benchmark.max_context_length, 128_000, "max_context_length")?),
            ("--num-threads", number(benchmark.num_threads, 16, "num_threads")?),
            ("--max-tokens", number(benchmark.max_tokens, 16384, "max_tokens")?),
        ];
        if let Some(examples) = benchmark.num_examples.filter(|examples| *examples != 0) {
            arguments.push(("--num-examples", in_range(examples, 1, kind, "num_examples")?.to_string()));
        }
        if let Some(categories) = benchmark.categories.as_ref().filter(|categories| !categories.is_empty()) {
            arguments.push(("--categories", categories.join(",")));
        }
        run_eval(job, target, "longbench_v2", arguments)
    }
}

/// Arguments: base URL, model, result folder, examples, tokens, shots, temperature, repetitions.
const GSM8K_COMPLETIONS: &str = r#"
set -e
python3 - "$@" <<'PYTHON'
import asyncio, json, re, sys, time, urllib.request

url, model, folder, examples, tokens, shots, temperature, repeat = sys.argv[1:9]
examples, tokens, shots, repeat = int(examples), int(tokens), int(shots), int(repeat)
import os
os.makedirs(folder, exist_ok=True)
from datasets import load_dataset
data = load_dataset("openai/gsm8k", "main")

def number(text):
    found = re.findall(r"\d+", text.replace(",", ""))
    return int(found[-1]) if found else None

context = "".join(f"Question: {row['question']}\nAnswer: {row['answer']}\n\n" for row in data["train"].select(range(shots)))

def ask(question):
    body = {"model": model, "prompt": context + f"Question: {question}\nAnswer:", "temperature": float(temperature),
            "max_tokens": tokens, "stop": ["Question", "Assistant:", "<|separator|>"], "seed": 42}
    request = urllib.request.Request(url + "/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            reply = json.load(answer)
        return reply["choices"][0]["text"], reply.get("usage", {}).get("completion_tokens", 0)
    except Exception as error:
        print(f"request failed: {error}", file=sys.stderr)
        return "", 0

async def run():
    from concurrent.futures import ThreadPoolExecutor
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(256) as pool:
        return await asyncio.gather(*(loop.run_in_executor(pool, ask, row["question"]) for row in rows))

rows = list(data["test"].select(range(min(examples, len(data["test"])))))
labels = [number(row["answer"]) for row in rows]
for turn in range(1, repeat + 1):
    start = time.time()
    answers = asyncio.run(run())
    seconds = time.time() - start
    guesses = [number(text) for text, _ in answers]
    total = sum(count for _, count in answers)
    result = {"accuracy": sum(a == b for a, b in zip(guesses, labels)) / len(rows),
              "invalid_rate": sum(g is None for g in guesses) / len(rows), "latency": seconds,
              "questions_per_second": len(rows) / seconds, "total_output_tokens": total, "tokens_per_second": total / seconds,
              "num_questions": len(rows), "num_shots": shots, "max_tokens": tokens, "timestamp": time.time(),
              "model": model, "temperature": float(temperature), "seed": 42}
    print(json.dumps(result))
    with open(f"{folder}/gsm8k_run{turn}.json", "w") as file:
        json.dump(result, file)
PYTHON
"#;

pub(crate) struct Gsm8k;

impl Benchmark for Gsm8k {
    fn name(&self) -> &'static str {
        "gsm8k"
    }

    fn plan(&self, job: &Job<'_>, target: &Target) -> Result<BenchmarkPlan, BenchmarkError> {
        let benchmark = &job.recipe.benchmark;
        let kind = self.name();
        let number = |value: Option<i64>, default, field| {
            let number = value.map_or(Ok(default), |number| in_range(number, 1, kind, field));
            number.map(|number| number.to_string())
        };
        let shots = in_range(benchmark.num_shots.unwrap_or(5), 0, kind, "num_shots")?.to_string();
        let examples = number(benchmark.num_examples, 1319, "num_examples")?;
        if matches!(job.recipe.engine, Engine::Vllm(_)) {
            let arguments = vec![
                target.url.clone(),
                job.ctx.served_model_name.clone(),
                format!("{}/accuracy", job.ctx.logs),
                examples,
                number(benchmark.max_tokens, 256, "max_tokens")?,
                shots,
                python_float(benchmark.temperature.unwrap_or(0.0)),
                number(benchmark.repeat, 1, "repeat")?,
            ];
            let step = script::step(job, target, GSM8K_COMPLETIONS, arguments)?;
            return Ok(BenchmarkPlan { step: Some(step), expected: Expected::ExitCode });
        }
        let mut arguments = vec![
            ("--num-examples", examples),
            ("--max-tokens", number(benchmark.max_tokens, 16384, "max_tokens")?),
            ("--num-threads", number(benchmark.num_threads, 512, "num_threads")?),
            ("--num-shots", shots),
        ];
        arguments.extend(benchmark.temperature.map(|value| ("--temperature", python_float(value))));
        arguments.extend(benchmark.top_p.map(|value| ("--top-p", python_float(value))));
        arguments.extend(benchmark.top_k.map(|value| ("--top-k", value.to_string())));
        run_eval(job, target, kind, arguments)
    }
}
