//! Lines of an SGLang worker, without their time and rank.

use srt_topology::Role;

use super::{
    super::{
        config::EngineConfig,
        scheduler::{Room, StepWork},
        telemetry::BatchLine,
    },
    GPU_GIB, WEIGHTS_GIB, kv_cache_gib,
};

/// Available after the CUDA context is there.
const FREE_AT_START_GIB: f64 = GPU_GIB - 1.12;
/// Taken by CUDA graphs.
const GRAPHS_GIB: f64 = 1.4;

pub(super) fn loading(config: &EngineConfig) -> Vec<String> {
    vec![
        server_args(config),
        "Init torch distributed begin.".to_owned(),
        "Init torch distributed ends. mem usage=1.12 GB".to_owned(),
        format!("Load weight begin. avail mem={FREE_AT_START_GIB:.2} GB"),
    ]
}

pub(super) fn loaded(config: &EngineConfig) -> Vec<String> {
    let after_weights = FREE_AT_START_GIB - WEIGHTS_GIB;
    let kv = kv_cache_gib(config);
    let after_kv = (after_weights - kv).max(2.0);
    let after_graphs = after_kv - GRAPHS_GIB;
    let EngineConfig { kv_capacity_tokens, chunked_prefill_tokens, max_running_requests, .. } = config;
    let mut lines = vec![
        format!(
            "Load weight end. type=MockForCausalLM, dtype=torch.bfloat16, avail mem={after_weights:.2} GB, mem usage={WEIGHTS_GIB:.2} GB."
        ),
        format!("KV Cache is allocated. #tokens: {kv_capacity_tokens}, KV size: {kv:.2} GB"),
        format!("Memory pool end. avail mem={after_kv:.2} GB"),
    ];
    // A prefill worker decodes nothing and captures no graphs.
    if config.role != Role::Prefill {
        lines.push(format!(
            "Capture cuda graph begin. This can take up to several minutes. avail mem={after_kv:.2} GB"
        ));
        lines.push(format!("Capture cuda graph bs [1, 2, 4, 8, 16, 32, 64, 128, {max_running_requests}]"));
        lines.push(format!(
            "Capture cuda graph end. Time elapsed: {:.2} s. mem usage={GRAPHS_GIB:.2} GB. avail mem={after_graphs:.2} GB.",
            config.startup_s / 4.0
        ));
    }
    lines.push(format!(
        "max_total_num_tokens={kv_capacity_tokens}, chunked_prefill_size={chunked_prefill_tokens}, max_prefill_tokens=16384, \
         max_running_requests={max_running_requests}, context_len={kv_capacity_tokens}, available_gpu_mem={after_graphs:.2} GB"
    ));
    lines
}

fn server_args(config: &EngineConfig) -> String {
    let EngineConfig { model_path, served_model_name, host, port, gpus, bootstrap_port, .. } = config;
    let mode = disaggregation_mode(config.role);
    format!(
        "server_args=ServerArgs(model_path='{model_path}', tokenizer_path='{model_path}', skip_tokenizer_init=False, \
         load_format='auto', host='{host}', port={port}, served_model_name='{served_model_name}', mem_fraction_static=0.85, \
         max_running_requests={}, chunked_prefill_size={}, page_size=1, tp_size={gpus}, pp_size=1, dp_size=1, ep_size=1, \
         disable_radix_cache={}, disaggregation_mode='{mode}', disaggregation_bootstrap_port={bootstrap_port}, \
         disaggregation_transfer_backend='mock')",
        config.max_running_requests,
        config.chunked_prefill_tokens,
        if config.prefix_cache { "False" } else { "True" },
    )
}

/// SGLang's word for a role.
pub(in super::super) fn disaggregation_mode(role: Role) -> &'static str {
    match role {
        Role::Prefill => "prefill",
        Role::Decode => "decode",
        Role::Agg => "null",
    }
}

pub(super) fn batch(config: &EngineConfig, line: &BatchLine<'_>) -> String {
    let load = &line.step.load;
    let share = |tokens: u64| {
        #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
        let share = tokens as f64 / config.kv_capacity_tokens as f64;
        share
    };
    let usage = share(load.used_tokens);
    let (running, queued, preallocating, transferring) =
        (load.running, load.queued, load.preallocating, load.transferring);
    let throughput = line.throughput_tps;
    match &line.step.work {
        StepWork::Prefill { sequences, new_tokens, cached_tokens } => {
            let batch = format!(
                "Prefill batch, #new-seq: {sequences}, #new-token: {new_tokens}, #cached-token: {cached_tokens}, \
                 token usage: {usage:.2}, #running-req: {running}, #queue-req: {queued}, "
            );
            let rest = match config.role {
                Role::Prefill => format!(
                    "#prealloc-req: {preallocating}, #inflight-req: {transferring}, input throughput (token/s): {throughput:.2}"
                ),
                Role::Decode | Role::Agg => {
                    format!("cuda graph: False, input throughput (token/s): {throughput:.2}")
                }
            };
            batch + &rest
        }
        StepWork::Decode { .. } => {
            let batch = format!(
                "Decode batch, #running-req: {running}, #token: {}, token usage: {usage:.2}, ",
                load.used_tokens
            );
            let disaggregated = match config.role {
                Role::Decode => format!(
                    "pre-allocated usage: {:.2}, #prealloc-req: {preallocating}, #transfer-req: {transferring}, \
                     #retracted-req: 0, ",
                    share(load.reserved_tokens.saturating_sub(load.used_tokens))
                ),
                Role::Prefill | Role::Agg => String::new(),
            };
            batch
                + &disaggregated
                + &format!(
                    "cuda graph: True, gen throughput (token/s): {throughput:.2}, #queue-req: {queued}"
                )
        }
    }
}

pub(super) fn transfer_failed(role: Role, request_id: &str, room: Room, reason: &str) -> String {
    let (what, object) = match role {
        Role::Decode => ("Decode transfer", "decode_req.req"),
        Role::Prefill | Role::Agg => ("Prefill transfer", "req"),
    };
    format!(
        "{what} failed for request rank=0 {object}.rid='{request_id}' {object}.bootstrap_room={room} with exception \
         KVTransferError(bootstrap_room={room}): {reason}"
    )
}
