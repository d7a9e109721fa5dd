//! The v1 recipe syntax, section by section. Each declaration is the reader of the section, and the source of the
//! JSON Schema and of the recipe reference.

use indexmap::IndexMap;
use srt_yaml::{
    Decoder, FieldRules, FromNode, Kind, Map, Node, Path, Section, Shape, Value, absent, or, required,
    section,
};

use crate::recipe::{Concurrencies, DpLaunchMode, EngineFlags, Environment, FrontendKind, Placement};

section! {
    /// One job: a model, the workers that serve it, what stands in front of them, and what is measured.
    pub(crate) struct RecipeFile {
        /// Job name. The results of a run are filed under it.
        name: String = required();
        /// The model that is served and the container that serves it.
        model: ModelSection = required();
        /// GPUs, nodes, and workers.
        resources: ResourcesSection = required();
        /// What Slurm is asked for, apart from nodes.
        slurm: SlurmSection = absent();
        /// The engine that every worker runs, and its flags by role.
        backend: BackendSection = absent();
        /// The router that answers the clients.
        frontend: FrontendSection = absent();
        /// How Dynamo is installed and wired.
        dynamo: DynamoSection = absent();
        /// What is measured.
        benchmark: BenchmarkSection = absent();
        /// nsys or torch profiling of the workers.
        profiling: ProfilingSection = absent();
        /// Where logs went in earlier versions.
        output: OutputSection = absent(), unused = "the run directory is chosen by `-o`, or by `output_dir` of the cluster file";
        /// How long the job may take to become ready.
        health_check: HealthCheckSection = absent();
        /// etcd and NATS.
        infra: InfraSection = absent();
        /// Traces, metrics scraping, and dashboards.
        observability: ObservabilitySection = absent();
        /// GPU power measurement.
        telemetry: TelemetrySection = absent();
        /// Variables of all workers, the Dynamo frontend, and the benchmark.
        environment: Environment = absent();
        /// Mounts of every container: host path to container path. Both may hold `{job_id}` and the like.
        container_mounts: IndexMap<String, String> = absent();
        /// Mounts as `host:container`, passed on as written.
        extra_mount: Option<Vec<String>> = absent();
        /// Options of the worker steps, without dashes. An empty value is a bare option.
        srun_options: IndexMap<String, String> = absent();
        /// Directives of the batch script, without dashes. An empty value is a bare directive.
        sbatch_directives: IndexMap<String, String> = absent();
        /// Writes each engine's configuration to the logs.
        enable_config_dump: bool = or(true), unused = "the engine's configuration is always dumped where the engine can";
        /// Script under `configs/` that runs before each worker.
        setup_script: Option<String> = absent();
        /// What the run is said to consist of, for comparison with what it did.
        identity: IdentitySection = absent();
        /// Where status and results are reported.
        reporting: Option<ReportingSection> = absent();
    }
}

section! {
    /// The model that is served and the container that serves it.
    pub(crate) struct ModelSection {
        /// Directory, alias of the cluster file, or `hf:ORG/NAME`.
        path: String = required();
        /// Image file, alias of the cluster file, or image name. Without it processes run on the host.
        container: Option<String> = absent();
        /// Precision of the weights, such as `fp8`; a label.
        precision: String = required();
        /// Node-local directory that the model is copied to before the workers start.
        stage_dir: Option<String> = absent();
    }
}

section! {
    /// GPUs, nodes, and workers. Give `prefill_*` and `decode_*` for a disaggregated job, `agg_*` for an aggregated one.
    pub(crate) struct ResourcesSection {
        /// GPU type, such as `gb200`; a label, except that TensorRT-LLM binds memory on `gb200` and `gb300`.
        gpu_type: String = required();
        /// GPUs on every node.
        gpus_per_node: i64 = or(4), min = 1.0, max = 1024.0, unit = "GPUs";
        /// Nodes of the prefill workers.
        prefill_nodes: Option<i64> = absent(), min = 0.0, max = 100_000.0, unit = "nodes";
        /// Nodes of the decode workers. 0: they share the prefill nodes.
        decode_nodes: Option<i64> = absent(), min = 0.0, max = 100_000.0, unit = "nodes";
        /// Prefill workers.
        prefill_workers: Option<i64> = absent(), min = 0.0, max = 1_000_000.0;
        /// Decode workers.
        decode_workers: Option<i64> = absent(), min = 0.0, max = 1_000_000.0;
        /// Nodes of an aggregated job.
        agg_nodes: Option<i64> = absent(), min = 0.0, max = 100_000.0, unit = "nodes";
        /// Workers of an aggregated job.
        agg_workers: Option<i64> = absent(), min = 0.0, max = 1_000_000.0;
        /// GPUs of one prefill worker. Absent: the prefill nodes' GPUs divided by the workers.
        gpus_per_prefill: Option<i64> = absent(), min = 1.0, max = 1_000_000.0, unit = "GPUs";
        /// GPUs of one decode worker. Absent: the decode nodes' GPUs divided by the workers.
        gpus_per_decode: Option<i64> = absent(), min = 1.0, max = 1_000_000.0, unit = "GPUs";
        /// GPUs of one aggregated worker. Absent: the nodes' GPUs divided by the workers.
        gpus_per_agg: Option<i64> = absent(), min = 1.0, max = 1_000_000.0, unit = "GPUs";
        /// Starts each worker that is smaller than a node on a node of its own.
        spread_workers: bool = or(false);
        /// Asks Slurm for two components, prefill and decode. Absent: `use_het_jobs` of the cluster file.
        het_jobs: Option<bool> = absent();
    }
}

