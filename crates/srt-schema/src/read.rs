//! From sections to the model: v1's flat fields become roles, and what follows from several fields is computed.

use indexmap::IndexMap;
use srt_yaml::Value;

use crate::{
    cluster::{ClusterConfig, LiveMetrics, RecipeDefaults},
    recipe::{
        Benchmark, Dynamo, DynamoSource, Engine, EngineFlags, Environment, Exporter, Frontend, Hardware,
        HealthCheck, Identity, Infra, KvEvents, MockerEngine, Model, MooncakeStore, Nginx, Observability,
        Profiling, ProfilingSteps, Recipe, Reporting, RoleSpec, Roles, S3, SglangEngine, SlurmRequest,
        Tachometer, Telemetry, TrtllmEngine, VllmEngine,
    },
    sections::{
        BackendSection, BenchmarkSection, ClusterFile, DynamoSection, ExporterSection, FrontendSection,
        KvEventsField, MockerSection, ObservabilitySection, ProfilingStepsSection, RecipeFile,
        ReportingSection, ResourcesSection, RoleFlags, TelemetrySection,
    },
};

/// The model of a recipe whose sections were read without an error.
pub(crate) fn recipe(file: RecipeFile) -> Recipe {
    let roles = roles(&file);
    let slurm = SlurmRequest {
        account: file.slurm.account,
        partition: file.slurm.partition,
        time_limit: file.slurm.time_limit,
        sbatch_directives: file.sbatch_directives,
        srun_options: file.srun_options,
    };
    Recipe {
        name: file.name,
        model: Model {
            path: file.model.path,
            container: file.model.container,
            precision: file.model.precision,
            stage_dir: file.model.stage_dir,
        },
        hardware: Hardware {
            gpu_type: file.resources.gpu_type,
            gpus_per_node: count(file.resources.gpus_per_node),
            spread_workers: file.resources.spread_workers,
            het_jobs: file.resources.het_jobs.unwrap_or(false),
        },
        slurm,
        roles,
        engine: engine(file.backend),
        frontend: frontend(file.frontend),
        dynamo: dynamo(file.dynamo),
        benchmark: benchmark(file.benchmark),
        profiling: Profiling {
            kind: file.profiling.kind,
            extra_nsys_args: file.profiling.extra_nsys_args.unwrap_or_default(),
            delay_s: file.profiling.delay_secs,
            duration_s: file.profiling.duration_secs,
            benchmark_duration_s: file.profiling.benchmark_duration_secs,
        },
        health_check: HealthCheck {
            max_attempts: file.health_check.max_attempts,
            interval_s: file.health_check.interval_seconds,
        },
        infra: Infra {
            dedicated_node: file.infra.etcd_nats_dedicated_node,
            nats_max_payload_mb: file.infra.nats_max_payload_mb,
        },
        observability: observability(file.observability),
        telemetry: telemetry(file.telemetry),
        environment: file.environment,
        container_mounts: file.container_mounts,
        extra_mounts: file.extra_mount.unwrap_or_default(),
        setup_script: file.setup_script,
        identity: Identity {
            model_repo: file.identity.model.repo,
            model_revision: file.identity.model.revision,
            container_image: file.identity.container.image,
            frameworks: file.identity.frameworks,
        },
        reporting: file.reporting.map(reporting),
    }
}

/// The model of a cluster file that was read without an error.
pub(crate) fn cluster(file: ClusterFile) -> ClusterConfig {
    ClusterConfig {
        present: true,
        name: file.cluster,
        network_interface: file.network_interface,
        srtctl_root: file.srtctl_root,
        output_dir: file.output_dir,
        default_bash_preamble: file.default_bash_preamble,
        use_gpus_per_node_directive: file.use_gpus_per_node_directive,
        use_segment_directive: file.use_segment_sbatch_directive,
        use_exclusive_directive: file.use_exclusive_sbatch_directive,
        default_mounts: file.default_mounts.unwrap_or_default(),
        container_runtime: file.container_runtime,
        srtctl_binaries: file.srtctl_binaries.unwrap_or_default(),
        reporting: file.reporting.map(reporting),
        defaults: RecipeDefaults {
            account: file.default_account,
            partition: file.default_partition,
            time_limit: file.default_time_limit,
            sbatch_directives: file.default_sbatch_directives.unwrap_or_default(),
            het_jobs: file.use_het_jobs,
            nginx_raise_ulimit: file.nginx_raise_ulimit,
        },
        model_paths: file.model_paths.unwrap_or_default(),
        containers: file.containers.unwrap_or_default(),
        live_metrics: live_metrics(file.telemetry.as_ref()),
    }
}

