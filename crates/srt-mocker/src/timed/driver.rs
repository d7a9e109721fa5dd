//! The task that writes all answers, each write at its time.

use std::{
    cmp::Reverse, collections::BinaryHeap, convert::Infallible, fmt::Write, io, iter, num::NonZeroU32,
    sync::Arc, time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::{
    RequestRecord, ScheduleRecord, TimedConfig, TimedError, TimedSummary, now_ns, record::write_record,
};
use crate::engine::wire::{Api, GenerationRequest};

/// A complete request that waits for its answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) socket: Arc<TcpStream>,
    pub(super) wanted: GenerationRequest,
    /// The client's `x-request-id`.
    pub(super) client_id: Option<String>,
    pub(super) head_ns: u64,
    pub(super) body_ns: u64,
    /// Told when the answer has been written; dropped when it cannot be.
    pub(super) written: oneshot::Sender<()>,
}

/// How long a write waits before it is tried again when the client does not read.
const RETRY_NS: u64 = 1_000_000;

/// An answer under way.
#[derive(Debug)]
struct Answer {
    socket: Arc<TcpStream>,
    written: oneshot::Sender<()>,
    record: RequestRecord,
    chat: bool,
    stream: bool,
    include_usage: bool,
    prompt_tokens: u64,
    tokens_written: u32,
    /// What the kernel did not accept of the current write.
    unwritten: Vec<u8>,
}

/// When the next write of the answer at `slot` is due.
type Due = Reverse<(u64, usize)>;

/// See the module's documentation.
pub(super) struct Driver {
    schedule: ScheduleRecord,
    tokens_per_write: NonZeroU32,
    answers: Vec<Option<Answer>>,
    free_slots: Vec<usize>,
    due: BinaryHeap<Due>,
    buffer: String,
    records: Vec<RequestRecord>,
    worst_lateness_ns: u64,
}

impl Driver {
    pub(super) fn new(config: &TimedConfig) -> Self {
        let schedule = ScheduleRecord {
            started_ns: now_ns(),
            started_unix_ns: i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
            ttft_ns: nanoseconds(config.ttft),
            itl_ns: nanoseconds(config.itl),
            output_tokens: config.output_tokens,
            tokens_per_write: config.tokens_per_write,
        };
        Self {
            schedule,
            tokens_per_write: config.tokens_per_write,
            answers: Vec::new(),
            free_slots: Vec::new(),
            due: BinaryHeap::new(),
            buffer: String::new(),
            records: Vec::new(),
            worst_lateness_ns: 0,
        }
    }

    /// Writes answers, for ever.
    pub(super) async fn run(&mut self, mut inbox: mpsc::UnboundedReceiver<Request>) -> Infallible {
        loop {
            let now = now_ns();
            let wake = self.due.peek().map(|Reverse((due, _))| *due);
            let request = match wake {
                None => inbox.recv().await,
                Some(due) if due > now => {
                    let wake = Instant::now() + Duration::from_nanos(due - now);
                    tokio::select! {
                        request = inbox.recv() => request,
                        () = sleep_until(wake) => None,
                    }
                }
                Some(_) => None,
            };
            if let Some(request) = request {
                self.begin(request);
            }
            while let Ok(request) = inbox.try_recv() {
                self.begin(request);
            }
            if self.write_what_is_due() {
                // Requests that arrived meanwhile are read before the next round.
                yield_now().await;
            }
        }
    }

    /// Ends all answers and writes the record.
    pub(super) fn finish(mut self, config: &TimedConfig) -> Result<TimedSummary, TimedError> {
        let open = self.answers.into_iter().flatten().map(|answer| answer.record);
        self.records.extend(open);
        self.records.sort_by_key(|record| record.head_ns);
        if let Some(path) = &config.record {
            write_record(path, &self.schedule, &self.records)
                .map_err(|source| TimedError::WriteRecord { path: path.clone(), source })?;
        }
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(TimedSummary {
            requests: count(self.records.len()),
            complete: count(self.records.iter().filter(|record| record.complete).count()),
            writes: self.records.iter().map(|record| count(record.writes_ns.len())).sum(),
            worst_lateness: Duration::from_nanos(self.worst_lateness_ns),
        })
    }

    fn begin(&mut self, request: Request) {
        let Request { socket, wanted, client_id, head_ns, body_ns, written } = request;
        let output_tokens = wanted.max_tokens.unwrap_or(self.schedule.output_tokens).max(1);
        let writes = if wanted.stream { output_tokens.div_ceil(self.tokens_per_write.get()) } else { 1 };
        let answer = Answer {
            socket,
            written,
            record: RequestRecord {
                request_id: client_id,
                head_ns,
                body_ns,
                output_tokens,
                complete: false,
                writes_ns: Vec::with_capacity(usize::try_from(writes).unwrap_or(0).min(4096)),
            },
            chat: wanted.api == Api::Chat,
            stream: wanted.stream,
            include_usage: wanted.include_usage,
            prompt_tokens: wanted.prompts.iter().map(|prompt| u64::from(prompt.tokens)).sum(),
            tokens_written: 0,
            unwritten: Vec::new(),
        };
        let due = self.due_ns(&answer);
        let slot = self.free_slots.pop().unwrap_or(self.answers.len());
        if slot == self.answers.len() {
            self.answers.push(None);
        }
        self.answers[slot] = Some(answer);
        self.due.push(Reverse((due, slot)));
    }

    /// Tokens that the next write carries.
    fn next_tokens(&self, answer: &Answer) -> u32 {
        let left = answer.record.output_tokens - answer.tokens_written;
        if answer.stream { left.min(self.tokens_per_write.get()) } else { left }
    }