section! {
    /// What Slurm is asked for, apart from nodes. Absent keys take the defaults of the cluster file.
    pub(crate) struct SlurmSection {
        /// Account that is charged.
        account: Option<String> = absent();
        /// Partition.
        partition: Option<String> = absent();
        /// Longest run time, as Slurm reads it. Quote it: YAML reads `4:00:00` as a number.
        time_limit: Option<String> = absent();
    }
}

/// The engine section: its keys depend on `type`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BackendSection {
    Sglang(SglangSection),
    Trtllm(TrtllmSection),
    Vllm(VllmSection),
    Mocker(MockerSection),
}

impl BackendSection {
    const TYPES: [&'static str; 4] = ["sglang", "trtllm", "vllm", "mocker"];
}

impl Default for BackendSection {
    fn default() -> Self {
        Self::Sglang(SglangSection::default())
    }
}

impl FromNode for BackendSection {
    fn shape() -> Shape {
        Shape::Tagged {
            key: "type",
            default: "sglang",
            variants: vec![
                ("sglang", SglangSection::table()),
                ("trtllm", TrtllmSection::table()),
                ("vllm", VllmSection::table()),
                ("mocker", MockerSection::table()),
            ],
        }
    }

    fn from_node(node: &Node, path: Path<'_>, _: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Some(map) = node.as_map() else {
            decoder.wrong_type(node, path, "a mapping", None);
            return None;
        };
        let type_path = path.key("type");
        let Some(entry) = map.entry("type") else {
            return Some(Self::Sglang(SglangSection::from_map(node, map, path, decoder)));
        };
        match entry.value.as_str() {
            Some("sglang") => Some(Self::Sglang(SglangSection::from_map(node, map, path, decoder))),
            Some("trtllm") => Some(Self::Trtllm(TrtllmSection::from_map(node, map, path, decoder))),
            Some("vllm") => Some(Self::Vllm(VllmSection::from_map(node, map, path, decoder))),
            Some("mocker") => Some(Self::Mocker(MockerSection::from_map(node, map, path, decoder))),
            Some(other) => {
                unknown_word(other, &entry.value, type_path, &Self::TYPES, decoder);
                Self::check_unknown_type(map, path, decoder);
                None
            }
            None => {
                decoder.wrong_type(&entry.value, type_path, "text", None);
                decoder.fail(type_path);
                Self::check_unknown_type(map, path, decoder);
                None
            }
        }
    }

    fn placeholder() -> Self {
        Self::default()
    }

    fn show(&self) -> Value {
        Value::Map(IndexMap::new())
    }
}

impl BackendSection {
    /// Without a known type, a key that no type knows is still a mistake.
    fn check_unknown_type(map: &Map, path: Path<'_>, decoder: &mut Decoder<'_>) {
        let mut known: Vec<&'static str> = Vec::new();
        for keys in [SglangSection::KEYS, TrtllmSection::KEYS, VllmSection::KEYS, MockerSection::KEYS] {
            known.extend(keys);
        }
        decoder.check_keys(map, &known, path);
    }
}

/// Reports a word that is not one of the known ones.
fn unknown_word(word: &str, node: &Node, path: Path<'_>, known: &[&str], decoder: &mut Decoder<'_>) {
    let list: Vec<String> = known.iter().map(|it| format!("`{it}`")).collect();
    let help = match srt_yaml::nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? Known are {}", list.join(", ")),
        None => format!("known are {}", list.join(", ")),
    };
    decoder.error(node.span, "unknown-value", format!("`{path}` cannot be `{word}`"), Some(help));
    decoder.fail(path);
}

section! {
    /// SGLang workers: `dynamo.sglang` behind Dynamo, `sglang.launch_server` behind the SGLang router.
    pub(crate) struct SglangSection {
        /// The engine: `sglang`, `trtllm`, `vllm`, or `mocker`. The other keys of this section depend on it.
        kind ("type"): String = or("sglang");
        /// GPU type; a label.
        gpu_type: Option<String> = absent();
        /// Variables of the prefill workers.
        prefill_environment: Environment = absent();
        /// Variables of the decode workers.
        decode_environment: Environment = absent();
        /// Variables of the aggregated workers.
        aggregated_environment: Environment = absent();
        /// Flags of `sglang.launch_server` or `dynamo.sglang`, by role.
        config ("sglang_config"): Option<RoleFlags> = absent();
        /// KV events: `true` for prefill and decode, or a mapping by role to `true` or to the publisher's settings.
        kv_events_config: Option<KvEventsField> = absent();
        /// A Mooncake key-value store beside the workers.
        mooncake_kv_store: Option<SglangMooncakeSection> = absent();
    }
}

section! {
    /// TensorRT-LLM workers: `dynamo.trtllm` behind Dynamo, or `trtllm-serve`.
    pub(crate) struct TrtllmSection {
        /// The engine: `sglang`, `trtllm`, `vllm`, or `mocker`. The other keys of this section depend on it.
        kind ("type"): String = or("trtllm");
        /// Variables of the prefill workers.
        prefill_environment: Environment = absent();
        /// Variables of the decode workers.
        decode_environment: Environment = absent();
        /// Variables of the aggregated workers.
        aggregated_environment: Environment = absent();
        /// The engine's configuration file, by role.
        config ("trtllm_config"): Option<RoleFlags> = absent();
        /// Publishes KV events and metrics to Dynamo.
        publish_events_and_metrics: bool = or(false);
        /// Workers that start at a time on one node. 0: all.
        sequential_node_start: i64 = or(0), min = 0.0, max = 1_000_000.0;
        /// Binds memory to the NUMA nodes of the CPUs. Absent: on `gb200` and `gb300`.
        numa_memory_bind: Option<bool> = absent();
    }
}

