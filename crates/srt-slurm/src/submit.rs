//! Submitting a job, asking whether it could be submitted, and ending it.

use camino::Utf8PathBuf;
use srt_context::JobId;

use crate::client::{Slurm, SlurmError, failed, words};

/// A batch script and what it may see of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The script; its options stand in it.
    pub script: Utf8PathBuf,
    /// Folder in which it starts; must exist on its first node.
    pub working_dir: Utf8PathBuf,
    /// Names of the environment's variables that it gets. Slurm's own are always there.
    pub exported: Vec<String>,
}

/// A job that was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Slurm could not be asked.
    #[error(transparent)]
    Slurm(#[from] SlurmError),
    /// Slurm refused the job.
    #[error("Slurm refused the job: {message}{}", hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default())]
    Refused {
        /// What it said, in its own words.
        message: String,
        /// What to change.
        hint: Option<&'static str>,
    },
}

impl Slurm {
    /// Submits a job.
    ///
    /// # Errors
    /// When Slurm cannot be asked, or refuses.
    pub async fn submit(&self, submission: &Submission) -> Result<JobId, SubmitError> {
        let argv = submission.argv(&["--parsable"]);
        let answer = self.ask(&argv).await?;
        if !answer.exit.is_success() {
            return Err(refused(&answer.stderr));
        }
        parse_job_id(&answer.stdout).ok_or_else(|| {
            let answer = answer.stdout.trim().to_owned();
            SubmitError::Slurm(SlurmError::Unexpected { command: argv.join(" "), answer })
        })
    }

    /// Asks the controller whether it would accept the job; what it says about when and where it would run.
    ///
    /// # Errors
    /// When Slurm cannot be asked, or would refuse.
    pub async fn try_submit(&self, submission: &Submission) -> Result<String, SubmitError> {
        let answer = self.ask(&submission.argv(&["--test-only"])).await?;
        if !answer.exit.is_success() {
            return Err(refused(&answer.stderr));
        }
        Ok(message(&answer.stderr))
    }

    /// Ends a job: SIGTERM to its script and steps, SIGKILL after the cluster's `KillWait`. A job that is over or
    /// never was is no error to Slurm.
    ///
    /// # Errors
    /// When Slurm cannot be asked, or refuses.
    pub async fn cancel(&self, job: &JobId) -> Result<(), SlurmError> {
        self.run(&words(&["scancel", job.as_str()])).await.map(drop)
    }

    /// Lets a job start that was submitted with `--hold`.
    ///
    /// # Errors
    /// When Slurm cannot be asked, or refuses.
    pub async fn release(&self, job: &JobId) -> Result<(), SlurmError> {
        self.run(&words(&["scontrol", "release", job.as_str()])).await.map(drop)
    }

    /// Sends a signal to the script of a job, and to nothing else of it.
    ///
    /// # Errors
    /// When Slurm cannot be asked, or refuses.
    pub async fn signal_script(&self, job: &JobId, signal: &str) -> Result<(), SlurmError> {
        let argv = words(&["scancel", "--batch", &format!("--signal={signal}"), job.as_str()]);
        let answer = self.ask(&argv).await?;
        if answer.exit.is_success() { Ok(()) } else { Err(failed(&argv, answer)) }
    }
}

impl Submission {
    fn argv(&self, options: &[&str]) -> Vec<String> {
        let mut argv = words(&["sbatch"]);
        argv.extend(words(options));
        // Without names it would be `NIL`, which means the same from 22.05 on; `NONE` loads the login environment.
        let exported = if self.exported.is_empty() { "NIL".to_owned() } else { self.exported.join(",") };
        argv.push(format!("--export={exported}"));
        argv.push(format!("--chdir={}", self.working_dir));
        argv.push(self.script.to_string());
        argv
    }
}

/// `14`, or `14;cluster` where there are several.
fn parse_job_id(text: &str) -> Option<JobId> {
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    JobId::new(line.split(';').next()?.trim())
}

