//! Runs a scenario and tells what became of it.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicU8, Ordering},
};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FileType, Mode};
use srt_run::{
    Control, PrepareError, RunEnd, RunOutcome, SystemClock,
    record::{EVENTS_FILE, Event, EventKind, RunState, STATUS_FILE, Status, StepState},
};
use srtlog::{Rollup, Verdict};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::scenario::Scenario;

/// What a process does that is not to end by itself.
const LIVES: &str = "exec sleep 3600";

/// What a benchmark does that succeeds.
const MEASURES: &str = r#"
    echo '{"event":"point_started","concurrency":4,"num_prompts":8}' >> logs/benchmark.progress.jsonl
    mkdir -p logs/sa-bench_isl_8_osl_8
    echo '{"max_concurrency":4,"completed":8,"num_prompts":8,"total_output_tokens":64,"output_throughput":32.0,"duration":2.0}' \
        > logs/sa-bench_isl_8_osl_8/results_concurrency_4.json
    echo '{"event":"point_finished","concurrency":4}' >> logs/benchmark.progress.jsonl
"#;

/// A run that succeeds.
pub(crate) fn good() -> Scenario {
    Scenario {
        address: own_address(),
        infra: LIVES.to_owned(),
        worker_0: LIVES.to_owned(),
        worker_1: LIVES.to_owned(),
        benchmark: MEASURES.to_owned(),
        when_asked: String::new(),
        known_workers: 2,
        frontend: None,
        ports: Vec::new(),
        waits: Vec::new(),
        ready_within_s: 60,
        serves: false,
        concurrencies: vec![4],
    }
}

/// Shell text that sends a signal to a process of the run.
pub(crate) fn signal(name: &str, signal: &str) -> String {
    format!("until [ -s {name}.pid ]; do sleep 0.01; done; kill -{signal} $(cat {name}.pid)")
}

/// The program that stands in for srtctl.
pub(crate) const STAND_IN: &str = env!("CARGO_BIN_EXE_srt-run-stand-in");

/// A loopback address that no other test of this machine uses at the same time.
fn own_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 64 + high % 64, low, NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// A folder for a run, which goes with the value. Beside it lies a pipe, `../go` to the processes of the run, by which
/// one can wait for another.
pub(crate) struct Place {
    _parent: TempDir,
    pub(crate) run_dir: Utf8PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let parent_path = Utf8Path::from_path(parent.path()).unwrap();
        let fifo = parent_path.join("go");
        rustix::fs::mknodat(rustix::fs::CWD, fifo.as_str(), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let run_dir = parent_path.join("run");
        Self { _parent: parent, run_dir }
    }
}

/// A finished run.
pub(crate) struct Finished {
    address: IpAddr,
    pub(crate) place: Place,
    pub(crate) outcome: RunOutcome,
    pub(crate) events: Vec<Event>,
}

/// Runs a scenario on a runtime of its own.
pub(crate) fn run_to_end(scenario: &Scenario, react: impl FnMut(&Event) -> Option<Control>) -> Finished {
    tokio::runtime::Runtime::new().unwrap().block_on(run(scenario, react))
}

/// Runs a scenario in this folder, unseen.
pub(crate) async fn begin(scenario: &Scenario, run_dir: &Utf8Path) -> Result<RunOutcome, PrepareError> {
    let (_control, controls) = mpsc::channel(1);
    let (events, _shown) = mpsc::channel(1);
    let launcher = scenario.launcher(STAND_IN, run_dir);
    srt_run::execute(scenario.execution(run_dir), launcher, &SystemClock, controls, events).await
}

/// Runs a scenario. `react` sees each event and may answer with a request to end.
pub(crate) async fn run(scenario: &Scenario, mut react: impl FnMut(&Event) -> Option<Control>) -> Finished {
    let place = Place::new();
    let launcher = scenario.launcher(STAND_IN, &place.run_dir);
    let (control, controls) = mpsc::channel(4);
    let (sender, mut events) = mpsc::channel(1024);
    let execution = scenario.execution(&place.run_dir);
    let running = srt_run::execute(execution, launcher, &SystemClock, controls, sender);
    tokio::pin!(running);
    let mut seen = Vec::new();
    let outcome = loop {
        tokio::select! {
            outcome = &mut running => break outcome.unwrap(),
            Some(event) = events.recv() => {
                if let Some(request) = react(&event) {
                    control.send(request).await.unwrap();
                }
                seen.push(event);
            }
        }
    };
    while let Some(event) = events.recv().await {
        seen.push(event);
    }
    let finished = Finished { address: scenario.address, place, outcome, events: seen };
    finished.assert_record_is_whole();
    finished
}