    /// When the last token of the next write is due.
    fn due_ns(&self, answer: &Answer) -> u64 {
        let last = answer.tokens_written + self.next_tokens(answer) - 1;
        let after_first = u64::from(last).saturating_mul(self.schedule.itl_ns);
        answer.record.body_ns.saturating_add(self.schedule.ttft_ns).saturating_add(after_first)
    }

    /// One write for each answer that is due; whether there was one.
    fn write_what_is_due(&mut self) -> bool {
        let now = now_ns();
        let mut again: Vec<Due> = Vec::new();
        let mut wrote = false;
        while self.due.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            let Some(Reverse((_, slot))) = self.due.pop() else { break };
            wrote = true;
            let Some(mut answer) = self.answers[slot].take() else { continue };
            match self.write(&mut answer) {
                Ok(true) if answer.tokens_written == answer.record.output_tokens => {
                    answer.record.complete = true;
                    answer.written.send(()).ok();
                    self.records.push(answer.record);
                    self.free_slots.push(slot);
                }
                Ok(done) => {
                    let due = if done { self.due_ns(&answer) } else { now + RETRY_NS };
                    self.answers[slot] = Some(answer);
                    again.push(Reverse((due, slot)));
                }
                // The client is gone; its connection ends with the sender that is dropped here.
                Err(_) => {
                    self.records.push(answer.record);
                    self.free_slots.push(slot);
                }
            }
        }
        // Not before, or an answer without delay would keep the others waiting.
        self.due.extend(again);
        wrote
    }

    /// Writes what is due, and stamps it once it is accepted as a whole; false if the client does not read.
    fn write(&mut self, answer: &mut Answer) -> io::Result<bool> {
        let tokens = self.next_tokens(answer);
        let due = self.due_ns(answer);
        let is_retry = !answer.unwritten.is_empty();
        if !is_retry {
            self.buffer.clear();
            render(answer, tokens, &mut self.buffer);
        }
        let bytes = if is_retry { answer.unwritten.as_slice() } else { self.buffer.as_bytes() };
        let written = match answer.socket.try_write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        if written < bytes.len() {
            answer.unwritten = bytes[written..].to_vec();
            return Ok(false);
        }
        let now = now_ns();
        answer.unwritten.clear();
        answer.tokens_written += tokens;
        answer.record.writes_ns.push(now - answer.record.head_ns);
        self.worst_lateness_ns = self.worst_lateness_ns.max(now.saturating_sub(due));
        Ok(true)
    }
}

const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// The bytes of the next write: with the first goes the head, with the last everything that ends an answer.
fn render(answer: &Answer, tokens: u32, out: &mut String) {
    if !answer.stream {
        out.push_str(&whole(answer));
        return;
    }
    if answer.tokens_written == 0 {
        out.push_str(STREAM_HEAD);
    }
    let left = answer.record.output_tokens - answer.tokens_written;
    let is_last = tokens == left;
    let middle = event(answer.chat, false);
    let end = if is_last { event(answer.chat, true) } else { middle };
    let before_end = usize::try_from(tokens - 1).unwrap_or(0);
    // Writing to a String cannot fail.
    let _ = write!(out, "{:x}\r\n", middle.len() * before_end + end.len());
    out.extend(iter::repeat_n(middle, before_end));
    out.push_str(end);
    out.push_str("\r\n");
    if is_last {
        if answer.include_usage {
            let usage = json!({ "id": "timed", "model": "mock", "choices": [], "usage": usage(answer) });
            push_chunk(out, &format!("data: {usage}\n\n"));
        }
        push_chunk(out, "data: [DONE]\n\n");
        out.push_str("0\r\n\r\n");
    }
}

/// The answer to a client that did not ask for a stream.
fn whole(answer: &Answer) -> String {
    let text = " w".repeat(usize::try_from(answer.record.output_tokens).unwrap_or(0));
    let choice = if answer.chat {
        json!({ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "length" })
    } else {
        json!({ "index": 0, "text": text, "finish_reason": "length" })
    };
    let body = json!({ "id": "timed", "model": "mock", "choices": [choice], "usage": usage(answer) });
    super::connection::answer("200 OK", &body.to_string())
}

fn usage(answer: &Answer) -> Value {
    let (prompt, completion) = (answer.prompt_tokens, u64::from(answer.record.output_tokens));
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

/// One token as a server-sent event.
fn event(chat: bool, is_last: bool) -> &'static str {
    match (chat, is_last) {
        (false, false) => {
            "data: {\"id\":\"timed\",\"object\":\"text_completion\",\"model\":\"mock\",\"choices\":[{\"index\":0,\"text\":\" w\",\"finish_reason\":null}]}\n\n"
        }
        (false, true) => {
            "data: {\"id\":\"timed\",\"object\":\"text_completion\",\"model\":\"mock\",\"choices\":[{\"index\":0,\"text\":\" w\",\"finish_reason\":\"length\"}]}\n\n"
        }
        (true, false) => {
            "data: {\"id\":\"timed\",\"object\":\"chat.completion.chunk\",\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\" w\"},\"finish_reason\":null}]}\n\n"
        }
        (true, true) => {
            "data: {\"id\":\"timed\",\"object\":\"chat.completion.chunk\",\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\" w\"},\"finish_reason\":\"length\"}]}\n\n"
        }
    }
}

fn push_chunk(out: &mut String, data: &str) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{:x}\r\n{data}\r\n", data.len());
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
