//! The one typed model of a job. Two YAML syntaxes may fill it; nothing above this crate reads a YAML key.
//!
//! Plain data: every field is public, and every value that this module can hold has passed the checks of
//! reading. Counts are of workers or GPUs, durations carry their unit in the name, and maps keep the order of
//! the file.

use indexmap::IndexMap;
use srt_topology::Role;
use srt_yaml::Value;

/// Environment variables, in the order of the file.
pub type Environment = IndexMap<String, String>;

/// Engine flags of one role as the recipe wrote them: any key, any value, in the order of the file.
pub type EngineFlags = IndexMap<String, Value>;

/// One job, fully decoded: defaults applied, aliases resolved, nothing left to look up but the cluster's nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Job name.
    pub name: String,
    /// The model that is served and the container that serves it.
    pub model: Model,
    /// GPUs of a node, and how workers are laid over nodes.
    pub hardware: Hardware,
    /// What Slurm is asked for, apart from nodes.
    pub slurm: SlurmRequest,
    /// Workers by role.
    pub roles: Roles,
    /// The engine every worker runs.
    pub engine: Engine,
    /// What stands in front of the workers.
    pub frontend: Frontend,
    /// How Dynamo is installed and wired.
    pub dynamo: Dynamo,
    /// What is measured.
    pub benchmark: Benchmark,
    /// nsys or torch profiling of the workers.
    pub profiling: Profiling,
    /// How long readiness may take.
    pub health_check: HealthCheck,
    /// etcd and NATS.
    pub infra: Infra,
    /// Traces, metrics scraping, and dashboards.
    pub observability: Observability,
    /// GPU power measurement.
    pub telemetry: Telemetry,
    /// Variables of all workers, the Dynamo frontend, and the benchmark.
    pub environment: Environment,
    /// Host path template → container path template.
    pub container_mounts: IndexMap<String, String>,
    /// `host:container` mounts, verbatim.
    pub extra_mounts: Vec<String>,
    /// Script under `configs/` that runs before each worker.
    pub setup_script: Option<String>,
    /// What the author says the run consisted of.
    pub identity: Identity,
    /// Where status and artefacts are reported.
    pub reporting: Option<Reporting>,
}

impl Recipe {
    /// Whether prefill and decode run in separate workers.
    pub fn is_disaggregated(&self) -> bool {
        self.roles.disaggregated
    }
}

/// The model and its container.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Directory, or `hf:ORG/NAME`; aliases are resolved, `$VAR` is not.
    pub path: String,
    /// Image file or image name; aliases are resolved. `None`: processes run on the host.
    pub container: Option<String>,
    /// Free text such as `fp8`.
    pub precision: String,
    /// Node-local directory that the model is copied to before workers start.
    pub stage_dir: Option<String>,
}

/// GPUs of a node, and how workers are laid over nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Hardware {
    /// Free text such as `gb200`.
    pub gpu_type: String,
    /// GPUs on every node.
    pub gpus_per_node: u32,
    /// Start each worker that is smaller than a node on a node of its own.
    pub spread_workers: bool,
    /// Ask Slurm for two components, prefill and decode, instead of one allocation.
    pub het_jobs: bool,
}

/// What Slurm is asked for, apart from nodes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SlurmRequest {
    /// `--account`.
    pub account: Option<String>,
    /// `--partition`.
    pub partition: Option<String>,
    /// `--time`, as Slurm reads it.
    pub time_limit: Option<String>,
    /// Further `sbatch` directives; an empty value is a bare flag.
    pub sbatch_directives: IndexMap<String, String>,
    /// Options of the worker steps; an empty value is a bare flag.
    pub srun_options: IndexMap<String, String>,
}

