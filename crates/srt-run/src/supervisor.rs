//! [`run`]: executes a plan.
//!
//! One task owns the state of the run. Every step, every wait, and the reader of the benchmark's progress is a task
//! of its own, which sends messages and nothing else. Whatever the owner waits for, it waits by taking messages one
//! after another, so the death of a process, or a signal, ends any wait at once.

mod judge;
mod movement;
mod progress_file;
mod rollup;
mod step_task;
mod teardown;
mod wait_task;

use std::{collections::HashMap, sync::Arc, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use srt_launch::{Lifetime, PlannedFile, Stage, Step, StepId, Wait};
use srt_plan::{Expected, Plan};
use srtlog::Verdict;
use tokio::{
    sync::mpsc,
    task::{self, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{
    movement::{Movement, Stall},
    rollup::RolledUp,
    step_task::{Order, StepReport},
    wait_task::WaitReport,
};
pub use self::{
    movement::{NO_PROGRESS_LIMIT, NO_PROGRESS_WARNING},
    rollup::{HURRIED_ROLLUP_LIMIT, ROLLUP_LIMIT},
    teardown::{KILL_LIMIT, TIERS},
};
use crate::{
    clock::Clock,
    folder::{self, LOGS, PrepareError, RunFolder},
    launcher::{Launcher, StepExit},
    log_tail::log_tail,
    outcome::{FailureCause, RunEnd, RunFailure, RunOutcome},
    record::{self, Event, EventKind, Exit, PlannedStep, Recorder, RegistrationCount},
    stage::RunStage,
};

/// Messages that may lie unread. Tasks that have more to say wait; the owner takes messages whenever it waits itself.
const MESSAGES: usize = 1024;

/// How much later than its steps a supervisor may be told to end by whoever ends them all.
const SIGNAL_SKEW_LIMIT: Duration = Duration::from_millis(500);

/// How long the last words of the benchmark's progress are waited for.
const LAST_PROGRESS_LIMIT: Duration = Duration::from_secs(5);

/// A plan, and where it is run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The plan.
    pub plan: Plan,
    /// Identifier of the job.
    pub job_id: String,
    /// Folder of the run, absolute. Logs lie in `logs` below it.
    pub run_dir: Utf8PathBuf,
    /// Whether that folder is there already.
    pub folder: RunFolder,
}

/// What the supervisor needs of a plan: everything that is done, and nothing of why.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Name of the job.
    pub name: String,
    /// Identifier of the job.
    pub job_id: String,
    /// Folder of the run, absolute. Logs lie in `logs` below it.
    pub run_dir: Utf8PathBuf,
    /// Whether that folder is there already.
    pub folder: RunFolder,
    /// Files to write into the log folder before the first step starts.
    pub files: Vec<PlannedFile>,
    /// Steps in the order in which they start.
    pub steps: Vec<Step>,
    /// What the frontend must report before the load starts, and how long that may take.
    pub readiness: Wait,
    /// What must have come out of the benchmark.
    pub expected: Expected,
}

impl From<RunRequest> for Execution {
    fn from(request: RunRequest) -> Self {
        let RunRequest { plan, job_id, run_dir, folder } = request;
        Self {
            name: plan.name,
            job_id,
            run_dir,
            folder,
            files: plan.files,
            steps: plan.steps,
            readiness: plan.readiness,
            expected: plan.expected,
        }
    }
}

/// What the supervisor is told from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// End the run: the first time gracefully, the second time at once.
    Terminate {
        /// Who wants it: `SIGINT`, `SIGTERM`, `the time limit`.
        by: String,
    },
}

/// Runs a plan to its end, whatever that is. When this returns, nothing that it started is running, but for what
/// [`RunOutcome::left_running`] names.
///
/// `events` gets what is recorded; an event that finds it full is dropped, so it should hold some hundreds.
/// Dropping the returned future ends all steps, but leaves no verdict.
pub async fn run(
    request: RunRequest,
    launcher: Arc<dyn Launcher>,
    clock: &dyn Clock,
    control: mpsc::Receiver<Control>,
    events: mpsc::Sender<Event>,
) -> Result<RunOutcome, PrepareError> {
    execute(request.into(), launcher, clock, control, events).await
}

