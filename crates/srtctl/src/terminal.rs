//! What a person sees: errors, diagnostics, and whether there is a terminal at all.

use std::io::{self, IsTerminal as _};

use anstream::{ColorChoice, eprint, eprintln};
use anstyle::{AnsiColor, Style};

use crate::{
    environment::{Environment, LOG_FILTER},
    exit::CommandError,
};

const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Prints an error and its causes, unless it has been printed already.
pub(crate) fn print_error(error: &anyhow::Error) {
    if matches!(error.downcast_ref(), Some(CommandError::Reported)) {
        return;
    }
    eprintln!("{ERROR}error{ERROR:#}: {error:#}");
}

/// Prints rendered diagnostics.
pub(crate) fn print_diagnostics(text: &str) {
    eprint!("{text}");
}

/// Whether stderr takes colour: a terminal, and no `NO_COLOR`.
pub(crate) fn stderr_has_colour() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// Whether a person watches stderr.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Sends diagnostic output to stderr, where a filter asks for it.
pub(crate) fn init_tracing(environment: &Environment) {
    let Some(filter) = environment.get(LOG_FILTER) else { return };
    let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(filter);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}
