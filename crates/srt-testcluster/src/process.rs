//! Processes of a cluster: found by what stands in their environment, ended through a pidfd.

use std::{fs, os::fd::OwnedFd, process::Command};

use camino::Utf8PathBuf;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

/// Variable that every daemon of a cluster carries, with the cluster's folder as value. Jobs do not have it: their
/// environment is the submitter's.
pub(crate) const DAEMON_MARK: &str = "SRT_PRIVATE_SLURM";

/// A command with this process's environment.
pub(crate) fn command(program: &str) -> Command {
    let path = find_program(program).map_or_else(|| program.to_owned(), Utf8PathBuf::into_string);
    #[expect(
        clippy::disallowed_methods,
        reason = "development support; the run's own command helper lies above it"
    )]
    Command::new(path)
}

/// Where a program lies: on `PATH`, or in the administrator's folders, which an ordinary user's `PATH` lacks.
pub(crate) fn find_program(name: &str) -> Option<Utf8PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "development support, run by people and tests")]
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"])
        .map(|folder| Utf8PathBuf::from(folder).join(name))
        .find(|path| path.is_file())
}

/// A process as `/proc` shows it, held by a pidfd so that a signal cannot reach another one that got its number.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) argv: Vec<String>,
    environment: Vec<String>,
    handle: OwnedFd,
}

impl Process {
    fn open(pid: i32) -> Option<Self> {
        let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        let read = |name: &str| -> Option<Vec<String>> {
            let bytes = fs::read(format!("/proc/{pid}/{name}")).ok()?;
            Some(
                bytes
                    .split(|byte| *byte == 0)
                    .map(|part| String::from_utf8_lossy(part).into_owned())
                    .collect(),
            )
        };
        Some(Self { pid, argv: read("cmdline")?, environment: read("environ")?, handle })
    }

    /// Value of a variable in the environment it was started with.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether its command line is `program` (by file name) with exactly these arguments.
    pub(crate) fn runs(&self, program: &str, arguments: &[&str]) -> bool {
        let mut words = self.argv.iter().map(String::as_str).filter(|word| !word.is_empty());
        let name = words.next().and_then(|path| path.rsplit('/').next());
        name == Some(program) && words.eq(arguments.iter().copied())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // A process that is gone already needs no signal.
        let _gone = pidfd_send_signal(&self.handle, signal);
    }

    /// Waits for its end, but not for ever.
    pub(crate) fn wait(&self) {
        let mut fds = [PollFd::new(&self.handle, PollFlags::IN)];
        let timeout = Timespec { tv_sec: 5, tv_nsec: 0 };
        // Whoever cares looks whether it is still there.
        let _waited = poll(&mut fds, Some(&timeout));
    }
}

/// Every process of ours that `keep` accepts, except this one.
pub(crate) fn find(keep: impl Fn(&Process) -> bool) -> Vec<Process> {
    let own = i32::try_from(std::process::id()).ok();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| Some(*pid) != own)
        .filter_map(Process::open)
        .filter(|process| keep(process))
        .collect()
}

/// SIGKILL, and wait until they are gone.
pub(crate) fn kill(processes: &[Process]) {
    for process in processes {
        process.signal(Signal::KILL);
    }
    for process in processes {
        process.wait();
    }
}

/// When a process started, in clock ticks since boot: with its number, an identity that is never used twice.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}
