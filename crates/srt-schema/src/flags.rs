//! Flags that the engines are known to have, for one purpose: to tell a slip of the fingers from a flag.
//!
//! The lists are no authority. An engine may have flags that they lack, and a flag that is not in them is left alone
//! unless it is one or two letters away from one that is.

/// `python3 -m sglang.launch_server`.
const SGLANG: &str = "\
allow-auto-truncate api-key attention-backend base-gpu-id chat-template chunked-prefill-size \
collect-tokens-histogram completion-template context-length cpu-offload-gb crash-dump-folder \
cuda-graph-bs cuda-graph-max-bs custom-weight-loader data-parallel-size decode-attention-backend \
decode-log-interval deepep-config deepep-mode delete-ckpt-after-loading device \
disable-chunked-prefix-cache disable-cuda-graph disable-cuda-graph-padding \
disable-custom-all-reduce disable-fast-image-processor disable-flashinfer-autotune \
disable-flashinfer-cutlass-moe-fp4-allgather disable-hybrid-swa-memory \
disable-outlines-disk-cache disable-overlap-schedule disable-piecewise-cuda-graph \
disable-radix-cache disable-shared-experts-fusion disable-tokenizer-batch-decode \
disaggregation-bootstrap-port disaggregation-decode-dp disaggregation-decode-enable-fake-auto \
disaggregation-decode-enable-offload-kvcache disaggregation-decode-polling-interval \
disaggregation-decode-tp disaggregation-ib-device disaggregation-mode disaggregation-prefill-pp \
disaggregation-transfer-backend dist-init-addr dist-timeout download-dir dp-size dtype \
elastic-ep-backend enable-attn-tp-input-scattered enable-broadcast-mm-inputs-process \
enable-cache-report enable-cudagraph-gc enable-custom-logit-processor \
enable-deterministic-inference enable-double-sparsity enable-dp-attention enable-dp-lm-head \
enable-dynamic-chunking enable-eplb enable-expert-distribution-metrics \
enable-flashinfer-allreduce-fusion enable-fp32-lm-head enable-fused-qk-norm-rope \
enable-hierarchical-cache enable-lmcache enable-lora enable-memory-saver enable-metrics \
enable-metrics-for-all-schedulers enable-mixed-chunk enable-mscclpp enable-multimodal \
enable-nan-detection enable-nccl-nvls enable-nsa-prefill-context-parallel enable-p2p-check \
enable-pdmux enable-piecewise-cuda-graph enable-precise-embedding-interpolation \
enable-priority-scheduling enable-profile-cuda-graph enable-request-time-stats-logging \
enable-return-hidden-states enable-return-routed-experts enable-single-batch-overlap \
enable-symm-mem enable-tokenizer-batch-encode enable-torch-compile enable-torch-symm-mem \
enable-trace enable-two-batch-overlap enable-weights-cpu-backup ep-dispatch-algorithm \
ep-num-redundant-experts ep-size eplb-algorithm eplb-min-rebalancing-utilization-threshold \
eplb-rebalance-layers-per-chunk eplb-rebalance-num-iterations \
expert-distribution-recorder-buffer-size expert-distribution-recorder-mode expert-parallel-size \
file-storage-path flashinfer-mla-disable-ragged flashinfer-mxfp4-moe-precision fp4-gemm-backend \
fp8-gemm-backend gc-warning-threshold-secs gpu-id-step grammar-backend grpc-mode \
hicache-io-backend hicache-mem-layout hicache-ratio hicache-size hicache-storage-backend \
hicache-storage-backend-extra-config hicache-storage-prefetch-policy hicache-write-policy host \
hybrid-kvcache-ratio init-expert-location is-embedding json-model-override-args \
keep-mm-feature-on-device kt-weight-path kv-cache-dtype kv-events-config \
linear-attn-decode-backend linear-attn-prefill-backend load-balance-method load-format log-level \
log-level-http log-requests log-requests-level lora-backend lora-eviction-policy lora-paths \
lora-target-modules mamba-full-memory-ratio mamba-scheduler-strategy mamba-ssm-dtype \
mamba-track-interval max-loaded-loras max-lora-rank max-loras-per-batch max-mamba-cache-size \
max-micro-batch-size max-prefill-tokens max-queued-requests max-running-requests \
max-total-tokens mem-fraction-static mm-attention-backend model-impl model-loader-extra-config \
model-path moe-a2a-backend moe-dense-tp-size moe-runner-backend mooncake-ib-device \
multi-item-scoring-delimiter nccl-port nnodes node-rank nsa-decode-backend nsa-prefill-backend \
num-continuous-decode-steps num-reserved-decode-tokens numa-node offload-group-size offload-mode \
offload-num-in-group offload-prefetch-step oltp-traces-endpoint otlp-traces-endpoint page-size \
piecewise-cuda-graph-max-tokens piecewise-cuda-graph-tokens pipeline-parallel-size port \
pp-max-micro-batch-size pp-size preferred-sampling-params prefill-attention-backend \
prefill-round-robin-balance quantization quantization-param-path random-seed reasoning-parser \
revision sampling-backend schedule-conservativeness schedule-policy scheduler-recv-interval \
served-model-name show-time-cost skip-server-warmup skip-tokenizer-init sleep-on-idle \
sm-group-num speculative-accept-threshold-acc speculative-accept-threshold-single \
speculative-algo speculative-algorithm speculative-attention-mode \
speculative-draft-attention-backend speculative-draft-model-path \
speculative-draft-model-revision speculative-eagle-topk speculative-moe-a2a-backend \
speculative-moe-runner-backend speculative-num-draft-tokens speculative-num-steps \
speculative-token-map stream-interval stream-output swa-full-tokens-ratio \
tbo-token-distribution-threshold tensor-parallel-size tokenizer-mode tokenizer-path \
tokenizer-worker-num tool-call-parser tool-server torch-compile-max-bs torchao-config tp-size \
triton-attention-num-kv-splits triton-attention-reduce-in-fp32 triton-attention-split-tile-size \
trust-remote-code watchdog-timeout weight-loader-disable-mmap weight-loader-prefetch-checkpoints \
weight-version";

