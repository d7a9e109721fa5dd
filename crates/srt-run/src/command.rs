//! The one place where processes are created.
//!
//! Everything that is started here has its own process group, so that a Ctrl-C at the terminal reaches srtctl and
//! nobody else, and a stdin that is not the terminal.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

use crate::{keeper::KeptCommand, launcher::StepExit};

/// A command that is run for its output.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// Program: a path, or a name that is looked up in `PATH`.
    pub program: String,
    /// Arguments.
    pub arguments: Vec<String>,
    /// Variables set beside the inherited ones.
    pub env: Vec<(String, String)>,
    /// Text for its stdin; empty is `/dev/null`.
    pub stdin: String,
}

/// What a command answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How it ended.
    pub exit: StepExit,
    /// Its stdout, with anything that is not UTF-8 replaced.
    pub stdout: String,
    /// Its stderr, likewise.
    pub stderr: String,
}

/// Why a command gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("failed to start `{program}`: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// Its output could not be read.
    #[error("failed to read the output of `{program}`: {source}")]
    Output {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It did not end in time, and was killed.
    #[error("`{program}` did not answer within {timeout_s} s")]
    Timeout {
        /// The program.
        program: String,
        /// Seconds allowed.
        timeout_s: u64,
    },
}

/// Runs a command to its end and returns what it wrote. Dropping the future kills the command.
pub async fn output(invocation: &Invocation, timeout: Duration) -> Result<Answer, CommandError> {
    let program = || invocation.program.clone();
    let stdin = if invocation.stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
    let mut child = base(OsStr::new(&invocation.program))
        .args(&invocation.arguments)
        .envs(invocation.env.iter().map(|(name, value)| (name, value)))
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| CommandError::Spawn { program: program(), source })?;
    let input = child.stdin.take();
    let exchange = async {
        let feed = async {
            if let Some(mut input) = input {
                // A command that ends without reading its input says so by its exit code.
                let _closed_early = input.write_all(invocation.stdin.as_bytes()).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        output
    };
    let output = tokio::time::timeout(timeout, exchange)
        .await
        .map_err(|_elapsed| CommandError::Timeout { program: program(), timeout_s: timeout.as_secs() })?
        .map_err(|source| CommandError::Output { program: program(), source })?;
    Ok(Answer {
        exit: step_exit(output.status),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Starts the keeper of a step: orders go to its stdin, reports come from its stdout, and its stderr, which the step
/// will share, is the step's log.
pub(crate) fn spawn_keeper(program: &OsStr, label: &str, log: File) -> io::Result<Child> {
    base(program)
        .args(["keeper", "keep", label])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
}

/// In a keeper: starts the kept command as a child, by way of [`replace_this_process`], and returns its process id.
///
/// The child is created with the standard library and not with tokio, because the keeper reaps whatever process is
/// its child, and must not compete with tokio for this one.
#[expect(clippy::disallowed_methods, reason = "this is the module that the ban points to")]
pub(crate) fn spawn_kept(command: &KeptCommand, keeper_pid: u32, log: OwnedFd) -> io::Result<u32> {
    let stdout = log.try_clone()?;
    let mut spawning = std::process::Command::new("/proc/self/exe");
    spawning
        .arg0("srtctl")
        .args(["keeper", "exec", &keeper_pid.to_string()])
        .args(&command.argv)
        .current_dir(&command.cwd)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(log)
        .process_group(0);
    // In this order, so that a variable which is both set and removed is removed, as a shell would do it.
    spawning.envs(&command.env);
    for name in &command.unset {
        spawning.env_remove(name);
    }
    Ok(spawning.spawn()?.id())
}

/// Becomes the command. Returns only when that fails.
#[expect(clippy::disallowed_methods, reason = "this is the module that the ban points to")]
pub(crate) fn replace_this_process(program: &OsStr, arguments: &[OsString]) -> io::Error {
    std::process::Command::new(program).args(arguments).exec()
}

#[expect(clippy::disallowed_methods, reason = "this is the module that the ban points to")]
fn base(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.process_group(0);
    command
}

fn step_exit(status: ExitStatus) -> StepExit {
    match (status.code(), status.signal()) {
        (Some(code), _) => StepExit::Code(code),
        (None, Some(signal)) => StepExit::Signal(signal),
        (None, None) => StepExit::Lost("ended in an unknown way".to_owned()),
    }
}