fn live_metrics(telemetry: Option<&IndexMap<String, Value>>) -> LiveMetrics {
    let settings = telemetry.and_then(|it| it.get("live_metrics")).and_then(Value::as_map);
    let get = |key: &str| settings.and_then(|it| it.get(key));
    LiveMetrics {
        enabled: matches!(get("enabled"), Some(Value::Bool(true))),
        interval_s: match get("interval_seconds") {
            Some(Value::Float(seconds)) => *seconds,
            #[expect(clippy::cast_precision_loss, reason = "seconds between samples are a small number")]
            Some(Value::Int(seconds)) => *seconds as f64,
            _ => 60.0,
        },
        downsample: match get("downsample") {
            Some(Value::Int(factor)) => *factor,
            _ => 1,
        },
    }
}

/// The ranges of the sections keep every count inside `u32`.
fn count(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn roles(file: &RecipeFile) -> Roles {
    let resources = &file.resources;
    let disaggregated = is_disaggregated(resources);
    let gpus = GpusPerWorker::of(resources);
    let backend = RoleFields::of(&file.backend);
    let spec = |nodes: Option<i64>, workers: Option<i64>, gpus: i64, fields: RoleField| RoleSpec {
        nodes: nodes.map(count),
        workers: count(workers.unwrap_or(0)),
        gpus_per_worker: count(gpus),
        environment: fields.environment,
        flags: fields.flags,
        kv_events: fields.kv_events,
        profiling: None,
    };
    let steps = |section: &Option<ProfilingStepsSection>| {
        section.as_ref().map(|it| ProfilingSteps { start_step: it.start_step, stop_step: it.stop_step })
    };
    let mut roles = Roles {
        disaggregated,
        prefill: spec(resources.prefill_nodes, resources.prefill_workers, gpus.prefill, backend.prefill),
        decode: spec(resources.decode_nodes, resources.decode_workers, gpus.decode, backend.decode),
        agg: spec(resources.agg_nodes, resources.agg_workers, gpus.agg, backend.agg),
    };
    roles.prefill.profiling = steps(&file.profiling.prefill);
    roles.decode.profiling = steps(&file.profiling.decode);
    roles.agg.profiling = steps(&file.profiling.aggregated);
    roles
}

/// Nodes decide, not workers; 0 nodes are nodes too.
pub(crate) fn is_disaggregated(resources: &ResourcesSection) -> bool {
    resources.prefill_nodes.is_some() || resources.decode_nodes.is_some()
}

/// GPUs of one worker, by role.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GpusPerWorker {
    pub(crate) prefill: i64,
    pub(crate) decode: i64,
    pub(crate) agg: i64,
}

impl GpusPerWorker {
    /// What the recipe says, else the role's nodes divided among its workers, rounded down.
    pub(crate) fn of(resources: &ResourcesSection) -> Self {
        let per_node = resources.gpus_per_node;
        let share =
            |nodes: Option<i64>, workers: Option<i64>| match (nodes.unwrap_or(0), workers.unwrap_or(0)) {
                (nodes, workers) if nodes > 0 && workers > 0 => {
                    Some(nodes.saturating_mul(per_node) / workers)
                }
                _ => None,
            };
        let prefill = resources
            .gpus_per_prefill
            .or_else(|| share(resources.prefill_nodes, resources.prefill_workers))
            .unwrap_or(per_node);
        let shares_prefill_nodes =
            resources.decode_nodes == Some(0) && resources.decode_workers.unwrap_or(0) > 0;
        let decode = resources
            .gpus_per_decode
            .or_else(|| share(resources.decode_nodes, resources.decode_workers))
            .unwrap_or(if shares_prefill_nodes { prefill } else { per_node });
        let agg = resources
            .gpus_per_agg
            .or_else(|| share(resources.agg_nodes, resources.agg_workers))
            .unwrap_or(per_node);
        Self { prefill, decode, agg }
    }
}

/// What the engine section says about one role.
struct RoleField {
    environment: Environment,
    flags: Option<EngineFlags>,
    kv_events: Option<KvEvents>,
}

struct RoleFields {
    prefill: RoleField,
    decode: RoleField,
    agg: RoleField,
}

impl RoleFields {
    fn of(backend: &BackendSection) -> Self {
        let (environments, config, events) = match backend {
            BackendSection::Sglang(it) => (
                [&it.prefill_environment, &it.decode_environment, &it.aggregated_environment],
                &it.config,
                it.kv_events_config.as_ref(),
            ),
            BackendSection::Trtllm(it) => (
                [&it.prefill_environment, &it.decode_environment, &it.aggregated_environment],
                &it.config,
                None,
            ),
            BackendSection::Vllm(it) => (
                [&it.prefill_environment, &it.decode_environment, &it.aggregated_environment],
                &it.config,
                it.kv_events_config.as_ref(),
            ),
            BackendSection::Mocker(it) => (
                [&it.prefill_environment, &it.decode_environment, &it.aggregated_environment],
                &it.config,
                None,
            ),
        };
        let flags = config.clone().unwrap_or_default();
        let RoleFlags { prefill, decode, aggregated } = flags;
        let [prefill_events, decode_events, agg_events] = kv_events(events);
        let [prefill_environment, decode_environment, agg_environment] = environments.map(Clone::clone);
        Self {
            prefill: RoleField {
                environment: prefill_environment,
                flags: prefill,
                kv_events: prefill_events,
            },
            decode: RoleField { environment: decode_environment, flags: decode, kv_events: decode_events },
            agg: RoleField { environment: agg_environment, flags: aggregated, kv_events: agg_events },
        }
    }
}

