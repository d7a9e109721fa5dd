#![expect(clippy::needless_raw_string_hashes, reason = "the snapshot tool writes them so")]

use std::time::Duration;

use expect_test::{Expect, expect};
use srt_topology::Role;

use super::{
    super::scheduler::{Load, StepWork},
    *,
};

/// Prints what `write` writes, at a fixed time.
#[track_caller]
fn check(config: &EngineConfig, write: impl FnOnce(&mut Log<'_, &mut Vec<u8>>), expected: &Expect) {
    let mut out = Vec::new();
    let mut log = Log::new(config, &mut out);
    log.now = || "2026-04-05T20:02:51.7Z".parse().expect("a time");
    log.process_id = 4711;
    write(&mut log);
    log.flush().expect("a vector takes everything");
    let text = String::from_utf8(out).expect("lines are UTF-8");
    expected.assert_eq(&text);
}

fn config(role: Role, log_format: LogFormat) -> EngineConfig {
    EngineConfig { role, log_format, gpus: 4, startup_s: 8.0, ..EngineConfig::default() }
}

fn step(work: StepWork, index: u64) -> StepReport {
    StepReport {
        index,
        started_at: Duration::from_secs(1),
        ended_at: Duration::from_millis(1025),
        work,
        load: Load {
            running: 31,
            queued: 2,
            preallocating: 3,
            transferring: 4,
            used_tokens: 52_429,
            reserved_tokens: 104_858,
        },
    }
}

const PREFILL: StepWork = StepWork::Prefill { sequences: 2, new_tokens: 8192, cached_tokens: 64 };
const DECODE: StepWork = StepWork::Decode { sequences: 31 };

fn steps(log: &mut Log<'_, &mut Vec<u8>>) {
    for (index, work) in [(1, PREFILL), (2, DECODE)] {
        let step = step(work, index);
        log.step(&step, Some(&BatchLine { step: &step, throughput_tps: 1234.567 }));
    }
}

#[test]
fn sglang_start() {
    check(
        &config(Role::Decode, LogFormat::Sglang),
        |log| log.loading().and_then(|()| log.ready()).expect("a vector takes everything"),
        &expect![[r#"
            [2026-04-05 20:02:51] server_args=ServerArgs(model_path='/model', tokenizer_path='/model', skip_tokenizer_init=False, load_format='auto', host='127.0.0.1', port=30000, served_model_name='mock', mem_fraction_static=0.85, max_running_requests=256, chunked_prefill_size=8192, page_size=1, tp_size=4, pp_size=1, dp_size=1, ep_size=1, disable_radix_cache=True, disaggregation_mode='decode', disaggregation_bootstrap_port=8998, disaggregation_transfer_backend='mock')
            [2026-04-05 20:02:51 TP0] Init torch distributed begin.
            [2026-04-05 20:02:51 TP0] Init torch distributed ends. mem usage=1.12 GB
            [2026-04-05 20:02:51 TP0] Load weight begin. avail mem=138.69 GB
            [2026-04-05 20:02:51 TP0] Load weight end. type=MockForCausalLM, dtype=torch.bfloat16, avail mem=78.69 GB, mem usage=60.00 GB.
            [2026-04-05 20:02:51 TP0] KV Cache is allocated. #tokens: 524288, KV size: 16.00 GB
            [2026-04-05 20:02:51 TP0] Memory pool end. avail mem=62.69 GB
            [2026-04-05 20:02:51 TP0] Capture cuda graph begin. This can take up to several minutes. avail mem=62.69 GB
            [2026-04-05 20:02:51 TP0] Capture cuda graph bs [1, 2, 4, 8, 16, 32, 64, 128, 256]
            [2026-04-05 20:02:51 TP0] Capture cuda graph end. Time elapsed: 2.00 s. mem usage=1.40 GB. avail mem=61.29 GB.
            [2026-04-05 20:02:51 TP0] max_total_num_tokens=524288, chunked_prefill_size=8192, max_prefill_tokens=16384, max_running_requests=256, context_len=524288, available_gpu_mem=61.29 GB
            INFO:     Started server process [4711]
            INFO:     Application startup complete.
            INFO:     Uvicorn running on http://127.0.0.1:30000 (Press CTRL+C to quit)
            [2026-04-05 20:02:51] The server is fired up and ready to roll!
        "#]],
    );
}

#[test]
fn trtllm_start() {
    check(
        &config(Role::Agg, LogFormat::Trtllm),
        |log| log.loading().and_then(|()| log.ready()).expect("a vector takes everything"),
        &expect![[r#"
            [04/05/2026-20:02:51] [TRT-LLM] [I] rank 0, tllm_mpi_size: 4, tllm_mpi_rank: 0
            [04/05/2026-20:02:51] [TRT-LLM] [I] TensorRT-LLM engine args: {'model': '/model', 'tensor_parallel_size': 4, 'pipeline_parallel_size': 1, 'moe_expert_parallel_size': 1, 'max_batch_size': 256, 'max_num_tokens': 8192, 'max_seq_len': 524288, 'backend': 'pytorch', 'print_iter_log': True}
            [04/05/2026-20:02:51] [TRT-LLM] [I] Peak memory during memory usage profiling (torch + non-torch): 60.00 GiB, available KV cache memory when calculating max tokens: 16.00 GiB, fraction is set 0.85, kv size is 32768. device total memory 139.81 GiB
            [MemUsageChange] Allocated 16.00 GiB for max tokens in paged KV cache (524288).
            INFO:     Started server process [4711]
            INFO:     Application startup complete.
            INFO:     Uvicorn running on http://127.0.0.1:30000 (Press CTRL+C to quit)
        "#]],
    );
}

#[test]
fn sglang_batches_of_each_role() {
    check(
        &config(Role::Agg, LogFormat::Sglang),
        steps,
        &expect![[r#"
        [2026-04-05 20:02:51 TP0] Prefill batch, #new-seq: 2, #new-token: 8192, #cached-token: 64, token usage: 0.10, #running-req: 31, #queue-req: 2, cuda graph: False, input throughput (token/s): 1234.57
        [2026-04-05 20:02:51 TP0] Decode batch, #running-req: 31, #token: 52429, token usage: 0.10, cuda graph: True, gen throughput (token/s): 1234.57, #queue-req: 2
    "#]],
    );
    check(
        &config(Role::Prefill, LogFormat::Sglang),
        steps,
        &expect![[r#"
        [2026-04-05 20:02:51 TP0] Prefill batch, #new-seq: 2, #new-token: 8192, #cached-token: 64, token usage: 0.10, #running-req: 31, #queue-req: 2, #prealloc-req: 3, #inflight-req: 4, input throughput (token/s): 1234.57
        [2026-04-05 20:02:51 TP0] Decode batch, #running-req: 31, #token: 52429, token usage: 0.10, cuda graph: True, gen throughput (token/s): 1234.57, #queue-req: 2
    "#]],
    );
    check(
        &config(Role::Decode, LogFormat::Sglang),
        steps,
        &expect![[r#"
        [2026-04-05 20:02:51 TP0] Prefill batch, #new-seq: 2, #new-token: 8192, #cached-token: 64, token usage: 0.10, #running-req: 31, #queue-req: 2, cuda graph: False, input throughput (token/s): 1234.57
        [2026-04-05 20:02:51 TP0] Decode batch, #running-req: 31, #token: 52429, token usage: 0.10, pre-allocated usage: 0.10, #prealloc-req: 3, #transfer-req: 4, #retracted-req: 0, cuda graph: True, gen throughput (token/s): 1234.57, #queue-req: 2
    "#]],
    );
}

#[test]
fn trtllm_iterations() {
    check(
        &config(Role::Agg, LogFormat::Trtllm),
        steps,
        &expect![[r#"
        [04/05/2026-20:02:51] [TRT-LLM] [RANK 0] [I] iter = 1, global_rank = 0, rank = 0, currank_total_requests = 33/33, host_step_time = 25ms, prev_device_step_time = N/A, timestamp = 2026-04-05 20:02:51, num_scheduled_requests: 2, states = {'num_ctx_requests': 2, 'num_ctx_tokens': 8192, 'num_generation_tokens': 0}
        [04/05/2026-20:02:51] [TRT-LLM] [RANK 0] [I] iter = 2, global_rank = 0, rank = 0, currank_total_requests = 31/31, host_step_time = 25ms, prev_device_step_time = 24.25ms, timestamp = 2026-04-05 20:02:51, num_scheduled_requests: 31, states = {'num_ctx_requests': 0, 'num_ctx_tokens': 0, 'num_generation_tokens': 31}
    "#]],
    );
}

#[test]
fn failed_transfers() {
    let fail = |log: &mut Log<'_, &mut Vec<u8>>| {
        log.transfer_failed("r1", 77, "Failed to get kvcache from prefill instance, it might be dead");
    };
    check(
        &config(Role::Decode, LogFormat::Sglang),
        fail,
        &expect![[r#"
        [2026-04-05 20:02:51 TP0] Decode transfer failed for request rank=0 decode_req.req.rid='r1' decode_req.req.bootstrap_room=77 with exception KVTransferError(bootstrap_room=77): Failed to get kvcache from prefill instance, it might be dead
    "#]],
    );
    check(
        &config(Role::Prefill, LogFormat::Trtllm),
        fail,
        &expect![[r#"
        [04/05/2026-20:02:51] [TRT-LLM] [RANK 0] [E] Prefill transfer failed for request rank=0 req.rid='r1' req.bootstrap_room=77 with exception KVTransferError(bootstrap_room=77): Failed to get kvcache from prefill instance, it might be dead
    "#]],
    );
}

#[test]
fn deaths() {
    check(
        &config(Role::Agg, LogFormat::Sglang),
        |log| log.out_of_memory().expect("a vector takes everything"),
        &expect![[r#"
            [2026-04-05 20:02:51 TP0] Scheduler hit an exception: Traceback (most recent call last):
            torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139.81 GiB of which 634.88 MiB is free. Process 4711 has 139.19 GiB memory in use. Of the allocated memory 135.79 GiB is allocated by PyTorch, and 1.31 GiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory Management  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)

            [2026-04-05 20:02:51] Received sigquit from a child process. It usually means the child failed.
        "#]],
    );
    check(
        &config(Role::Agg, LogFormat::Trtllm),
        |log| log.crash().expect("a vector takes everything"),
        &expect![[r#"
            [04/05/2026-20:02:51] [TRT-LLM] [RANK 0] [E] Encountered an error in forward function: Traceback (most recent call last):
            RuntimeError: the mock engine was asked to crash
        "#]],
    );
}

/// What the project's own reader of worker logs makes of the lines.
#[track_caller]
fn check_read_back(config: &EngineConfig, write: impl FnOnce(&mut Log<'_, &mut Vec<u8>>), expected: &Expect) {
    let mut out = Vec::new();
    let mut log = Log::new(config, &mut out);
    log.now = || "2026-04-05T20:02:51.7Z".parse().expect("a time");
    write(&mut log);
    log.flush().expect("a vector takes everything");
    let name = match config.log_format {
        LogFormat::Sglang => "sglang",
        LogFormat::Trtllm => "trtllm",
    };
    let mut parser = srtlog::node_parser(name).expect("a registered reader");
    let mut shown = Vec::new();
    let mut sink = |event: &srtlog::Event<'_>| {
        shown.push(match event {
            srtlog::Event::Batch(batch) => {
                format!(
                    "{} {}",
                    batch.kind.name(),
                    serde_json::to_string(&batch.values).expect("plain values")
                )
            }
            srtlog::Event::Memory(memory) => format!(
                "{:?} avail={:?} usage={:?} kv={:?} tokens={:?}",
                memory.kind, memory.avail_mem_gb, memory.mem_usage_gb, memory.kv_cache_gb, memory.kv_tokens
            ),
            srtlog::Event::Setting { name, value } => format!("{name} {value:?}"),
            srtlog::Event::Phase { phase, mark, .. } => format!("{} {mark:?}", phase.name()),
            srtlog::Event::Problem { kind, .. } => format!("problem {}", kind.name()),
            srtlog::Event::Request { .. }
            | srtlog::Event::EngineArgument { .. }
            | srtlog::Event::Command { .. } => return,
        });
    };
    parser.push(&out, &mut sink);
    parser.finish(&mut sink);
    expected.assert_eq(&(shown.join("\n") + "\n"));
}

fn everything(log: &mut Log<'_, &mut Vec<u8>>) {
    log.loading().and_then(|()| log.ready()).expect("a vector takes everything");
    steps(log);
    log.transfer_failed("r1", 77, "Failed to get kvcache from prefill instance, it might be dead");
    log.out_of_memory().expect("a vector takes everything");
    log.crash().expect("a vector takes everything");
    log.stopped().expect("a vector takes everything");
}

#[test]
fn sglang_lines_are_read_back() {
    check_read_back(
        &config(Role::Decode, LogFormat::Sglang),
        everything,
        &expect![[r#"
        tp_size Number(Int(4))
        dp_size Number(Int(1))
        ep_size Number(Int(1))
        distributed Begin
        Memory avail=None usage=Some(1.12) kv=None tokens=None
        distributed End
        Memory avail=Some(138.69) usage=None kv=None tokens=None
        weights Begin
        Memory avail=Some(78.69) usage=Some(60.0) kv=None tokens=None
        weights End
        KvCache avail=None usage=None kv=Some(16.0) tokens=Some(524288)
        kv_cache End
        Memory avail=Some(62.69) usage=None kv=None tokens=None
        kv_cache End
        Memory avail=Some(62.69) usage=None kv=None tokens=None
        graph_capture Begin
        Memory avail=Some(61.29) usage=Some(1.4) kv=None tokens=None
        graph_capture End
        ready End
        ready End
        prefill {"new_seq":2,"new_token":8192,"cached_token":64,"token_usage":0.1,"running_req":31,"queue_req":2,"input_throughput":1234.57,"cuda_graph":0}
        decode {"token_usage":0.1,"running_req":31,"queue_req":2,"prealloc_req":3,"gen_throughput":1234.57,"transfer_req":4,"num_tokens":52429,"preallocated_usage":0.1,"retracted_req":0,"cuda_graph":1}
        problem kv_transfer
        problem exception
        problem out_of_memory
        problem exception
        problem exception
    "#]],
    );
    check_read_back(
        &config(Role::Prefill, LogFormat::Sglang),
        steps,
        &expect![[r#"
        prefill {"new_seq":2,"new_token":8192,"cached_token":64,"token_usage":0.1,"running_req":31,"queue_req":2,"prealloc_req":3,"inflight_req":4,"input_throughput":1234.57}
        decode {"token_usage":0.1,"running_req":31,"queue_req":2,"gen_throughput":1234.57,"num_tokens":52429,"cuda_graph":1}
    "#]],
    );
}

#[test]
fn trtllm_lines_are_read_back() {
    check_read_back(
        &config(Role::Decode, LogFormat::Trtllm),
        everything,
        &expect![[r#"
        mpi_world_size Number(Int(4))
        tp_size Number(Int(4))
        pp_size Number(Int(1))
        ep_size Number(Int(1))
        max_batch_size Number(Int(256))
        max_num_tokens Number(Int(8192))
        max_seq_len Number(Int(524288))
        Memory avail=Some(79.81) usage=Some(60.0) kv=Some(16.0) tokens=None
        KvCache avail=None usage=None kv=Some(16.0) tokens=Some(524288)
        ready End
        prefill {"new_token":8192,"running_req":2,"input_throughput":327680.0,"iteration":1,"global_rank":0,"local_rank":0,"rank_req":33,"total_req":33,"step_ms":25,"ctx_req":2,"ctx_tokens":8192,"gen_tokens":0}
        decode {"running_req":31,"gen_throughput":1240.0,"num_tokens":31,"iteration":2,"global_rank":0,"local_rank":0,"rank_req":31,"total_req":31,"step_ms":25,"prev_device_step_ms":24.25,"ctx_req":0,"ctx_tokens":0,"gen_tokens":31}
        problem kv_transfer
        problem exception
        problem out_of_memory
        problem exception
        problem exception
    "#]],
    );
}
