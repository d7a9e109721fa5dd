//! srtctl itself is killed, or told to end, and a keeper is killed: nothing of the run survives.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, ExitStatus, Stdio},
};

use expect_test::expect;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use srt_run::record::RunState;
use srtlog::Rollup;

use crate::{
    harness::{
        Place, STAND_IN, assert_nothing_runs, good, processes_of, read_status, run_to_end, signal,
        verdict_text,
    },
    scenario::Scenario,
};

/// Longer than any grace period, on any machine.
const LIMIT: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// A run in a process of its own.
struct OtherProcess {
    child: Child,
    place: Place,
}

#[expect(clippy::disallowed_methods, reason = "the test needs a plain child, with no keeper in between")]
fn command_of_test(program: &str) -> std::process::Command {
    std::process::Command::new(program)
}

impl OtherProcess {
    /// Starts a run in a process of its own, and returns once its benchmark has begun.
    fn start(scenario: &Scenario) -> Self {
        let place = Place::new();
        let file = place.run_dir.with_file_name("scenario.json");
        fs::write(&file, serde_json::to_string(scenario).unwrap()).unwrap();
        let mut child = command_of_test(STAND_IN)
            .args(["run", file.as_str(), place.run_dir.as_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.as_mut().unwrap();
        let mut lines = BufReader::new(stdout).lines().map(Result::unwrap);
        let started = lines.any(|line| line.contains(r#""step":"benchmark","handle""#));
        assert!(started, "the benchmark did not start");
        Self { child, place }
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

/// Process ids of the keepers of a run: a keeper ends only after everything below it.
fn keepers_of(run_dir: &camino::Utf8Path) -> BTreeSet<i32> {
    let parent = |pid: &str| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    let is_keeper = |pid: &i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).nth(1) == Some(b"keeper")
    };
    let processes = processes_of(run_dir);
    let pids = processes.iter().filter_map(|process| process.split(' ').next());
    pids.filter_map(parent).filter(is_keeper).collect()
}

/// Waits for the end of processes that are not our children.
fn wait_until_ended(pids: &BTreeSet<i32>) {
    for pid in pids {
        // One that is gone already cannot be opened, and need not be waited for.
        if let Ok(handle) = pidfd_open(Pid::from_raw(*pid).unwrap(), PidfdFlags::empty()) {
            let ended = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&LIMIT)).unwrap();
            assert_eq!(ended, 1, "process {pid} did not end");
        }
    }
}

/// One worker has a grandchild in a session of its own, the other ignores SIGTERM.
fn stubborn() -> Scenario {
    let mut scenario = good();
    scenario.worker_0 = "setsid sh -c 'echo > ../go; exec sleep 3601' & exec sleep 3602".to_owned();
    scenario.worker_1 = "trap '' TERM; while :; do sleep 1; done".to_owned();
    scenario.when_asked = "cat ../go".to_owned();
    scenario.benchmark = "exec sleep 3603".to_owned();
    scenario
}

#[test]
fn nothing_survives_srtctl_when_it_is_killed() {
    let mut other = OtherProcess::start(&stubborn());
    let keepers = keepers_of(&other.place.run_dir);
    assert_eq!(keepers.len(), 5, "one for each process");
    other.send(Signal::KILL);
    other.end();
    wait_until_ended(&keepers);
    assert_nothing_runs(&other.place.run_dir);
    let status = read_status(&other.place.run_dir);
    assert_eq!(status.state, RunState::Running, "nobody was left to say otherwise");
    assert_eq!(status.pid, other.child.id(), "so a reader looks whether this process still exists");
}

#[track_caller]
fn check_signal(signal: Signal, expect: &expect_test::Expect) {
    let mut scenario = good();
    scenario.benchmark = "exec sleep 3603".to_owned();
    let mut other = OtherProcess::start(&scenario);
    other.send(signal);
    let status = other.end();
    assert_nothing_runs(&other.place.run_dir);
    let text = fs::read_to_string(other.place.run_dir.join("logs/rollup.json")).unwrap();
    let rollup: Rollup = serde_json::from_str(&text).unwrap();
    let verdict = verdict_text(&rollup.verdict.unwrap());
    let partial = if rollup.partial == Some(true) { "partial" } else { "complete" };
    expect.assert_eq(&format!("{status}\n{verdict}\n{partial} rollup"));
}

#[test]
fn sigint_ends_the_run_and_leaves_a_partial_rollup() {
    check_signal(
        Signal::INT,
        &expect![[r#"
        exit status: 3
        failed in benchmark: ended by SIGINT
        partial rollup"#]],
    );
}

#[test]
fn sigterm_ends_the_run_and_leaves_a_partial_rollup() {
    check_signal(
        Signal::TERM,
        &expect![[r#"
        exit status: 3
        failed in benchmark: ended by SIGTERM
        partial rollup"#]],
    );
}

#[test]
fn nothing_of_a_step_survives_its_keeper() {
    let mut scenario = good();
    scenario.worker_0 = "setsid sh -c 'echo > ../go; exec sleep 3601' & exec sleep 3602".to_owned();
    scenario.when_asked = "cat ../go".to_owned();
    // The parent of a worker is its keeper.
    let find_keeper = signal("prefill_0", "0");
    let kill_keeper = "kill -9 $(cut -d ' ' -f 4 /proc/$(cat prefill_0.pid)/stat)";
    scenario.benchmark = format!("{find_keeper}; {kill_keeper}; exec sleep 3603");
    expect![[r#"
        failed in benchmark: `prefill_0` on node0 was ended because its keeper was killed
        SIGTERM to benchmark
        SIGTERM to frontend
        SIGTERM to decode_0
        SIGTERM to etcd"#]]
    .assert_eq(&run_to_end(&scenario, |_| None).summary());
}