section! {
    /// vLLM workers: `dynamo.vllm` behind Dynamo, or `vllm serve`.
    pub(crate) struct VllmSection {
        /// The engine: `sglang`, `trtllm`, `vllm`, or `mocker`. The other keys of this section depend on it.
        kind ("type"): String = or("vllm");
        /// Variables of the prefill workers.
        prefill_environment: Environment = absent();
        /// Variables of the decode workers.
        decode_environment: Environment = absent();
        /// Variables of the aggregated workers.
        aggregated_environment: Environment = absent();
        /// Flags of `dynamo.vllm` or `vllm serve`, by role.
        config ("vllm_config"): Option<RoleFlags> = absent();
        /// Chooses GPUs by `CUDA_VISIBLE_DEVICES` rather than `--device-ids`.
        set_cuda_visible_devices: bool = or(false);
        /// Preset of the KV connector. Null: none.
        connector: Option<String> = or(Some("nixl".to_owned()));
        /// A Mooncake key-value store beside the workers.
        mooncake_kv_store: Option<VllmMooncakeSection> = absent();
        /// KV events: `true` for prefill and decode, or a mapping by role to `true` or to the publisher's settings.
        kv_events_config: Option<KvEventsField> = absent();
        /// Prefill and decode workers may share a node.
        allow_prefill_decode_colocation: bool = or(false);
        /// Prefill and decode workers may share nodes, also where a worker spans several.
        allow_prefill_decode_colocation_across_nodes: bool = or(false);
        /// Processes of a data-parallel worker: `per_node`, or `per_gpu`, which is deprecated.
        dp_launch_mode: DpLaunchMode = or(DpLaunchMode::PerNode);
    }
}

section! {
    /// A stand-in without a GPU. With `frontend.type: mock` or `sglang` it is the tool's own
    /// engine, with `dynamo` it is `dynamo.mocker`.
    pub(crate) struct MockerSection {
        /// The engine: `sglang`, `trtllm`, `vllm`, or `mocker`. The other keys of this section depend on it.
        kind ("type"): String = or("mocker");
        /// Variables of the prefill workers.
        prefill_environment: Environment = absent();
        /// Variables of the decode workers.
        decode_environment: Environment = absent();
        /// Variables of the aggregated workers.
        aggregated_environment: Environment = absent();
        /// Further flags of the mock engine, by role.
        config ("mocker_config"): Option<RoleFlags> = absent();
        /// Engine whose scheduling is imitated.
        engine_type: String = or("vllm");
        /// How many times faster than real the simulated time runs.
        speedup_ratio: f64 = or(100.0), min = 0.0;
        /// Further factor for decode.
        decode_speedup_ratio: f64 = or(1.0), min = 0.0;
        /// KV cache size.
        num_gpu_blocks_override: i64 = or(16384), min = 1.0, unit = "blocks";
        /// Most sequences in one batch.
        max_num_seqs: i64 = or(256), min = 1.0, unit = "sequences";
        /// Most tokens in one batch.
        max_num_batched_tokens: i64 = or(8192), min = 1.0, unit = "tokens";
        /// Size of a KV cache block.
        block_size: Option<i64> = absent(), min = 1.0, unit = "tokens";
        /// Data-parallel size.
        data_parallel_size: i64 = or(1), min = 1.0;
        /// Engines in one process.
        num_workers: i64 = or(1), min = 1.0;
        /// Time until an engine is up.
        startup_time: Option<f64> = absent(), min = 0.0, unit = "s";
        /// Bandwidth of KV transfers.
        kv_transfer_bandwidth: Option<f64> = absent(), min = 0.0, unit = "GB/s";
        /// Data type of the KV cache.
        kv_cache_dtype: Option<String> = absent();
        /// Reuses cached prefixes.
        enable_prefix_caching: bool = or(true);
        /// Prefills in chunks.
        enable_chunked_prefill: bool = or(true);
        /// What happens to a sequence that no longer fits.
        preemption_mode: Option<String> = absent();
    }
}

section! {
    /// Engine flags by role. The keys below a role are the engine's own, with any value.
    pub(crate) struct RoleFlags {
        /// Flags of the prefill workers.
        prefill: Option<EngineFlags> = absent();
        /// Flags of the decode workers.
        decode: Option<EngineFlags> = absent();
        /// Flags of the aggregated workers.
        aggregated: Option<EngineFlags> = absent();
    }
}

section! {
    /// A Mooncake key-value store beside the workers.
    pub(crate) struct SglangMooncakeSection {
        /// Image of the master. Absent: the job's.
        container: Option<String> = absent();
        /// Variables of the workers that use the store.
        env: Environment = absent();
        /// Further arguments of the master.
        master_extra_args: Vec<String> = absent();
    }
}

section! {
    /// A Mooncake key-value store beside the workers.
    pub(crate) struct VllmMooncakeSection {
        /// Image of the master. Absent: the job's.
        container: Option<String> = absent();
        /// Variables of the workers that use the store.
        env: Environment = absent();
        /// Further arguments of the master.
        master_extra_args: Vec<String> = absent();
        /// Contents of the store's configuration file.
        store_config: Option<IndexMap<String, Value>> = absent();
    }
}

