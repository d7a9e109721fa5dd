//! [`Slurm`]: the command line tools of an installed Slurm.

use std::time::Duration;

use srt_run::{
    command::{Answer, CommandError, Invocation, output},
    launcher::StepExit,
};

/// How long a command may take. A controller that is busy or failing over answers late; one that does not answer in
/// this time must not hold up a run.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Slurm as its command line tools show it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Slurm {
    environment: Vec<(String, String)>,
}

/// Why a command of Slurm gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// It could not be run, or did not answer in time.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It failed.
    #[error("`{command}` {exit}: {message}")]
    Failed {
        /// Program and arguments.
        command: String,
        /// How it ended.
        exit: StepExit,
        /// What it said, in its own words.
        message: String,
    },
    /// It answered something that this program does not understand.
    #[error("`{command}` answered something unexpected: {answer}")]
    Unexpected {
        /// Program and arguments.
        command: String,
        /// The line in question.
        answer: String,
    },
}

impl Slurm {
    /// The Slurm that the environment of this process talks to.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with more variables, such as `SLURM_CONF`.
    #[must_use]
    pub fn with_environment(environment: Vec<(String, String)>) -> Self {
        Self { environment }
    }

    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Runs a command to its end, whatever its exit code.
    pub(crate) async fn ask(&self, argv: &[String]) -> Result<Answer, SlurmError> {
        self.ask_within(argv, ANSWER_LIMIT).await
    }

    /// The same with a limit of one's own.
    pub(crate) async fn ask_within(&self, argv: &[String], limit: Duration) -> Result<Answer, SlurmError> {
        let (program, arguments) = argv.split_first().expect("every caller names a program");
        let invocation = Invocation {
            program: program.clone(),
            arguments: arguments.to_vec(),
            env: self.environment.clone(),
            stdin: String::new(),
        };
        Ok(output(&invocation, limit).await?)
    }

    /// Runs a command that has to succeed; its stdout.
    pub(crate) async fn run(&self, argv: &[String]) -> Result<String, SlurmError> {
        let answer = self.ask(argv).await?;
        if answer.exit.is_success() {
            return Ok(answer.stdout);
        }
        Err(failed(argv, answer))
    }
}

/// The error of a command that failed.
pub(crate) fn failed(argv: &[String], answer: Answer) -> SlurmError {
    let said = if answer.stderr.trim().is_empty() { &answer.stdout } else { &answer.stderr };
    let message = said.trim().to_owned();
    SlurmError::Failed { command: argv.join(" "), exit: answer.exit, message }
}

/// A command line of words that are text already.
pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