/// `vllm serve`.
const VLLM: &str = "\
additional-config aggregate-engine-logging all2all-backend allow-credentials \
allowed-local-media-path api-key api-server-count async-scheduling attention-backend \
attention-config block-size calculate-kv-scales chat-template chat-template-content-format \
code-revision collect-detailed-traces compilation-config config-format connector convert \
cp-kv-cache-interleave-size cpu-offload-gb cudagraph-capture-sizes data-parallel-address \
data-parallel-backend data-parallel-external-lb data-parallel-hybrid-lb data-parallel-rank \
data-parallel-rpc-port data-parallel-size data-parallel-size-local data-parallel-start-rank \
dbo-decode-token-threshold dbo-prefill-token-threshold dcp-kv-cache-interleave-size \
decode-context-parallel-size device-ids disable-cascade-attn disable-chunked-mm-input \
disable-custom-all-reduce disable-fastapi-docs disable-hybrid-kv-cache-manager \
disable-log-requests disable-log-stats disable-nccl-for-dp-synchronization \
disable-sliding-window disable-uvicorn-access-log distributed-executor-backend download-dir \
dtype ec-transfer-config enable-auto-tool-choice enable-chunked-prefill enable-dbo \
enable-ep-weight-filter enable-eplb enable-expert-parallel enable-flashinfer-autotune \
enable-force-include-usage enable-log-requests enable-lora enable-mm-embeds \
enable-prefix-caching enable-prompt-tokens-details enable-request-id-headers \
enable-server-load-tracking enable-sleep-mode enforce-eager eplb-config eplb-step-interval \
eplb-window-size expert-placement-strategy fully-sharded-loras generation-config \
gpu-memory-utilization guided-decoding-backend headless hf-config-path hf-overrides hf-token \
host ignore-patterns kv-cache-dtype kv-cache-memory-bytes kv-cache-metrics kv-events-config \
kv-offloading-backend kv-offloading-size kv-sharing-fast-prefill kv-transfer-config \
limit-mm-per-prompt load-format logits-processors logprobs-mode long-prefill-token-threshold \
lora-dtype lora-modules mamba-block-size mamba-cache-dtype mamba-cache-mode \
mamba-ssm-cache-dtype master-addr master-port max-cpu-loras max-cudagraph-capture-size \
max-log-len max-logprobs max-long-partial-prefills max-lora-rank max-loras max-model-len \
max-num-batched-tokens max-num-partial-prefills max-num-seqs max-parallel-loading-workers \
media-io-kwargs mm-encoder-attn-backend mm-encoder-tp-mode mm-processor-cache-gb \
mm-processor-kwargs model model-impl model-loader-extra-config moe-backend nnodes node-rank \
num-gpu-blocks-override num-redundant-experts numa-bind offload-group-size offload-num-in-group \
offload-prefetch-step optimization-level otlp-traces-endpoint override-generation-config \
performance-mode pipeline-parallel-size pooler-config port prefill-context-parallel-size \
prefix-caching-hash-algo profiler-config quantization ray-workers-use-nsight reasoning-parser \
response-role revision runner safetensors-load-strategy scheduler-cls scheduler-reserve-full-isl \
scheduling-policy seed served-model-name show-hidden-metrics-for-version shutdown-timeout \
skip-tokenizer-init speculative-config stream-interval structured-outputs-config swap-space \
tensor-parallel-size tokenizer tokenizer-mode tokenizer-revision tool-call-parser \
tool-parser-plugin tool-server trust-remote-code ubatch-size uvicorn-log-level \
weight-transfer-config worker-cls worker-extension-cls";

