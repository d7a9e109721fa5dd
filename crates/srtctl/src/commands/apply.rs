//! `srtctl apply`: run a recipe, or all recipes of a folder.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::json;
use srt_context::{Allocation, JobId};
use srt_plan::LOCAL_NETWORK;
use srt_report::folder::plural;
use srt_schema::Variant;

use crate::{
    environment::Environment,
    exit::{CommandError, Outcome},
    input::{self, Input, RecipeArguments},
    local_run, planning, site, submit, terminal,
};

/// Stands for the job's number before there is one.
pub(crate) const NO_JOB_YET: &str = "preview";

/// What else the command does.
const HELP: &str = "\
A folder instead of a file means every `*.yaml` and `*.yml` below it, but for `srtslurm.yaml`. Nothing is started as \
long as any recipe has errors, nor without `--yes`.";

/// Arguments of `srtctl apply`
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct ApplyArguments {
    #[command(flatten)]
    pub(crate) recipe: RecipeArguments,
    /// Run on this machine, each node an address of its own, instead of submitting to Slurm
    #[arg(long)]
    pub(crate) local: bool,
    /// Folder of the run directories
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Do not check that the model and the container image exist here
    #[arg(long)]
    pub(crate) no_preflight: bool,
    /// Start all jobs of a folder of recipes; without it, they are only counted
    #[arg(long)]
    pub(crate) yes: bool,
    /// Ask Slurm whether it would take the job, and submit nothing
    #[arg(long, conflicts_with = "local")]
    pub(crate) dry_run_slurm: bool,
    /// Print what came of it as one JSON line per job, or the diagnostics as one JSON line
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(arguments: &ApplyArguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let folder = arguments.recipe.folder()?;
    let mut inputs = match folder {
        Some(folder) => arguments.recipe.read_folder(folder, environment)?,
        None => vec![arguments.recipe.read(environment)?],
    };
    inputs.par_iter_mut().for_each(|input| check(arguments, input, environment));
    report(arguments, &inputs)?;
    if let Some(folder) = folder
        && !arguments.yes
        && !arguments.dry_run_slurm
    {
        return Err(CommandError::BadInput(refusal(folder, &inputs)).into());
    }
    if arguments.local {
        return local_run::run(arguments, &inputs, environment);
    }
    if !submit::is_possible(environment) {
        let text = "there is no `sbatch` on PATH, so nothing can be submitted from here; \
                    run it on this machine with `--local`, or log in to the cluster";
        return Err(CommandError::Cluster(text.to_owned()).into());
    }
    submit::run(arguments, &inputs, environment)
}

/// Finds everything that is wrong with the recipe, before anything is started.
fn check(arguments: &ApplyArguments, input: &mut Input, environment: &Environment) {
    planning::forbid_bad_layouts(input);
    if !arguments.local && !arguments.no_preflight {
        input.check_paths(environment);
    }
    let job_id = JobId::new(NO_JOB_YET).expect("letters are allowed");
    let general = site::surroundings(environment, arguments.local);
    let asked = arguments.output.as_deref();
    let surroundings = site::surroundings_of_job(&general, asked, &input.loaded.cluster, &job_id);
    planning::plans(input, |variant| (allocation(arguments, variant, &job_id), surroundings.clone()));
}

fn allocation(arguments: &ApplyArguments, variant: &Variant, job_id: &JobId) -> Allocation {
    if arguments.local {
        srt_plan::local_allocation(&variant.recipe, job_id, LOCAL_NETWORK)
    } else {
        srt_plan::preview_allocation(&variant.recipe, job_id)
    }
}

/// Prints what was found; an error in any recipe ends the command.
fn report(arguments: &ApplyArguments, inputs: &[Input]) -> anyhow::Result<()> {
    let refused = inputs.iter().any(|input| input.loaded.has_errors());
    match inputs {
        _ if refused && arguments.json => {
            let diagnostics = input::diagnostics_of(inputs);
            terminal::print(&format!("{}\n", json!({ "diagnostics": diagnostics })))?;
        }
        [input] => terminal::print_diagnostics(&input.loaded.diagnostics),
        inputs => terminal::print_diagnostics(&input::diagnostics_of(inputs)),
    }
    if refused { Err(CommandError::Reported.into()) } else { Ok(()) }
}

/// Nobody starts a folder of jobs by surprise.
fn refusal(folder: &Path, inputs: &[Input]) -> String {
    let jobs: usize = inputs.iter().map(|input| input.loaded.variants.len()).sum();
    let verb = if jobs == 1 { "is" } else { "are" };
    format!(
        "there {verb} {} from {} below `{}`, and none was started; \
         start them with `--yes`, or see them with `srtctl dry-run`",
        plural(jobs, "job"),
        plural(inputs.len(), "recipe"),
        folder.display(),
    )
}
