//! Plans the jobs of a recipe. What forbids to start one is told at its place in the recipe, for all jobs at once.

use srt_context::{Allocation, Surroundings};
use srt_plan::{Plan, PlanError};
use srt_schema::{Loaded, Variant};
use srt_yaml::Diagnostic;

use crate::{exit::CommandError, input::Input};

/// Names of variants that a diagnostic lists.
const MAX_NAMES: usize = 3;

/// Forbids layouts that can be planned and make no sense; when reading they are warnings.
pub(crate) fn forbid_bad_layouts(input: &mut Input) {
    let loaded = &mut input.loaded;
    let found = loaded
        .variants
        .iter()
        .flat_map(|it| srt_schema::topology_problems(it).into_iter().map(move |problem| (it, problem)));
    let errors = told_once(found, loaded.variants.len());
    loaded.diagnostics.retain(|known| !errors.iter().any(|error| is_same(known, error)));
    loaded.diagnostics.extend(errors);
}

/// Plans every job where `place` says that it runs. The plan of a job that cannot be planned is missing, and what
/// stands against it is among the input's diagnostics.
pub(crate) fn plans(input: &mut Input, place: impl Fn(&Variant) -> (Allocation, Surroundings)) -> Vec<Plan> {
    let Loaded { variants, cluster, diagnostics } = &mut input.loaded;
    let mut plans = Vec::new();
    let mut problems = Vec::new();
    for variant in &*variants {
        let (allocation, surroundings) = place(variant);
        match srt_plan::plan(&variant.recipe, cluster, &allocation, &surroundings) {
            Ok(plan) => plans.push(plan),
            Err(error) => {
                let problem = at_its_place(variant, &error);
                let warning = diagnostics.iter().find(|it| is_foretold(&problem, it));
                let help = warning.and_then(|it| it.help.clone());
                problems.push((variant, problem.with_help_if(help)));
            }
        }
    }
    let problems = told_once(problems, variants.len());
    diagnostics.retain(|known| !problems.iter().any(|problem| is_foretold(problem, known)));
    diagnostics.extend(problems);
    plans
}

/// Whether a warning at the same place has told of it already.
fn is_foretold(problem: &Diagnostic, known: &Diagnostic) -> bool {
    !known.is_error() && (&known.file, &known.span) == (&problem.file, &problem.span)
}

/// Plans one job of an input that has been checked.
pub(crate) fn plan(
    variant: &Variant,
    input: &Input,
    allocation: &Allocation,
    surroundings: &Surroundings,
) -> anyhow::Result<Plan> {
    srt_plan::plan(&variant.recipe, &input.loaded.cluster, allocation, surroundings).map_err(|error| {
        CommandError::BadInput(format!("`{}` cannot be planned: {error}", variant.recipe.name)).into()
    })
}

/// The error at the recipe's field that it is about; else at the name.
fn at_its_place(variant: &Variant, error: &PlanError) -> Diagnostic {
    let field = error.field().unwrap_or_else(|| "name".to_owned());
    let keys: Vec<&str> = field.split('.').collect();
    let message = format!("the job cannot be planned: {error}");
    variant.sources.error(variant.resolved.span_at(&keys), "cannot-plan", message)
}

/// Variants share most of their text, and so their problems: each is told once, with the names of the variants that
/// have it, unless all have.
fn told_once<'a>(
    found: impl IntoIterator<Item = (&'a Variant, Diagnostic)>,
    variants: usize,
) -> Vec<Diagnostic> {
    let mut problems: Vec<(Diagnostic, Vec<&str>)> = Vec::new();
    for (variant, problem) in found {
        let name = variant.recipe.name.as_str();
        match problems.iter_mut().find(|(known, _)| is_same(known, &problem)) {
            Some((_, names)) => names.push(name),
            None => problems.push((problem, vec![name])),
        }
    }
    let told = |(mut problem, names): (Diagnostic, Vec<&str>)| {
        if names.len() < variants {
            let text = format!("only in {}", listed(&names));
            problem.help = Some(match problem.help {
                Some(help) => format!("{help} ({text})"),
                None => text,
            });
        }
        problem
    };
    problems.into_iter().map(told).collect()
}

fn is_same(one: &Diagnostic, other: &Diagnostic) -> bool {
    (&one.file, &one.span, &one.message) == (&other.file, &other.span, &other.message)
}

fn listed(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(MAX_NAMES).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown.join(", "),
        1 => format!("{}, and one other job", shown.join(", ")),
        more => format!("{}, and {more} other jobs", shown.join(", ")),
    }
}
