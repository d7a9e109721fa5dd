//! `srtctl apply`: run a recipe.

use std::path::PathBuf;

use crate::{
    environment::Environment,
    exit::{CommandError, Outcome},
    input::RecipeArguments,
    local_run, submit,
};

/// Arguments of `srtctl apply`
#[derive(Debug, clap::Args)]
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
    /// Ask Slurm whether it would take the job, and submit nothing
    #[arg(long, conflicts_with = "local")]
    pub(crate) dry_run_slurm: bool,
    /// Print what came of it as one JSON line per job
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(arguments: &ApplyArguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let mut input = arguments.recipe.read(environment)?;
    if !arguments.local && !arguments.no_preflight {
        input.check_paths(environment);
    }
    input.report()?;
    if arguments.local {
        return local_run::run(arguments, &input, environment);
    }
    if !submit::is_possible(environment) {
        let text = "there is no `sbatch` on PATH, so nothing can be submitted from here; \
                    run it on this machine with `--local`, or log in to the cluster";
        return Err(CommandError::Cluster(text.to_owned()).into());
    }
    submit::run(arguments, &input, environment)
}
