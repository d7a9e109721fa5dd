//! Prints the rollup of a run folder: `cargo run -p srtlog --example rollup -- DIR`.

use std::{path::PathBuf, process::ExitCode};

use srtlog::RunFacts;

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a program, and printing is its purpose"
)]
fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: rollup RUN_DIR");
        return ExitCode::from(2);
    };
    match srtlog::rollup(&folder, RunFacts::UNKNOWN) {
        Ok(rollup) => {
            print!("{}", rollup.to_json());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