/// `kv_events_config`: on or off, or by role.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum KvEventsField {
    All(bool),
    ByRole(Box<KvEventsByRole>),
}

section! {
    /// KV events by role: `true`, or the publisher's settings.
    pub(crate) struct KvEventsByRole {
        /// KV events of the prefill workers.
        prefill: Option<Value> = absent();
        /// KV events of the decode workers.
        decode: Option<Value> = absent();
        /// KV events of the aggregated workers.
        aggregated: Option<Value> = absent();
    }
}

/// Earlier versions ignored keys that name no role, so they are warnings here.
fn kv_events_by_role(node: &Node, map: &Map, path: Path<'_>, decoder: &mut Decoder<'_>) -> KvEventsByRole {
    let mut known = Map::default();
    for (key, entry) in map.iter() {
        if KvEventsByRole::KEYS.contains(&key) {
            known.insert(key.to_owned(), entry.key_span, entry.value.clone());
            continue;
        }
        let message = format!("`{}` has no effect: it names no role", path.key(key));
        let help = "roles are `prefill`, `decode`, and `aggregated`".to_owned();
        decoder.warning(entry.key_span, "no-effect", message, Some(help));
    }
    KvEventsByRole::from_map(node, &known, path, decoder)
}

impl FromNode for KvEventsField {
    fn shape() -> Shape {
        Shape::Either(vec![Shape::Boolean, Shape::Section(KvEventsByRole::table())])
    }

    fn from_node(node: &Node, path: Path<'_>, rules: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Map(map) => Some(Self::ByRole(Box::new(kv_events_by_role(node, map, path, decoder)))),
            Kind::List(_) => {
                decoder.wrong_type(node, path, "true, false, or a mapping by role", None);
                None
            }
            _ => bool::from_node(node, path, rules, decoder).map(Self::All),
        }
    }

    fn placeholder() -> Self {
        Self::All(false)
    }

    fn show(&self) -> Value {
        Value::Bool(false)
    }
}

/// Gives an enum of words its reader.
macro_rules! choice {
    ($type:ty, $first:expr, $($word:literal => $value:expr),+) => {
        impl FromNode for $type {
            fn shape() -> Shape {
                Shape::Choice(&[$($word),+])
            }

            fn from_node(node: &Node, path: Path<'_>, rules: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
                let word = String::from_node(node, path, rules, decoder)?;
                match word.as_str() {
                    $($word => Some($value),)+
                    _ => {
                        unknown_word(&word, node, path, &[$($word),+], decoder);
                        None
                    }
                }
            }

            fn placeholder() -> Self {
                $first
            }

            fn show(&self) -> Value {
                $(if *self == $value {
                    return Value::from($word);
                })+
                Value::Null
            }
        }
    };
}

choice!(DpLaunchMode, DpLaunchMode::PerNode, "per_node" => DpLaunchMode::PerNode, "per_gpu" => DpLaunchMode::PerGpu);
choice!(
    FrontendKind, FrontendKind::Dynamo,
    "dynamo" => FrontendKind::Dynamo,
    "sglang" => FrontendKind::Sglang,
    "trtllm_serve" => FrontendKind::TrtllmServe,
    "vllm" => FrontendKind::Vllm,
    "mock" => FrontendKind::Mock
);
choice!(
    Placement, Placement::Head,
    "head" => Placement::Head,
    "first_decode" => Placement::FirstDecode,
    "last_decode" => Placement::LastDecode
);

section! {
    /// The router that answers the clients.
    pub(crate) struct FrontendSection {
        /// The router: `dynamo`, `sglang`, `trtllm_serve`, `vllm`, or `mock`.
        kind ("type"): FrontendKind = or(FrontendKind::Dynamo);
        /// Several routers behind nginx, where there is more than one worker node.
        enable_multiple_frontends: bool = or(true);
        /// Routers beyond the first.
        num_additional_frontends: i64 = or(9), min = 0.0, max = 100_000.0;
        /// Image of nginx.
        nginx_container: String = or("nginx:1.27.4");
        /// Raises nginx's limit of open files. Absent: as the cluster file says.
        nginx_raise_ulimit: bool = or(false);
        /// Keeps a session on one router.
        nginx_session_affinity: bool = or(false);
        /// Header that names the session.
        nginx_session_affinity_header: String = or("X-Dynamo-Session-ID");
        /// How long nginx keeps an idle connection, as nginx reads it.
        nginx_keepalive_timeout: String = or("600s");
        /// Arguments of the router, without dashes.
        args: Option<IndexMap<String, Value>> = absent(), formerly = &["dynamo_frontend_args", "sglang_router_args"];
        /// Variables of the router.
        env: Option<Environment> = absent();
        /// Router settings for the context servers.
        ctx_router: Option<IndexMap<String, Value>> = absent(), used_by = &["trtllm_serve"];
        /// Router settings for the generation servers.
        gen_router: Option<IndexMap<String, Value>> = absent(), used_by = &["trtllm_serve"];
        /// Merged over the server's configuration file.
        server_config_extra: Option<IndexMap<String, Value>> = absent(), used_by = &["trtllm_serve"];
        /// Node of a single router.
        orchestrator_placement: Placement = or(Placement::Head);
        /// A node without workers for the router.
        dedicated_node: bool = or(false);
    }
}

