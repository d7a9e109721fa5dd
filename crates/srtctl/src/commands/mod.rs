//! The subcommands, one file each.

pub(crate) mod apply;
mod bench;
mod cancel;
mod completions;
pub(crate) mod dry_run;
mod list;
mod logs;
mod mock;
mod resolve;
mod rollup;
mod run;
mod schema;
mod status;
mod wait;

use crate::{environment::Environment, exit::Outcome};

/// Subcommands
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Run a recipe: submit it to Slurm, or with --local run it on this machine
    Apply(apply::ApplyArguments),
    /// Show what a recipe would run, and start nothing
    DryRun(dry_run::DryRunArguments),
    /// Show where a job is, or every job that is under way
    Status(status::StatusArguments),
    /// Wait for the end of a job, show its progress, and end with the run's own exit code
    Wait(wait::WaitArguments),
    /// Show the logs of a job, and with -f what is added to them
    Logs(logs::LogsArguments),
    /// End a job in order: its results so far are kept
    Cancel(cancel::CancelArguments),
    /// List the runs, oldest first
    List(list::ListArguments),
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
        Command::Status(arguments) => status::run(&arguments, environment),
        Command::Wait(arguments) => wait::run(&arguments, environment),
        Command::Logs(arguments) => logs::run(&arguments, environment),
        Command::Cancel(arguments) => cancel::run(&arguments, environment),
        Command::List(arguments) => list::run(&arguments, environment),
        Command::Rollup(arguments) => Ok(rollup::run(&arguments)),
        Command::Bench(command) => bench::run(command),
        Command::Mock(command) => mock::run(command),
        Command::Resolve(arguments) => resolve::run(&arguments, environment),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Run(arguments) => run::run(&arguments, environment),
        Command::Completions(arguments) => Ok(completions::run(&arguments)),
    }
}
