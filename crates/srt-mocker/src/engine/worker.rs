//! The task that owns an engine's state: scheduler, streams, faults, and log.

use std::{collections::HashMap, future::pending, io::Write, ops::Range, time::Duration};

use srt_topology::Role;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    EngineError, ExitReason,
    bootstrap::{KvMessage, Links},
    config::EngineConfig,
    log::Log,
    prompt::Prompt,
    scheduler::{Event, Job, Load, Model, Room, Scheduler, SequenceId, seconds},
    telemetry::Telemetry,
    wire::{Bootstrap, FinishReason, Update},
};
use crate::fault::Fault;

/// Requests to the worker task.
#[derive(Debug)]
pub(super) enum Command {
    /// A new request.
    Generate(Generate),
    /// The client of these sequences went away, or has its answer.
    Cancel(Range<u64>),
    /// How loaded the engine is.
    Snapshot(oneshot::Sender<Snapshot>),
    /// Forget cached prefixes; answers whether that was possible.
    FlushCache(oneshot::Sender<bool>),
    /// Every step lasts so much longer.
    SlowDown(Duration),
    /// A profiler was started or stopped.
    Profile { active: bool },
    /// Prefill: a decode engine waits for a room.
    RoomAnnounced { room: Room, link: mpsc::UnboundedSender<KvMessage> },
    /// Prefill: the decode engine that waited for these is gone.
    RoomsWithdrawn(Vec<Room>),
    /// Decode: a KV cache is there.
    KvArrived(Room),
    /// Decode: these KV caches will never come.
    KvFailed(Vec<Room>),
}

/// The sequences of one request.
#[derive(Debug)]
pub(super) struct Generate {
    pub(super) request_id: String,
    /// Number of the first sequence; the others follow.
    pub(super) first_id: u64,
    pub(super) prompts: Vec<Prompt>,
    pub(super) bootstraps: Vec<Option<Bootstrap>>,
    pub(super) output_tokens: u32,
    pub(super) finish_reason: FinishReason,
    pub(super) updates: mpsc::UnboundedSender<Update>,
}

/// How loaded an engine is, and what it did so far.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) load: Load,
    pub(super) requests: u64,
    pub(super) prompt_tokens: u64,
    pub(super) generated_tokens: u64,
    pub(super) gen_throughput_tps: f64,
    pub(super) cache_hit_rate: f64,
}

/// How far an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It loads, and answers 503.
    Starting,
    /// It serves.
    Ready,
}

#[derive(Debug)]
struct Stream {
    request_id: String,
    choice: u32,
    bootstrap: Option<Bootstrap>,
    finish_reason: FinishReason,
    updates: mpsc::UnboundedSender<Update>,
}

/// See the module's documentation.
pub(super) struct Worker<'a, W> {
    config: &'a EngineConfig,
    log: Log<'a, W>,
    phase: watch::Sender<Phase>,
    scheduler: Scheduler,
    telemetry: Telemetry,
    started: Instant,
    streams: HashMap<SequenceId, Stream>,
    /// Prefill: who waits for which room.
    announced: HashMap<Room, mpsc::UnboundedSender<KvMessage>>,
    /// Decode: which sequence waits for which room.
    expected: HashMap<Room, SequenceId>,
    links: Links,
    events: Vec<Event>,
}

/// Why the worker stops serving.
enum Ending {
    Crash { code: u8 },
    OutOfMemory,
    Hang,
}

impl<'a, W: Write> Worker<'a, W> {
    pub(super) fn new(
        config: &'a EngineConfig,
        log: W,
        commands: mpsc::UnboundedSender<Command>,
    ) -> (Self, watch::Receiver<Phase>) {
        let (phase, receiver) = watch::channel(Phase::Starting);
        let worker = Self {
            config,
            log: Log::new(config, log),
            phase,
            scheduler: Scheduler::new(Model::new(config)),
            telemetry: Telemetry::new(config.speedup),
            started: Instant::now(),
            streams: HashMap::new(),
            announced: HashMap::new(),
            expected: HashMap::new(),
            links: Links::new(commands),
            events: Vec::new(),
        };
        (worker, receiver)
    }

