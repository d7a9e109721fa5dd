//! Checks of fields, and steps that run a script of ours in a container.

use srt_context::Job;
use srt_launch::{Lifetime, Stage, Step};
use srt_schema::recipe::Concurrencies;

use crate::{BenchmarkError, Target, concurrency_values, environment};

/// A field that must be set.
pub(crate) fn required<T>(
    value: Option<T>,
    kind: &'static str,
    field: &'static str,
) -> Result<T, BenchmarkError> {
    value.ok_or(BenchmarkError::Missing { kind, field })
}

/// Text that must be set and not empty.
pub(crate) fn text_of<'a>(
    value: Option<&'a String>,
    kind: &'static str,
    field: &'static str,
) -> Result<&'a String, BenchmarkError> {
    required(value.filter(|text| !text.trim().is_empty()), kind, field)
}

/// A number of at least `least`, which is 0 or 1.
pub(crate) fn in_range(
    value: i64,
    least: i64,
    kind: &'static str,
    field: &'static str,
) -> Result<u32, BenchmarkError> {
    let needed = if least == 0 { "a number of at least 0" } else { "a number above 0" };
    let wrong = || BenchmarkError::Value { kind, field, value: value.to_string(), needed };
    u32::try_from(value).ok().filter(|number| i64::from(*number) >= least).ok_or_else(wrong)
}

/// A number above 0, or `default` where none or 0 is set.
pub(crate) fn or_default(
    value: Option<i64>,
    default: u32,
    kind: &'static str,
    field: &'static str,
) -> Result<u32, BenchmarkError> {
    match value {
        None | Some(0) => Ok(default),
        Some(number) => in_range(number, 1, kind, field),
    }
}

/// Concurrencies, at least one.
pub(crate) fn concurrencies(
    value: Option<&Concurrencies>,
    kind: &'static str,
) -> Result<Vec<u64>, BenchmarkError> {
    let field = "concurrencies";
    let given = required(value, kind, field)?;
    let wrong = || BenchmarkError::Value {
        kind,
        field,
        value: match given {
            Concurrencies::List(numbers) => format!("{numbers:?}"),
            Concurrencies::Text(text) => text.clone(),
        },
        needed: "numbers above 0, as `[4, 8]` or `4x8`",
    };
    concurrency_values(given).filter(|numbers| !numbers.is_empty()).ok_or_else(wrong)
}

/// A step that runs a script in the benchmark's container. Values come as `$1`, `$2`, …, never as part of the text.
pub(crate) fn step(
    job: &Job<'_>,
    target: &Target,
    script: &str,
    arguments: Vec<String>,
) -> Result<Step, BenchmarkError> {
    let mut argv: Vec<String> = ["bash", "-c", script.trim(), "benchmark"].map(str::to_owned).to_vec();
    argv.extend(arguments);
    container_step(job, target, argv)
}

/// A step in the benchmark's container, or the job's.
pub(crate) fn container_step(
    job: &Job<'_>,
    target: &Target,
    argv: Vec<String>,
) -> Result<Step, BenchmarkError> {
    let mut step = job.ctx.step(Stage::Benchmark, "benchmark", job.client_node()?, argv);
    step.container = job.ctx.container_of(job.recipe.benchmark.container_image.as_deref());
    step.lifetime = Lifetime::Task;
    step.env = environment::common(job, target);
    Ok(step)
}

/// What the tokenizer is loaded from, as a step sees it.
pub(crate) fn tokenizer(job: &Job<'_>) -> String {
    job.ctx.model.in_step.clone()
}
