//! [`EngineConfig`]: what an engine is, how fast, and what it does wrong.

use std::str::FromStr;

use srt_topology::Role;

use crate::fault::Fault;

/// Whose log lines an engine prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `[2026-04-05 20:02:51 TP0] Decode batch, #running-req: …`
    Sglang,
    /// `[01/16/2026-06:20:17] [TRT-LLM] [RANK 0] [I] iter = …`
    Trtllm,
}

/// A text that names no log format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no log format: expected `sglang` or `trtllm`")]
pub struct UnknownLogFormat(String);

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<Self, UnknownLogFormat> {
        match text {
            "sglang" => Ok(Self::Sglang),
            "trtllm" => Ok(Self::Trtllm),
            _ => Err(UnknownLogFormat(text.to_owned())),
        }
    }
}

/// A mock engine. [`Default`] is an aggregated one on 127.0.0.1:30000 that answers about as a large model on one node does.
///
/// Simulated time runs `speedup` times faster than the clock; the fields below say which times are simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineConfig {
    /// Host to listen on (127.0.0.1).
    pub host: String,
    /// HTTP port (30000); 0 takes any free port.
    pub port: u16,
    /// What it does for a request (agg).
    pub role: Role,
    /// Path that `/get_model_info` and the log name (`/model`).
    pub model_path: String,
    /// Name under which the model is served (`mock`). A request that names another model is answered all the same, as SGLang does.
    pub served_model_name: String,
    /// Port where a prefill engine waits for decode engines (8998); 0 takes any free port. Unused in other roles.
    pub bootstrap_port: u16,
    /// GPUs of the worker, shown as `tp_size` (1).
    pub gpus: u32,
    /// Whose log lines are printed (SGLang's).
    pub log_format: LogFormat,
    /// Seconds of the clock from start to ready (0).
    pub startup_s: f64,
    /// Prompt tokens computed per simulated second (40 000).
    pub prefill_tps: f64,
    /// Simulated duration of a decode step with an empty batch (8 ms).
    pub itl_base_ms: f64,
    /// What each running request adds to a decode step (20 µs, simulated).
    pub itl_per_running_us: f64,
    /// Prompt tokens in one prefill batch; longer prompts take several (8192).
    pub chunked_prefill_tokens: u32,
    /// Tokens that the KV cache holds (524 288).
    pub kv_capacity_tokens: u64,
    /// Requests that are decoded at a time; others wait (256).
    pub max_running_requests: u32,
    /// KV tokens that reach a decode engine per simulated second and request (1 000 000).
    pub kv_transfer_tps: f64,
    /// Seconds of the clock after which a request gives up waiting for its peer in the other role (300).
    pub kv_timeout_s: f64,
    /// Keep the KV cache of finished prompts and reuse equal beginnings (false).
    pub prefix_cache: bool,
    /// Length at which the model stops by itself, unless a request says `ignore_eos` (256).
    pub eos_after_tokens: u32,
    /// Simulated seconds per second of the clock (1). Above about 10, several tokens leave in one write.
    pub speedup: f64,
    /// What it does wrong (nothing).
    pub faults: Vec<Fault>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 30_000,
            role: Role::Agg,
            model_path: "/model".to_owned(),
            served_model_name: "mock".to_owned(),
            bootstrap_port: 8998,
            gpus: 1,
            log_format: LogFormat::Sglang,
            startup_s: 0.0,
            prefill_tps: 40_000.0,
            itl_base_ms: 8.0,
            itl_per_running_us: 20.0,
            chunked_prefill_tokens: 8192,
            kv_capacity_tokens: 524_288,
            max_running_requests: 256,
            kv_transfer_tps: 1_000_000.0,
            kv_timeout_s: 300.0,
            prefix_cache: false,
            eos_after_tokens: 256,
            speedup: 1.0,
            faults: Vec::new(),
        }
    }
}

/// Why an engine cannot be as configured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidEngineConfig {
    /// A rate or a time that must be above zero is not.
    #[error("`{field}` must be a number above 0: {value}")]
    NotPositive {
        /// Field of [`EngineConfig`].
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// A time or an amount that may be zero is below it, or no number.
    #[error("`{field}` must be a number of at least 0: {value}")]
    Negative {
        /// Field of [`EngineConfig`].
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// KV transfers happen between prefill and decode only.
    #[error("fault `kv-transfer-fails` needs the role prefill or decode, not agg")]
    NoKvTransfer,
}

impl EngineConfig {
    /// Whether this fault was asked for.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    pub(super) fn check(&self) -> Result<(), InvalidEngineConfig> {
        #[expect(clippy::cast_precision_loss, reason = "only whether it is above 0 matters")]
        let kv_capacity_tokens = self.kv_capacity_tokens as f64;
        let positive = [
            ("kv_capacity_tokens", kv_capacity_tokens),
            ("prefill_tps", self.prefill_tps),
            ("itl_base_ms", self.itl_base_ms),
            ("chunked_prefill_tokens", f64::from(self.chunked_prefill_tokens)),
            ("max_running_requests", f64::from(self.max_running_requests)),
            ("kv_transfer_tps", self.kv_transfer_tps),
            ("kv_timeout_s", self.kv_timeout_s),
            ("speedup", self.speedup),
            ("gpus", f64::from(self.gpus)),
        ];
        for (field, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return Err(InvalidEngineConfig::NotPositive { field, value });
            }
        }
        for (field, value) in [("startup_s", self.startup_s), ("itl_per_running_us", self.itl_per_running_us)]
        {
            if !(value.is_finite() && value >= 0.0) {
                return Err(InvalidEngineConfig::Negative { field, value });
            }
        }
        if self.role == Role::Agg && self.has(Fault::KvTransferFails) {
            return Err(InvalidEngineConfig::NoKvTransfer);
        }
        Ok(())
    }
}