/// Workers by role. In a disaggregated job `agg` has no workers, otherwise `prefill` and `decode` have none.
#[derive(Debug, Clone, PartialEq)]
pub struct Roles {
    /// Whether prefill and decode run in separate workers.
    pub disaggregated: bool,
    /// Workers that compute the KV cache of a prompt.
    pub prefill: RoleSpec,
    /// Workers that generate tokens from a transferred KV cache.
    pub decode: RoleSpec,
    /// Workers that do both.
    pub agg: RoleSpec,
}

impl Roles {
    /// The specification of one role.
    pub fn get(&self, role: Role) -> &RoleSpec {
        match role {
            Role::Prefill => &self.prefill,
            Role::Decode => &self.decode,
            Role::Agg => &self.agg,
        }
    }
}

/// The workers of one role.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RoleSpec {
    /// Nodes the recipe reserves for the role. `Some(0)`: the role shares the nodes of the other.
    pub nodes: Option<u32>,
    /// Number of workers.
    pub workers: u32,
    /// GPUs of one worker, over all its nodes.
    pub gpus_per_worker: u32,
    /// Variables of this role's workers.
    pub environment: Environment,
    /// Engine flags of this role; `None` where the recipe has no such section.
    pub flags: Option<EngineFlags>,
    /// KV events of this role, where the engine publishes them.
    pub kv_events: Option<KvEvents>,
    /// Profiling steps of this role.
    pub profiling: Option<ProfilingSteps>,
}

/// KV event publication of one role.
#[derive(Debug, Clone, PartialEq)]
pub enum KvEvents {
    /// The engine's usual publisher.
    Default,
    /// Merged over the usual publisher.
    Custom(IndexMap<String, Value>),
}

/// First and last engine step of a profile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProfilingSteps {
    /// First step.
    pub start_step: Option<i64>,
    /// First step after the profile.
    pub stop_step: Option<i64>,
}

/// The engine and what is particular to it.
#[derive(Debug, Clone, PartialEq)]
pub enum Engine {
    /// SGLang.
    Sglang(SglangEngine),
    /// TensorRT-LLM.
    Trtllm(TrtllmEngine),
    /// vLLM.
    Vllm(VllmEngine),
    /// A stand-in without a GPU.
    Mocker(MockerEngine),
}

/// Fields of `backend.type: sglang`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SglangEngine {
    /// Free text.
    pub gpu_type: Option<String>,
    /// A Mooncake store shared by the workers.
    pub mooncake: Option<MooncakeStore>,
}

/// Fields of `backend.type: trtllm`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrtllmEngine {
    /// Publish KV events and metrics to Dynamo.
    pub publish_events_and_metrics: bool,
    /// Workers started at a time on one node; 0 starts all.
    pub sequential_node_start: u32,
    /// Bind memory to the NUMA nodes of the CPUs; `None` decides by GPU type.
    pub numa_memory_bind: Option<bool>,
}

/// Fields of `backend.type: vllm`.
#[derive(Debug, Clone, PartialEq)]
pub struct VllmEngine {
    /// Choose GPUs by `CUDA_VISIBLE_DEVICES` rather than `--device-ids`.
    pub set_cuda_visible_devices: bool,
    /// KV connector preset or JSON.
    pub connector: Option<String>,
    /// A Mooncake store shared by the workers.
    pub mooncake: Option<MooncakeStore>,
    /// Prefill and decode workers may share a node.
    pub colocate_prefill_decode: bool,
    /// Likewise over several nodes.
    pub colocate_across_nodes: bool,
    /// One process per node or per GPU of a data-parallel worker.
    pub dp_launch_mode: DpLaunchMode,
}

/// How a data-parallel vLLM worker is split into processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DpLaunchMode {
    /// One process per node.
    PerNode,
    /// One process per GPU; deprecated.
    PerGpu,
}

