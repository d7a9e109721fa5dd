//! One request: a connection, the bytes out, the stream in.

use std::{
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rustix::io::Errno;
use srt_http::Connection;

use crate::{
    engine::Worker,
    prompts::Prompt,
    record::{Failure, FailureKind, Gaps, Record},
    stream::{Stream, Tally},
};

/// The parts of a request that are the same for all.
#[derive(Debug, Clone)]
pub(crate) struct RequestTemplate {
    /// Request line and headers up to the value of `Content-Length`.
    head: Vec<u8>,
    /// The body up to the prompt.
    before_prompt: Vec<u8>,
    /// The body after the number of output tokens.
    after_max_tokens: Vec<u8>,
}

impl RequestTemplate {
    pub(crate) fn new(
        target: &srt_http::Target,
        model: &str,
        api_key: Option<&str>,
        ignore_eos: bool,
        reuse: bool,
    ) -> Self {
        let connection = if reuse { "keep-alive" } else { "close" };
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n\
             Authorization: Bearer {}\r\nConnection: {connection}\r\nContent-Length: ",
            target.path(),
            target.authority(),
            api_key.unwrap_or("None"),
        );
        let model = serde_json::Value::from(model);
        let before_prompt = format!("{{\"model\":{model},\"prompt\":");
        let ignore_eos = if ignore_eos { ",\"ignore_eos\":true" } else { "" };
        let after_max_tokens = format!(
            ",\"logprobs\":null,\"stream\":true,\"stream_options\":{{\"include_usage\":true}}{ignore_eos}}}"
        );
        Self {
            head: head.into_bytes(),
            before_prompt: before_prompt.into_bytes(),
            after_max_tokens: after_max_tokens.into_bytes(),
        }
    }

    /// The bytes of the request for `prompt`.
    pub(crate) fn render(&self, prompt: &Prompt) -> Vec<u8> {
        let mut body = Vec::with_capacity(512);
        body.extend_from_slice(&self.before_prompt);
        prompt.text.write(&mut body);
        body.extend_from_slice(b",\"temperature\":0.0,\"best_of\":1,\"max_tokens\":");
        body.extend_from_slice(prompt.output_tokens.to_string().as_bytes());
        body.extend_from_slice(&self.after_max_tokens);
        let mut request = Vec::with_capacity(self.head.len() + 16 + body.len());
        request.extend_from_slice(&self.head);
        request.extend_from_slice(body.len().to_string().as_bytes());
        request.extend_from_slice(b"\r\n\r\n");
        request.extend_from_slice(&body);
        request
    }
}

/// Sends request `index`, which was to be sent at `intended`, and waits for its end.
pub(crate) async fn run(worker: &Worker, index: usize, intended: Instant) -> Record {
    let job = &worker.job;
    let intended_ns = worker.since_start_ns(intended);
    let request = job.template.render(&job.prompts[index]);
    let counters = &job.counters[worker.number];
    counters.in_flight.fetch_add(1, Ordering::Relaxed);

    let mut attempt = Attempt::default();
    let timeout = job.request_timeout;
    let outcome = tokio::time::timeout(timeout, attempt.drive(worker, &request)).await;
    let failure = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(_elapsed) => attempt.time_out(timeout.as_secs_f64()),
    };

    let finished_ns = worker.since_start_ns(Instant::now());
    counters.in_flight.fetch_sub(1, Ordering::Relaxed);
    let record = attempt.into_record(worker, index, intended_ns, finished_ns, failure);
    let count = if record.failure.is_some() { &counters.failed } else { &counters.completed };
    count.fetch_add(1, Ordering::Relaxed);
    record
}

#[derive(Default)]
struct Attempt {
    sent: Option<Instant>,
    connect: Option<Duration>,
    stream: Option<Stream>,
    retries: u32,
}

