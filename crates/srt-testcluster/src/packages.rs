//! The Debian packages a cluster needs, and how a person gets them.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::process::{command, find_program};

/// Debian packages that hold the daemons, the client commands, and what a node is asked for its addresses with.
pub const PACKAGES: [&str; 5] = ["slurmctld", "slurmd", "slurm-client", "munge", "iproute2"];

/// Programs of those packages.
const PROGRAMS: [&str; 10] =
    ["munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scancel", "scontrol", "ip"];

/// The command that installs what is missing.
fn install_command() -> String {
    format!("apt-get install --yes --no-install-recommends {}", PACKAGES.join(" "))
}

/// Programs that are not installed.
fn missing() -> Vec<&'static str> {
    PROGRAMS.into_iter().filter(|name| find_program(name).is_none()).collect()
}

/// Fails with the exact command to run when a program of the cluster is not installed.
///
/// # Errors
/// When a program is missing.
pub fn require() -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("Slurm is not installed (no `{}`); run as root: {}", missing.join("`, no `"), install_command())
}

/// Installs what is missing when this process is root; otherwise fails with the exact command to run.
///
/// # Errors
/// When something is missing and cannot be installed.
pub fn install() -> anyhow::Result<()> {
    if missing().is_empty() {
        return Ok(());
    }
    if !rustix::process::getuid().is_root() || find_program("apt-get").is_none() {
        return require();
    }
    if run_install().is_err() {
        // A fresh image has no package lists.
        checked(command("apt-get").arg("update"))?;
        run_install()?;
    }
    require()
}

fn run_install() -> anyhow::Result<()> {
    let arguments = ["install", "--yes", "--no-install-recommends"];
    checked(command("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments).args(PACKAGES))
}

fn checked(command: &mut Command) -> anyhow::Result<()> {
    let what = format!("{command:?}");
    // What apt says belongs to the person who waits for it, and must not mix with what we print as data.
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().with_context(|| what.clone())?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{what}: {}: {}", output.status, String::from_utf8_lossy(&output.stdout))
}