section! {
    /// How Dynamo is installed and wired. At most one of `version`, `hash`, `top_of_tree`, and `wheel` counts.
    pub(crate) struct DynamoSection {
        /// Installs Dynamo before use.
        install: bool = or(true);
        /// Release. Null without another source: the newest commit.
        version: Option<String> = or(Some("0.8.0".to_owned()));
        /// Commit that is built from source.
        hash: Option<String> = absent();
        /// Builds the newest commit from source.
        top_of_tree: bool = or(false);
        /// Version of a wheel that was fetched beforehand.
        wheel: Option<String> = absent();
        /// Transport of requests: `nats`, `tcp`, or `http`.
        request_plane: RequestPlane = or(RequestPlane("tcp"));
        /// Transport of events: `nats` or `zmq`.
        event_plane: Option<EventPlane> = absent();
        /// Dependency overrides of a build from source.
        cargo_patches: Option<Vec<String>> = absent();
    }
}

/// A transport of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestPlane(pub(crate) &'static str);

choice!(RequestPlane, RequestPlane("tcp"), "nats" => RequestPlane("nats"), "tcp" => RequestPlane("tcp"), "http" => RequestPlane("http"));

/// A transport of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventPlane(pub(crate) &'static str);

choice!(EventPlane, EventPlane("nats"), "nats" => EventPlane("nats"), "zmq" => EventPlane("zmq"));

/// Evaluations that share the fields of a question set.
const EVALUATIONS: &[&str] = &["mmlu", "gpqa", "gsm8k", "longbenchv2"];
const SA_BENCH: &[&str] = &["sa-bench"];
const SERVING: &[&str] = &["sa-bench", "sglang-bench", "router"];
const SWEEPING: &[&str] = &["sa-bench", "sglang-bench", "trace-replay"];
const RATED: &[&str] = &["sa-bench", "sglang-bench"];
const GSM8K: &[&str] = &["gsm8k"];
const LONGBENCH: &[&str] = &["longbenchv2"];
const ROUTER: &[&str] = &["router"];
const AIPERF: &[&str] = &["mooncake-router", "trace-replay"];
const CUSTOM: &[&str] = &["custom"];

section! {
    /// What is measured. All types share this section; the table says which type reads which key.
    pub(crate) struct BenchmarkSection {
        /// The benchmark: `manual` (serve until ended), `sa-bench`, `sglang-bench`, `custom`, `gpqa`, `gsm8k`,
        /// `lm-eval`, `longbenchv2`, `mmlu`, `mooncake-router`, `router`, or `trace-replay`.
        kind ("type"): String = or("manual");
        /// Input sequence length (ISL).
        isl: Option<i64> = absent(), min = 0.0, unit = "tokens", used_by = SERVING;
        /// Output sequence length (OSL).
        osl: Option<i64> = absent(), min = 0.0, unit = "tokens", used_by = SERVING;
        /// Concurrent requests, one measured point each: a list, or text such as `4x8x16`.
        concurrencies: Option<Concurrencies> = absent(), used_by = SWEEPING;
        /// Arrival rate; `inf` sends all requests at once.
        req_rate: Option<RequestRate> = or(Some(RequestRate("inf".to_owned()))), unit = "requests/s", used_by = RATED;
        /// Node of the client.
        client_placement: Placement = or(Placement::Head);
        /// A node without workers for the client.
        client_dedicated_node: bool = or(false);
        /// Puts the client on the dedicated node of the frontend, where both are asked for.
        colocate_with_frontend: bool = or(true);
        /// Parameter lists of earlier versions.
        sweep: Option<BenchmarkSweep> = absent(), unused = "it is read and never used; write a top-level `sweep`";
        /// Questions.
        num_examples: Option<i64> = absent(), used_by = EVALUATIONS;
        /// Longest answer.
        max_tokens: Option<i64> = absent(), unit = "tokens", used_by = EVALUATIONS;
        /// Repetitions.
        repeat: Option<i64> = absent(), used_by = EVALUATIONS;
        /// Threads of the client.
        num_threads: Option<i64> = absent(), used_by = EVALUATIONS;
        /// Longest context.
        max_context_length: Option<i64> = absent(), unit = "tokens", used_by = LONGBENCH;
        /// Examples in the prompt.
        num_shots: Option<i64> = absent(), used_by = GSM8K;
        /// Sampling: top k.
        top_k: Option<i64> = absent(), used_by = GSM8K;
        /// Requests.
        num_requests: Option<i64> = absent(), used_by = ROUTER;
        /// Concurrent requests.
        concurrency: Option<i64> = absent(), used_by = ROUTER;
        /// Goodput: longest time to first token (TTFT).
        ttft_threshold_ms: Option<i64> = absent(), unit = "ms", used_by = AIPERF;
        /// Goodput: longest inter-token latency (ITL).
        itl_threshold_ms: Option<i64> = absent(), unit = "ms", used_by = AIPERF;
        /// Measured requests for each concurrent one.
        num_prompts_mult: Option<i64> = absent(), min = 0.0, used_by = SA_BENCH;
        /// Warm-up requests for each concurrent one.
        num_warmup_mult: Option<i64> = absent(), min = 0.0, used_by = SA_BENCH;
        /// Sampling: temperature.
        temperature: Option<f64> = absent(), used_by = GSM8K;
        /// Sampling: top p.
        top_p: Option<f64> = absent(), used_by = GSM8K;
        /// Shortest length as a share of the longest.
        random_range_ratio: Option<f64> = absent(), min = 0.0, max = 1.0, used_by = SA_BENCH;
        /// Slows decode down: sleep of each step.
        slow_down_sleep_time: Option<f64> = absent(), unit = "s", used_by = SA_BENCH;
        /// Slows decode down: time until it ends.
        slow_down_wait_time: Option<f64> = absent(), unit = "s", used_by = SA_BENCH;
        /// Categories of questions.
        categories: Option<Vec<String>> = absent(), used_by = LONGBENCH;
        /// Shares of prompts that have a common prefix: a list, or text with spaces between.
        prefix_ratios: Option<PrefixRatios> = absent(), used_by = ROUTER;
        /// Trace: `mooncake`, `conversation`, `synthetic`, or `toolagent`.
        mooncake_workload: Option<String> = absent(), used_by = &["mooncake-router"];
        /// `random`, or `custom` for a file of prompts.
        dataset_name: Option<String> = absent(), used_by = SA_BENCH;
        /// JSONL file of prompts.
        dataset_path: Option<String> = absent(), used_by = SA_BENCH;
        /// Trace file.
        trace_file: Option<String> = absent(), used_by = &["trace-replay"];
        /// Tokenizer implementation.
        custom_tokenizer: Option<String> = absent(), used_by = SA_BENCH;
        /// Shell command.
        command: Option<String> = absent(), used_by = CUSTOM;
        /// Image of the client. Absent: the job's.
        container_image: Option<String> = absent(), used_by = CUSTOM;
        /// Pip requirement of aiperf.
        aiperf_package: Option<String> = absent(), used_by = AIPERF;
        /// Applies the model's chat template.
        use_chat_template: bool = or(true), used_by = SA_BENCH;
        /// Keeps connections between requests.
        reuse_http_connections: bool = or(false), used_by = SA_BENCH;
        /// Variables of the client.
        env: Environment = absent(), used_by = CUSTOM;
        /// Arguments of aiperf, without dashes.
        aiperf_args: IndexMap<String, Value> = absent(), used_by = AIPERF;
        /// Exports per-node metrics after the run.
        export_node_metrics: bool = or(false);
    }
}

