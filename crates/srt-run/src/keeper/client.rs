//! [`KeptProcess`]: srtctl's end of a keeper.

use std::{ffi::OsStr, fs::File, io, time::Duration};

use rustix::process::{Pid, Signal};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
};

use super::{KeptCommand, MARKER_VARIABLE, Order, Report, descendants};
use crate::{
    command,
    launcher::{BoxFuture, RunningStep, StepExit},
};

/// A keeper says within this time that its command exists. It has only two `exec` to do; the rest is for a machine
/// that is very busy.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Rounds of looking for what a killed keeper has left, and the pause between them.
const SWEEPS: u32 = 100;
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// A process and its keeper. Dropping it ends the process, with [`ORPHAN_GRACE`](super::ORPHAN_GRACE).
#[derive(Debug)]
pub struct KeptProcess {
    keeper: Child,
    orders: ChildStdin,
    reports: Lines<BufReader<ChildStdout>>,
    pid: Pid,
    marker: String,
    ended: Option<StepExit>,
    gone: bool,
}

/// Why a process could not be put under a keeper.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The keeper could not be started.
    #[error(transparent)]
    Spawn(#[from] io::Error),
    /// The keeper could not start the command.
    #[error("{0}")]
    NotStarted(String),
    /// The keeper ended or hung before the command was there.
    #[error("its keeper did not start it within {} s", START_LIMIT.as_secs())]
    NoAnswer,
}

impl KeptProcess {
    /// Starts `command` under a keeper. `srtctl` is the path of this program; `label` shows in process lists;
    /// `marker` is unique to this process on this machine; stdout and stderr of the command go to `log`.
    pub async fn start(
        srtctl: &OsStr,
        label: &str,
        marker: &str,
        mut command: KeptCommand,
        log: File,
    ) -> Result<Self, KeepError> {
        command.env.insert(MARKER_VARIABLE.to_owned(), marker.to_owned());
        let mut keeper = command::spawn_keeper(srtctl, label, log)?;
        let mut orders = keeper.stdin.take().expect("stdin was asked to be a pipe");
        let stdout = keeper.stdout.take().expect("stdout was asked to be a pipe");
        let mut reports = BufReader::new(stdout).lines();
        let mut line = serde_json::to_string(&command).expect("a command has only string keys");
        line.push('\n');
        let first = async {
            orders.write_all(line.as_bytes()).await?;
            reports.next_line().await
        };
        let first =
            tokio::time::timeout(START_LIMIT, first).await.map_err(|_elapsed| KeepError::NoAnswer)??;
        match first.as_deref().map(serde_json::from_str) {
            Some(Ok(Report::Started { pid })) => {
                let pid = Pid::from_raw(pid).ok_or(KeepError::NoAnswer)?;
                let marker = marker.to_owned();
                Ok(Self { keeper, orders, reports, pid, marker, ended: None, gone: false })
            }
            Some(Ok(Report::NotStarted { error })) => Err(KeepError::NotStarted(error)),
            Some(_) | None => Err(KeepError::NoAnswer),
        }
    }

    /// Takes the next report into the state. Cancel-safe.
    async fn next_report(&mut self) {
        let line = self.reports.next_line().await.ok().flatten();
        match line.as_deref().map(serde_json::from_str) {
            Some(Ok(Report::Code { code })) => self.ended = Some(StepExit::Code(code)),
            Some(Ok(Report::Signal { signal })) => self.ended = Some(StepExit::Signal(signal)),
            Some(Ok(Report::Gone)) => self.gone = true,
            Some(Ok(Report::Started { .. } | Report::NotStarted { .. }) | Err(_)) => {}
            None => {
                self.sweep().await;
                let lost = || StepExit::Lost("was ended because its keeper was killed".to_owned());
                self.ended.get_or_insert_with(lost);
                self.gone = true;
            }
        }
    }

    /// Ends what a killed keeper has left.
    async fn sweep(&mut self) {
        let _ended = rustix::process::kill_process_group(self.pid, Signal::KILL);
        for _round in 0..SWEEPS {
            if descendants::kill_marked(MARKER_VARIABLE, &self.marker) == 0 {
                return;
            }
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }

    async fn order(&mut self, order: Order) {
        let line = format!("{}\n", serde_json::to_string(&order).expect("an order is a string"));
        // A keeper that no longer reads has ended, and with it the process.
        let _ended = self.orders.write_all(line.as_bytes()).await;
    }
}

impl RunningStep for KeptProcess {
    fn handle(&self) -> String {
        self.pid.as_raw_nonzero().to_string()
    }

    fn wait(&mut self) -> BoxFuture<'_, StepExit> {
        Box::pin(async {
            loop {
                if let Some(exit) = &self.ended {
                    return exit.clone();
                }
                self.next_report().await;
            }
        })
    }

    fn terminate(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.order(Order::Terminate))
    }

    fn kill(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.order(Order::Kill))
    }

    fn gone(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            while !self.gone {
                self.next_report().await;
            }
            // The keeper has said its last word; only its own exit is left.
            let _reaped = self.keeper.wait().await;
        })
    }
}
