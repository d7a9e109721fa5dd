//! Mock inference engine and router with real HTTP, real log lines, and faults on request.
//!
//! Three servers, each started by one `run` function that lives until its cancellation token fires:
//! - [`engine`] speaks the HTTP of an SGLang worker and prints the log of an SGLang or TensorRT-LLM one;
//!   its tokens come from a simulated scheduler, so latency, queueing, and KV cache use follow from the load.
//! - [`router`] speaks the worker-list side of sglang-router, in front of aggregated or prefill/decode workers.
//! - [`timed`] writes tokens on a fixed schedule and records when it wrote each one: ground truth for a client.
//!
//! Nothing here reads the environment or prints: the log goes to the writer that the caller hands in.

pub mod engine;
pub mod fault;
mod http;
pub mod router;
pub mod timed;
