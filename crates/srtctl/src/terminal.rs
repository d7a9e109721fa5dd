//! What a person sees: errors, diagnostics, and whether there is a terminal at all.

use std::io::{self, IsTerminal as _, Write as _};

use anstream::{ColorChoice, eprintln};
use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use jiff::{Timestamp, tz::TimeZone};
use srt_yaml::Diagnostic;

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

/// Prints diagnostics, errors last, so that they are the lines a person still sees.
pub(crate) fn print_diagnostics(diagnostics: &[Diagnostic]) {
    let colour = anstream::AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    let (errors, rest): (Vec<_>, Vec<_>) = diagnostics.iter().partition(|it| it.is_error());
    for diagnostic in rest.into_iter().chain(errors) {
        eprintln!("{}\n", diagnostic.render(colour));
    }
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

/// Prints a line of data, or of a report, to stdout.
pub(crate) fn print_line(line: &str) {
    // Whoever reads may have seen enough; there is nobody left to tell.
    let _closed = writeln!(anstream::stdout(), "{line}");
}

/// Prints text to stdout as it is. A reader that has seen enough, such as `head`, is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match anstream::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        answer => answer.context("failed to write to standard output"),
    }
}

/// Prints a line for a person to stderr.
pub(crate) fn note(line: &str) {
    eprintln!("{line}");
}

/// A time as a person here reads it.
pub(crate) fn local_time(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
