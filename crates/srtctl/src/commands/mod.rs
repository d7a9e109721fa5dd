//! The subcommands, one file each.

pub(crate) mod apply;
mod bench;
mod completions;
pub(crate) mod dry_run;
mod mock;
mod resolve;
mod rollup;
mod run;
mod schema;

use crate::{environment::Environment, exit::Outcome};

/// Subcommands
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Run a recipe: submit it to Slurm, or with --local run it on this machine
    Apply(apply::ApplyArguments),
    /// Show what a recipe would run, and start nothing
    DryRun(dry_run::DryRunArguments),
    /// Read the logs and results of a run directory into `rollup.json`
    Rollup(rollup::RollupArguments),
    /// Load a server and measure it
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Stand-ins for engines and routers, without a GPU
    #[command(subcommand)]
    Mock(mock::MockCommand),
    /// Write the resolved recipe of each variant: overrides merged, placeholders and --set applied
    Resolve(resolve::ResolveArguments),
    /// Print the JSON Schema of recipes, or of the cluster file
    Schema(schema::SchemaArguments),
    /// Execute a submitted job; started by the batch script
    #[command(hide = true)]
    Run(run::RunArguments),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArguments),
}

/// Runs one subcommand.
pub(crate) fn run(command: Command, environment: &Environment) -> anyhow::Result<Outcome> {
    match command {
        Command::Apply(arguments) => apply::run(&arguments, environment),
        Command::DryRun(arguments) => dry_run::run(&arguments, environment),
        Command::Rollup(arguments) => Ok(rollup::run(&arguments)),
        Command::Bench(command) => bench::run(command),
        Command::Mock(command) => mock::run(command),
        Command::Resolve(arguments) => resolve::run(&arguments, environment),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Run(arguments) => run::run(&arguments, environment),
        Command::Completions(arguments) => Ok(completions::run(&arguments)),
    }
}
