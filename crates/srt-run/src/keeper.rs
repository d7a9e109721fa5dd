//! The keeper: a small process between srtctl and each process of a local run, which sees to it that nothing of the
//! step survives.
//!
//! A keeper is this very program, started with a hidden subcommand. It is a *child subreaper*: every process below it
//! whose parent dies becomes its child, also one that went into a session of its own, so that it can find and reap
//! them all. It holds a pipe to srtctl; when srtctl ends in whatever way, SIGKILL included, the pipe closes, and the
//! keeper ends what it keeps.
//!
//! ```text
//! srtctl ──orders──▶ keeper ──▶ the command, in its own process group ──▶ whatever it starts
//!        ◀─reports──
//! ```
//!
//! How a step ends:
//! - asked (`terminate`): SIGTERM to the command's process group, and nothing else; how long that may take is
//!   decided by whoever asked, who sends `kill` afterwards;
//! - the command has ended by itself, and left processes behind: SIGTERM to those, SIGKILL after [`LEFTOVER_GRACE`];
//! - srtctl is gone, or the keeper itself is told to end by a signal: SIGTERM to everything, SIGKILL after
//!   [`ORPHAN_GRACE`];
//! - `kill`: SIGKILL to everything, again and again until nothing is left.
//!
//! The keeper itself may be killed. Then the command dies with it (it asked the kernel for that before it became the
//! command), and srtctl ends the rest, which it recognises by [`MARKER_VARIABLE`].

mod client;
mod descendants;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    os::fd::AsFd as _,
    process::ExitCode,
    time::Duration,
};

use indexmap::IndexMap;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
    time::Instant,
};

pub use self::client::{KeepError, KeptProcess};
use crate::command;

/// What the processes have, after the command itself has ended, to end as well.
pub const LEFTOVER_GRACE: Duration = Duration::from_secs(2);

/// What a step has to end in when srtctl is gone.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// How often SIGKILL is sent again: a process may have forked in the moment between looking and killing.
const KILL_AGAIN: Duration = Duration::from_millis(20);

/// Environment variable by which the processes of a step are known. Its value is the log folder and the step's name.
pub const MARKER_VARIABLE: &str = "SRTCTL_STEP";

/// What a keeper keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCommand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables set beside those of srtctl.
    pub env: IndexMap<String, String>,
    /// Variables removed.
    pub unset: Vec<String>,
    /// Folder it starts in.
    pub cwd: String,
}

/// What the keeper is told, one JSON line each, after a first line that is the [`KeptCommand`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Terminate,
    Kill,
}

/// What the keeper tells, one JSON line each, in this order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Started { pid: i32 },
    NotStarted { error: String },
    Code { code: i32 },
    Signal { signal: i32 },
    Gone,
}

/// The hidden subcommand. `arguments` are those after its name. Must be called on the main thread, before any other
/// thread exists.
pub fn main(arguments: &[OsString]) -> ExitCode {
    match arguments {
        [mode, keeper_pid, program, arguments @ ..] if mode == "exec" => {
            become_command(keeper_pid, program, arguments)
        }
        [mode, _label] if mode == "keep" => keep(),
        _ => {
            complain("this subcommand is for srtctl itself");
            ExitCode::from(2)
        }
    }
}