/// Fields of `backend.type: mocker`. Defaults are those of `dynamo.mocker`.
#[derive(Debug, Clone, PartialEq)]
pub struct MockerEngine {
    /// Engine whose scheduling is imitated.
    pub engine_type: String,
    /// Simulated time runs this many times faster; 0 is without delay.
    pub speedup_ratio: f64,
    /// Further factor for decode.
    pub decode_speedup_ratio: f64,
    /// KV cache blocks.
    pub num_gpu_blocks: i64,
    /// Sequences in one batch.
    pub max_num_seqs: i64,
    /// Tokens in one batch.
    pub max_num_batched_tokens: i64,
    /// Tokens in one KV block.
    pub block_size: Option<i64>,
    /// Data-parallel size.
    pub data_parallel_size: i64,
    /// Engines in one process.
    pub num_workers: i64,
    /// Seconds until an engine is up.
    pub startup_time_s: Option<f64>,
    /// KV transfer bandwidth in GB/s.
    pub kv_transfer_bandwidth_gb_s: Option<f64>,
    /// KV cache data type.
    pub kv_cache_dtype: Option<String>,
    /// Reuse of cached prefixes.
    pub enable_prefix_caching: bool,
    /// Prefill in chunks.
    pub enable_chunked_prefill: bool,
    /// What happens to a sequence that no longer fits.
    pub preemption_mode: Option<String>,
}

/// A Mooncake key-value store beside the workers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MooncakeStore {
    /// Image of the master; `None` is the job's.
    pub container: Option<String>,
    /// Variables of the workers.
    pub env: Environment,
    /// Further arguments of the master.
    pub master_extra_args: Vec<String>,
    /// Contents of the store's configuration file (vLLM).
    pub store_config: Option<IndexMap<String, Value>>,
}

/// Which router answers the clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrontendKind {
    /// NVIDIA Dynamo.
    Dynamo,
    /// sglang-router.
    Sglang,
    /// `trtllm-serve`.
    TrtllmServe,
    /// `vllm serve` itself.
    Vllm,
    /// The mock router of `srtctl mock router`.
    Mock,
}

/// Where a frontend or a benchmark client runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The head node.
    Head,
    /// The leader node of the first decode worker.
    FirstDecode,
    /// The leader node of the last decode worker.
    LastDecode,
}

/// What stands in front of the workers.
#[derive(Debug, Clone, PartialEq)]
pub struct Frontend {
    /// Which router.
    pub kind: FrontendKind,
    /// Several frontends behind nginx where there is more than one worker node.
    pub enable_multiple_frontends: bool,
    /// Frontends beyond the first.
    pub num_additional_frontends: i64,
    /// nginx.
    pub nginx: Nginx,
    /// Router arguments.
    pub args: IndexMap<String, Value>,
    /// Router variables.
    pub env: Environment,
    /// `trtllm_serve`: router section of the context servers.
    pub ctx_router: Option<IndexMap<String, Value>>,
    /// `trtllm_serve`: router section of the generation servers.
    pub gen_router: Option<IndexMap<String, Value>>,
    /// `trtllm_serve`: merged over the server configuration.
    pub server_config_extra: Option<IndexMap<String, Value>>,
    /// Where a single frontend runs.
    pub orchestrator_placement: Placement,
    /// A node without workers for the frontend.
    pub dedicated_node: bool,
}

/// nginx in front of several frontends.
#[derive(Debug, Clone, PartialEq)]
pub struct Nginx {
    /// Image.
    pub container: String,
    /// Raise the number of open files.
    pub raise_ulimit: bool,
    /// Keep a session on one frontend.
    pub session_affinity: bool,
    /// Header that names the session.
    pub session_affinity_header: String,
    /// `keepalive_timeout`, as nginx reads it.
    pub keepalive_timeout: String,
}

/// How Dynamo is installed and wired.
#[derive(Debug, Clone, PartialEq)]
pub struct Dynamo {
    /// Install before use.
    pub install: bool,
    /// What is installed.
    pub source: DynamoSource,
    /// `nats`, `tcp`, or `http`.
    pub request_plane: String,
    /// `nats` or `zmq`.
    pub event_plane: Option<String>,
    /// Dependency overrides of a source build.
    pub cargo_patches: Vec<String>,
}

