//! `srtctl dry-run`: the plan, for people or for machines.

use std::{net::IpAddr, path::PathBuf};

use anyhow::Context as _;
use srt_context::{Allocation, JobId, Node};
use srt_plan::{LOCAL_NETWORK, Plan, PlannedVariant};
use srt_schema::Variant;

use crate::{
    environment::Environment,
    exit::{CommandError, Outcome},
    input::{Input, RecipeArguments},
    site,
};

/// Arguments of `srtctl dry-run`
#[derive(Debug, clap::Args)]
pub(crate) struct DryRunArguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Print the plan, or the diagnostics, as one JSON document
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
    /// Do not check paths that exist only on the cluster
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
    let mut input = arguments.recipe.read(environment)?;
    if !arguments.no_preflight && !arguments.local {
        input.check_paths(environment);
    }
    if arguments.json && input.loaded.has_errors() {
        return print_json_diagnostics(&input);
    }
    if !arguments.json {
        input.report()?;
    }
    let planned = plan_variants(arguments, &input, environment)?;
    if arguments.json {
        let document = srt_plan::json::document(&input.recipe.path, &planned);
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        print!("{}", srt_report::plan::render(&planned));
    }
    Ok(Outcome::Success)
}

fn plan_variants<'a>(
    arguments: &DryRunArguments,
    input: &'a Input,
    environment: &Environment,
) -> anyhow::Result<Vec<PlannedVariant<'a>>> {
    let cluster = &input.loaded.cluster;
    let general = site::surroundings(environment, arguments.local);
    let asked = arguments.output.as_deref();
    let surroundings = site::surroundings_of_job(&general, asked, cluster, &arguments.job_id);
    let variants = input.loaded.variants.iter();
    variants
        .map(|variant| {
            let allocation = allocation(arguments, variant);
            let plan = plan_variant(variant, input, &allocation, &surroundings)?;
            Ok(PlannedVariant { variant, plan })
        })
        .collect()
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

/// Plans one variant; a recipe that cannot be laid over its nodes is bad input.
pub(crate) fn plan_variant(
    variant: &Variant,
    input: &Input,
    allocation: &Allocation,
    surroundings: &srt_context::Surroundings,
) -> anyhow::Result<Plan> {
    srt_plan::plan(&variant.recipe, &input.loaded.cluster, allocation, surroundings).map_err(|error| {
        CommandError::BadInput(format!("`{}` cannot be planned: {error}", variant.recipe.name)).into()
    })
}

fn print_json_diagnostics(input: &Input) -> anyhow::Result<Outcome> {
    let document = serde_json::json!({ "diagnostics": input.loaded.diagnostics });
    println!("{}", serde_json::to_string_pretty(&document).context("failed to write diagnostics")?);
    Ok(Outcome::BadInput)
}