/// Becomes the command, in such a way that it dies with its keeper.
fn become_command(keeper_pid: &OsString, program: &OsString, arguments: &[OsString]) -> ExitCode {
    let asked = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // The keeper may have died before the kernel was asked. Then this process has another parent by now.
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if asked.is_err() || keeper_pid.to_str() != Some(parent.to_string().as_str()) {
        complain("the process that started this one is gone");
        return ExitCode::FAILURE;
    }
    let error = command::replace_this_process(program, arguments);
    complain(&format!("failed to start `{}`: {error}", program.display()));
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

/// To the step's log, which is stderr of both modes.
fn complain(text: &str) {
    // Nobody is left to tell when this fails.
    let _unheard = writeln!(io::stderr(), "srtctl: {text}");
}

fn keep() -> ExitCode {
    let kept = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .and_then(|runtime| runtime.block_on(async { Keeper::start().await?.run().await }));
    match kept {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&Report::NotStarted { error: error.to_string() });
            complain(&format!("failed to keep a process: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn report(report: &Report) {
    let mut line = serde_json::to_string(report).expect("reports have only string keys");
    line.push('\n');
    // When srtctl is gone, nobody listens; the keeper's work goes on.
    let mut stdout = io::stdout().lock();
    let _unheard = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
}

struct Keeper {
    command: Pid,
    command_ended: bool,
    orders: Lines<BufReader<pipe::Receiver>>,
    orders_open: bool,
    /// When asking ends and killing begins.
    deadline: Option<Instant>,
    killing: bool,
}

impl Keeper {
    async fn start() -> io::Result<Self> {
        let own_pid = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(own_pid))?;
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        let mut orders = BufReader::new(pipe::Receiver::from_owned_fd(stdin)?).lines();
        let Some(line) = orders.next_line().await? else {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "srtctl ended before it said what to start",
            ));
        };
        let command: KeptCommand = serde_json::from_str(&line)?;
        let log = io::stderr().as_fd().try_clone_to_owned()?;
        let pid = command::spawn_kept(&command, own_pid.as_raw_nonzero().get().unsigned_abs(), log)?;
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let command = pid.ok_or_else(|| io::Error::other("the process id is out of range"))?;
        report(&Report::Started { pid: command.as_raw_nonzero().get() });
        Ok(Self { command, command_ended: false, orders, orders_open: true, deadline: None, killing: false })
    }

    async fn run(mut self) -> io::Result<()> {
        let mut child_changed = signal(SignalKind::child())?;
        let mut told_to_end = [
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        ];
        let [terminate, interrupt, hangup] = &mut told_to_end;
        // A child may have ended before the handler was there, hence reaping comes before waiting.
        while self.reap()? {
            let far = Instant::now() + Duration::from_hours(1);
            tokio::select! {
                _ = child_changed.recv() => {}
                order = self.orders.next_line(), if self.orders_open => self.take(order),
                _ = terminate.recv() => self.end_everything(),
                _ = interrupt.recv() => self.end_everything(),
                _ = hangup.recv() => self.end_everything(),
                () = tokio::time::sleep_until(self.deadline.unwrap_or(far)), if self.deadline.is_some() => {
                    self.deadline = None;
                    self.killing = true;
                }
                () = tokio::time::sleep(KILL_AGAIN), if self.killing => {}
            }
            if self.killing {
                descendants::signal_all(Signal::KILL);
            }
        }
        report(&Report::Gone);
        Ok(())
    }

    fn take(&mut self, order: io::Result<Option<String>>) {
        let order = order.ok().flatten().map(|line| serde_json::from_str(&line));
        match order {
            Some(Ok(Order::Terminate)) => {
                // It may have ended in this moment; then there is no such group.
                let _ended = rustix::process::kill_process_group(self.command, Signal::TERM);
            }
            Some(Ok(Order::Kill)) => self.killing = true,
            Some(Err(_)) | None => {
                self.orders_open = false;
                self.end_everything();
            }
        }
    }

    fn end_everything(&mut self) {
        descendants::signal_all(Signal::TERM);
        self.deadline.get_or_insert(Instant::now() + ORPHAN_GRACE);
    }

    /// Reaps what has ended; whether anything is left.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.command => {
                    self.command_ended = true;
                    report_end(status);
                    // What the command left behind has no reason to stay.
                    descendants::signal_all(Signal::TERM);
                    let deadline = Instant::now() + LEFTOVER_GRACE;
                    self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return Ok(true),
                Err(rustix::io::Errno::CHILD) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn report_end(status: WaitStatus) {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => report(&Report::Code { code }),
        (None, Some(signal)) => report(&Report::Signal { signal }),
        (None, None) => {}
    }
}
