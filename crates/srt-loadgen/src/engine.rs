//! Sends the requests of one point: a thread for each core, a task for each request in flight. Threads share a
//! counter of requests and nothing else; each keeps its own records, which are put together at the end.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    panic,
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use srt_http::Connection;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    arrival::Schedule,
    health::{WorkerHealth, thread_cpu_time},
    prompts::Prompt,
    record::{FailureKind, Record},
    request::{self, RequestTemplate},
    timer::Timer,
};

/// Between two looks at how late the event loop is.
const PROBE_INTERVAL: Duration = Duration::from_millis(10);
/// Between two reports of progress.
const TICK: Duration = Duration::from_millis(200);
/// Fewer streams than this are not worth another thread.
const STREAMS_PER_THREAD: usize = 64;

/// The requests of one point, and where they go.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) address: SocketAddr,
    pub(crate) template: RequestTemplate,
    pub(crate) prompts: Vec<Prompt>,
    /// Before each request, how long its session waits after the end of the one before.
    pub(crate) pauses: Vec<Duration>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) schedule: Schedule,
    /// Requests in flight at most.
    pub(crate) limit: usize,
    pub(crate) reuse: bool,
    pub(crate) request_timeout: Duration,
    /// One per thread, so that threads do not write to the same memory.
    pub(crate) counters: Vec<Counters>,
    pub(crate) next: AtomicUsize,
    pub(crate) started: OnceLock<Instant>,
    pub(crate) cancel: CancellationToken,
    /// What this machine refused, if it did.
    pub(crate) refused: OnceLock<String>,
}

/// Requests of which each follows the end of the one before. Most sessions are of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    /// Index of its first prompt; those of the other turns follow.
    pub(crate) first: usize,
    pub(crate) turns: usize,
}

/// What a thread has done so far, for progress.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) completed: AtomicU32,
    pub(crate) failed: AtomicU32,
    pub(crate) in_flight: AtomicU32,
    pub(crate) chunks: AtomicU64,
}

/// The sum over all threads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) completed: u32,
    pub(crate) failed: u32,
    pub(crate) in_flight: u32,
    pub(crate) chunks: u64,
}

/// What came of a point.
#[derive(Debug)]
pub(crate) struct PointRun {
    /// In the order of the requests; those that had not ended when the point was cancelled are missing.
    pub(crate) records: Vec<Record>,
    pub(crate) duration: Duration,
    pub(crate) workers: Vec<WorkerHealth>,
    pub(crate) was_cancelled: bool,
}

/// Threads that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("failed to start client thread {number}: {source}")]
pub(crate) struct EngineError {
    number: usize,
    source: io::Error,
}

impl Job {
    /// Threads for so many requests in flight on a machine with so many cores.
    pub(crate) fn threads(limit: usize, cores: usize) -> usize {
        (limit / STREAMS_PER_THREAD).clamp(1, cores.max(1))
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for counters in &self.counters {
            totals.completed += counters.completed.load(Ordering::Relaxed);
            totals.failed += counters.failed.load(Ordering::Relaxed);
            totals.in_flight += counters.in_flight.load(Ordering::Relaxed);
            totals.chunks += counters.chunks.load(Ordering::Relaxed);
        }
        totals
    }

    /// The next session that nobody has taken.
    fn take(&self) -> Option<usize> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.sessions.len()).then_some(index)
    }

    fn started(&self) -> Instant {
        *self.started.get_or_init(Instant::now)
    }
}

/// Sends all requests of `job` and waits for their ends. Calls `tick` about five times per second.
pub(crate) fn run(job: &Arc<Job>, tick: &mut dyn FnMut(Totals, Duration)) -> Result<PointRun, EngineError> {
    let threads = job.counters.len();
    // Nothing is ever sent: the channel breaks when the last thread lets go of its end.
    let (alive, all_ended) = mpsc::channel::<()>();
    let logs: Vec<Result<WorkerLog, EngineError>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|number| {
                // The first threads take what does not divide evenly.
                let slots = job.limit / threads + usize::from(number < job.limit % threads);
                let alive = alive.clone();
                let builder = thread::Builder::new().name(format!("loadgen-{number}"));
                let spawned = builder.spawn_scoped(scope, move || {
                    let result = work(job, number, slots);
                    if result.is_err() {
                        job.cancel.cancel();
                    }
                    drop(alive);
                    result
                });
                spawned.map_err(|source| {
                    job.cancel.cancel();
                    EngineError { number, source }
                })
            })
            .collect();
        drop(alive);
        while all_ended.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
            tick(job.totals(), job.started().elapsed());
        }
        let join = |handle: thread::ScopedJoinHandle<'_, _>| {
            handle.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
        };
        handles.into_iter().map(|handle| handle.and_then(join)).collect()
    });

    let mut run =
        PointRun { records: Vec::new(), duration: Duration::ZERO, workers: Vec::new(), was_cancelled: false };
    for log in logs {
        let log = log?;
        run.records.extend(log.records);
        run.duration = run.duration.max(log.duration);
        run.workers.push(log.health);
        run.was_cancelled |= log.was_cancelled;
    }
    run.records.sort_unstable_by_key(|record| record.index);
    Ok(run)
}

struct WorkerLog {
    records: Vec<Record>,
    health: WorkerHealth,
    duration: Duration,
    was_cancelled: bool,
}

