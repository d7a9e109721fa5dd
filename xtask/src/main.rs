//! The project's own chores. `cargo xtask` lists them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool for developers")]

mod codegen;
mod render;
mod slurm;
mod test;
mod tidy;

use std::{env, path::PathBuf, process::ExitCode};

const USAGE: &str = "\
cargo xtask COMMAND

  test [--no-install] [CARGO TEST ARGS]  install what the tests need, then run all of them
  tidy                                   check the structure: layers, dependencies, and documents
  codegen [--check]                      write (or compare) the generated documents
  render -f RECIPE [--template NAME]     print rendered templates
  slurm up|down|status                   a private Slurm cluster on this machine
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else {
        print!("{USAGE}");
        return ExitCode::from(2);
    };
    let result = match command.as_str() {
        "test" => test::main(rest),
        "tidy" => tidy::main(),
        "codegen" => codegen::main(rest),
        "render" => render::main(rest),
        "slurm" => slurm::main(rest),
        _ => {
            eprint!("error: no such command: {command}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root folder.
fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask lies in the workspace").to_owned()
}
