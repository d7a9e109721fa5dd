//! The simulated scheduler of an engine: which request runs when, and when its tokens come out.
//!
//! A pure state machine over simulated time ([`Duration`] since the engine started): [`Scheduler::advance`] moves it to a
//! time and appends what happened to a list of [`Event`]s. As in SGLang, one step runs at a time, waiting prompts go first,
//! and everything that runs gets one token per decode step.

mod prefix_cache;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::Duration,
};

use srt_topology::Role;

use self::prefix_cache::PrefixCache;
use super::{config::EngineConfig, prompt::Prompt};

/// One sequence of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SequenceId(pub(super) u64);

/// What prefill and decode call the same request by.
pub(super) type Room = u64;

/// A sequence to compute.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: SequenceId,
    pub(super) prompt: Prompt,
    pub(super) output_tokens: u32,
    /// Set in the prefill and decode roles.
    pub(super) room: Option<Room>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// A token of this sequence is there.
    Token(SequenceId),
    /// The sequence has all its tokens; follows its last token at once.
    Finished(SequenceId),
    /// Decode: there is space for this sequence's KV cache, the prefill engine may send it.
    Reserved(SequenceId),
    /// Prefill: the KV cache has been sent.
    KvSent { room: Room, tokens: u32 },
    /// The other role did not do its part in time.
    TimedOut(SequenceId),
    /// A step ended.
    Step(StepReport),
}

/// One step, as it was when it started.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StepReport {
    pub(super) index: u64,
    pub(super) started_at: Duration,
    pub(super) ended_at: Duration,
    pub(super) work: StepWork,
    pub(super) load: Load,
}

/// What a step computed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum StepWork {
    Prefill { sequences: u32, new_tokens: u64, cached_tokens: u64 },
    Decode { sequences: u32 },
}

/// How full the engine is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Load {
    /// Sequences being decoded.
    pub(super) running: usize,
    /// Sequences that wait for prefill, or in the decode role for their first decode step.
    pub(super) queued: usize,
    /// Prefill: sequences whose decode engine has not answered yet. Decode: sequences without space for their KV cache.
    pub(super) preallocating: usize,
    /// Sequences whose KV cache is on its way.
    pub(super) transferring: usize,
    /// Tokens in the KV cache.
    pub(super) used_tokens: u64,
    /// Tokens for which space is kept.
    pub(super) reserved_tokens: u64,
}

/// Speeds and capacities.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) role: Role,
    pub(super) prefill_tps: f64,
    pub(super) itl_base: Duration,
    pub(super) itl_per_running: Duration,
    pub(super) chunk_tokens: u64,
    pub(super) capacity_tokens: u64,
    pub(super) max_running: usize,
    pub(super) kv_transfer_tps: f64,
    pub(super) kv_timeout: Duration,
    pub(super) prefix_cache: bool,
}

impl Model {
    pub(super) fn new(config: &EngineConfig) -> Self {
        Self {
            role: config.role,
            prefill_tps: config.prefill_tps,
            itl_base: seconds(config.itl_base_ms / 1e3),
            itl_per_running: seconds(config.itl_per_running_us / 1e6),
            chunk_tokens: config.chunked_prefill_tokens.into(),
            capacity_tokens: config.kv_capacity_tokens,
            max_running: usize::try_from(config.max_running_requests).unwrap_or(usize::MAX),
            kv_transfer_tps: config.kv_transfer_tps,
            kv_timeout: seconds(config.kv_timeout_s * config.speedup),
            prefix_cache: config.prefix_cache,
        }
    }
}

/// A duration from a configured number; absurdly long ones become the longest there is.
pub(super) fn seconds(seconds: f64) -> Duration {
    // A hundred years, so that sums of such times stay representable.
    const LONGEST_S: f64 = 3.2e9;
    Duration::try_from_secs_f64(seconds.min(LONGEST_S)).unwrap_or_default()
}

/// A job with its progress.
#[derive(Debug)]
struct Sequence {
    job: Job,
    cached_tokens: u32,
    prefilled_tokens: u32,
    produced_tokens: u32,
    /// Space kept for it; 0 until it is admitted.
    reserved_tokens: u64,
    /// When it gives up waiting for the other role.
    deadline: Duration,
}

impl Sequence {
    fn used_tokens(&self) -> u64 {
        u64::from(self.prefilled_tokens) + u64::from(self.produced_tokens)
    }
}

