//! Installs what the tests need, where that is allowed, and runs all of them.
//!
//! Tests talk to real parts. What a machine lacks is installed from Debian's packages by root; anybody else is told
//! the exact command. Nothing is skipped: a missing part makes the whole command fail.

use std::{env, path::Path};

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use crate::root;

/// Something that tests start, and the packages that provide it.
struct Need {
    what: &'static str,
    programs: &'static [&'static str],
    packages: &'static [&'static str],
}

const NEEDS: &[Need] = &[Need {
    what: "a private Slurm cluster",
    programs: &["slurmctld", "slurmd", "sbatch", "munged"],
    packages: &["slurmctld", "slurmd", "slurm-client", "munge"],
}];

/// Folders of daemons that are not on an ordinary user's `PATH`.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Runs every test; further arguments go to `cargo test`.
pub(crate) fn main(arguments: &[String]) -> anyhow::Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    let (install, arguments) = match arguments.split_first() {
        Some((flag, rest)) if flag == "--no-install" => (false, rest),
        _ => (true, arguments),
    };
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path).chain(SYSTEM_FOLDERS.map(Into::into)).collect();
    let missing = missing_packages(NEEDS, |program| folders.iter().any(|it| it.join(program).is_file()));
    if !missing.is_empty() {
        provide(&shell, &missing, install)?;
    }
    cmd!(shell, "cargo test --workspace {arguments...}").run().context("tests failed")
}

fn missing_packages(needs: &[Need], present: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let missing = needs.iter().filter(|need| !need.programs.iter().all(|it| present(it)));
    missing
        .inspect(|need| println!("tests need {}: {}", need.what, need.packages.join(" ")))
        .flat_map(|need| need.packages.iter().copied())
        .collect()
}

fn provide(shell: &Shell, packages: &[&str], install: bool) -> anyhow::Result<()> {
    let command = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    let is_root = cmd!(shell, "id -u").quiet().read()? == "0";
    let has_apt = Path::new("/usr/bin/apt-get").exists();
    if !(install && is_root && has_apt) {
        bail!("the tests need packages that are not installed; as root, run: {command}");
    }
    let _frontend = shell.push_env("DEBIAN_FRONTEND", "noninteractive");
    cmd!(shell, "apt-get update -q").run()?;
    cmd!(shell, "apt-get install -q -y --no-install-recommends {packages...}")
        .run()
        .with_context(|| format!("failed to install packages; try: {command}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_is_met_only_by_all_its_programs() {
        assert_eq!(missing_packages(NEEDS, |_| true), Vec::<&str>::new());
        assert_eq!(missing_packages(NEEDS, |program| program != "munged"), NEEDS[0].packages);
    }
}