fn refused(stderr: &str) -> SubmitError {
    let message = message(stderr);
    let hint = HINTS.iter().find(|(text, _)| message.contains(text)).map(|(_, hint)| *hint);
    SubmitError::Refused { message, hint }
}

/// What sbatch said, without its name before every line, and without what says nothing.
fn message(stderr: &str) -> String {
    let lines = stderr.lines().map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("/usr/bin/").unwrap_or(line);
        let line = line.strip_prefix("sbatch: ").unwrap_or(line);
        line.strip_prefix("error: ").unwrap_or(line)
    });
    let telling = lines.filter(|line| !line.is_empty() && !line.starts_with("Try \"sbatch"));
    telling.collect::<Vec<_>>().join("; ")
}

/// What Slurm says, and which setting it is about.
const HINTS: [(&str, &str); 11] = [
    (
        "Invalid generic resource (gres) specification",
        "this cluster has no such GPUs: set `use_gpus_per_node_directive: false` in srtslurm.yaml, or name what it has \
         in the recipe's `sbatch_directives.gres`",
    ),
    (
        "Requested node configuration is not available",
        "no set of nodes fits: compare `resources.gpus_per_node` and the number of nodes with what `sinfo -N -o '%N %G'` shows",
    ),
    (
        "More processors requested than permitted",
        "set `use_exclusive_sbatch_directive: true` in srtslurm.yaml, or name `cpus-per-task` in the recipe's `sbatch_directives`",
    ),
    (
        "Invalid partition name specified",
        "set `default_partition` in srtslurm.yaml, or `slurm.partition` in the recipe",
    ),
    (
        "invalid partition specified",
        "set `default_partition` in srtslurm.yaml, or `slurm.partition` in the recipe",
    ),
    ("Invalid account", "set `default_account` in srtslurm.yaml, or `slurm.account` in the recipe"),
    ("Invalid qos specification", "name a valid one as `sbatch_directives.qos` in the recipe"),
    ("unrecognized option '--segment", "set `use_segment_sbatch_directive: false` in srtslurm.yaml"),
    ("unrecognized option", "remove it from the recipe's `sbatch_directives`"),
    ("Requested time limit is invalid", "set a shorter `slurm.time_limit` in the recipe"),
    (
        "Unable to contact slurm controller",
        "the controller does not answer; nothing is wrong with the recipe",
    ),
];

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(stderr: &str, expected: &Expect) {
        expected.assert_eq(&refused(stderr).to_string());
    }

    #[test]
    fn a_refusal_keeps_the_words_and_names_the_setting() {
        check(
            "sbatch: error: Batch job submission failed: Invalid generic resource (gres) specification\n",
            &expect![
                "Slurm refused the job: Batch job submission failed: Invalid generic resource (gres) specification (this cluster has no such GPUs: set `use_gpus_per_node_directive: false` in srtslurm.yaml, or name what it has in the recipe's `sbatch_directives.gres`)"
            ],
        );
        check(
            "sbatch: unrecognized option '--segment=2'\nTry \"sbatch --help\" for more information\n",
            &expect![
                "Slurm refused the job: unrecognized option '--segment=2' (set `use_segment_sbatch_directive: false` in srtslurm.yaml)"
            ],
        );
        check(
            "sbatch: error: invalid partition specified: nosuch\nsbatch: error: Batch job submission failed: Invalid partition name specified\n",
            &expect![
                "Slurm refused the job: invalid partition specified: nosuch; Batch job submission failed: Invalid partition name specified (set `default_partition` in srtslurm.yaml, or `slurm.partition` in the recipe)"
            ],
        );
        check(
            "sbatch: error: something nobody has seen before\n",
            &expect!["Slurm refused the job: something nobody has seen before"],
        );
    }

    #[test]
    fn the_job_id_is_the_last_line() {
        let id = |text| parse_job_id(text).map(|id| id.to_string());
        assert_eq!(id("14\n"), Some("14".to_owned()));
        assert_eq!(id("a site's greeting\n14;alpha\n"), Some("14".to_owned()));
        assert_eq!(id(""), None);
        assert_eq!(id("$(id)\n"), None);
    }
}