impl FromNode for Concurrencies {
    fn shape() -> Shape {
        Shape::Either(vec![Shape::List(Box::new(Shape::Integer)), Shape::Text])
    }

    fn from_node(node: &Node, path: Path<'_>, rules: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        match &node.kind {
            Kind::String(text) => Some(Self::Text(text.clone())),
            Kind::List(_) => {
                let at_least_one = FieldRules { min: Some(1.0), ..*rules };
                Vec::<i64>::from_node(node, path, &at_least_one, decoder).map(Self::List)
            }
            _ => {
                let help = format!("write [{}]", decoder.sources.slice(node.span));
                decoder.wrong_type(node, path, "a list of integers, or text such as \"4x8\"", Some(help));
                None
            }
        }
    }

    fn placeholder() -> Self {
        Self::List(Vec::new())
    }

    fn show(&self) -> Value {
        match self {
            Self::List(items) => Value::List(items.iter().copied().map(Value::Int).collect()),
            Self::Text(text) => Value::from(text.as_str()),
        }
    }
}

/// `req_rate`: text or an integer, kept as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestRate(pub(crate) String);

impl FromNode for RequestRate {
    fn shape() -> Shape {
        Shape::Either(vec![Shape::Text, Shape::Integer])
    }

    fn from_node(node: &Node, path: Path<'_>, rules: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        match &node.kind {
            Kind::String(text) => Some(Self(text.clone())),
            Kind::Float(value) if value.is_infinite() => {
                decoder.wrong_type(node, path, "text or an integer", Some("write \"inf\"".to_owned()));
                None
            }
            _ => i64::from_node(node, path, rules, decoder).map(|rate| Self(rate.to_string())),
        }
    }

    fn placeholder() -> Self {
        Self("inf".to_owned())
    }

    fn show(&self) -> Value {
        Value::from(self.0.as_str())
    }
}

/// `prefix_ratios`: numbers, or text with spaces between them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PrefixRatios(pub(crate) Vec<f64>);

impl FromNode for PrefixRatios {
    fn shape() -> Shape {
        Shape::Either(vec![Shape::List(Box::new(Shape::Number)), Shape::Text])
    }

    fn from_node(node: &Node, path: Path<'_>, rules: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Kind::String(text) = &node.kind else {
            return Vec::<f64>::from_node(node, path, rules, decoder).map(Self);
        };
        let parts = text.split([' ', ',']).filter(|part| !part.is_empty());
        let numbers: Option<Vec<f64>> =
            parts.map(|part| part.parse().ok().filter(|it: &f64| it.is_finite())).collect();
        if numbers.is_none() {
            decoder.wrong_type(
                node,
                path,
                "numbers with spaces between them",
                Some("write [0.1, 0.5]".to_owned()),
            );
        }
        numbers.map(Self)
    }

    fn placeholder() -> Self {
        Self(Vec::new())
    }

    fn show(&self) -> Value {
        Value::List(self.0.iter().copied().map(Value::Float).collect())
    }
}

/// `benchmark.sweep`: read for its mistakes, never used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BenchmarkSweep;

impl FromNode for BenchmarkSweep {
    fn shape() -> Shape {
        Shape::Map(Box::new(Shape::Any))
    }