/// What is installed as Dynamo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DynamoSource {
    /// A release.
    Version(String),
    /// A commit, built from source.
    Hash(String),
    /// The newest commit, built from source.
    TopOfTree,
    /// A pre-fetched wheel of this version.
    Wheel(String),
}

/// What is measured. Fields that a type does not use are refused when reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Benchmark {
    /// Type as written, such as `sa-bench`.
    pub kind: String,
    /// Input sequence length in tokens.
    pub isl: Option<i64>,
    /// Output sequence length in tokens.
    pub osl: Option<i64>,
    /// Concurrent requests, one point each.
    pub concurrencies: Option<Concurrencies>,
    /// Requests per second; `inf` sends all at once.
    pub req_rate: Option<String>,
    /// Where the client runs.
    pub client_placement: Placement,
    /// A node without workers for the client.
    pub client_dedicated_node: bool,
    /// One shared dedicated node rather than one each.
    pub colocate_with_frontend: bool,
    /// Number of evaluation examples.
    pub num_examples: Option<i64>,
    /// Output limit of an evaluation.
    pub max_tokens: Option<i64>,
    /// Repetitions of an evaluation.
    pub repeat: Option<i64>,
    /// Client threads.
    pub num_threads: Option<i64>,
    /// Longest context of longbenchv2.
    pub max_context_length: Option<i64>,
    /// Examples in the prompt.
    pub num_shots: Option<i64>,
    /// Sampling: top k.
    pub top_k: Option<i64>,
    /// Requests of the router benchmark.
    pub num_requests: Option<i64>,
    /// Concurrency of the router benchmark.
    pub concurrency: Option<i64>,
    /// Goodput: time to first token.
    pub ttft_threshold_ms: Option<i64>,
    /// Goodput: inter-token latency.
    pub itl_threshold_ms: Option<i64>,
    /// Measured prompts per concurrent request.
    pub num_prompts_mult: Option<i64>,
    /// Warm-up prompts per concurrent request.
    pub num_warmup_mult: Option<i64>,
    /// Sampling: temperature.
    pub temperature: Option<f64>,
    /// Sampling: top p.
    pub top_p: Option<f64>,
    /// Shortest length as a share of the longest.
    pub random_range_ratio: Option<f64>,
    /// Decode slow-down: sleep in seconds.
    pub slow_down_sleep_time_s: Option<f64>,
    /// Decode slow-down: seconds until it ends.
    pub slow_down_wait_time_s: Option<f64>,
    /// longbenchv2 categories.
    pub categories: Option<Vec<String>>,
    /// Shared prefix ratios of the router benchmark.
    pub prefix_ratios: Option<Vec<f64>>,
    /// Trace of the mooncake-router benchmark.
    pub mooncake_workload: Option<String>,
    /// `random` or `custom`.
    pub dataset_name: Option<String>,
    /// JSONL file of `custom`.
    pub dataset_path: Option<String>,
    /// Trace of trace-replay.
    pub trace_file: Option<String>,
    /// Tokenizer implementation.
    pub custom_tokenizer: Option<String>,
    /// Shell command of `custom`.
    pub command: Option<String>,
    /// Image of the client; `None` is the job's.
    pub container_image: Option<String>,
    /// Pip requirement of aiperf.
    pub aiperf_package: Option<String>,
    /// Apply the chat template.
    pub use_chat_template: bool,
    /// Keep connections between requests.
    pub reuse_http_connections: bool,
    /// Variables of `custom`.
    pub env: Environment,
    /// Arguments of aiperf.
    pub aiperf_args: IndexMap<String, Value>,
    /// Export per-node metrics after the run.
    pub export_node_metrics: bool,
}

/// Concurrent requests, one measured point each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concurrencies {
    /// A list of numbers.
    List(Vec<i64>),
    /// Text such as `4x8`, kept as written where a client wants it so.
    Text(String),
}