impl Attempt {
    async fn drive(&mut self, worker: &Worker, request: &[u8]) -> Result<(), Failure> {
        // A server may close a kept connection while the next request is on its way. That is no failure of the
        // server, so the request goes over another connection, and the result tells how often.
        while let Some(connection) = worker.take_idle() {
            if !self.exchange(worker, connection, request).await.is_lost_before_response() {
                return Ok(());
            }
            self.retries += 1;
        }
        let opened = Connection::open(worker.job.address, None).await;
        let (connection, took) = opened.map_err(|error| connect_failure(&error))?;
        self.connect = Some(took);
        if !connection.has_kernel_times() {
            worker.has_kernel_times.set(false);
        }
        self.exchange(worker, connection, request).await;
        Ok(())
    }

    async fn exchange(&mut self, worker: &Worker, mut connection: Connection, request: &[u8]) -> &Stream {
        let sent = Instant::now();
        self.sent = Some(sent);
        let stream = self.stream.insert(Stream::new(sent));
        if let Err(error) = connection.send(request).await {
            stream.break_off(&error);
            return stream;
        }
        let counters = &worker.job.counters[worker.number];
        loop {
            let before = stream.chunks();
            let step = connection.receive(|at, bytes| stream.push(at, bytes)).await;
            counters.chunks.fetch_add(u64::from(stream.chunks() - before), Ordering::Relaxed);
            match step {
                Ok(false) => {}
                Ok(true) => break,
                Err(error) => {
                    stream.break_off(&error);
                    break;
                }
            }
        }
        if worker.job.reuse && stream.is_reusable() {
            worker.put_idle(connection);
        } else {
            // A port that waits a minute for stragglers would be missing at high request rates.
            connection.close_now();
        }
        stream
    }

    /// The failure of an attempt that ran out of time before its stream began; otherwise the stream knows it.
    fn time_out(&mut self, timeout_s: f64) -> Option<Failure> {
        let Some(stream) = &mut self.stream else {
            let text = format!("the connection was not open within {timeout_s} s");
            return Some(Failure::new(FailureKind::ConnectFailed, text));
        };
        stream.time_out(timeout_s);
        None
    }

    fn into_record(
        self,
        worker: &Worker,
        index: usize,
        intended_ns: u64,
        finished_ns: u64,
        failure: Option<Failure>,
    ) -> Record {
        let sent_ns = self.sent.map_or(finished_ns, |sent| worker.since_start_ns(sent));
        let tally = self.stream.map(Stream::into_tally);
        let usage = tally.as_ref().and_then(|tally| tally.usage);
        let mut record = Record {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            intended_ns,
            sent_ns,
            finished_ns,
            connect_ns: self.connect.map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
            ttft_ns: None,
            latency_ns: finished_ns - sent_ns,
            gaps: Gaps::default(),
            chunks: 0,
            empty_chunks: 0,
            prompt_tokens: usage.and_then(|usage| usage.prompt_tokens),
            completion_tokens: usage.and_then(|usage| usage.completion_tokens),
            is_done_seen: false,
            retries: self.retries,
            failure,
        };
        if let Some(Tally { ttft_ns, last_ns, gaps, chunks, empty_chunks, is_done_seen, failure, .. }) = tally
        {
            record.ttft_ns = ttft_ns;
            record.gaps = gaps;
            record.chunks = chunks;
            record.empty_chunks = empty_chunks;
            record.is_done_seen = is_done_seen;
            record.failure = failure.or(record.failure);
            if record.failure.is_none() {
                record.latency_ns = last_ns;
            }
        }
        record
    }
}

fn connect_failure(error: &io::Error) -> Failure {
    let refused_here =
        [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM, Errno::PERM];
    let kind = match error.raw_os_error() {
        Some(code) if refused_here.iter().any(|errno| errno.raw_os_error() == code) => {
            FailureKind::SystemRefused
        }
        _ if error.kind() == io::ErrorKind::ConnectionRefused => FailureKind::ConnectRefused,
        _ => FailureKind::ConnectFailed,
    };
    Failure::new(kind, error)
}