    fn from_node(node: &Node, path: Path<'_>, _: &FieldRules, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Some(map) = node.as_map() else {
            decoder.wrong_type(node, path, "a mapping of lists", None);
            return None;
        };
        let parameters = map.get("parameters").and_then(Node::as_map).unwrap_or(map);
        let mut good = true;
        for (key, entry) in parameters.iter().filter(|(key, _)| *key != "mode") {
            if entry.value.as_list().is_none() {
                decoder.wrong_type(&entry.value, path.key(key), "a list", None);
                good = false;
            }
        }
        good.then_some(Self)
    }

    fn placeholder() -> Self {
        Self
    }

    fn show(&self) -> Value {
        Value::Null
    }
}

section! {
    /// nsys or torch profiling of the workers.
    pub(crate) struct ProfilingSection {
        /// The profiler: `none`, `nsys`, `nsys-time`, or `torch`.
        kind ("type"): String = or("none");
        /// Further arguments of nsys.
        extra_nsys_args: Option<Vec<String>> = absent();
        /// Profiled steps of the prefill workers.
        prefill: Option<ProfilingStepsSection> = absent();
        /// Profiled steps of the decode workers.
        decode: Option<ProfilingStepsSection> = absent();
        /// Profiled steps of the aggregated workers.
        aggregated: Option<ProfilingStepsSection> = absent();
        /// `nsys-time`: time before the profile.
        delay_secs: Option<i64> = absent(), unit = "s";
        /// `nsys-time`: length of the profile.
        duration_secs: Option<i64> = absent(), unit = "s";
        /// `nsys-time`: length of the benchmark.
        benchmark_duration_secs: i64 = or(300), unit = "s";
    }
}

section! {
    /// Profiled steps of one role.
    pub(crate) struct ProfilingStepsSection {
        /// First profiled step.
        start_step: Option<i64> = absent();
        /// First step after the profile.
        stop_step: Option<i64> = absent();
    }
}

section! {
    /// Where logs went in earlier versions.
    pub(crate) struct OutputSection {
        /// Folder of the logs.
        log_dir: String = or("./outputs/{job_id}/logs");
    }
}

section! {
    /// How long the job may take to become ready. Absent: as the cluster file says.
    pub(crate) struct HealthCheckSection {
        /// Attempts before the job counts as failed.
        max_attempts: i64 = or(180), min = 1.0;
        /// Time between attempts.
        interval_seconds: i64 = or(10), min = 1.0, unit = "s";
    }
}

section! {
    /// etcd and NATS.
    pub(crate) struct InfraSection {
        /// A node without workers for etcd and NATS.
        etcd_nats_dedicated_node: bool = or(false);
        /// Largest NATS message.
        nats_max_payload_mb: Option<i64> = absent(), min = 1.0, unit = "MB";
    }
}

section! {
    /// Traces, metrics scraping, and dashboards.
    pub(crate) struct ObservabilitySection {
        /// Switches the section on; workers and frontend then log spans as JSON lines.
        enabled: bool = or(false);
        /// OpenTelemetry traces.
        enable_otel: bool = or(false);
        /// OTLP endpoint.
        otel_endpoint: Option<String> = absent();
        /// Scrapes Prometheus endpoints. Absent: as `enabled`.
        scrape_metrics: Option<bool> = absent();
        /// Time between scrapes.
        scrape_interval_seconds: f64 = or(1.0), unit = "s";
        /// File of the scrapes, under the logs.
        scrape_output: String = or("raw_prometheus.jsonl");
        /// Builds a dashboard. Absent: as `enabled`.
        build_dashboard: Option<bool> = absent();
        /// The Tachometer collector.
        tachometer: TachometerSection = absent();
    }
}

section! {
    /// The Tachometer collector.
    pub(crate) struct TachometerSection {
        /// Runs it.
        enabled: bool = or(false);
        /// Its binary.
        binary_path: String = or("tachometer-scraper");
        /// Samples per second.
        default_frequency: f64 = or(5.0), unit = "1/s";
        /// Time between flushes.
        sync_interval_secs: i64 = or(120), unit = "s";
        /// Compaction threads.
        compaction_threads: i64 = or(4);
        /// Folder under the logs.
        storage_subdir: String = or("tachometer");
        /// Further labels.
        extra_metadata: IndexMap<String, String> = absent();
        /// GPU metrics.
        dcgm_exporter: Option<ExporterSection> = absent();
        /// Host metrics.
        node_exporter: Option<ExporterSection> = absent();
    }
}

section! {
    /// A Prometheus exporter on every node.
    pub(crate) struct ExporterSection {
        /// Image, or alias of the cluster file.
        container_image: String = required();
        /// Port.
        port: i64 = required();
        /// Command, with `{port}`.
        command: Option<String> = absent();
    }
}

section! {
    /// GPU power measurement.
    pub(crate) struct TelemetrySection {
        /// Measures power.
        enabled: bool = or(false);
        /// GPU metrics.
        dcgm_exporter: Option<ExporterSection> = absent();
        /// Time between samples.
        default_frequency: f64 = or(1.0), unit = "s";
        /// Folder under the logs.
        storage_subdir: String = or("power");
        /// Fails the run where power cannot be measured.
        required: bool = or(false);
        /// Time until the first complete sample.
        startup_timeout_seconds: f64 = or(30.0), unit = "s";
        /// Time for one request.
        request_timeout_seconds: f64 = or(2.0), unit = "s";
        /// Time for the collector's end. Absent: two full cycles and 2 s.
        collector_join_timeout_seconds: Option<f64> = absent(), unit = "s";
    }
}