/// What the tasks of one thread share.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) job: Arc<Job>,
    pub(crate) number: usize,
    started: Instant,
    idle: RefCell<Vec<Connection>>,
    records: RefCell<Vec<Record>>,
    lateness_us: RefCell<Vec<u32>>,
    pub(crate) has_kernel_times: Cell<bool>,
}

impl Worker {
    /// Nanoseconds from the start of the point to `time`.
    pub(crate) fn since_start_ns(&self, time: Instant) -> u64 {
        u64::try_from(time.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }

    /// When session `index` was to start: by the schedule, or, where there is none, now that its turn came.
    fn intended(&self, index: usize) -> Instant {
        match self.job.schedule {
            Schedule::AllAtOnce => Instant::now(),
            Schedule::At(_) => {
                self.started.checked_add(self.job.schedule.time(index)).unwrap_or(self.started)
            }
        }
    }

    /// An open connection that nothing is under way on. Those that the server has closed meanwhile are dropped.
    pub(crate) fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let connection = idle.pop()?;
            if connection.is_reusable() {
                return Some(connection);
            }
        }
    }

    pub(crate) fn put_idle(&self, connection: Connection) {
        self.idle.borrow_mut().push(connection);
    }

    /// Sends the requests of session `index`, one after the other.
    async fn hold(&self, index: usize) {
        let session = self.job.sessions[index];
        let mut intended = self.intended(index);
        for turn in 0..session.turns {
            let index = session.first + turn;
            let pause = self.job.pauses.get(index).copied().unwrap_or_default();
            if turn > 0 {
                intended = Instant::now() + pause;
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
            self.send(index, intended).await;
        }
    }

    async fn send(&self, index: usize, intended: Instant) {
        let record = request::run(self, index, intended).await;
        if let Some(failure) = record.failure.as_ref().filter(|it| it.kind == FailureKind::SystemRefused) {
            self.job.refused.get_or_init(|| failure.text.clone());
            self.job.cancel.cancel();
        }
        self.records.borrow_mut().push(record);
    }
}

fn work(job: &Arc<Job>, number: usize, slots: usize) -> Result<WorkerLog, EngineError> {
    let failed = |source| EngineError { number, source };
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())
        .map_err(failed)?;
    runtime.block_on(async {
        let worker = Rc::new(Worker {
            job: Arc::clone(job),
            number,
            started: job.started(),
            idle: RefCell::default(),
            records: RefCell::default(),
            lateness_us: RefCell::default(),
            has_kernel_times: Cell::new(true),
        });
        let cpu_before = thread_cpu_time();
        let mut probe = JoinSet::new();
        let timer = Timer::new().map_err(failed)?;
        probe.spawn_local(watch_lateness(Rc::clone(&worker), timer));
        let mut tasks = JoinSet::new();
        let was_cancelled = tokio::select! {
            biased;
            () = job.cancel.cancelled() => true,
            result = send_all(&worker, slots, &mut tasks) => {
                result.map_err(failed)?;
                false
            }
        };
        let duration = worker.started.elapsed();
        let cpu = thread_cpu_time().saturating_sub(cpu_before);
        tasks.shutdown().await;
        probe.shutdown().await;
        let health = WorkerHealth {
            cpu,
            wall: duration,
            has_kernel_times: worker.has_kernel_times.get(),
            lateness_us: worker.lateness_us.take(),
        };
        Ok(WorkerLog { records: worker.records.take(), health, duration, was_cancelled })
    })
}

async fn send_all(worker: &Rc<Worker>, slots: usize, tasks: &mut JoinSet<()>) -> io::Result<()> {
    match worker.job.schedule {
        Schedule::AllAtOnce => send_as_slots_allow(worker, slots, tasks),
        Schedule::At(_) => send_on_schedule(worker, slots, tasks).await?,
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            panic::resume_unwind(error.into_panic());
        }
    }
    Ok(())
}

fn send_as_slots_allow(worker: &Rc<Worker>, slots: usize, tasks: &mut JoinSet<()>) {
    for _ in 0..slots.min(worker.job.sessions.len()) {
        let worker = Rc::clone(worker);
        tasks.spawn_local(async move {
            while let Some(index) = worker.job.take() {
                worker.hold(index).await;
            }
        });
    }
}

async fn send_on_schedule(worker: &Rc<Worker>, slots: usize, tasks: &mut JoinSet<()>) -> io::Result<()> {
    let mut timer = Timer::new()?;
    let free = Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS)));
    loop {
        let slot = Arc::clone(&free).acquire_owned().await.expect("the semaphore is never closed");
        let Some(index) = worker.job.take() else { return Ok(()) };
        if let Some(time) = worker.started.checked_add(worker.job.schedule.time(index)) {
            timer.wait_until(time).await?;
        }
        let worker = Rc::clone(worker);
        tasks.spawn_local(async move {
            worker.hold(index).await;
            drop(slot);
        });
        // Ends are collected on the way, or a long point would hold on to every task it ever had.
        while tasks.try_join_next().is_some() {}
    }
}

/// Notes how long after its time a task of this thread gets to run: what a read may be late by.
async fn watch_lateness(worker: Rc<Worker>, mut timer: Timer) {
    loop {
        let due = Instant::now() + PROBE_INTERVAL;
        if timer.wait_until(due).await.is_err() {
            return;
        }
        let late = due.elapsed().as_micros();
        worker.lateness_us.borrow_mut().push(u32::try_from(late).unwrap_or(u32::MAX));
    }
}
