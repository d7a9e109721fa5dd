//! What an engine prints: the lines of a real one, with the values of the simulation.

mod sglang;
#[cfg(test)]
mod tests;
mod trtllm;

use std::{io::Write, process};

use jiff::{Timestamp, fmt::strtime};

pub(super) use self::sglang::disaggregation_mode;
use super::{
    EngineError,
    config::{EngineConfig, LogFormat},
    scheduler::{Room, StepReport},
    telemetry::BatchLine,
};

/// Memory of the imitated GPU.
const GPU_GIB: f64 = 139.81;
/// Its weights, per GPU.
const WEIGHTS_GIB: f64 = 60.0;
/// What one token takes in the KV cache, per GPU.
const KV_BYTES_PER_TOKEN: f64 = 32.0 * 1024.0;

/// The log of one engine. Lines are kept until [`Log::flush`], so that a busy engine makes few system calls.
pub(super) struct Log<'a, W> {
    config: &'a EngineConfig,
    out: W,
    now: fn() -> Timestamp,
    process_id: u32,
    lines: String,
    trtllm: trtllm::Iterations,
}

impl<'a, W: Write> Log<'a, W> {
    pub(super) fn new(config: &'a EngineConfig, out: W) -> Self {
        Self {
            config,
            out,
            now: Timestamp::now,
            process_id: process::id(),
            lines: String::new(),
            trtllm: trtllm::Iterations::default(),
        }
    }

    /// Everything until the weights are there.
    pub(super) fn loading(&mut self) -> Result<(), EngineError> {
        match self.config.log_format {
            LogFormat::Sglang => {
                for line in sglang::loading(self.config) {
                    self.rank(&line);
                }
            }
            LogFormat::Trtllm => {
                for line in trtllm::loading(self.config) {
                    self.info(&line);
                }
            }
        }
        self.flush()
    }

    /// Everything from the weights to the open port.
    pub(super) fn ready(&mut self) -> Result<(), EngineError> {
        match self.config.log_format {
            LogFormat::Sglang => {
                for line in sglang::loaded(self.config) {
                    self.rank(&line);
                }
            }
            LogFormat::Trtllm => {
                for line in trtllm::loaded(self.config, (self.now)()) {
                    self.raw(&line);
                }
            }
        }
        let (host, port) = (&self.config.host, self.config.port);
        let uvicorn = [
            format!("INFO:     Started server process [{}]", self.process_id),
            "INFO:     Application startup complete.".to_owned(),
            format!("INFO:     Uvicorn running on http://{host}:{port} (Press CTRL+C to quit)"),
        ];
        for line in &uvicorn {
            self.raw(line);
        }
        if self.config.log_format == LogFormat::Sglang {
            self.info("The server is fired up and ready to roll!");
        }
        self.flush()
    }

    /// A step of the scheduler; `line` is there when SGLang would print one.
    pub(super) fn step(&mut self, step: &StepReport, line: Option<&BatchLine<'_>>) {
        match self.config.log_format {
            LogFormat::Sglang => {
                if let Some(line) = line {
                    self.rank(&sglang::batch(self.config, line));
                }
            }
            LogFormat::Trtllm => {
                let text = self.trtllm.line(step, self.config.speedup, (self.now)());
                self.rank(&text);
            }
        }
    }

    pub(super) fn profile(&mut self, active: bool) {
        self.rank(if active { "Profiling starts." } else { "Stop profiling..." });
    }

    pub(super) fn transfer_failed(&mut self, request_id: &str, room: Room, reason: &str) {
        let line = sglang::transfer_failed(self.config.role, request_id, room, reason);
        self.error(&line);
    }

    pub(super) fn crash(&mut self) -> Result<(), EngineError> {
        self.died("RuntimeError: the mock engine was asked to crash")
    }

    pub(super) fn out_of_memory(&mut self) -> Result<(), EngineError> {
        let used = GPU_GIB - 0.62;
        self.died(&format!(
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of \
             {GPU_GIB:.2} GiB of which 634.88 MiB is free. Process {pid} has {used:.2} GiB memory in use. Of the \
             allocated memory {allocated:.2} GiB is allocated by PyTorch, and 1.31 GiB is reserved by PyTorch but \
             unallocated. If reserved but unallocated memory is large try setting \
             PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory \
             Management  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)",
            pid = self.process_id,
            allocated = used - 3.4,
        ))
    }

    /// The engine was told to stop.
    pub(super) fn stopped(&mut self) -> Result<(), EngineError> {
        self.raw("INFO:     Shutting down");
        self.raw(&format!("INFO:     Finished server process [{}]", self.process_id));
        self.flush()
    }

    /// Hands all lines over.
    pub(super) fn flush(&mut self) -> Result<(), EngineError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let written = self.out.write_all(self.lines.as_bytes()).and_then(|()| self.out.flush());
        self.lines.clear();
        written.map_err(EngineError::Log)
    }

    fn died(&mut self, error: &str) -> Result<(), EngineError> {
        match self.config.log_format {
            LogFormat::Sglang => {
                self.rank("Scheduler hit an exception: Traceback (most recent call last):");
                self.raw(error);
                self.raw("");
                self.info("Received sigquit from a child process. It usually means the child failed.");
            }
            LogFormat::Trtllm => {
                self.error("Encountered an error in forward function: Traceback (most recent call last):");
                self.raw(error);
            }
        }
        self.flush()
    }

    /// A line of the process.
    fn info(&mut self, text: &str) {
        let now = (self.now)();
        match self.config.log_format {
            LogFormat::Sglang => self.raw(&format!("[{}] {text}", sglang_time(now))),
            LogFormat::Trtllm => self.raw(&format!("[{}] [TRT-LLM] [I] {text}", trtllm_time(now))),
        }
    }

    /// A line of the first rank.
    fn rank(&mut self, text: &str) {
        let now = (self.now)();
        match self.config.log_format {
            // The line with the arguments comes before there are ranks.
            LogFormat::Sglang if text.starts_with("server_args=") => self.info(text),
            LogFormat::Sglang => self.raw(&format!("[{} TP0] {text}", sglang_time(now))),
            LogFormat::Trtllm => self.raw(&format!("[{}] [TRT-LLM] [RANK 0] [I] {text}", trtllm_time(now))),
        }
    }

    fn error(&mut self, text: &str) {
        match self.config.log_format {
            LogFormat::Sglang => self.rank(text),
            LogFormat::Trtllm => {
                let now = trtllm_time((self.now)());
                self.raw(&format!("[{now}] [TRT-LLM] [RANK 0] [E] {text}"));
            }
        }
    }

    fn raw(&mut self, line: &str) {
        self.lines.push_str(line);
        self.lines.push('\n');
    }
}

/// Size of the whole KV cache.
#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
fn kv_cache_gib(config: &EngineConfig) -> f64 {
    config.kv_capacity_tokens as f64 * KV_BYTES_PER_TOKEN / f64::from(1 << 30)
}

fn sglang_time(now: Timestamp) -> String {
    time("%Y-%m-%d %H:%M:%S", now)
}

fn trtllm_time(now: Timestamp) -> String {
    time("%m/%d/%Y-%H:%M:%S", now)
}

/// Engines run in containers, whose zone is UTC.
fn time(format: &str, now: Timestamp) -> String {
    strtime::format(format, now).expect("the format asks for date and time only")
}