impl Finished {
    /// What holds after every run, whatever happened in it.
    #[track_caller]
    fn assert_record_is_whole(&self) {
        let run_dir = &self.place.run_dir;
        assert_nothing_runs(run_dir);
        assert!(self.outcome.left_running.is_empty(), "{:?}", self.outcome.left_running);

        let status = read_status(run_dir);
        assert_eq!(status.state, RunState::Ended);
        assert_eq!(status.verdict.as_ref(), Some(&self.outcome.verdict));
        assert!(status.steps.iter().all(|step| matches!(step.state, StepState::Planned | StepState::Gone)));

        let is_passing = |kind: &EventKind| match kind {
            EventKind::Benchmark { progress } => progress["event"] == "progress",
            _ => false,
        };
        let shown: Vec<&Event> = self.events.iter().filter(|event| !is_passing(&event.kind)).collect();
        let written = read_events(run_dir);
        assert_eq!(written.iter().collect::<Vec<_>>(), shown, "what is shown is what is written");

        let Some(path) = &self.outcome.rollup else { return };
        let text = fs::read_to_string(path).unwrap();
        let rollup: Rollup = serde_json::from_str(&text).unwrap();
        assert_eq!(rollup.partial, Some(self.outcome.end != RunEnd::Completed));
        assert_eq!(rollup.verdict.as_ref(), Some(&self.outcome.verdict));
    }

    /// What a person learns.
    pub(crate) fn summary(&self) -> String {
        let mut summary = verdict_text(&self.outcome.verdict);
        let failure = self.events.iter().find_map(|event| match &event.kind {
            EventKind::Failed { failure } => Some(failure),
            _ => None,
        });
        for line in failure.map_or(&[][..], |failure| &failure.log_tail) {
            write!(summary, "\n  | {line}").unwrap();
        }
        if self.outcome.rollup.is_none() {
            summary.push_str("\nno rollup");
        }
        for warning in &self.outcome.warnings {
            write!(summary, "\nwarning: {warning}").unwrap();
        }
        for event in &self.events {
            if let EventKind::Ending { steps, signal } = &event.kind {
                write!(summary, "\n{signal} to {}", steps.join(", ")).unwrap();
            }
        }
        self.plain(&summary)
    }

    /// Without what differs from run to run.
    pub(crate) fn plain(&self, text: &str) -> String {
        text.replace(self.place.run_dir.as_str(), "RUN_DIR").replace(&self.address.to_string(), "ADDRESS")
    }
}

pub(crate) fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Valid => "valid".to_owned(),
        Verdict::Invalid { reasons } => {
            let texts: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
            format!("invalid: {}", texts.join("; "))
        }
        Verdict::Failed { stage, text } => format!("failed in {stage}: {text}"),
    }
}

pub(crate) fn read_status(run_dir: &Utf8Path) -> Status {
    serde_json::from_str(&fs::read_to_string(run_dir.join(STATUS_FILE)).unwrap()).unwrap()
}

pub(crate) fn read_events(run_dir: &Utf8Path) -> Vec<Event> {
    let text = fs::read_to_string(run_dir.join(EVENTS_FILE)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Processes that belong to this run, wherever they hang in the tree of processes.
pub(crate) fn processes_of(run_dir: &Utf8Path) -> Vec<String> {
    let mark = format!("{}={run_dir}/", srt_run::keeper::MARKER_VARIABLE);
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|pid| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes()))
        })
        .map(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            format!("{pid} {}", String::from_utf8_lossy(&command).replace('\0', " "))
        })
        .collect()
}

#[track_caller]
pub(crate) fn assert_nothing_runs(run_dir: &Utf8Path) {
    let left = processes_of(run_dir);
    assert!(left.is_empty(), "still running: {left:#?}");
}
