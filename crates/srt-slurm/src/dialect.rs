//! Which options the installed Slurm and its plugins know, asked of the tools themselves before anything is submitted.
//!
//! Help texts do not list every option (22.05 leaves `--open-mode` and `--cpu-bind` out of srun's), so the options
//! are put on a command line that ends in `--help`: sbatch and srun read all of them, with their values, before they
//! print the help and leave.

use srt_launch::Step;
use srt_plan::Plan;

use crate::{
    client::{Slurm, SlurmError, failed, words},
    srun::container_options,
};

/// A tool that reads options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Of the batch script.
    Sbatch,
    /// Of steps.
    Srun,
}

impl Tool {
    /// Name of the program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sbatch => "sbatch",
            Self::Srun => "srun",
        }
    }
}

/// An option that the installed Slurm does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} does not take `{option}`: {message}; {setting}", tool.name())]
pub struct UnknownOption {
    /// Who does not know it.
    pub tool: Tool,
    /// The option with its value.
    pub option: String,
    /// What the tool said.
    pub message: String,
    /// How to do without it.
    pub setting: &'static str,
}

impl Slurm {
    /// The options of a plan that the installed Slurm does not take.
    ///
    /// # Errors
    /// When the tools cannot be run.
    pub async fn unknown_in_plan(&self, plan: &Plan) -> Result<Vec<UnknownOption>, SlurmError> {
        let mut unknown = self.unknown_options(Tool::Sbatch, &sbatch_options(plan)).await?;
        unknown.extend(self.unknown_options(Tool::Srun, &srun_options(plan)).await?);
        // Without the plugin all of its options are unknown, and one of them says so.
        unknown.dedup_by(|one, before| one.setting == NO_CONTAINERS && before.setting == NO_CONTAINERS);
        Ok(unknown)
    }

    /// Those of some options, `--key=value` or `--key`, that a tool does not take.
    ///
    /// # Errors
    /// When the tool cannot be run.
    pub async fn unknown_options(
        &self,
        tool: Tool,
        options: &[String],
    ) -> Result<Vec<UnknownOption>, SlurmError> {
        if options.is_empty() || self.complaint(tool, options).await?.is_none() {
            return Ok(Vec::new());
        }
        // A tool that cannot even print its help, because there is no cluster, says nothing about options.
        let argv = words(&[tool.name(), "--help"]);
        let help = self.ask(&argv).await?;
        if !help.exit.is_success() {
            return Err(failed(&argv, help));
        }
        // Something is not known; the tool stops at the first, so every one is asked for alone.
        let mut unknown = Vec::new();
        for option in options {
            if let Some(message) = self.complaint(tool, std::slice::from_ref(option)).await? {
                let setting = setting(tool, option);
                unknown.push(UnknownOption { tool, option: option.clone(), message, setting });
            }
        }
        Ok(unknown)
    }

    /// What a tool says against these options; `None` when it takes them all.
    async fn complaint(&self, tool: Tool, options: &[String]) -> Result<Option<String>, SlurmError> {
        let mut argv = words(&[tool.name()]);
        argv.extend(options.iter().cloned());
        argv.push("--help".to_owned());
        let answer = self.ask(&argv).await?;
        if answer.exit.is_success() {
            return Ok(None);
        }
        let line = answer.stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
        Ok(Some(complaint_text(tool, line)))
    }
}

/// Without the tool's own name and path.
fn complaint_text(tool: Tool, line: &str) -> String {
    let line = line.split_once(&format!("{}: ", tool.name())).map_or(line, |(_, rest)| rest);
    line.strip_prefix("error: ").unwrap_or(line).trim().to_owned()
}

fn sbatch_options(plan: &Plan) -> Vec<String> {
    let option = |(name, value): &(String, Option<String>)| match value {
        Some(value) => format!("--{name}={value}"),
        None => format!("--{name}"),
    };
    // The line between two components is no option.
    without_repetition(plan.sbatch.iter().filter(|(name, _)| name != "hetjob").map(option))
}

fn srun_options(plan: &Plan) -> Vec<String> {
    let of_step = |step: &Step| step.srun.iter().cloned().chain(container_options(step)).collect::<Vec<_>>();
    without_repetition(plan.steps.iter().flat_map(of_step))
}

/// Mounts differ from step to step, but one `--container-mounts` stands for all; so does one of every other option.
fn without_repetition(options: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for option in options {
        if !kept.iter().any(|other| option_name(other) == option_name(&option)) {
            kept.push(option);
        }
    }
    kept
}

fn option_name(option: &str) -> &str {
    option.split_once('=').map_or(option, |(name, _)| name)
}

const NO_CONTAINERS: &str =
    "install pyxis, or set `container_runtime: none` in srtslurm.yaml to run on the host";

/// How to do without an option.
fn setting(tool: Tool, option: &str) -> &'static str {
    match (tool, option_name(option)) {
        (Tool::Sbatch, "--segment") => "set `use_segment_sbatch_directive: false` in srtslurm.yaml",
        (Tool::Sbatch, "--gpus-per-node") => "set `use_gpus_per_node_directive: false` in srtslurm.yaml",
        (Tool::Sbatch, "--exclusive") => "set `use_exclusive_sbatch_directive: false` in srtslurm.yaml",
        (Tool::Sbatch, _) => "change it in the recipe's `sbatch_directives`",
        (Tool::Srun, name) if name.contains("container") => NO_CONTAINERS,
        (Tool::Srun, _) => "change it in the recipe's `srun_options`",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(tool: Tool, option: &str, stderr: &str, expected: &Expect) {
        let message = complaint_text(tool, stderr);
        let setting = setting(tool, option);
        expected.assert_eq(&UnknownOption { tool, option: option.to_owned(), message, setting }.to_string());
    }

    #[test]
    fn an_unknown_option_is_named_with_its_setting() {
        check(
            Tool::Sbatch,
            "--segment=2",
            "/usr/bin/sbatch: unrecognized option '--segment=2'",
            &expect![
                "sbatch does not take `--segment=2`: unrecognized option '--segment=2'; set `use_segment_sbatch_directive: false` in srtslurm.yaml"
            ],
        );
        check(
            Tool::Sbatch,
            "--exclusive=topo",
            "sbatch: error: Invalid --exclusive specification",
            &expect![
                "sbatch does not take `--exclusive=topo`: Invalid --exclusive specification; set `use_exclusive_sbatch_directive: false` in srtslurm.yaml"
            ],
        );
        check(
            Tool::Srun,
            "--no-container-mount-home",
            "srun: unrecognized option '--no-container-mount-home'",
            &expect![
                "srun does not take `--no-container-mount-home`: unrecognized option '--no-container-mount-home'; install pyxis, or set `container_runtime: none` in srtslurm.yaml to run on the host"
            ],
        );
        check(
            Tool::Srun,
            "--foo",
            "srun: unrecognized option '--foo'",
            &expect![
                "srun does not take `--foo`: unrecognized option '--foo'; change it in the recipe's `srun_options`"
            ],
        );
    }

    #[test]
    fn one_option_of_a_name_stands_for_all() {
        let options = ["--mpi=pmix", "--mpi=none", "--overlap", "--overlap"].map(str::to_owned);
        assert_eq!(without_repetition(options.into_iter()), ["--mpi=pmix", "--overlap"]);
    }
}