    /// Starts up, then serves until it is told to stop or a fault ends it.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Command>,
        shutdown: CancellationToken,
    ) -> Result<ExitReason, EngineError> {
        let ignores_shutdown = self.config.has(Fault::IgnoreSigterm);
        let told_to_stop = async move {
            shutdown.cancelled().await;
            if ignores_shutdown {
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = told_to_stop => {}
            ended = async {
                if let Some(ended) = self.start().await? {
                    return Ok(ended);
                }
                self.serve(&mut inbox).await
            } => return ended,
        }
        self.log.stopped()?;
        Ok(ExitReason::Shutdown)
    }

    /// Prints what an engine prints while it loads, and takes as long.
    async fn start(&mut self) -> Result<Option<ExitReason>, EngineError> {
        self.log.loading()?;
        sleep(seconds(self.config.startup_s)).await;
        for fault in &self.config.faults {
            match fault {
                Fault::CrashAtStart { code } => return self.crash(*code).map(Some),
                Fault::OomAtStart => return self.out_of_memory().map(Some),
                Fault::NeverReady => pending().await,
                Fault::SlowStart { delay } => sleep(*delay).await,
                Fault::CrashAfterRequests { .. }
                | Fault::HangAfterRequests { .. }
                | Fault::IgnoreSigterm
                | Fault::OomAfterRequests { .. }
                | Fault::KvTransferFails
                | Fault::ZeroTokens => {}
            }
        }
        self.log.ready()?;
        self.phase.send_replace(Phase::Ready);
        self.started = Instant::now();
        Ok(None)
    }

    async fn serve(
        &mut self,
        inbox: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Result<ExitReason, EngineError> {
        loop {
            let due = self.scheduler.next_event_at().map(|time| self.clock_time(time));
            let step = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            let mut command = tokio::select! {
                command = inbox.recv() => command,
                () = step => None,
            };
            // Everything that came in meanwhile goes into the same batch, as in a real engine.
            while let Some(next) = command.take().or_else(|| inbox.try_recv().ok()) {
                match self.handle(next) {
                    None => {}
                    Some(Ending::Crash { code }) => return self.crash(code),
                    Some(Ending::OutOfMemory) => return self.out_of_memory(),
                    Some(Ending::Hang) => return pending().await,
                }
            }
            let now = self.now();
            self.scheduler.advance(now, &mut self.events);
            self.dispatch_events();
            self.log.flush()?;
        }
    }

    /// Simulated time.
    fn now(&self) -> Duration {
        seconds(self.started.elapsed().as_secs_f64() * self.config.speedup)
    }

    fn clock_time(&self, simulated: Duration) -> Instant {
        self.started + seconds(simulated.as_secs_f64() / self.config.speedup)
    }

    fn handle(&mut self, command: Command) -> Option<Ending> {
        let now = self.now();
        // What is due comes before what was asked for later.
        self.scheduler.advance(now, &mut self.events);
        match command {
            Command::Generate(request) => return self.generate(request, now),
            Command::Cancel(ids) => {
                for id in ids.map(SequenceId) {
                    self.cancel(id, now);
                }
            }
            Command::Snapshot(reply) => {
                reply.send(self.snapshot()).ok();
            }
            Command::FlushCache(reply) => {
                reply.send(self.scheduler.flush_cache()).ok();
            }
            Command::SlowDown(delay) => self.scheduler.set_step_delay(delay),
            Command::Profile { active } => self.log.profile(active),
            Command::RoomAnnounced { room, link } => {
                self.announced.insert(room, link);
                self.scheduler.room_announced(room, now, &mut self.events);
            }
            Command::RoomsWithdrawn(rooms) => {
                for room in rooms {
                    self.announced.remove(&room);
                    if let Some(id) = self.scheduler.room_withdrawn(room, now, &mut self.events) {
                        self.abort(id, "Decode instance could be dead");
                    }
                }
            }
            Command::KvArrived(room) => {
                if let Some(id) = self.expected.remove(&room) {
                    if self.config.has(Fault::KvTransferFails) {
                        self.scheduler.remove(id, now, &mut self.events);
                        self.abort(id, TRANSFER_FAILED);
                    } else {
                        self.scheduler.kv_arrived(id, now, &mut self.events);
                    }
                }
            }
            Command::KvFailed(rooms) => {
                for room in rooms {
                    if let Some(id) = self.expected.remove(&room) {
                        self.scheduler.remove(id, now, &mut self.events);
                        self.abort(id, TRANSFER_FAILED);
                    }
                }
            }
        }
        None
    }

    fn generate(&mut self, request: Generate, now: Duration) -> Option<Ending> {
        self.telemetry.requests += 1;
        let ending = self.config.faults.iter().find_map(|fault| match *fault {
            Fault::CrashAfterRequests { requests, code } => {
                (self.telemetry.requests > requests).then_some(Ending::Crash { code })
            }
            Fault::OomAfterRequests { requests } => {
                (self.telemetry.requests > requests).then_some(Ending::OutOfMemory)
            }
            Fault::HangAfterRequests { requests } => {
                (self.telemetry.requests > requests).then_some(Ending::Hang)
            }
            Fault::CrashAtStart { .. }
            | Fault::NeverReady
            | Fault::SlowStart { .. }
            | Fault::IgnoreSigterm
            | Fault::OomAtStart
            | Fault::KvTransferFails
            | Fault::ZeroTokens => None,
        });
        let Generate { request_id, first_id, prompts, bootstraps, output_tokens, finish_reason, updates } =
            request;
        for (offset, (prompt, bootstrap)) in (0..).zip(prompts.into_iter().zip(bootstraps)) {
            let id = SequenceId(first_id + u64::from(offset));
            let room = bootstrap.as_ref().filter(|_| self.config.role != Role::Agg).map(|it| it.room);
            let stream = Stream {
                request_id: request_id.clone(),
                choice: offset,
                bootstrap,
                finish_reason,
                updates: updates.clone(),
            };
            self.streams.insert(id, stream);
            // A worker that ends now keeps the request open and computes nothing.
            if ending.is_none() {
                self.scheduler.submit(Job { id, prompt, output_tokens, room }, now, &mut self.events);
            }
        }
        ending
    }

    fn cancel(&mut self, id: SequenceId, now: Duration) {
        let Some(stream) = self.streams.remove(&id) else { return };
        self.scheduler.remove(id, now, &mut self.events);
        if let Some(bootstrap) = stream.bootstrap {
            self.expected.remove(&bootstrap.room);
            if let Some(link) = self.announced.remove(&bootstrap.room) {
                link.send(KvMessage::Failed { room: bootstrap.room }).ok();
            }
        }
    }

    fn dispatch_events(&mut self) {
        let mut events = std::mem::take(&mut self.events).into_iter().peekable();
        while let Some(event) = events.next() {
            match event {
                Event::Token(id) => {
                    self.telemetry.generated_tokens += 1;
                    if events.next_if_eq(&Event::Finished(id)).is_some() {
                        self.finish(id, true);
                    } else if let Some(stream) = self.streams.get(&id) {
                        stream
                            .updates
                            .send(Update { choice: stream.choice, token: true, finished: None })
                            .ok();
                    }
                }
                Event::Finished(id) => self.finish(id, false),
                Event::Reserved(id) => self.request_kv(id),
                Event::KvSent { room, tokens } => {
                    if let Some(link) = self.announced.remove(&room) {
                        let failed = self.config.has(Fault::KvTransferFails);
                        let message = if failed {
                            KvMessage::Failed { room }
                        } else {
                            KvMessage::Sent { room, tokens }
                        };
                        link.send(message).ok();
                    }
                }
                Event::TimedOut(id) => self.time_out(id),
                Event::Step(report) => {
                    let line = self.telemetry.observe(&report);
                    self.log.step(&report, line.as_ref());
                }
            }
        }
    }

    fn finish(&mut self, id: SequenceId, token: bool) {
        if let Some(stream) = self.streams.remove(&id) {
            let finished = Some(stream.finish_reason);
            stream.updates.send(Update { choice: stream.choice, token, finished }).ok();
        }
    }

    /// Decode: asks the prefill engine that the router chose for the KV cache of a sequence.
    fn request_kv(&mut self, id: SequenceId) {
        let Some(Bootstrap { host: Some(host), port, room }) =
            self.streams.get(&id).and_then(|stream| stream.bootstrap.clone())
        else {
            return;
        };
        self.expected.insert(room, id);
        self.links.request(host, port.unwrap_or(self.config.bootstrap_port), room);
    }

    fn time_out(&mut self, id: SequenceId) {
        let Some(stream) = self.streams.get(&id) else { return };
        let state = match self.config.role {
            Role::Decode => "WaitingForInput",
            Role::Prefill | Role::Agg => "Bootstrapping",
        };
        let reason = format!(
            "Request rid={} timed out after {}s in KVPoll.{state}",
            stream.request_id, self.config.kv_timeout_s
        );
        self.abort(id, &reason);
    }

    /// Ends a sequence whose KV cache was not transferred. As in SGLang, its client sees an answer without tokens.
    fn abort(&mut self, id: SequenceId, reason: &str) {
        let Some(stream) = self.streams.remove(&id) else { return };
        let room = stream.bootstrap.map_or(0, |it| it.room);
        self.expected.remove(&room);
        self.announced.remove(&room);
        self.log.transfer_failed(&stream.request_id, room, reason);
        let finished = Some(FinishReason::Abort);
        stream.updates.send(Update { choice: stream.choice, token: false, finished }).ok();
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            load: self.scheduler.load(),
            requests: self.telemetry.requests,
            prompt_tokens: self.telemetry.prompt_tokens,
            generated_tokens: self.telemetry.generated_tokens,
            gen_throughput_tps: self.telemetry.gen_throughput_tps,
            cache_hit_rate: self.telemetry.cache_hit_rate(),
        }
    }

    fn crash(&mut self, code: u8) -> Result<ExitReason, EngineError> {
        self.log.crash()?;
        Ok(ExitReason::Crashed { code })
    }

    fn out_of_memory(&mut self) -> Result<ExitReason, EngineError> {
        self.log.out_of_memory()?;
        Ok(ExitReason::Crashed { code: 1 })
    }
}

const TRANSFER_FAILED: &str = "Failed to get kvcache from prefill instance, it might be dead";