section! {
    /// What the run is said to consist of.
    pub(crate) struct IdentitySection {
        /// The model.
        model: IdentityModelSection = absent();
        /// The container.
        container: IdentityContainerSection = absent();
        /// Framework name to version.
        frameworks: IndexMap<String, String> = absent();
    }
}

section! {
    /// The model.
    pub(crate) struct IdentityModelSection {
        /// Repository, such as `deepseek-ai/DeepSeek-R1`.
        repo: Option<String> = absent();
        /// Commit of the repository.
        revision: Option<String> = absent();
    }
}

section! {
    /// The container.
    pub(crate) struct IdentityContainerSection {
        /// Image name.
        image: Option<String> = absent();
    }
}

section! {
    /// Where status and results are reported.
    pub(crate) struct ReportingSection {
        /// Status of the run.
        status: Option<StatusSection> = absent();
        /// Analysis of failed runs.
        ai_analysis: Option<AiAnalysisSection> = absent(), unused = "failed runs are not sent to a service";
        /// Upload of results.
        s3: Option<S3Section> = absent();
    }
}

section! {
    /// Status of the run.
    pub(crate) struct StatusSection {
        /// Address that is told.
        endpoint: Option<String> = absent();
        /// Further addresses.
        endpoints: Option<Vec<String>> = absent();
    }
}

section! {
    /// Analysis of failed runs.
    pub(crate) struct AiAnalysisSection {
        /// Switches it on.
        enabled: bool = or(false);
        /// Key of the service.
        openrouter_api_key: Option<String> = absent();
        /// Token for repository search.
        gh_token: Option<String> = absent();
        /// Repositories that are searched.
        repos_to_search: Vec<String> = or(vec!["sgl-project/sglang".to_owned(), "ai-dynamo/dynamo".to_owned()]);
        /// Age of the changes that are searched.
        pr_search_days: i64 = or(14), unit = "days";
        /// Instructions.
        prompt: Option<String> = absent();
    }
}

section! {
    /// Upload of results.
    pub(crate) struct S3Section {
        /// Bucket.
        bucket: String = required();
        /// Key prefix.
        prefix: Option<String> = absent();
        /// Region.
        region: Option<String> = absent();
        /// Address of a compatible service.
        endpoint_url: Option<String> = absent();
        /// Access key.
        access_key_id: Option<String> = absent();
        /// Secret of the access key.
        secret_access_key: Option<String> = absent();
    }
}

section! {
    /// `srtslurm.yaml`: what a cluster is, once for all recipes.
    pub(crate) struct ClusterFile {
        /// Name of the cluster.
        cluster: Option<String> = absent();
        /// `slurm.account` of recipes without one.
        default_account: Option<String> = absent();
        /// `slurm.partition` of recipes without one.
        default_partition: Option<String> = absent();
        /// `slurm.time_limit` of recipes without one.
        default_time_limit: Option<String> = absent();
        /// Network interface whose address nodes are reached at.
        network_interface: Option<String> = absent();
        /// Folder of the tool's own data, with `configs/` and `outputs/`.
        srtctl_root: Option<String> = absent();
        /// Folder of the run directories. Absent: `outputs` under `srtctl_root`.
        output_dir: Option<String> = absent();
        /// Shell text that runs before every wrapped step.
        default_bash_preamble: Option<String> = absent();
        /// GPUs of a node.
        gpus_per_node: Option<i64> = absent(), unit = "GPUs";
        /// Writes `--gpus-per-node` into the batch script.
        use_gpus_per_node_directive: bool = or(true);
        /// Writes `--segment` into the batch script.
        use_segment_sbatch_directive: bool = or(true);
        /// Writes `--exclusive` into the batch script.
        use_exclusive_sbatch_directive: bool = or(false);
        /// `resources.het_jobs` of recipes without it.
        use_het_jobs: bool = or(false);
        /// Directives added to `sbatch_directives` of every recipe, key by key.
        default_sbatch_directives: Option<IndexMap<String, String>> = absent();
        /// `health_check` of recipes without one.
        default_health_check: Option<HealthCheckSection> = absent();
        /// Aliases for `model.path`.
        model_paths: Option<IndexMap<String, String>> = absent();
        /// Aliases for container images.
        containers: Option<IndexMap<String, String>> = absent();
        /// Settings of a cloud, for other tools.
        cloud: Option<IndexMap<String, String>> = absent();
        /// Mounts of every container: host path to container path.
        default_mounts: Option<IndexMap<String, String>> = absent();
        /// `reporting` of recipes without one.
        reporting: Option<ReportingSection> = absent();
        /// Live metrics of running jobs.
        telemetry: Option<IndexMap<String, Value>> = absent();
        /// `frontend.nginx_raise_ulimit` of recipes without it.
        nginx_raise_ulimit: Option<bool> = absent();
        /// Programs that run a job on its head node: architecture, as `uname -m` prints it, to path. Absent: the program
        /// that submits.
        srtctl_binaries: Option<IndexMap<String, String>> = absent();
        /// How containers are started: `pyxis`, or `none` to run everything on the host.
        container_runtime: crate::cluster::ContainerRuntime = or(crate::cluster::ContainerRuntime::Pyxis);
    }
}

choice!(
    crate::cluster::ContainerRuntime, crate::cluster::ContainerRuntime::Pyxis,
    "pyxis" => crate::cluster::ContainerRuntime::Pyxis,
    "none" => crate::cluster::ContainerRuntime::None
);
