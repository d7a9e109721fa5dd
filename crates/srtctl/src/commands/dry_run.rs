//! `srtctl dry-run`: the plan, for people or for machines.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde_json::{Value, json};
use srt_context::{Allocation, JobId, Node};
use srt_plan::{LOCAL_NETWORK, Plan};
use srt_report::folder::RecipeLine;
use srt_schema::Variant;

use crate::{
    environment::Environment,
    exit::Outcome,
    input::{self, Input, RecipeArguments},
    planning, site, terminal,
};

/// What else the command does.
const HELP: &str = "\
A folder instead of a file means every `*.yaml` and `*.yml` below it, but for `srtslurm.yaml`: a line for each recipe, \
and the diagnostics of those that are refused. Exit code 2 if there is one.

With `--json`, a recipe is a document with `format`, `recipe`, `variants`, and `diagnostics`; there are no `variants` \
if a diagnostic is an error. A folder has one document per line, in the order of the paths.";

/// Arguments of `srtctl dry-run`
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct DryRunArguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Print plans and diagnostics as JSON: one document, and for a folder one line per recipe
    #[arg(long)]
    json: bool,
    /// Plan for a run on this machine, as `apply --local` would run it
    #[arg(long, conflicts_with = "nodes")]
    local: bool,
    /// Plan for this job
    #[arg(long, value_name = "ID", default_value = "preview", value_parser = parse_job_id)]
    job_id: JobId,
    /// Plan for these nodes, in Slurm's order
    #[arg(long, value_name = "NAME=ADDRESS,…", value_delimiter = ',', value_parser = parse_node)]
    nodes: Vec<Node>,
    /// Do not check paths that exist only on the cluster, and show plans of layouts that `apply` refuses
    #[arg(long)]
    no_preflight: bool,
    /// Folder of the run directories
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(crate) fn parse_job_id(text: &str) -> Result<JobId, String> {
    JobId::new(text).ok_or_else(|| "expected letters, digits, `-`, and `_`".to_owned())
}

fn parse_node(text: &str) -> Result<Node, String> {
    let (name, address) = text.split_once('=').ok_or("expected `NAME=ADDRESS`")?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    let address: IpAddr = address.parse().map_err(|error| format!("`{address}`: {error}"))?;
    Ok(Node { name, address })
}

pub(crate) fn run(arguments: &DryRunArguments, environment: &Environment) -> anyhow::Result<Outcome> {
    if let Some(folder) = arguments.recipe.folder()? {
        return run_folder(arguments, folder, environment);
    }
    let mut input = arguments.recipe.read(environment)?;
    let plans = check_and_plan(arguments, &mut input, environment);
    if arguments.json {
        let document = document(&input, plans)?;
        terminal::print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
    } else {
        input.report()?;
        terminal::print(&srt_report::plan::render(&input.planned(plans)))?;
    }
    Ok(outcome(std::slice::from_ref(&input)))
}

fn run_folder(
    arguments: &DryRunArguments,
    folder: &Path,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let mut inputs = arguments.recipe.read_folder(folder, environment)?;
    let text = if arguments.json {
        let line = |input: &mut Input| {
            let plans = check_and_plan(arguments, input, environment);
            Ok(format!("{}\n", serde_json::to_string(&document(input, plans)?)?))
        };
        inputs.par_iter_mut().map(line).collect::<anyhow::Result<String>>()?
    } else {
        let line = |input: &mut Input| {
            let plans = check_and_plan(arguments, input, environment);
            recipe_line(input, &plans)
        };
        let lines: Vec<_> = inputs.par_iter_mut().map(line).collect();
        terminal::print_diagnostics(&input::diagnostics_of(&inputs));
        srt_report::folder::render(&lines)
    };
    terminal::print(&text)?;
    Ok(outcome(&inputs))
}

fn outcome(inputs: &[Input]) -> Outcome {
    let refused = inputs.iter().any(|input| input.loaded.has_errors());
    if refused { Outcome::BadInput } else { Outcome::Success }
}

/// Finds everything that is wrong with the recipe, and plans its jobs.
fn check_and_plan(arguments: &DryRunArguments, input: &mut Input, environment: &Environment) -> Vec<Plan> {
    if !arguments.no_preflight {
        planning::forbid_bad_layouts(input);
    }
    if !arguments.no_preflight && !arguments.local {
        input.check_paths(environment);
    }
    let general = site::surroundings(environment, arguments.local);
    let asked = arguments.output.as_deref();
    let surroundings = site::surroundings_of_job(&general, asked, &input.loaded.cluster, &arguments.job_id);
    planning::plans(input, |variant| (allocation(arguments, variant), surroundings.clone()))
}

/// What machines get of a recipe: its plans, or why there are none.
fn document(input: &Input, plans: Vec<Plan>) -> anyhow::Result<Value> {
    let diagnostics = serde_json::to_value(&input.loaded.diagnostics)?;
    if input.loaded.has_errors() {
        let recipe = &input.recipe.path;
        return Ok(json!({ "format": srt_plan::json::FORMAT, "recipe": recipe, "diagnostics": diagnostics }));
    }
    let planned = input.planned(plans);
    let mut document = serde_json::to_value(srt_plan::json::document(&input.recipe.path, &planned))?;
    document["diagnostics"] = diagnostics;
    Ok(document)
}

fn recipe_line(input: &Input, plans: &[Plan]) -> RecipeLine {
    let (errors, warnings): (Vec<_>, Vec<_>) = input.own_diagnostics().partition(|it| it.is_error());
    let can_start = !input.loaded.has_errors();
    let nodes = plans.iter().filter(|_| can_start).map(|plan| plan.summary.nodes).collect();
    RecipeLine {
        path: input.recipe.path.clone(),
        nodes,
        errors: errors.len(),
        warnings: warnings.len(),
        can_start,
    }
}

fn allocation(arguments: &DryRunArguments, variant: &Variant) -> Allocation {
    if arguments.local {
        return srt_plan::local_allocation(&variant.recipe, &arguments.job_id, LOCAL_NETWORK);
    }
    if arguments.nodes.is_empty() {
        return srt_plan::preview_allocation(&variant.recipe, &arguments.job_id);
    }
    Allocation { job_id: arguments.job_id.clone(), nodes: arguments.nodes.clone(), het: None }
}
