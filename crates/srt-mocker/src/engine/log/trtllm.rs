//! Lines of a TensorRT-LLM worker with `print_iter_log`.

use jiff::{Timestamp, fmt::strtime};

use super::{
    super::{
        config::EngineConfig,
        scheduler::{StepReport, StepWork},
    },
    GPU_GIB, WEIGHTS_GIB, kv_cache_gib, trtllm_time,
};

pub(super) fn loading(config: &EngineConfig) -> Vec<String> {
    let EngineConfig {
        model_path,
        gpus,
        max_running_requests,
        chunked_prefill_tokens,
        kv_capacity_tokens,
        ..
    } = config;
    vec![
        format!("rank 0, tllm_mpi_size: {gpus}, tllm_mpi_rank: 0"),
        format!(
            "TensorRT-LLM engine args: {{'model': '{model_path}', 'tensor_parallel_size': {gpus}, 'pipeline_parallel_size': 1, \
             'moe_expert_parallel_size': 1, 'max_batch_size': {max_running_requests}, \
             'max_num_tokens': {chunked_prefill_tokens}, 'max_seq_len': {kv_capacity_tokens}, 'backend': 'pytorch', \
             'print_iter_log': True}}"
        ),
    ]
}

/// With the time on the lines that have one: the allocation does not.
pub(super) fn loaded(config: &EngineConfig, now: Timestamp) -> Vec<String> {
    let now = trtllm_time(now);
    let kv = kv_cache_gib(config);
    let tokens = config.kv_capacity_tokens;
    vec![
        format!(
            "[{now}] [TRT-LLM] [I] Peak memory during memory usage profiling (torch + non-torch): {WEIGHTS_GIB:.2} GiB, \
             available KV cache memory when calculating max tokens: {kv:.2} GiB, fraction is set 0.85, kv size is 32768. \
             device total memory {GPU_GIB:.2} GiB"
        ),
        format!("[MemUsageChange] Allocated {kv:.2} GiB for max tokens in paged KV cache ({tokens})."),
    ]
}

/// Numbers the iterations and remembers how long the one before took.
#[derive(Debug, Default)]
pub(super) struct Iterations {
    previous_ms: Option<f64>,
}

impl Iterations {
    pub(super) fn line(&mut self, step: &StepReport, speedup: f64, now: Timestamp) -> String {
        let step_ms = step.ended_at.saturating_sub(step.started_at).as_secs_f64() * 1e3 / speedup;
        let (scheduled, context, context_tokens, generated) = match step.work {
            StepWork::Prefill { sequences, new_tokens, .. } => (sequences, sequences, new_tokens, 0),
            StepWork::Decode { sequences } => (sequences, 0, 0, sequences),
        };
        // The device works a little less long than the host waits for it.
        let previous = self.previous_ms.replace(step_ms * 0.97);
        let previous = previous.map_or("N/A".to_owned(), |ms| format!("{ms}ms"));
        let active = step.load.running + usize::try_from(context).unwrap_or(0);
        let index = step.index;
        let now = strtime::format("%Y-%m-%d %H:%M:%S", now).expect("the format asks for date and time only");
        format!(
            "iter = {index}, global_rank = 0, rank = 0, currank_total_requests = {active}/{active}, \
             host_step_time = {step_ms}ms, prev_device_step_time = {previous}, timestamp = {now}, \
             num_scheduled_requests: {scheduled}, states = {{'num_ctx_requests': {context}, \
             'num_ctx_tokens': {context_tokens}, 'num_generation_tokens': {generated}}}"
        )
    }
}
