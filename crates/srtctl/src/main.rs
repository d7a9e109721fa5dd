//! Runs LLM inference benchmarks on Slurm clusters, or on this machine.
//!
//! This crate is the edge of the program: it alone reads the environment, prints, and decides the exit code. Each
//! subcommand is one file under `commands`, a few calls into the libraries.

mod commands;
mod environment;
mod execute;
mod exit;
mod growing_file;
mod input;
mod job_view;
mod local_network;
mod local_run;
mod lookout;
mod planning;
mod run_directory;
mod run_files;
mod signals;
mod site;
mod submit;
mod terminal;
mod watch;

use std::{env, process::ExitCode};

use clap::Parser as _;

use crate::{commands::Command, environment::Environment, exit::Outcome};

/// The subcommand with which this program starts itself beside a process; never typed by a person.
const KEEPER: &str = "keeper";

/// Run LLM inference benchmarks on Slurm clusters, or on this machine
#[derive(clap::Parser)]
#[command(name = "srtctl", version, after_help = exit::HELP, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    // A keeper stands beside every process of a local run: it must be quick, and be alone on its thread.
    let mut raw = env::args_os().skip(1);
    if raw.next().is_some_and(|it| it == KEEPER) {
        return srt_run::keeper::main(&raw.collect::<Vec<_>>());
    }
    let arguments = Arguments::parse();
    let environment = Environment::read();
    terminal::init_tracing(&environment);
    let outcome = commands::run(arguments.command, &environment);
    match outcome {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            let outcome = Outcome::of_error(&error);
            terminal::print_error(&error);
            outcome.into()
        }
    }
}