/// TensorRT-LLM's `LlmArgs`.
const TRTLLM: &str = "\
allreduce-strategy attention-dp-config attn-backend autotuner-enabled backend \
batch-wait-max-tokens-ratio batch-wait-timeout-iters batch-wait-timeout-ms \
batched-logits-processor build-config cache-transceiver-config calib-config checkpoint-format \
checkpoint-loader context-parallel-size cp-config cuda-graph-config decoding-config \
disable-flashinfer-sampling disable-overlap-scheduler dtype dwdp-config embedding-parallel-mode \
enable-attention-dp enable-autotuner enable-build-cache enable-chunked-prefill \
enable-iter-perf-stats enable-iter-req-stats enable-layerwise-nvtx-marker \
enable-lm-head-tp-in-adp enable-lora enable-min-latency enable-sleep enable-tqdm \
enable-trtllm-sampler env-overrides extended-runtime-perf-knob-config \
fail-fast-on-attention-window-too-large fast-build force-dynamic-quantization \
garbage-collection-gen0-threshold gather-generation-logits gpus-per-node guided-decoding-backend \
iter-stats-max-iterations kv-cache-config kv-connector-config load-format lora-config \
max-batch-size max-beam-width max-input-len max-num-tokens max-seq-len mm-encoder-only model \
moe-cluster-parallel-size moe-config moe-expert-parallel-size moe-tensor-parallel-size \
mpi-session num-nextn-predict-layers num-postprocess-workers nvfp4-gemm-config orchestrator-type \
otlp-traces-endpoint peft-cache-config perf-metrics-max-requests pipeline-parallel-size \
postprocess-tokenizer-dir print-iter-log quant-config ray-worker-extension-cls reasoning-parser \
request-stats-max-iterations return-perf-metrics revision sampler-type scheduler-config \
skip-tokenizer-init sleep-config sparse-attention-config speculative-config stream-interval \
tensor-parallel-size tokenizer tokenizer-mode tokenizer-revision torch-compile-config \
trust-remote-code use-cuda-graph workspace";

/// The flags of an engine's section; with dashes.
pub(crate) fn known_flags(section: &str) -> impl Iterator<Item = &'static str> {
    let flags = match section {
        "sglang_config" => SGLANG,
        "vllm_config" => VLLM,
        "trtllm_config" => TRTLLM,
        _ => "",
    };
    flags.split_whitespace()
}

/// The known flag that `key` was probably meant to be; `None` where it is known, or like none.
pub(crate) fn meant_flag(section: &str, key: &str) -> Option<&'static str> {
    let normal = key.replace('_', "-");
    let bare = normal.strip_prefix("no-").unwrap_or(&normal);
    // Short names are near each other by nature: `tp-size`, `dp-size`, `pp-size`.
    if bare.len() < 8 || known_flags(section).any(|flag| flag == bare) {
        return None;
    }
    let near = srt_yaml::nearest(bare, known_flags(section))?;
    let allowed = if bare.len() < 12 { 1 } else { 2 };
    (srt_yaml::edit_distance(bare, near) <= allowed).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::meant_flag;

    #[test]
    fn slips_are_told_from_flags() {
        assert_eq!(meant_flag("sglang_config", "mem-fraction-statc"), Some("mem-fraction-static"));
        assert_eq!(meant_flag("sglang_config", "tensor_paralel_size"), Some("tensor-parallel-size"));
        assert_eq!(meant_flag("vllm_config", "no-enable-prefix-cashing"), Some("enable-prefix-caching"));
        assert_eq!(meant_flag("sglang_config", "mem_fraction_static"), None);
        assert_eq!(meant_flag("sglang_config", "sp-size"), None);
        assert_eq!(meant_flag("sglang_config", "a-flag-of-tomorrow"), None);
        assert_eq!(meant_flag("mocker_config", "max-num-seq"), None);
    }
}
