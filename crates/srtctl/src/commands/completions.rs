//! `srtctl completions`: completion scripts.

use std::io;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{Arguments, exit::Outcome};

/// Arguments of `srtctl completions`
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArguments {
    /// Shell to complete for
    shell: Shell,
}

pub(crate) fn run(arguments: &CompletionsArguments) -> Outcome {
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "srtctl", &mut io::stdout());
    Outcome::Success
}