/// [`run`], without a plan.
pub async fn execute(
    execution: Execution,
    launcher: Arc<dyn Launcher>,
    clock: &dyn Clock,
    control: mpsc::Receiver<Control>,
    events: mpsc::Sender<Event>,
) -> Result<RunOutcome, PrepareError> {
    folder::prepare(&execution.run_dir, &execution.folder)?;
    let logs = execution.run_dir.join(LOGS);
    for file in &execution.files {
        folder::write_below(&logs, &file.path, &file.text, false)?;
    }
    let record = Recorder::create(&execution.run_dir, clock, events)?;
    let (sender, messages) = mpsc::channel(MESSAGES);
    let supervisor = Supervisor {
        steps: vec![StepPhase::Planned; execution.steps.len()],
        orders: HashMap::new(),
        execution,
        logs,
        launcher,
        record,
        control,
        end_requests: 0,
        sender,
        messages,
        tasks: JoinSet::new(),
        step_of_task: HashMap::new(),
        stage: RunStage::Steps(Stage::Infra),
        mode: Mode::Working,
        warnings: Vec::new(),
    };
    Ok(supervisor.run().await)
}

/// Where a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum StepPhase {
    Planned,
    Starting,
    Running,
    /// Its process has ended; others of the step may be left.
    Ended,
    /// Nothing of it is left, or nothing of it ever was.
    Gone,
}

/// What the end of a step means now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Its lifetime decides.
    Working,
    /// The benchmark is complete: what dies now can no longer change a number.
    Measured,
    /// Steps are told to end.
    Ending,
}

/// Why work stops before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stop {
    Failed(Box<RunFailure>),
    Interrupted { by: String },
}

enum Message {
    Step { index: usize, report: StepReport },
    Wait(WaitReport),
    Benchmark(serde_json::Value),
    BenchmarkProgressEnded,
    RolledUp(Box<Result<RolledUp, String>>),
}

/// What came in.
enum Input {
    Message(Message),
    Control(Control),
    TaskDied { index: Option<usize>, error: task::JoinError },
}

struct Supervisor<'a> {
    execution: Execution,
    logs: Utf8PathBuf,
    launcher: Arc<dyn Launcher>,
    record: Recorder<'a>,
    control: mpsc::Receiver<Control>,
    end_requests: u32,
    sender: mpsc::Sender<Message>,
    messages: mpsc::Receiver<Message>,
    tasks: JoinSet<()>,
    step_of_task: HashMap<task::Id, usize>,
    /// One per step of the plan.
    steps: Vec<StepPhase>,
    orders: HashMap<usize, mpsc::Sender<Order>>,
    stage: RunStage,
    mode: Mode,
    warnings: Vec<String>,
}

