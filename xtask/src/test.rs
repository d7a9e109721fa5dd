//! Installs what the tests need, where that is allowed, and runs all of them.
//!
//! Tests talk to real parts. What a machine lacks is installed from Debian's packages by root; anybody else is told
//! the exact command. Nothing is skipped: a missing part makes the whole command fail.

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::root;

/// Runs every test; further arguments go to `cargo test`.
pub(crate) fn main(arguments: &[String]) -> anyhow::Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    let (install, arguments) = match arguments.split_first() {
        Some((flag, rest)) if flag == "--no-install" => (false, rest),
        _ => (true, arguments),
    };
    if install && srt_testcluster::require().is_err() {
        srt_testcluster::install().context("the tests need a private Slurm cluster")?;
    }
    // Without them the tests would fail one by one, each with the same words.
    srt_testcluster::require()?;
    cmd!(shell, "cargo test --workspace {arguments...}").run().context("tests failed")
}