/// `true` means prefill and decode; an aggregated worker publishes only where its own key says so.
fn kv_events(field: Option<&KvEventsField>) -> [Option<KvEvents>; 3] {
    let of_role = |value: &Option<Value>| match value {
        Some(Value::Bool(true)) => Some(KvEvents::Default),
        Some(Value::Map(settings)) => Some(KvEvents::Custom(settings.clone())),
        _ => None,
    };
    match field {
        Some(KvEventsField::All(true)) => [Some(KvEvents::Default), Some(KvEvents::Default), None],
        Some(KvEventsField::ByRole(roles)) => {
            [of_role(&roles.prefill), of_role(&roles.decode), of_role(&roles.aggregated)]
        }
        None | Some(KvEventsField::All(false)) => [None, None, None],
    }
}

fn engine(backend: BackendSection) -> Engine {
    match backend {
        BackendSection::Sglang(it) => Engine::Sglang(SglangEngine {
            gpu_type: it.gpu_type,
            mooncake: it.mooncake_kv_store.map(|store| MooncakeStore {
                container: store.container,
                env: store.env,
                master_extra_args: store.master_extra_args,
                store_config: None,
            }),
        }),
        BackendSection::Trtllm(it) => Engine::Trtllm(TrtllmEngine {
            publish_events_and_metrics: it.publish_events_and_metrics,
            sequential_node_start: count(it.sequential_node_start),
            numa_memory_bind: it.numa_memory_bind,
        }),
        BackendSection::Vllm(it) => Engine::Vllm(VllmEngine {
            set_cuda_visible_devices: it.set_cuda_visible_devices,
            connector: it.connector,
            mooncake: it.mooncake_kv_store.map(|store| MooncakeStore {
                container: store.container,
                env: store.env,
                master_extra_args: store.master_extra_args,
                store_config: store.store_config,
            }),
            colocate_prefill_decode: it.allow_prefill_decode_colocation,
            colocate_across_nodes: it.allow_prefill_decode_colocation_across_nodes,
            dp_launch_mode: it.dp_launch_mode,
        }),
        BackendSection::Mocker(it) => Engine::Mocker(mocker(it)),
    }
}

fn mocker(it: MockerSection) -> MockerEngine {
    MockerEngine {
        engine_type: it.engine_type,
        speedup_ratio: it.speedup_ratio,
        decode_speedup_ratio: it.decode_speedup_ratio,
        num_gpu_blocks: it.num_gpu_blocks_override,
        max_num_seqs: it.max_num_seqs,
        max_num_batched_tokens: it.max_num_batched_tokens,
        block_size: it.block_size,
        data_parallel_size: it.data_parallel_size,
        num_workers: it.num_workers,
        startup_time_s: it.startup_time,
        kv_transfer_bandwidth_gb_s: it.kv_transfer_bandwidth,
        kv_cache_dtype: it.kv_cache_dtype,
        enable_prefix_caching: it.enable_prefix_caching,
        enable_chunked_prefill: it.enable_chunked_prefill,
        preemption_mode: it.preemption_mode,
    }
}

fn frontend(it: FrontendSection) -> Frontend {
    Frontend {
        kind: it.kind,
        enable_multiple_frontends: it.enable_multiple_frontends,
        num_additional_frontends: it.num_additional_frontends,
        nginx: Nginx {
            container: it.nginx_container,
            raise_ulimit: it.nginx_raise_ulimit,
            session_affinity: it.nginx_session_affinity,
            session_affinity_header: it.nginx_session_affinity_header,
            keepalive_timeout: it.nginx_keepalive_timeout,
        },
        args: it.args.unwrap_or_default(),
        env: it.env.unwrap_or_default(),
        ctx_router: it.ctx_router,
        gen_router: it.gen_router,
        server_config_extra: it.server_config_extra,
        orchestrator_placement: it.orchestrator_placement,
        dedicated_node: it.dedicated_node,
    }
}