impl Supervisor<'_> {
    async fn run(mut self) -> RunOutcome {
        self.record.event(self.run_started());
        let worked = self.work().await;
        let mut end = match self.unless_all_were_told_to_end(worked).await {
            Ok(()) => RunEnd::Completed,
            // A run that serves has no other end.
            Err(Stop::Interrupted { .. }) if self.stage == RunStage::Serving => RunEnd::Completed,
            Err(Stop::Interrupted { by }) => RunEnd::Interrupted { by, stage: self.stage },
            Err(Stop::Failed(failure)) => {
                self.record.event(EventKind::Failed { failure: recorded(&failure) });
                RunEnd::Failed(*failure)
            }
        };
        // Results are read while the workers still run only when there is no hurry: after a failure, logs are
        // complete once everything has ended, and a run that is told to end must first of all end.
        let rollup = if end == RunEnd::Completed {
            self.mode = Mode::Measured;
            let rollup = self.roll_up(&end).await;
            self.teardown().await;
            rollup
        } else {
            self.teardown().await;
            self.roll_up(&end).await
        };
        let (verdict, path) = match rollup {
            Ok((verdict, path)) => (verdict, path),
            Err(failure) => {
                let verdict = failed_verdict(&failure);
                if end == RunEnd::Completed {
                    self.record.event(EventKind::Failed { failure: recorded(&failure) });
                    end = RunEnd::Failed(failure);
                } else {
                    self.warn(failure.to_string());
                }
                (verdict, None)
            }
        };
        let verdict = match &end {
            RunEnd::Completed => verdict,
            RunEnd::Failed(failure) => failed_verdict(failure),
            RunEnd::Interrupted { by, stage } => interrupted_verdict(by, *stage),
        };
        self.record.event(EventKind::RunEnded { verdict: verdict.clone() });
        self.record.flush_status();
        self.warnings.extend(self.record.broken().map(str::to_owned));
        let left_running = self.left_running();
        RunOutcome { verdict, end, rollup: path, left_running, warnings: self.warnings }
    }

    /// Slurm tells every process of a job to end at the same time, this one too. A step may then be seen to die before
    /// the signal that explains its death; so a death by SIGTERM is held back for a moment.
    async fn unless_all_were_told_to_end(&mut self, worked: Result<(), Stop>) -> Result<(), Stop> {
        const SIGTERM: i32 = 15;
        let Err(Stop::Failed(failure)) = &worked else { return worked };
        let FailureCause::StepEnded { exit, .. } = &failure.cause else { return worked };
        if !matches!(exit, StepExit::Signal(SIGTERM) | StepExit::Code(143)) {
            return worked;
        }
        let deadline = Instant::now() + SIGNAL_SKEW_LIMIT;
        loop {
            match tokio::time::timeout_at(deadline, self.next()).await {
                Ok(Err(Stop::Interrupted { by })) => return Err(Stop::Interrupted { by }),
                // Others die for the same reason.
                Ok(Ok(()) | Err(Stop::Failed(_))) => {}
                Err(_elapsed) => return worked,
            }
        }
    }

    /// Everything up to the end of the benchmark.
    async fn work(&mut self) -> Result<(), Stop> {
        let mut entered = None;
        let mut is_ready = false;
        for index in 0..self.steps.len() {
            let stage = self.execution.steps[index].stage;
            let is_next_stage = entered != Some(stage);
            if is_next_stage {
                self.finish_tasks().await?;
            }
            // What a stage waits for at its start is the readiness of the stage before it.
            for wait in self.execution.steps[index].wait_for.clone() {
                self.wait_for(wait).await?;
            }
            if is_next_stage {
                if entered.is_some() {
                    self.leave();
                }
                if stage == Stage::Benchmark && !is_ready {
                    self.wait_until_ready().await?;
                    is_ready = true;
                }
                self.enter(RunStage::Steps(stage));
                entered = Some(stage);
            }
            if stage == Stage::Benchmark {
                self.run_benchmark_step(index).await?;
            } else {
                self.start_step(index).await?;
            }
        }
        self.finish_tasks().await?;
        if entered.is_some() {
            self.leave();
        }
        if !is_ready {
            self.wait_until_ready().await?;
        }
        if self.execution.expected == Expected::Serving {
            self.enter(RunStage::Serving);
            loop {
                self.next().await?;
            }
        }
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> Result<(), Stop> {
        self.enter(RunStage::Readiness);
        self.wait_for(self.execution.readiness.clone()).await?;
        self.leave();
        Ok(())
    }

    /// Starts a step and waits until its process exists, so that steps start in the order of the plan.
    async fn start_step(&mut self, index: usize) -> Result<(), Stop> {
        let step = self.execution.steps[index].clone();
        let log = self.logs.join(&step.log);
        let (orders, inbox) = mpsc::channel(4);
        self.orders.insert(index, orders);
        self.steps[index] = StepPhase::Starting;
        let drive =
            step_task::drive(index, step, log, Arc::clone(&self.launcher), inbox, self.sender.clone());
        let task = self.tasks.spawn(drive);
        self.step_of_task.insert(task.id(), index);
        while self.steps[index] == StepPhase::Starting {
            self.next().await?;
        }
        Ok(())
    }

    /// Starts a step of the benchmark stage, and follows its progress until it ends.
    async fn run_benchmark_step(&mut self, index: usize) -> Result<(), Stop> {
        let over = CancellationToken::new();
        // Whatever way this function is left, the reader of the progress stops.
        let _stop_reading = over.clone().drop_guard();
        let path = self.logs.join(progress_file::NAME);
        let sender = self.sender.clone();
        self.tasks.spawn(progress_file::follow(path, over.clone(), sender));
        self.start_step(index).await?;
        if is_task(self.execution.steps[index].lifetime) {
            self.follow_benchmark(index).await?;
        }
        over.cancel();
        let deadline = Instant::now() + LAST_PROGRESS_LIMIT;
        loop {
            match tokio::time::timeout_at(deadline, self.input()).await {
                Ok(Input::Message(Message::BenchmarkProgressEnded)) | Err(_) => return Ok(()),
                Ok(input) => self.take(input)?,
            }
        }
    }

    /// Waits for the end of the benchmark, as long as it gets anywhere.
    async fn follow_benchmark(&mut self, index: usize) -> Result<(), Stop> {
        let mut movement = Movement::new(Instant::now());
        while matches!(self.steps[index], StepPhase::Starting | StepPhase::Running) {
            let input = match movement.next_look() {
                Some(look) => tokio::time::timeout_at(look, self.input()).await.ok(),
                None => Some(self.input().await),
            };
            match input {
                Some(Input::Message(Message::Benchmark(progress))) => {
                    movement.see(&progress, Instant::now());
                    self.take_benchmark_progress(progress);
                }
                Some(input) => self.take(input)?,
                None => match movement.judge(Instant::now()) {
                    Some(Stall::Warn(text)) => self.warn(text),
                    Some(Stall::Fail(text)) => return Err(self.failed(FailureCause::NoProgress { text })),
                    None => {}
                },
            }
        }
        Ok(())
    }

    /// Waits until the tasks among the started steps have ended.
    async fn finish_tasks(&mut self) -> Result<(), Stop> {
        let is_busy = |(step, phase): (&Step, &StepPhase)| {
            is_task(step.lifetime) && matches!(phase, StepPhase::Starting | StepPhase::Running)
        };
        while self.execution.steps.iter().zip(&self.steps).any(is_busy) {
            self.next().await?;
        }
        Ok(())
    }

    /// Waits until the condition holds.
    async fn wait_for(&mut self, wait: Wait) -> Result<(), Stop> {
        let started = Instant::now();
        let what = wait.what.clone();
        self.record.event(EventKind::WaitStarted { what: what.clone(), timeout_s: wait.timeout_s });
        let cancel = CancellationToken::new();
        // A process that died, or a signal, leaves this function early; then there is nothing to wait for.
        let _stop_asking = cancel.clone().drop_guard();
        self.tasks.spawn(wait_task::drive(wait, cancel, self.sender.clone()));
        loop {
            let input = self.input().await;
            let Input::Message(Message::Wait(report)) = input else {
                self.take(input)?;
                continue;
            };
            match report {
                WaitReport::Progress { what, progress } => {
                    let prefill = RegistrationCount::from(progress.prefill);
                    let decode = RegistrationCount::from(progress.decode);
                    let (ready, detail) = (progress.ready, progress.detail);
                    self.record.event(EventKind::WaitProgress { what, prefill, decode, ready, detail });
                }
                WaitReport::Ready { what: ready } if ready == what => {
                    let waited_s = started.elapsed().as_secs_f64();
                    self.record.event(EventKind::WaitEnded { what, waited_s });
                    return Ok(());
                }
                WaitReport::NotReady { what: missing, text } if missing == what => {
                    return Err(self.failed(FailureCause::NotReady { text }));
                }
                // The last words of a wait that was ended before.
                WaitReport::Ready { .. } | WaitReport::NotReady { .. } => {}
            }
        }
    }

    /// Takes the next input into the state. Cancel-safe.
    async fn next(&mut self) -> Result<(), Stop> {
        let input = self.input().await;
        self.take(input)
    }

    async fn input(&mut self) -> Input {
        if self.messages.is_empty() {
            // Only now, so that a burst of messages writes the status once.
            self.record.flush_status();
        }
        loop {
            tokio::select! {
                biased;
                // A caller that has dropped its sender has nothing more to say; that is not an end.
                Some(control) = self.control.recv() => return Input::Control(control),
                Some(message) = self.messages.recv() => return Input::Message(message),
                Some(ended) = self.tasks.join_next_with_id() => match ended {
                    Ok((id, ())) => drop(self.step_of_task.remove(&id)),
                    Err(error) => {
                        let index = self.step_of_task.remove(&error.id());
                        return Input::TaskDied { index, error };
                    }
                },
            }
        }
    }

    fn take(&mut self, input: Input) -> Result<(), Stop> {
        match input {
            Input::Control(Control::Terminate { by }) => {
                self.end_requests += 1;
                let times = self.end_requests;
                self.record.event(EventKind::EndRequested { by: by.clone(), times });
                match self.mode {
                    Mode::Working => Err(Stop::Interrupted { by }),
                    Mode::Measured | Mode::Ending => Ok(()),
                }
            }
            Input::Message(Message::Step { index, report }) => self.take_step_report(index, report),
            Input::Message(Message::Benchmark(progress)) => {
                self.take_benchmark_progress(progress);
                Ok(())
            }
            Input::Message(Message::Wait(_) | Message::BenchmarkProgressEnded | Message::RolledUp(_)) => {
                Ok(())
            }
            Input::TaskDied { index, error } => {
                let text = format!("a task of the supervisor died: {error}");
                if let Some(index) = index {
                    // Its keeper sees the pipe close and ends the process.
                    self.steps[index] = StepPhase::Gone;
                }
                match self.mode {
                    Mode::Working => Err(self.failed(FailureCause::Internal { text })),
                    Mode::Measured | Mode::Ending => {
                        self.warn(text);
                        Ok(())
                    }
                }
            }
        }
    }

    fn take_step_report(&mut self, index: usize, report: StepReport) -> Result<(), Stop> {
        let step = &self.execution.steps[index];
        let (id, node, lifetime) = (step.id.clone(), step.nodes.first().cloned(), step.lifetime);
        match report {
            StepReport::Started { handle } => {
                self.steps[index] = StepPhase::Running;
                self.record.event(EventKind::StepStarted { step: id.to_string(), handle });
                Ok(())
            }
            StepReport::NotStarted { error } => {
                self.steps[index] = StepPhase::Gone;
                let failure =
                    self.failure(FailureCause::NotStarted { step: id, node, text: error.to_string() });
                let optional = matches!(lifetime, Lifetime::OptionalService | Lifetime::OptionalTask);
                match self.mode {
                    Mode::Working if !optional => Err(Stop::Failed(Box::new(failure))),
                    _ => {
                        self.warn(failure.to_string());
                        Ok(())
                    }
                }
            }
            StepReport::Ended { exit } => {
                self.steps[index] = StepPhase::Ended;
                let complete = matches!(exit, StepExit::Code(code) if step.is_complete_with(code));
                let meaning = meaning_of_end(lifetime, complete, self.mode);
                let expected = meaning == Meaning::Expected;
                self.record.event(EventKind::StepEnded {
                    step: id.to_string(),
                    exit: Exit::from(&exit),
                    expected,
                });
                if expected {
                    return Ok(());
                }
                let log = Utf8Path::new(LOGS).join(&step.log).into_string();
                let log_tail = log_tail(&self.logs.join(&step.log));
                let failure = self.failure(FailureCause::StepEnded { step: id, node, exit, log, log_tail });
                match meaning {
                    Meaning::Fails => Err(Stop::Failed(Box::new(failure))),
                    Meaning::Warns | Meaning::Expected => {
                        self.warn(failure.to_string());
                        Ok(())
                    }
                }
            }
            StepReport::Gone => {
                self.steps[index] = StepPhase::Gone;
                self.record.event(EventKind::StepGone { step: id.to_string() });
                Ok(())
            }
        }
    }

    fn take_benchmark_progress(&mut self, progress: serde_json::Value) {
        // Several per second of a kind that is only of interest at its moment; the rest is part of the record.
        let is_passing = progress.get("event").and_then(serde_json::Value::as_str) == Some("progress");
        let event = EventKind::Benchmark { progress };
        if is_passing {
            self.record.glimpse(event);
        } else {
            self.record.event(event);
        }
    }

    fn enter(&mut self, stage: RunStage) {
        self.stage = stage;
        self.record.event(EventKind::StageStarted { stage: stage.name().to_owned() });
    }

    fn leave(&mut self) {
        self.record.event(EventKind::StageEnded { stage: self.stage.name().to_owned() });
    }

    fn warn(&mut self, text: String) {
        self.record.event(EventKind::Warning { text: text.clone() });
        self.warnings.push(text);
    }

    fn failure(&self, cause: FailureCause) -> RunFailure {
        RunFailure { stage: self.stage, cause }
    }

    fn failed(&self, cause: FailureCause) -> Stop {
        Stop::Failed(Box::new(self.failure(cause)))
    }

    fn run_started(&self) -> EventKind {
        let planned = |step: &Step| PlannedStep {
            step: step.id.to_string(),
            stage: RunStage::Steps(step.stage).name().to_owned(),
            nodes: step.nodes.iter().map(ToString::to_string).collect(),
            log: Utf8Path::new(LOGS).join(&step.log).into_string(),
        };
        EventKind::RunStarted {
            job_id: self.execution.job_id.clone(),
            name: self.execution.name.clone(),
            steps: self.execution.steps.iter().map(planned).collect(),
        }
    }

    fn left_running(&self) -> Vec<StepId> {
        let steps = self.execution.steps.iter().zip(&self.steps);
        let left = steps.filter(|(_, phase)| !matches!(phase, StepPhase::Planned | StepPhase::Gone));
        left.map(|(step, _)| step.id.clone()).collect()
    }
}

