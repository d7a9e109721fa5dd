//! Starts the binary in an environment of its own, and sees to it that nothing of it is left.
#![expect(clippy::disallowed_methods, reason = "tests start the binary as a person does")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Output, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use serde_json::Value;

/// What a process may take to disappear after srtctl is gone: the keeper's grace, and a busy machine.
const GONE_LIMIT: Duration = Duration::from_secs(30);

/// A folder, and the binary with nothing of the caller's environment but `PATH`.
pub(crate) struct TestEnvironment {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the crate lies in the repository")
}

/// A recipe of `fixtures/recipes`, by name.
pub(crate) fn recipe(name: &str) -> String {
    repository().join("fixtures/recipes").join(format!("{name}.yaml")).to_string_lossy().into_owned()
}

impl TestEnvironment {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder can be made"), variables: Vec::new() }
    }

    /// Gives the binary a variable.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_srtctl"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null()).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        Answer::of(&self.command(arguments).output().expect("the binary starts"))
    }

    /// Starts `apply --local` on a recipe, with its runs in this folder.
    pub(crate) fn start_apply(&self, recipe: &str, further: &[&str]) -> Apply<'_> {
        let output = self.path().join("outputs");
        let output = output.to_string_lossy();
        let mut arguments = vec!["apply", "-f", recipe, "--local", "-o", &output];
        arguments.extend(further);
        self.start(&arguments)
    }

    /// Starts the binary, and lets it run.
    pub(crate) fn start(&self, arguments: &[&str]) -> Apply<'_> {
        let mut child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("stderr was asked to be a pipe");
        Apply { environment: self, child, stderr: BufReader::new(stderr).lines(), seen: Vec::new() }
    }

    /// The only run below `outputs`.
    pub(crate) fn run_dir(&self) -> PathBuf {
        let mut entries = fs::read_dir(self.path().join("outputs")).expect("a run has begun");
        let run_dir = entries.next().expect("a run has begun").expect("the folder can be read").path();
        assert!(entries.next().is_none(), "there is more than one run");
        run_dir
    }

    /// The name of the only run.
    pub(crate) fn job_id(&self) -> String {
        let run_dir = self.run_dir();
        run_dir.file_name().expect("it lies in a folder").to_string_lossy().into_owned()
    }

    /// The log of a step whose name starts so, in the only run.
    pub(crate) fn log_of(&self, step: &str) -> PathBuf {
        let events = self.events();
        let steps = events.iter().find_map(|event| event["steps"].as_array()).expect("a run names its steps");
        let is_it = |it: &&Value| it["step"].as_str().is_some_and(|name| name.starts_with(step));
        let log = steps.iter().find(is_it).and_then(|it| it["log"].as_str());
        self.run_dir().join(log.unwrap_or_else(|| panic!("there is no {step}")))
    }

    /// Everything that a job's processes wrote, for whoever reads why a test failed.
    pub(crate) fn all_logs(&self, job_id: &str) -> String {
        self.run(&["logs", job_id]).stdout
    }

    /// `logs/rollup.json` of the only run.
    pub(crate) fn rollup(&self) -> Value {
        let path = self.run_dir().join("logs/rollup.json");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).expect("the rollup is JSON")
    }

    /// The events of the only run.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.run_dir().join("events.jsonl")).expect("a run records events");
        text.lines().map(|line| serde_json::from_str(line).expect("an event is JSON")).collect()
    }

    /// The process of a step whose name starts so, from the record of the only run.
    pub(crate) fn pid_of(&self, step: &str) -> Pid {
        let events = self.events();
        let started = events.iter().find(|event| {
            event["event"] == "step_started" && event["step"].as_str().is_some_and(|it| it.starts_with(step))
        });
        let handle = started
            .and_then(|event| event["handle"].as_str())
            .unwrap_or_else(|| panic!("{step} has not started"));
        let digits: String = handle.chars().filter(char::is_ascii_digit).collect();
        Pid::from_raw(digits.parse().expect("a handle holds a process id")).expect("it is not 0")
    }

    /// Waits until no process of the only run is left; fails when one outlives its bound.
    #[track_caller]
    pub(crate) fn assert_nothing_is_left(&self) {
        let marker = self.run_dir().to_string_lossy().into_owned();
        for pid in processes_with(&marker) {
            // Gone between the look and this call is as good.
            let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            let mut descriptors = [PollFd::new(&descriptor, PollFlags::IN)];
            let limit =
                Timespec { tv_sec: i64::try_from(GONE_LIMIT.as_secs()).expect("it is short"), tv_nsec: 0 };
            let ended = poll(&mut descriptors, Some(&limit)).expect("a process can be waited for");
            assert!(ended > 0, "process {pid:?} outlived its run: {:?}", command_line(pid));
        }
        let left: Vec<_> = processes_with(&marker).into_iter().map(|pid| (pid, command_line(pid))).collect();
        assert!(left.is_empty(), "processes outlived their run: {left:?}");
    }
}

/// Processes whose environment or arguments name this run. Zombies have neither.
fn processes_with(marker: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let named = |pid: &i32| {
        ["environ", "cmdline"].iter().any(|file| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
        })
    };
    numbers.filter(named).filter_map(Pid::from_raw).collect()
}

fn command_line(pid: Pid) -> String {
    let bytes = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// A run under way.
pub(crate) struct Apply<'a> {
    environment: &'a TestEnvironment,
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
}

impl Apply<'_> {
    /// Reads what srtctl says until a line holds `text`.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, text: &str) {
        for line in self.stderr.by_ref() {
            let line = line.expect("stderr is text");
            let found = line.contains(text);
            self.seen.push(line);
            if found {
                return;
            }
        }
        panic!("srtctl never said `{text}`; it said:\n{}", self.seen.join("\n"));
    }

    /// Sends a signal to srtctl itself.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("srtctl is running");
    }

    /// Kills a step's process.
    pub(crate) fn kill_step(&self, step: &str) {
        kill_process(self.environment.pid_of(step), Signal::KILL).expect("the step is running");
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Answer {
        let rest: Vec<String> = self.stderr.by_ref().map_while(Result::ok).collect();
        let output = self.child.wait_with_output().expect("srtctl can be waited for");
        let mut answer = Answer::of(&output);
        self.seen.extend(rest);
        answer.stderr = self.seen.join("\n");
        answer
    }
}

/// What the binary came to.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            signal: output.status.signal(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
