//! [`Launcher`]: what starts the steps of a plan, and [`RunningStep`]: what a started step answers to.
//!
//! The supervisor knows nothing else of how a step runs. A launcher for this machine is in [`local`](crate::local);
//! one that starts `srun` implements the same two traits.

use std::{fmt, io, net::IpAddr, pin::Pin};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::Signal;
use srt_launch::Step;
use srt_topology::NodeName;

/// A future behind a pointer, so that the traits below can be used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Starts steps.
pub trait Launcher: Send + Sync {
    /// Starts `step`, its output going to the file `log`. Returns as soon as the step's process exists; what the
    /// step needs before (free ports, its log file) is checked here and is a [`StartError`].
    ///
    /// The future is always driven to its end: a step is never half started.
    fn start<'a>(
        &'a self,
        step: &'a Step,
        log: &'a Utf8Path,
    ) -> BoxFuture<'a, Result<Box<dyn RunningStep>, StartError>>;
}

/// A step that was started. Dropping it ends what is left of it.
pub trait RunningStep: Send {
    /// How a person finds it: a process id, or `job.step`.
    fn handle(&self) -> String;

    /// Waits for the end of the step's main process. Cancel-safe; once it has ended, answers at once every time.
    fn wait(&mut self) -> BoxFuture<'_, StepExit>;

    /// Asks the step to end. Cancel-safe to drop; asking a step that has ended does nothing.
    fn terminate(&mut self) -> BoxFuture<'_, ()>;

    /// Ends every process of the step without asking.
    fn kill(&mut self) -> BoxFuture<'_, ()>;

    /// After [`wait`](Self::wait): waits until no process of the step is left. Cancel-safe.
    fn gone(&mut self) -> BoxFuture<'_, ()>;
}

/// How a step's main process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepExit {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// In a way of which only this is known: its node failed, or whoever watched it was killed.
    Lost(String),
}

impl StepExit {
    /// It ended by itself with exit code 0.
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for StepExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The two codes with which shells, and we, say that a program could not be started at all.
            Self::Code(126) => f.write_str("exited with code 126 (the program cannot be executed)"),
            Self::Code(127) => f.write_str("exited with code 127 (the program was not found)"),
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(number) => match signal_name(*number) {
                Some(name) => write!(f, "was killed by {name}"),
                None => write!(f, "was killed by signal {number}"),
            },
            Self::Lost(text) => f.write_str(text),
        }
    }
}

/// `SIGKILL` of 9; `None` for a number without a well-known name.
pub fn signal_name(number: i32) -> Option<&'static str> {
    const NAMES: [(Signal, &str); 14] = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
    ];
    NAMES.iter().find(|(signal, _)| signal.as_raw() == number).map(|(_, name)| *name)
}

/// Why a step could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Someone else listens where the step would.
    #[error("port {port} on {address} is taken{}", owner.as_ref().map(|owner| format!(" by {owner}")).unwrap_or_default())]
    PortTaken {
        /// The port.
        port: u16,
        /// The address of the step's node.
        address: IpAddr,
        /// Who listens there, where it can be known.
        owner: Option<String>,
    },
    /// The port cannot be listened on for another reason.
    #[error("failed to listen on {address} port {port}: {source}")]
    Port {
        /// The port.
        port: u16,
        /// The address of the step's node.
        address: IpAddr,
        /// Why.
        source: io::Error,
    },
    /// The log file cannot be written.
    #[error("failed to open the log file `{path}`: {source}")]
    Log {
        /// The log file.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The plan names a node that the launcher does not know.
    #[error("node `{node}` is not part of this run")]
    UnknownNode {
        /// The node.
        node: NodeName,
    },
    /// The step has no node or no command.
    #[error("the step has no {0}")]
    Incomplete(&'static str),
    /// The program that starts the step could not be started.
    #[error("failed to start `{program}`: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// Whatever starts steps refused; its own words.
    #[error("{0}")]
    Refused(String),
}