/// What the end of a step means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Expected,
    Warns,
    Fails,
}

fn meaning_of_end(lifetime: Lifetime, complete: bool, mode: Mode) -> Meaning {
    match (mode, lifetime) {
        (Mode::Ending, _) => Meaning::Expected,
        (_, Lifetime::Task | Lifetime::OptionalTask) if complete => Meaning::Expected,
        (Mode::Working, Lifetime::Service | Lifetime::Task) => Meaning::Fails,
        (Mode::Working, Lifetime::OptionalService | Lifetime::OptionalTask) | (Mode::Measured, _) => {
            Meaning::Warns
        }
    }
}

fn is_task(lifetime: Lifetime) -> bool {
    matches!(lifetime, Lifetime::Task | Lifetime::OptionalTask)
}

fn failed_verdict(failure: &RunFailure) -> Verdict {
    Verdict::Failed { stage: failure.stage.name().to_owned(), text: failure.to_string() }
}

fn interrupted_verdict(by: &str, stage: RunStage) -> Verdict {
    Verdict::Failed { stage: stage.name().to_owned(), text: format!("ended by {by}") }
}

fn recorded(failure: &RunFailure) -> record::Failure {
    let mut recorded = record::Failure {
        stage: failure.stage.name().to_owned(),
        text: failure.to_string(),
        step: None,
        node: None,
        exit: None,
        log: None,
        log_tail: Vec::new(),
    };
    match &failure.cause {
        FailureCause::StepEnded { step, node, exit, log, log_tail } => {
            recorded.step = Some(step.to_string());
            recorded.node = node.as_ref().map(ToString::to_string);
            recorded.exit = Some(Exit::from(exit));
            recorded.log = Some(log.clone());
            recorded.log_tail.clone_from(log_tail);
        }
        FailureCause::NotStarted { step, node, .. } => {
            recorded.step = Some(step.to_string());
            recorded.node = node.as_ref().map(ToString::to_string);
        }
        FailureCause::NotReady { .. }
        | FailureCause::NoProgress { .. }
        | FailureCause::Rollup { .. }
        | FailureCause::Internal { .. } => {}
    }
    recorded
}

impl From<srt_health::Count> for RegistrationCount {
    fn from(count: srt_health::Count) -> Self {
        Self { have: count.have, want: count.want }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lifetime: Lifetime, code: i32, expected: [Meaning; 3]) {
        let meanings = [Mode::Working, Mode::Measured, Mode::Ending]
            .map(|mode| meaning_of_end(lifetime, code == 0, mode));
        assert_eq!(meanings, expected);
    }

    #[test]
    fn a_service_that_ends_early_fails_the_run_whatever_its_exit_code() {
        use Meaning::{Expected, Fails, Warns};
        check(Lifetime::Service, 0, [Fails, Warns, Expected]);
        check(Lifetime::Service, 1, [Fails, Warns, Expected]);
        check(Lifetime::OptionalService, 0, [Warns, Warns, Expected]);
    }

    #[test]
    fn a_task_fails_the_run_by_its_exit_code() {
        use Meaning::{Expected, Fails, Warns};
        check(Lifetime::Task, 0, [Expected, Expected, Expected]);
        check(Lifetime::Task, 1, [Fails, Warns, Expected]);
        check(Lifetime::OptionalTask, 1, [Warns, Warns, Expected]);
    }
}