#[derive(Debug)]
struct Step {
    report: StepReport,
    /// Sequences whose prompt is complete when the step ends.
    prefilled: Vec<Sequence>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Scheduler {
    model: Model,
    /// What `/slow_down` adds to every step.
    step_delay: Duration,
    steps: u64,
    step: Option<Step>,
    /// Prefill: waiting for the decode engine to announce the room; in order of deadline.
    bootstrapping: VecDeque<Sequence>,
    /// Prefill: rooms that a decode engine has announced and no sequence has taken yet.
    announced: HashSet<Room>,
    /// Waiting for prefill. The first one may have its prompt computed in part.
    waiting: VecDeque<Sequence>,
    /// Prefill: KV caches on their way, by time of arrival.
    outbound: BTreeMap<(Duration, SequenceId), Sequence>,
    /// Decode: waiting for space.
    preallocating: VecDeque<Sequence>,
    /// Decode: waiting for the KV cache; in order of announcement, which is the order of deadlines.
    inbound: VecDeque<Sequence>,
    /// Decode: the KV cache is there.
    arrived: VecDeque<Sequence>,
    running: Vec<Sequence>,
    used_tokens: u64,
    reserved_tokens: u64,
    cache: PrefixCache,
}

impl Scheduler {
    pub(super) fn new(model: Model) -> Self {
        Self {
            cache: PrefixCache::new(if model.prefix_cache { model.capacity_tokens } else { 0 }),
            model,
            step_delay: Duration::ZERO,
            steps: 0,
            step: None,
            bootstrapping: VecDeque::new(),
            announced: HashSet::new(),
            waiting: VecDeque::new(),
            outbound: BTreeMap::new(),
            preallocating: VecDeque::new(),
            inbound: VecDeque::new(),
            arrived: VecDeque::new(),
            running: Vec::new(),
            used_tokens: 0,
            reserved_tokens: 0,
        }
    }

    /// A new sequence. [`Scheduler::fits`] must have said yes to it.
    pub(super) fn submit(&mut self, job: Job, now: Duration, events: &mut Vec<Event>) {
        let room = job.room;
        let sequence = Sequence {
            job,
            cached_tokens: 0,
            prefilled_tokens: 0,
            produced_tokens: 0,
            reserved_tokens: 0,
            deadline: now + self.model.kv_timeout,
        };
        match self.model.role {
            Role::Agg => self.waiting.push_back(sequence),
            Role::Prefill => match room {
                Some(room) if !self.announced.remove(&room) => self.bootstrapping.push_back(sequence),
                _ => self.waiting.push_back(sequence),
            },
            Role::Decode => self.preallocating.push_back(sequence),
        }
        self.admit_and_start(now, events);
    }

    /// Prefill: a decode engine waits for this room.
    pub(super) fn room_announced(&mut self, room: Room, now: Duration, events: &mut Vec<Event>) {
        match self.bootstrapping.iter().position(|it| it.job.room == Some(room)) {
            Some(index) => self.waiting.extend(self.bootstrapping.remove(index)),
            None => {
                self.announced.insert(room);
            }
        }
        self.admit_and_start(now, events);
    }

    /// Prefill: nobody waits for this room any longer; returns the sequence that was meant for it.
    pub(super) fn room_withdrawn(
        &mut self,
        room: Room,
        now: Duration,
        events: &mut Vec<Event>,
    ) -> Option<SequenceId> {
        self.announced.remove(&room);
        let id = self.sequences().find(|it| it.job.room == Some(room)).map(|it| it.job.id)?;
        self.remove(id, now, events);
        Some(id)
    }

    /// Decode: the KV cache of this sequence is there.
    pub(super) fn kv_arrived(&mut self, id: SequenceId, now: Duration, events: &mut Vec<Event>) {
        let Some(mut sequence) = take(&mut self.inbound, id) else { return };
        sequence.prefilled_tokens = sequence.job.prompt.tokens;
        self.used_tokens += u64::from(sequence.prefilled_tokens);
        self.arrived.push_back(sequence);
        self.admit_and_start(now, events);
    }

    /// Forgets a sequence, wherever it is.
    pub(super) fn remove(&mut self, id: SequenceId, now: Duration, events: &mut Vec<Event>) {
        let found = [
            &mut self.bootstrapping,
            &mut self.waiting,
            &mut self.preallocating,
            &mut self.inbound,
            &mut self.arrived,
        ]
        .into_iter()
        .find_map(|queue| take(queue, id))
        .or_else(|| {
            let key = *self.outbound.keys().find(|(_, it)| *it == id)?;
            self.outbound.remove(&key)
        })
        .or_else(|| take_unordered(&mut self.running, id))
        .or_else(|| take_unordered(&mut self.step.as_mut()?.prefilled, id));
        if let Some(sequence) = found {
            self.release(&sequence);
            self.admit_and_start(now, events);
        }
    }