/// nsys or torch profiling.
#[derive(Debug, Clone, PartialEq)]
pub struct Profiling {
    /// `none`, `nsys`, `nsys-time`, or `torch`.
    pub kind: String,
    /// Further nsys arguments.
    pub extra_nsys_args: Vec<String>,
    /// nsys-time: seconds before the profile.
    pub delay_s: Option<i64>,
    /// nsys-time: length in seconds.
    pub duration_s: Option<i64>,
    /// nsys-time: length of the benchmark in seconds.
    pub benchmark_duration_s: i64,
}

/// How long readiness may take.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// Attempts.
    pub max_attempts: i64,
    /// Seconds between attempts.
    pub interval_s: i64,
}

/// etcd and NATS.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Infra {
    /// A node without workers for etcd and NATS.
    pub dedicated_node: bool,
    /// Largest NATS message in MB.
    pub nats_max_payload_mb: Option<i64>,
}

/// Traces, metrics scraping, and dashboards.
#[derive(Debug, Clone, PartialEq)]
pub struct Observability {
    /// Whether anything here is on.
    pub enabled: bool,
    /// OpenTelemetry traces.
    pub enable_otel: bool,
    /// OTLP endpoint.
    pub otel_endpoint: Option<String>,
    /// Scrape Prometheus endpoints; `None` follows `enabled`.
    pub scrape_metrics: Option<bool>,
    /// Seconds between scrapes.
    pub scrape_interval_s: f64,
    /// File of the scrapes.
    pub scrape_output: String,
    /// Build a dashboard; `None` follows `enabled`.
    pub build_dashboard: Option<bool>,
    /// The Tachometer collector.
    pub tachometer: Tachometer,
}

/// The Tachometer collector.
#[derive(Debug, Clone, PartialEq)]
pub struct Tachometer {
    /// Whether it runs.
    pub enabled: bool,
    /// Its binary.
    pub binary_path: String,
    /// Samples per second.
    pub default_frequency_hz: f64,
    /// Seconds between flushes.
    pub sync_interval_s: i64,
    /// Compaction threads.
    pub compaction_threads: i64,
    /// Folder under the logs.
    pub storage_subdir: String,
    /// Further labels.
    pub extra_metadata: IndexMap<String, String>,
    /// GPU metrics.
    pub dcgm_exporter: Option<Exporter>,
    /// Host metrics.
    pub node_exporter: Option<Exporter>,
}

/// A Prometheus exporter on every node.
#[derive(Debug, Clone, PartialEq)]
pub struct Exporter {
    /// Image.
    pub container_image: String,
    /// Port.
    pub port: i64,
    /// Command, with `{port}`.
    pub command: Option<String>,
}

/// GPU power measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// Whether power is measured.
    pub enabled: bool,
    /// GPU metrics.
    pub dcgm_exporter: Option<Exporter>,
    /// Seconds between samples.
    pub sample_interval_s: f64,
    /// Folder under the logs.
    pub storage_subdir: String,
    /// Fail the run where power cannot be measured.
    pub required: bool,
    /// Seconds until the first complete sample.
    pub startup_timeout_s: f64,
    /// Seconds for one request.
    pub request_timeout_s: f64,
    /// Seconds for the collector's end.
    pub collector_join_timeout_s: Option<f64>,
}

/// What the author says the run consisted of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    /// Model repository.
    pub model_repo: Option<String>,
    /// Model revision.
    pub model_revision: Option<String>,
    /// Container image.
    pub container_image: Option<String>,
    /// Framework versions.
    pub frameworks: IndexMap<String, String>,
}

/// Where status and artefacts are reported.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reporting {
    /// Status endpoints, in order.
    pub status_endpoints: Vec<String>,
    /// Artefact upload.
    pub s3: Option<S3>,
}

/// Artefact upload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct S3 {
    /// Bucket.
    pub bucket: String,
    /// Key prefix.
    pub prefix: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Endpoint of a compatible service.
    pub endpoint_url: Option<String>,
}