/// Any other source wins over `version`; no source at all is the newest commit.
fn dynamo(it: DynamoSection) -> Dynamo {
    let source = match (it.hash, it.top_of_tree, it.wheel, it.version) {
        (Some(hash), ..) => DynamoSource::Hash(hash),
        (None, false, Some(wheel), _) => DynamoSource::Wheel(wheel),
        (None, false, None, Some(version)) => DynamoSource::Version(version),
        (None, true, ..) | (None, false, None, None) => DynamoSource::TopOfTree,
    };
    Dynamo {
        install: it.install,
        source,
        request_plane: it.request_plane.0.to_owned(),
        event_plane: it.event_plane.map(|plane| plane.0.to_owned()),
        cargo_patches: it.cargo_patches.unwrap_or_default(),
    }
}

fn benchmark(it: BenchmarkSection) -> Benchmark {
    Benchmark {
        kind: it.kind,
        isl: it.isl,
        osl: it.osl,
        concurrencies: it.concurrencies,
        req_rate: it.req_rate.map(|rate| rate.0),
        client_placement: it.client_placement,
        client_dedicated_node: it.client_dedicated_node,
        colocate_with_frontend: it.colocate_with_frontend,
        num_examples: it.num_examples,
        max_tokens: it.max_tokens,
        repeat: it.repeat,
        num_threads: it.num_threads,
        max_context_length: it.max_context_length,
        num_shots: it.num_shots,
        top_k: it.top_k,
        num_requests: it.num_requests,
        concurrency: it.concurrency,
        ttft_threshold_ms: it.ttft_threshold_ms,
        itl_threshold_ms: it.itl_threshold_ms,
        num_prompts_mult: it.num_prompts_mult,
        num_warmup_mult: it.num_warmup_mult,
        temperature: it.temperature,
        top_p: it.top_p,
        random_range_ratio: it.random_range_ratio,
        slow_down_sleep_time_s: it.slow_down_sleep_time,
        slow_down_wait_time_s: it.slow_down_wait_time,
        categories: it.categories,
        prefix_ratios: it.prefix_ratios.map(|ratios| ratios.0),
        mooncake_workload: it.mooncake_workload,
        dataset_name: it.dataset_name,
        dataset_path: it.dataset_path,
        trace_file: it.trace_file,
        custom_tokenizer: it.custom_tokenizer,
        command: it.command,
        container_image: it.container_image,
        aiperf_package: it.aiperf_package,
        use_chat_template: it.use_chat_template,
        reuse_http_connections: it.reuse_http_connections,
        env: it.env,
        aiperf_args: it.aiperf_args,
        export_node_metrics: it.export_node_metrics,
    }
}

fn observability(it: ObservabilitySection) -> Observability {
    Observability {
        enabled: it.enabled,
        enable_otel: it.enable_otel,
        otel_endpoint: it.otel_endpoint,
        scrape_metrics: it.scrape_metrics,
        scrape_interval_s: it.scrape_interval_seconds,
        scrape_output: it.scrape_output,
        build_dashboard: it.build_dashboard,
        tachometer: Tachometer {
            enabled: it.tachometer.enabled,
            binary_path: it.tachometer.binary_path,
            default_frequency_hz: it.tachometer.default_frequency,
            sync_interval_s: it.tachometer.sync_interval_secs,
            compaction_threads: it.tachometer.compaction_threads,
            storage_subdir: it.tachometer.storage_subdir,
            extra_metadata: it.tachometer.extra_metadata,
            dcgm_exporter: it.tachometer.dcgm_exporter.map(exporter),
            node_exporter: it.tachometer.node_exporter.map(exporter),
        },
    }
}

fn telemetry(it: TelemetrySection) -> Telemetry {
    Telemetry {
        enabled: it.enabled,
        dcgm_exporter: it.dcgm_exporter.map(exporter),
        sample_interval_s: it.default_frequency,
        storage_subdir: it.storage_subdir,
        required: it.required,
        startup_timeout_s: it.startup_timeout_seconds,
        request_timeout_s: it.request_timeout_seconds,
        collector_join_timeout_s: it.collector_join_timeout_seconds,
    }
}

fn exporter(it: ExporterSection) -> Exporter {
    Exporter { container_image: it.container_image, port: it.port, command: it.command }
}

fn reporting(it: ReportingSection) -> Reporting {
    let status_endpoints = it.status.map_or_else(Vec::new, |status| {
        let mut endpoints = status.endpoints.unwrap_or_default();
        if let Some(endpoint) = status.endpoint.filter(|endpoint| !endpoints.contains(endpoint)) {
            endpoints.insert(0, endpoint);
        }
        endpoints
    });
    Reporting {
        status_endpoints,
        s3: it.s3.map(|s3| S3 {
            bucket: s3.bucket,
            prefix: s3.prefix,
            region: s3.region,
            endpoint_url: s3.endpoint_url,
        }),
    }
}