    /// Whether a sequence of this size can ever run.
    pub(super) fn fits(model: &Model, prompt_tokens: u32, output_tokens: u32) -> bool {
        space_for(model.role, prompt_tokens, output_tokens) <= model.capacity_tokens
    }

    /// When [`Scheduler::advance`] has something to do again.
    pub(super) fn next_event_at(&self) -> Option<Duration> {
        [
            self.step.as_ref().map(|step| step.report.ended_at),
            self.outbound.keys().next().map(|(due, _)| *due),
            self.bootstrapping.front().map(|it| it.deadline),
            self.inbound.front().map(|it| it.deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Lets everything happen that is due by `now`, in order.
    pub(super) fn advance(&mut self, now: Duration, events: &mut Vec<Event>) {
        while let Some(time) = self.next_event_at().filter(|time| *time <= now) {
            while let Some(entry) = self.outbound.first_entry().filter(|it| it.key().0 <= time) {
                let mut sequence = entry.remove();
                let room = sequence.job.room.expect("only sequences with a room are sent");
                events.push(Event::KvSent { room, tokens: sequence.job.prompt.tokens });
                self.produce(&mut sequence, events);
                self.finish(&sequence, events);
            }
            for queue in [&mut self.bootstrapping, &mut self.inbound] {
                while let Some(late) = queue.pop_front_if(|it| it.deadline <= time) {
                    self.reserved_tokens -= late.reserved_tokens;
                    events.push(Event::TimedOut(late.job.id));
                }
            }
            if let Some(step) = self.step.take_if(|step| step.report.ended_at <= time) {
                self.end_step(step, time, events);
            }
            self.admit_and_start(time, events);
        }
    }

    /// Makes every later step last longer.
    pub(super) fn set_step_delay(&mut self, delay: Duration) {
        self.step_delay = delay;
    }

    /// Forgets cached prefixes; false, and nothing is done, while sequences are there.
    pub(super) fn flush_cache(&mut self) -> bool {
        let idle = self.sequences().next().is_none();
        if idle {
            self.cache.clear();
        }
        idle
    }

    pub(super) fn load(&self) -> Load {
        Load {
            running: self.running.len(),
            queued: self.waiting.len() + self.arrived.len(),
            preallocating: self.bootstrapping.len() + self.preallocating.len(),
            transferring: self.outbound.len() + self.inbound.len(),
            used_tokens: self.used_tokens,
            reserved_tokens: self.reserved_tokens,
        }
    }

    fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        [&self.bootstrapping, &self.waiting, &self.preallocating, &self.inbound, &self.arrived]
            .into_iter()
            .flatten()
            .chain(self.outbound.values())
            .chain(&self.running)
            .chain(self.step.iter().flat_map(|step| &step.prefilled))
    }

    fn admit_and_start(&mut self, now: Duration, events: &mut Vec<Event>) {
        self.reserve_for_inbound(events);
        if self.step.is_none() {
            self.step = self.start_prefill(now).or_else(|| self.start_decode(now, events));
        }
    }

    /// Decode: asks for the KV caches for which there is space.
    fn reserve_for_inbound(&mut self, events: &mut Vec<Event>) {
        while let Some(first) = self.preallocating.front() {
            let admitted = self.running.len() + self.arrived.len() + self.inbound.len();
            let space = space_for(Role::Decode, first.job.prompt.tokens, first.job.output_tokens);
            if admitted >= self.model.max_running || self.reserved_tokens + space > self.model.capacity_tokens
            {
                return;
            }
            let mut sequence = self.preallocating.pop_front().expect("it has a first element");
            sequence.reserved_tokens = space;
            self.reserved_tokens += space;
            events.push(Event::Reserved(sequence.job.id));
            self.inbound.push_back(sequence);
        }
    }

    fn start_prefill(&mut self, now: Duration) -> Option<Step> {
        let mut budget = self.model.chunk_tokens;
        let mut prefilled = Vec::new();
        let mut sequences = 0;
        let mut new_tokens = 0;
        let mut cached_tokens = 0;
        while budget > 0
            && let Some(first) = self.waiting.front_mut()
        {
            let is_new = first.reserved_tokens == 0;
            if is_new {
                let space = space_for(self.model.role, first.job.prompt.tokens, first.job.output_tokens);
                if self.running.len() + prefilled.len() >= self.model.max_running
                    || self.reserved_tokens + space > self.model.capacity_tokens
                {
                    break;
                }
                first.reserved_tokens = space;
                self.reserved_tokens += space;
                // The last token is always computed: its output is the first token of the answer.
                let reusable = self.cache.cached_tokens(&first.job.prompt);
                first.cached_tokens = reusable.min(first.job.prompt.tokens - 1);
                first.prefilled_tokens = first.cached_tokens;
                cached_tokens += u64::from(first.cached_tokens);
                self.used_tokens += u64::from(first.cached_tokens);
            }
            let missing = u64::from(first.job.prompt.tokens - first.prefilled_tokens);
            let computed = missing.min(budget);
            first.prefilled_tokens += u32::try_from(computed).expect("at most the prompt's tokens");
            self.used_tokens += computed;
            new_tokens += computed;
            budget -= computed;
            sequences += 1;
            if computed < missing {
                break;
            }
            prefilled.extend(self.waiting.pop_front());
        }
        if sequences == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a step has far fewer tokens than 2^52")]
        let duration = seconds(new_tokens as f64 / self.model.prefill_tps);
        let work = StepWork::Prefill { sequences, new_tokens, cached_tokens };
        let load = self.load();
        Some(Step { report: self.report(now, duration, work, load), prefilled })
    }

    fn start_decode(&mut self, now: Duration, events: &mut Vec<Event>) -> Option<Step> {
        // The prefill engine computed the first token of these.
        while let Some(sequence) = self.arrived.pop_front() {
            self.first_token(sequence, events);
        }
        if self.running.is_empty() {
            return None;
        }
        let sequences = u32::try_from(self.running.len()).unwrap_or(u32::MAX);
        let duration = self.model.itl_base + self.model.itl_per_running.saturating_mul(sequences);
        let load = self.load();
        let work = StepWork::Decode { sequences };
        Some(Step { report: self.report(now, duration, work, load), prefilled: Vec::new() })
    }

    fn report(&mut self, now: Duration, duration: Duration, work: StepWork, load: Load) -> StepReport {
        self.steps += 1;
        StepReport {
            index: self.steps,
            started_at: now,
            ended_at: now + duration + self.step_delay,
            work,
            load,
        }
    }

    fn end_step(&mut self, step: Step, now: Duration, events: &mut Vec<Event>) {
        let decoded = matches!(step.report.work, StepWork::Decode { .. });
        events.push(Event::Step(step.report));
        if decoded {
            let mut running = std::mem::take(&mut self.running);
            running.retain_mut(|sequence| {
                self.produce(sequence, events);
                let done = sequence.produced_tokens >= sequence.job.output_tokens;
                if done {
                    self.finish(sequence, events);
                }
                !done
            });
            self.running = running;
        }
        for sequence in step.prefilled {
            self.cache.insert(&sequence.job.prompt);
            if self.model.role == Role::Prefill && sequence.job.room.is_some() {
                let duration = seconds(f64::from(sequence.job.prompt.tokens) / self.model.kv_transfer_tps);
                self.outbound.insert((now + duration, sequence.job.id), sequence);
            } else {
                self.first_token(sequence, events);
            }
        }
    }

    /// The prompt is complete, so the first token is there.
    fn first_token(&mut self, mut sequence: Sequence, events: &mut Vec<Event>) {
        if sequence.job.output_tokens > 0 {
            self.produce(&mut sequence, events);
        }
        if sequence.produced_tokens >= sequence.job.output_tokens || self.model.role == Role::Prefill {
            self.finish(&sequence, events);
        } else {
            self.running.push(sequence);
        }
    }

    fn produce(&mut self, sequence: &mut Sequence, events: &mut Vec<Event>) {
        sequence.produced_tokens += 1;
        self.used_tokens += 1;
        events.push(Event::Token(sequence.job.id));
    }

    fn finish(&mut self, sequence: &Sequence, events: &mut Vec<Event>) {
        self.release(sequence);
        events.push(Event::Finished(sequence.job.id));
    }

    fn release(&mut self, sequence: &Sequence) {
        self.used_tokens -= sequence.used_tokens();
        self.reserved_tokens -= sequence.reserved_tokens;
    }
}

/// Tokens of KV cache that a sequence needs at its end. A prefill engine computes one token.
fn space_for(role: Role, prompt_tokens: u32, output_tokens: u32) -> u64 {
    let output_tokens = if role == Role::Prefill { 1 } else { output_tokens };
    u64::from(prompt_tokens) + u64::from(output_tokens)
}

fn take(queue: &mut VecDeque<Sequence>, id: SequenceId) -> Option<Sequence> {
    queue.remove(queue.iter().position(|it| it.job.id == id)?)
}

fn take_unordered(sequences: &mut Vec<Sequence>, id: SequenceId) -> Option<Sequence> {
    let index = sequences.iter().position(|it| it.job.id == id)?;
    Some(sequences.remove(index))
}
