//! Rules between fields. Every broken rule is reported, not only the first; a rule is silent where a value it looks
//! at could not be read, because that is reported already.

use srt_topology::{AllocationRequest, NodeName, NodePools, Role, Workers, allocate_endpoints};
use srt_yaml::{Decoder, Node, Path, Section, Span, Value};

use crate::{
    flags::meant_flag,
    layout::layout_problems,
    read::{GpusPerWorker, is_disaggregated},
    recipe::{Concurrencies, DpLaunchMode, EngineFlags, FrontendKind, Placement},
    sections::{BackendSection, BenchmarkSection, ExporterSection, FrontendSection, RecipeFile, RoleFlags},
};

/// Checks what no field can check alone.
pub(crate) fn check(file: &RecipeFile, tree: &Node, decoder: &mut Decoder<'_>) {
    let disaggregated = is_disaggregated(&file.resources);
    let mut rules = Rules { file, tree, decoder, disaggregated, about: "" };
    rules.when(&["dynamo"], Rules::dynamo);
    rules.when(&["profiling", "resources", "backend"], Rules::profiling);
    rules.when(&["observability", "telemetry"], Rules::observability);
    rules.when(&["telemetry", "observability", "benchmark", "infra"], Rules::telemetry);
    rules.when(&["backend", "resources"], Rules::mooncake);
    rules.when(&["backend", "frontend"], Rules::vllm_data_parallel);
    rules.when(&["resources", "backend", "frontend", "benchmark"], Rules::het_jobs);
    rules.when(&["frontend", "benchmark"], Rules::dedicated_nodes);
    rules.when(&["frontend", "backend", "resources"], Rules::frontend);
    rules.when(&["benchmark", "frontend"], Rules::unused_fields);
    rules.when(&["benchmark.type"], Rules::benchmark_name);
    rules.when(&["benchmark", "frontend"], Rules::benchmark);
    rules.when(&["profiling"], Rules::profiler_name);
    rules.when(&["resources"], Rules::layout);
    rules.when(&["resources", "backend"], Rules::allocation);
    rules.when(&["resources", "backend"], Rules::parallelism);
    rules.when(&["backend"], Rules::flags);
    rules.when(&["resources", "backend"], Rules::workers_without_gpus);
    rules.when(&["slurm"], Rules::time_limit);
    rules.when(&["srun_options", "sbatch_directives"], Rules::option_names);
    rules.when(&["environment", "backend", "frontend", "benchmark"], Rules::variable_names);
    rules.when(&["extra_mount"], Rules::mounts);
}

struct Rules<'a, 'b> {
    file: &'a RecipeFile,
    tree: &'a Node,
    decoder: &'a mut Decoder<'b>,
    disaggregated: bool,
    /// The section that a rule is about, which is shown where the one it misses is not there.
    about: &'static str,
}

impl Rules<'_, '_> {
    fn when(&mut self, sections: &[&'static str], rule: impl Fn(&mut Self)) {
        self.about = sections[0];
        if !sections.iter().any(|section| self.decoder.has_failed(section)) {
            rule(self);
        }
    }

    fn span(&self, keys: &[&str]) -> Span {
        let there = keys.first().is_some_and(|section| self.tree.at(&[section]).is_some());
        self.tree.span_at(if there { keys } else { std::slice::from_ref(&self.about) })
    }

    fn error(&mut self, keys: &[&str], code: &'static str, message: &str, help: &str) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.decoder.error(self.span(keys), code, message.to_owned(), help);
    }

    fn warning(&mut self, keys: &[&str], code: &'static str, message: &str, help: &str) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.decoder.warning(self.span(keys), code, message.to_owned(), help);
    }

    fn dynamo(&mut self) {
        let dynamo = &self.file.dynamo;
        let given: Vec<&str> = [
            ("hash", dynamo.hash.is_some()),
            ("top_of_tree", dynamo.top_of_tree),
            ("wheel", dynamo.wheel.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, given)| given.then_some(key))
        .collect();
        if let [first, second, ..] = given[..] {
            let message = format!("`dynamo.{first}` and `dynamo.{second}` name two things to install");
            self.error(&["dynamo", second], "conflicting-keys", &message, "keep one of them");
        }
        if let Some(wheel) = &dynamo.wheel {
            if wheel.trim().is_empty() {
                let message = "`dynamo.wheel` must be a package version, not empty";
                self.error(&["dynamo", "wheel"], "bad-value", message, "write wheel: 1.2.0");
            } else if wheel.contains('/') || wheel.to_ascii_lowercase().ends_with("whl") {
                let message = "`dynamo.wheel` must be a package version, not a file";
                self.error(
                    &["dynamo", "wheel"],
                    "bad-value",
                    message,
                    "write the version alone, such as 1.2.0.dev20260426",
                );
            }
        }
        if dynamo.hash.is_none() && dynamo.cargo_patches.as_ref().is_some_and(|patches| !patches.is_empty()) {
            let message = "`dynamo.cargo_patches` needs a build from source";
            self.error(&["dynamo", "cargo_patches"], "missing-key", message, "set `dynamo.hash` to a commit");
        }
    }

    fn profiling(&mut self) {
        let profiling = &self.file.profiling;
        let trtllm = matches!(self.file.backend, BackendSection::Trtllm(_));
        if profiling.kind == "torch" && trtllm {
            let message = "the torch profiler does not work with `backend.type: trtllm`";
            self.error(&["profiling", "type"], "unsupported", message, "write `type: nsys`");
        }
        if profiling.kind == "nsys-time" {
            for (key, given) in [
                ("delay_secs", profiling.delay_secs.is_some()),
                ("duration_secs", profiling.duration_secs.is_some()),
            ] {
                if !given {
                    let message = format!("`profiling.type: nsys-time` needs `profiling.{key}`");
                    self.error(
                        &["profiling", "type"],
                        "missing-key",
                        &message,
                        &format!("add `{key}:` with seconds"),
                    );
                }
            }
            return;
        }
        if profiling.kind == "none" {
            return;
        }
        let sections = [
            ("prefill", profiling.prefill.is_some(), true),
            ("decode", profiling.decode.is_some(), true),
            ("aggregated", profiling.aggregated.is_some(), false),
        ];
        let mode = if self.disaggregated { "a disaggregated" } else { "an aggregated" };
        for (role, given, of_disaggregated) in sections {
            if given && of_disaggregated != self.disaggregated {
                let message = format!("`profiling.{role}` has no workers in {mode} job");
                self.error(&["profiling", role], "unused-by-type", &message, "remove it");
            }
            if !given && of_disaggregated == self.disaggregated {
                let message = format!("profiling {mode} job needs `profiling.{role}`");
                let help = format!("add `{role}:` with `start_step` and `stop_step`");
                self.error(&["profiling", "type"], "missing-key", &message, &help);
            }
        }
        let resources = &self.file.resources;
        let counts = if self.disaggregated {
            vec![("prefill_workers", resources.prefill_workers), ("decode_workers", resources.decode_workers)]
        } else {
            vec![("agg_workers", resources.agg_workers)]
        };
        for (key, count) in counts {
            if count.unwrap_or(0) == 0 {
                let message = format!("profiling needs `resources.{key}` of at least 1");
                self.error(&["resources", key], "out-of-range", &message, "");
            }
        }
        if profiling.kind == "nsys"
            && let BackendSection::Vllm(vllm) = &self.file.backend
        {
            for (role, flags) in role_flags(vllm.config.as_ref()) {
                for key in flags.keys().filter(|key| key.replace('_', "-").starts_with("profiler-config")) {
                    let message = format!("`{key}` is derived from `profiling` and may not be set");
                    let path = ["backend", "vllm_config", role, key];
                    self.error(&path, "conflicting-keys", &message, "remove the line");
                }
            }
        }
    }

    fn profiler_name(&mut self) {
        let kind = self.file.profiling.kind.as_str();
        let known = ["none", "nsys", "nsys-time", "torch"];
        if known.contains(&kind) {
            return;
        }
        let at = ["profiling", "type"];
        if let Some(near) = srt_yaml::nearest(kind, known) {
            let message = format!("`profiling.type` cannot be `{kind}`");
            self.error(&at, "unknown-value", &message, &format!("did you mean `{near}`?"));
        } else {
            let message = format!("there is no profiler `{kind}`; the workers run without one");
            self.warning(&at, "unknown-value", &message, "known are `none`, `nsys`, `nsys-time`, `torch`");
        }
    }

    fn observability(&mut self) {
        let observability = &self.file.observability;
        let tachometer = &observability.tachometer;
        if !tachometer.enabled {
            return;
        }
        if !observability.enabled {
            let message = "`observability.tachometer` runs only with `observability.enabled: true`";
            self.error(
                &[TACHOMETER[0], TACHOMETER[1], "enabled"],
                "missing-key",
                message,
                "add `enabled: true` to `observability`",
            );
        }
        if self.file.telemetry.enabled {
            if tachometer.dcgm_exporter.is_some() {
                let message =
                    "with `telemetry.enabled` there is one GPU exporter, and it belongs to `telemetry`";
                let path = [TACHOMETER[0], TACHOMETER[1], "dcgm_exporter"];
                self.error(&path, "conflicting-keys", message, "move it to `telemetry.dcgm_exporter`");
            }
            if tachometer.storage_subdir == self.file.telemetry.storage_subdir {
                let message = "`telemetry` and `observability.tachometer` write to the same `storage_subdir`";
                let path = [TACHOMETER[0], TACHOMETER[1], "storage_subdir"];
                self.error(&path, "conflicting-keys", message, "give one of them another name");
            }
        }
        self.exporter(&[TACHOMETER[0], TACHOMETER[1], "dcgm_exporter"], tachometer.dcgm_exporter.as_ref());
        self.exporter(&[TACHOMETER[0], TACHOMETER[1], "node_exporter"], tachometer.node_exporter.as_ref());
        if tachometer.binary_path.is_empty() {
            let message = "`observability.tachometer.binary_path` may not be empty";
            self.error(&[TACHOMETER[0], TACHOMETER[1], "binary_path"], "bad-value", message, "");
        }
        let numbers = [
            ("default_frequency", tachometer.default_frequency > 0.0, "greater than 0"),
            ("sync_interval_secs", tachometer.sync_interval_secs >= 0, "at least 0"),
            ("compaction_threads", tachometer.compaction_threads >= 0, "at least 0"),
        ];
        for (key, good, range) in numbers {
            if !good {
                let message = format!("`observability.tachometer.{key}` must be {range}");
                self.error(&[TACHOMETER[0], TACHOMETER[1], key], "out-of-range", &message, "");
            }
        }
        self.subfolder(&[TACHOMETER[0], TACHOMETER[1], "storage_subdir"], &tachometer.storage_subdir);
    }

    fn exporter(&mut self, path: &[&str], exporter: Option<&ExporterSection>) {
        let Some(exporter) = exporter else { return };
        let name = path.join(".");
        if exporter.container_image.trim().is_empty() {
            let path = [path, &["container_image"]].concat();
            self.error(&path, "bad-value", &format!("`{name}.container_image` may not be empty"), "");
        }
        if !(1..=65535).contains(&exporter.port) {
            let path = [path, &["port"]].concat();
            let message = format!("`{name}.port` must be from 1 to 65535, not {}", exporter.port);
            self.error(&path, "out-of-range", &message, "");
        }
    }

    fn subfolder(&mut self, path: &[&str], folder: &str) {
        let leaves = folder.split('/').any(|part| part == "..");
        if folder.is_empty() || folder.starts_with(['/', '~']) || leaves {
            let message = format!("`{}` must be a folder below the logs", path.join("."));
            self.error(path, "bad-value", &message, "write a relative path without `..`");
        }
    }

    fn telemetry(&mut self) {
        let telemetry = &self.file.telemetry;
        if !telemetry.enabled {
            return;
        }
        if telemetry.dcgm_exporter.is_none() {
            let message = "`telemetry` needs `telemetry.dcgm_exporter`";
            let help = "add `dcgm_exporter:` with `container_image` and `port`";
            self.error(&["telemetry", "enabled"], "missing-key", message, help);
        }
        self.exporter(&["telemetry", "dcgm_exporter"], telemetry.dcgm_exporter.as_ref());
        let positive = [
            ("default_frequency", telemetry.default_frequency),
            ("startup_timeout_seconds", telemetry.startup_timeout_seconds),
            ("request_timeout_seconds", telemetry.request_timeout_seconds),
        ];
        for (key, value) in positive {
            if value <= 0.0 {
                let message = format!("`telemetry.{key}` must be greater than 0");
                self.error(&["telemetry", key], "out-of-range", &message, "");
            }
        }
        if telemetry.default_frequency > 3.0 {
            let message =
                "`telemetry.default_frequency` must be at most 3 s: power is not known over longer gaps";
            self.error(&["telemetry", "default_frequency"], "out-of-range", message, "write 1.0");
        }
        if let Some(timeout) = telemetry.collector_join_timeout_seconds {
            let cycles = 2.0 * (2.0 * telemetry.request_timeout_seconds + 1.0);
            if timeout <= cycles {
                let message = format!(
                    "`telemetry.collector_join_timeout_seconds` must be more than two collector cycles, which take {} s",
                    srt_yaml::python_float(cycles)
                );
                self.error(
                    &["telemetry", "collector_join_timeout_seconds"],
                    "out-of-range",
                    &message,
                    "remove the line",
                );
            }
        }
        self.subfolder(&["telemetry", "storage_subdir"], &telemetry.storage_subdir);
        let benchmark = &self.file.benchmark;
        if benchmark.kind != "sa-bench" {
            let message = "`telemetry` measures power only under `benchmark.type: sa-bench`";
            self.error(&["benchmark", "type"], "unsupported", message, "");
        }
        if benchmark.client_placement != Placement::Head {
            let message = "`telemetry` needs `benchmark.client_placement: head`";
            self.error(&["benchmark", "client_placement"], "unsupported", message, "remove the line");
        }
        if self.file.infra.etcd_nats_dedicated_node {
            let message = "`telemetry` does not work with `infra.etcd_nats_dedicated_node`";
            self.error(&["infra", "etcd_nats_dedicated_node"], "unsupported", message, "");
        }
        let points = concurrency_points(benchmark).unwrap_or_default();
        let mut distinct = points.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if points.is_empty() || distinct.len() != points.len() || points.iter().any(|it| *it <= 0) {
            let message =
                "`telemetry` needs `benchmark.concurrencies` of at least one, all different, all above 0";
            self.error(&["benchmark", "concurrencies"], "bad-value", message, "");
        }
    }

    fn mooncake(&mut self) {
        if !self.disaggregated {
            return;
        }
        let (config, wanted, found) = match &self.file.backend {
            BackendSection::Sglang(it) if it.mooncake_kv_store.is_some() => {
                let is_mooncake = |flags: &EngineFlags| {
                    flag(flags, "disaggregation-transfer-backend").and_then(Value::as_str) == Some("mooncake")
                };
                (
                    "sglang_config",
                    "`disaggregation-transfer-backend: mooncake`",
                    prefill_or_decode(it.config.as_ref(), is_mooncake),
                )
            }
            BackendSection::Vllm(it) if it.mooncake_kv_store.is_some() => {
                let is_mooncake = |flags: &EngineFlags| {
                    flag(flags, "kv-transfer-config")
                        .and_then(Value::as_str)
                        .is_some_and(|text| text.to_ascii_lowercase().contains("mooncake"))
                };
                (
                    "vllm_config",
                    "`kv-transfer-config` with a Mooncake connector, as text",
                    prefill_or_decode(it.config.as_ref(), is_mooncake),
                )
            }
            _ => return,
        };
        if !found {
            let message = format!("`backend.mooncake_kv_store` is not used: no worker has {wanted}");
            let help = format!("add it to `{config}.prefill` and `{config}.decode`, or remove the store");
            self.error(&["backend", "mooncake_kv_store"], "missing-key", &message, &help);
        }
    }

    fn vllm_data_parallel(&mut self) {
        let BackendSection::Vllm(vllm) = &self.file.backend else { return };
        let is_parallel =
            |flags: &EngineFlags| flag(flags, "data-parallel-size").is_some_and(|it| !it.is_null());
        let roles: Vec<_> =
            role_flags(vllm.config.as_ref()).filter(|(_, flags)| is_parallel(flags)).collect();
        if vllm.dp_launch_mode == DpLaunchMode::PerGpu {
            if !roles.is_empty() && self.file.frontend.kind != FrontendKind::Vllm {
                let message = "`dp_launch_mode: per_gpu` is deprecated";
                self.warning(&["backend", "dp_launch_mode"], "deprecated", message, "write `per_node`");
            }
            return;
        }
        for (role, flags) in roles {
            if flags.contains_key("headless") {
                let message = "`headless` is derived with `dp_launch_mode: per_node` and may not be set";
                self.error(
                    &["backend", "vllm_config", role, "headless"],
                    "conflicting-keys",
                    message,
                    "remove the line",
                );
            }
            for key in ["data-parallel-hybrid-lb", "data_parallel_hybrid_lb"] {
                if flags.contains_key(key) {
                    let message = format!("`{key}` is derived with `dp_launch_mode: per_node`");
                    self.warning(
                        &["backend", "vllm_config", role, key],
                        "no-effect",
                        &message,
                        "remove the line",
                    );
                }
            }
        }
    }

    fn het_jobs(&mut self) {
        let resources = &self.file.resources;
        if resources.het_jobs != Some(true) {
            return;
        }
        if !self.disaggregated {
            let message = "`het_jobs` needs a disaggregated job";
            let help = "set `resources.prefill_nodes` and `resources.decode_nodes`, or `het_jobs: false`";
            self.error(&HET_JOBS, "unsupported", message, help);
            return;
        }
        for (key, nodes) in
            [("prefill_nodes", resources.prefill_nodes), ("decode_nodes", resources.decode_nodes)]
        {
            if nodes.unwrap_or(0) < 1 {
                let message = format!("`het_jobs` needs `resources.{key}` of at least 1");
                self.error(&["resources", key], "out-of-range", &message, "or set `het_jobs: false`");
            }
        }
        if !matches!(self.file.backend, BackendSection::Sglang(_)) {
            let message = "`het_jobs` works only with `backend.type: sglang`";
            self.error(&HET_JOBS, "unsupported", message, "set `resources.het_jobs: false`");
        }
        if self.file.frontend.dedicated_node || self.file.benchmark.client_dedicated_node {
            let message = "`het_jobs` does not work with a dedicated node for the frontend or the client";
            self.error(&HET_JOBS, "conflicting-keys", message, "remove one of them");
        }
    }

    fn dedicated_nodes(&mut self) {
        if self.file.frontend.dedicated_node && self.file.frontend.orchestrator_placement != Placement::Head {
            let message =
                "a frontend on a dedicated node cannot also be placed by `frontend.orchestrator_placement`";
            self.error(
                &["frontend", "orchestrator_placement"],
                "conflicting-keys",
                message,
                "remove the line",
            );
        }
        if self.file.benchmark.client_dedicated_node
            && self.file.benchmark.client_placement != Placement::Head
        {
            let message =
                "a client on a dedicated node cannot also be placed by `benchmark.client_placement`";
            self.error(&["benchmark", "client_placement"], "conflicting-keys", message, "remove the line");
        }
    }

    fn frontend(&mut self) {
        let (name, engine, fits) = match self.file.frontend.kind {
            FrontendKind::TrtllmServe => {
                ("trtllm_serve", "trtllm", matches!(self.file.backend, BackendSection::Trtllm(_)))
            }
            FrontendKind::Vllm => ("vllm", "vllm", matches!(self.file.backend, BackendSection::Vllm(_))),
            FrontendKind::Mock => ("mock", "mocker", matches!(self.file.backend, BackendSection::Mocker(_))),
            FrontendKind::Dynamo | FrontendKind::Sglang => return,
        };
        let at = ["frontend", "type"];
        if !fits {
            let message = format!("`frontend.type: {name}` needs `backend.type: {engine}`");
            self.error(&at, "unsupported", &message, "write `type: dynamo`, or change the backend");
        }
        if self.file.frontend.kind == FrontendKind::Mock {
            return;
        }
        if self.file.frontend.enable_multiple_frontends {
            let message = format!("`frontend.type: {name}` has one public endpoint");
            self.error(&at, "unsupported", &message, "add `enable_multiple_frontends: false` to `frontend`");
        }
        if self.disaggregated {
            if self.file.frontend.kind == FrontendKind::Vllm {
                let message = "`frontend.type: vllm` serves aggregated jobs only";
                self.error(
                    &at,
                    "unsupported",
                    message,
                    "write `type: dynamo`, or set `agg_nodes` and `agg_workers`",
                );
            }
            return;
        }
        let workers = self.file.resources.agg_workers.unwrap_or(0);
        if workers != 1 {
            let message = format!("`frontend.type: {name}` needs exactly 1 aggregated worker, not {workers}");
            self.error(&["resources", "agg_workers"], "out-of-range", &message, "write `agg_workers: 1`");
        }
    }

    /// Fields that the chosen type does not read were silently ignored by earlier versions.
    fn unused_fields(&mut self) {
        let benchmark = self.file.benchmark.kind.as_str();
        if KNOWN_BENCHMARKS.contains(&benchmark) {
            self.unused_in("benchmark", benchmark, &BenchmarkSection::table());
        }
        if let Value::String(frontend) = srt_yaml::FromNode::show(&self.file.frontend.kind) {
            self.unused_in("frontend", &frontend, &FrontendSection::table());
        }
    }

    fn unused_in(&mut self, section: &str, kind: &str, table: &srt_yaml::SectionTable) {
        for field in &table.fields {
            let Some(users) = field.rules.used_by.filter(|users| !users.contains(&kind)) else { continue };
            let Some(entry) =
                self.tree.at(&[section]).and_then(Node::as_map).and_then(|map| map.entry(field.key))
            else {
                continue;
            };
            if entry.value.is_null() {
                continue;
            }
            let message = format!("`{section}.{}` has no effect with `{section}.type: {kind}`", field.key);
            let list: Vec<String> = users.iter().map(|it| format!("`{it}`")).collect();
            let help = format!("remove the line; it is read by {}", list.join(", "));
            let span = entry.key_span;
            self.decoder.warning(span, "unused-by-type", message, Some(help));
        }
    }

    fn benchmark_name(&mut self) {
        let kind = self.file.benchmark.kind.as_str();
        if KNOWN_BENCHMARKS.contains(&kind) {
            return;
        }
        let at = ["benchmark", "type"];
        let message = format!("there is no benchmark `{kind}`");
        if let Some(near) = srt_yaml::nearest(kind, KNOWN_BENCHMARKS) {
            self.error(&at, "unknown-value", &message, &format!("did you mean `{near}`?"));
        } else {
            let known = KNOWN_BENCHMARKS.map(|it| format!("`{it}`")).join(", ");
            self.warning(&at, CANNOT_RUN, &message, &format!("known are {known}"));
        }
    }

    /// What the benchmark would refuse when its turn comes, hours into the job. The earlier tool loaded such recipes,
    /// and they may be meant for serving only, so these are warnings.
    fn benchmark(&mut self) {
        let benchmark = &self.file.benchmark;
        let kind = benchmark.kind.as_str();
        let custom_dataset = benchmark.dataset_name.as_deref() == Some("custom");
        let blank = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
        let needs_lengths = (kind == "sa-bench" && !custom_dataset) || kind == "sglang-bench";
        let mut missing: Vec<&str> = Vec::new();
        if needs_lengths {
            missing.extend(benchmark.isl.is_none().then_some("isl"));
            missing.extend(benchmark.osl.is_none().then_some("osl"));
        }
        if matches!(kind, "sa-bench" | "sglang-bench" | "trace-replay") {
            missing.extend(benchmark.concurrencies.is_none().then_some("concurrencies"));
        }
        missing.extend(
            (kind == "sa-bench" && custom_dataset && blank(&benchmark.dataset_path))
                .then_some("dataset_path"),
        );
        missing.extend((kind == "custom" && blank(&benchmark.command)).then_some("command"));
        missing.extend((kind == "trace-replay" && blank(&benchmark.trace_file)).then_some("trace_file"));
        for key in missing {
            let message = format!("`benchmark.type: {kind}` needs `benchmark.{key}`");
            self.warning(&["benchmark", "type"], CANNOT_RUN, &message, &format!("add `{key}:`"));
        }
        if matches!(kind, "sa-bench" | "sglang-bench") && benchmark.concurrencies.is_some() {
            let good = concurrency_points(benchmark)
                .is_some_and(|points| !points.is_empty() && points.iter().all(|it| *it > 0));
            if !good {
                let message = "`benchmark.concurrencies` must be integers above 0";
                self.warning(
                    &["benchmark", "concurrencies"],
                    CANNOT_RUN,
                    message,
                    "write [4, 8], or \"4x8\"",
                );
            }
        }
        if kind == "router" && self.file.frontend.kind != FrontendKind::Sglang {
            let message = "`benchmark.type: router` needs `frontend.type: sglang`";
            self.warning(&["benchmark", "type"], CANNOT_RUN, message, "");
        }
        let workloads = ["mooncake", "conversation", "synthetic", "toolagent"];
        if kind == "mooncake-router"
            && let Some(workload) =
                benchmark.mooncake_workload.as_deref().filter(|it| !workloads.contains(it))
        {
            let message = format!("there is no trace `{workload}`");
            let known = workloads.map(|it| format!("`{it}`")).join(", ");
            self.warning(
                &["benchmark", "mooncake_workload"],
                CANNOT_RUN,
                &message,
                &format!("known are {known}"),
            );
        }
        let thresholds = [
            ("ttft_threshold_ms", benchmark.ttft_threshold_ms),
            ("itl_threshold_ms", benchmark.itl_threshold_ms),
        ];
        let evaluation = [
            ("num_examples", benchmark.num_examples),
            ("max_tokens", benchmark.max_tokens),
            ("num_threads", benchmark.num_threads),
            ("repeat", benchmark.repeat),
            ("num_shots", benchmark.num_shots.map(|shots| shots + 1)),
        ];
        let counts: &[(&str, Option<i64>)] = match kind {
            "mooncake-router" => &thresholds,
            "gsm8k" => &evaluation,
            _ => &[],
        };
        for (key, count) in counts {
            if count.is_some_and(|count| count <= 0) {
                self.warning(&["benchmark", key], CANNOT_RUN, &format!("`benchmark.{key}` is too small"), "");
            }
        }
    }

    fn layout(&mut self) {
        for problem in layout_problems(&self.file.resources) {
            let keys = ["resources", problem.key];
            if problem.can_be_planned {
                self.warning(&keys, problem.code, &problem.message, problem.help);
            } else {
                self.error(&keys, problem.code, &problem.message, problem.help);
                self.decoder.fail(Path::ROOT.key("resources"));
            }
        }
    }

    /// Whether the workers fit the nodes: asked of the same function that will place them.
    fn allocation(&mut self) {
        let resources = &self.file.resources;
        let gpus = GpusPerWorker::of(resources);
        let small = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        let workers = |count: Option<i64>, gpus: i64| Workers {
            count: small(count.unwrap_or(0)),
            gpus_each: small(gpus),
        };
        let prefill = workers(resources.prefill_workers, gpus.prefill);
        let decode = workers(resources.decode_workers, gpus.decode);
        let agg = workers(resources.agg_workers, gpus.agg);
        let total: u64 =
            [prefill, decode, agg].iter().map(|it| u64::from(it.count) * u64::from(it.gpus_each)).sum();
        let per_node = resources.gpus_per_node.unsigned_abs();
        let colocate = match &self.file.backend {
            BackendSection::Vllm(vllm) => {
                vllm.allow_prefill_decode_colocation
                    && prefill.count > 0
                    && decode.count > 0
                    && (total <= per_node || vllm.allow_prefill_decode_colocation_across_nodes)
            }
            _ => false,
        };
        let role_nodes = |nodes: Option<i64>| u64::try_from(nodes.unwrap_or(0)).unwrap_or(0);
        let node_count = if colocate {
            total.div_ceil(per_node.max(1))
        } else if self.disaggregated {
            role_nodes(resources.prefill_nodes) + role_nodes(resources.decode_nodes)
        } else {
            role_nodes(resources.agg_nodes).max(1)
        };
        let pools = if resources.het_jobs == Some(true) && self.disaggregated {
            NodePools::Separate {
                prefill: preview_nodes(0, role_nodes(resources.prefill_nodes)),
                decode: preview_nodes(
                    role_nodes(resources.prefill_nodes),
                    role_nodes(resources.decode_nodes),
                ),
            }
        } else {
            NodePools::Shared {
                nodes: preview_nodes(0, node_count),
                spread_workers: resources.spread_workers,
                colocate,
            }
        };
        let request =
            AllocationRequest { gpus_per_node: small(resources.gpus_per_node), prefill, decode, agg, pools };
        if let Err(problem) = allocate_endpoints(&request) {
            let span = self.allocation_span(&problem);
            let help = "give the role more nodes, fewer workers, or fewer GPUs for each worker".to_owned();
            self.decoder.error(span, "impossible-topology", problem.to_string(), Some(help));
        }
    }

    /// More workers than GPUs leave none for each.
    fn workers_without_gpus(&mut self) {
        if matches!(self.file.backend, BackendSection::Mocker(_)) {
            return;
        }
        let resources = &self.file.resources;
        let gpus = GpusPerWorker::of(resources);
        let roles = [
            ("prefill_workers", resources.prefill_workers, gpus.prefill),
            ("decode_workers", resources.decode_workers, gpus.decode),
            ("agg_workers", resources.agg_workers, gpus.agg),
        ];
        for (key, workers, gpus) in roles {
            if workers.unwrap_or(0) > 0 && gpus == 0 {
                let message = format!("`resources.{key}` leaves no GPU for each worker");
                let help = "give the role more nodes or fewer workers";
                self.warning(&["resources", key], "no-gpus", &message, help);
            }
        }
    }

    fn allocation_span(&self, problem: &srt_topology::AllocationError) -> Span {
        let role = match problem {
            srt_topology::AllocationError::NotEnoughNodes { worker, .. } => worker.role,
            srt_topology::AllocationError::Overlap { second, .. } => second.role,
            srt_topology::AllocationError::AggInSeparatePools { .. } => Role::Agg,
            srt_topology::AllocationError::NoGpusOnNodes
            | srt_topology::AllocationError::TooManyGpusOnNodes { .. } => {
                return self.tree.span_at(&["resources", "gpus_per_node"]);
            }
            srt_topology::AllocationError::TooManyWorkers { .. } => return self.tree.span_at(&["resources"]),
        };
        let nodes = format!("{role}_nodes");
        let workers = format!("{role}_workers");
        let given = |key: &str| self.tree.at(&["resources", key]).is_some();
        let key = [&nodes, &workers].into_iter().find(|key| given(key)).unwrap_or(&nodes);
        self.tree.span_at(&["resources", key])
    }

    /// Parallel sizes of the engine against the GPUs of a worker.
    fn parallelism(&mut self) {
        let resources = &self.file.resources;
        let gpus = GpusPerWorker::of(resources);
        let (section, config) = match &self.file.backend {
            BackendSection::Sglang(it) => ("sglang_config", &it.config),
            BackendSection::Trtllm(it) => ("trtllm_config", &it.config),
            BackendSection::Vllm(it) => ("vllm_config", &it.config),
            BackendSection::Mocker(_) => return,
        };
        let roles = [
            ("prefill", resources.prefill_workers, gpus.prefill),
            ("decode", resources.decode_workers, gpus.decode),
            ("aggregated", resources.agg_workers, gpus.agg),
        ];
        for (role, flags) in role_flags(config.as_ref()) {
            let Some((_, workers, gpus)) = roles.iter().find(|(name, ..)| *name == role) else { continue };
            // Workers without a GPU are told of already.
            if workers.unwrap_or(0) == 0 || *gpus == 0 {
                continue;
            }
            let per_node = resources.gpus_per_node.max(1);
            // Workers of whole nodes get all GPUs of them.
            let granted = if *gpus >= per_node { (gpus + per_node - 1) / per_node * per_node } else { *gpus };
            let sizes = ParallelSizes::of(&self.file.backend, flags);
            let Some((key, needed)) = sizes.gpus() else { continue };
            if needed == granted {
                continue;
            }
            let message = format!(
                "the {role} workers have {granted} GPUs each, but their flags need {needed}: {sizes}"
            );
            let short = if role == "aggregated" { "agg" } else { role };
            let help = &format!(
                "make the sizes multiply to {granted}, or set `resources.gpus_per_{short}` to {needed}"
            );
            let path = ["backend", section, role, key];
            // Only vLLM's data-parallel processes are laid out by these sizes; elsewhere the engine has the last word.
            if sizes.decides_layout {
                self.error(&path, "parallel-size-mismatch", &message, help);
            } else {
                self.warning(&path, "parallel-size-mismatch", &message, help);
            }
        }
    }

    /// Flags are the engine's, and any may be given; one that is a letter away from a known one is a slip.
    fn flags(&mut self) {
        let Some(backend) = self.tree.at(&["backend"]).and_then(Node::as_map) else { return };
        let sections = backend.iter().filter_map(|(section, entry)| Some((section, entry.value.as_map()?)));
        for (section, roles) in sections.filter(|(section, _)| section.ends_with("_config")) {
            for flags in roles.iter().filter_map(|(_, entry)| entry.value.as_map()) {
                for (key, entry) in flags.iter() {
                    if let Some(near) = meant_flag(section, key) {
                        let message = format!("`{key}` is no flag that is known");
                        let help = format!("did you mean `{near}`? If not, it is passed on as it is");
                        self.decoder.warning(entry.key_span, "unknown-flag", message, Some(help));
                    }
                }
            }
        }
    }

    fn time_limit(&mut self) {
        let Some(limit) = &self.file.slurm.time_limit else { return };
        if !is_time_limit(limit) {
            let message = format!("`slurm.time_limit` is no time that Slurm knows: {limit}");
            let help = "write minutes, \"HH:MM:SS\", or \"DAYS-HH:MM:SS\"";
            self.error(&["slurm", "time_limit"], "bad-value", &message, help);
        }
    }

    /// Names of options and flags are written without the dashes of the command line.
    fn option_names(&mut self) {
        for section in ["srun_options", "sbatch_directives"] {
            let Some(options) = self.tree.at(&[section]).and_then(Node::as_map) else { continue };
            for (key, entry) in options.iter().filter(|(key, _)| key.starts_with('-')) {
                let message = format!("`{section}` has the option `{key}` with its dashes");
                let help = format!("write `{}`", key.trim_start_matches('-'));
                self.decoder.error(entry.key_span, "bad-value", message, Some(help));
            }
        }
    }

    /// No shell takes another name, so that the variable would be lost or end the job.
    fn variable_names(&mut self) {
        let places: [&[&str]; 6] = [
            &["environment"],
            &["backend", "prefill_environment"],
            &["backend", "decode_environment"],
            &["backend", "aggregated_environment"],
            &["frontend", "env"],
            &["benchmark", "env"],
        ];
        for place in places {
            let Some(variables) = self.tree.at(place).and_then(Node::as_map) else { continue };
            for (key, entry) in variables.iter().filter(|(key, _)| !is_variable_name(key)) {
                let message = format!("`{key}` in `{}` is no name of a variable", place.join("."));
                let help = "names are letters, digits, and `_`, and do not start with a digit".to_owned();
                self.decoder.error(entry.key_span, "bad-value", message, Some(help));
            }
        }
    }

    fn mounts(&mut self) {
        let Some(items) = self.tree.at(&["extra_mount"]).and_then(Node::as_list) else { return };
        for item in items {
            if item.as_str().is_some_and(|text| !text.contains(':')) {
                let message = "a mount must be `host:container`".to_owned();
                let help = "write both paths with a colon between".to_owned();
                self.decoder.error(item.span, "bad-value", message, Some(help));
            }
        }
    }
}

/// The code of warnings about a benchmark that will fail when its turn comes.
const CANNOT_RUN: &str = "benchmark-cannot-run";

const TACHOMETER: [&str; 2] = ["observability", "tachometer"];
const HET_JOBS: [&str; 2] = ["resources", "het_jobs"];

const KNOWN_BENCHMARKS: [&str; 12] = [
    "manual",
    "custom",
    "gpqa",
    "gsm8k",
    "lm-eval",
    "longbenchv2",
    "mmlu",
    "mooncake-router",
    "router",
    "sa-bench",
    "sglang-bench",
    "trace-replay",
];

/// The flags of each role that has any.
fn role_flags(config: Option<&RoleFlags>) -> impl Iterator<Item = (&'static str, &EngineFlags)> {
    let roles = config.map(|it| {
        [
            ("prefill", it.prefill.as_ref()),
            ("decode", it.decode.as_ref()),
            ("aggregated", it.aggregated.as_ref()),
        ]
    });
    roles.into_iter().flatten().filter_map(|(role, flags)| flags.map(|flags| (role, flags)))
}

fn prefill_or_decode(config: Option<&RoleFlags>, found: impl Fn(&EngineFlags) -> bool) -> bool {
    role_flags(config).any(|(role, flags)| role != "aggregated" && found(flags))
}

/// Minutes, minutes:seconds, hours:minutes:seconds, days-hours with or without minutes and seconds, or no limit.
fn is_time_limit(text: &str) -> bool {
    let text = text.trim();
    if ["UNLIMITED", "INFINITE"].contains(&text.to_ascii_uppercase().as_str()) {
        return true;
    }
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (Some(days), clock),
        None => (None, text),
    };
    let is_number =
        |part: &str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    days.is_none_or(is_number) && clock.split(':').count() <= 3 && clock.split(':').all(is_number)
}

fn is_variable_name(text: &str) -> bool {
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts_well && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A flag under its name with dashes, or with underscores.
fn flag<'a>(flags: &'a EngineFlags, name: &str) -> Option<&'a Value> {
    flags.get(name).or_else(|| flags.get(name.replace('-', "_").as_str()))
}

/// The concurrencies as numbers; `None` where the text holds something else.
fn concurrency_points(benchmark: &BenchmarkSection) -> Option<Vec<i64>> {
    match benchmark.concurrencies.as_ref()? {
        Concurrencies::List(points) => Some(points.clone()),
        Concurrencies::Text(text) => text.split('x').map(|part| part.trim().parse().ok()).collect(),
    }
}

fn preview_nodes(first: u64, count: u64) -> Vec<NodeName> {
    (first..first + count)
        .map(|index| format!("node{:04}", index + 1).parse().expect("letters and digits name a node"))
        .collect()
}

/// Parallel sizes as the engine's flags give them.
struct ParallelSizes<'a> {
    /// Flag and size, of the sizes that multiply.
    factors: Vec<(&'a str, i64)>,
    decides_layout: bool,
}

impl<'a> ParallelSizes<'a> {
    fn of(backend: &BackendSection, flags: &'a EngineFlags) -> Self {
        let names: &[&[&str]] = match backend {
            BackendSection::Sglang(_) => {
                &[&["tensor-parallel-size", "tp-size", "tp"], &["pipeline-parallel-size", "pp-size", "pp"]]
            }
            BackendSection::Vllm(_) => {
                &[&["tensor-parallel-size"], &["pipeline-parallel-size"], &["data-parallel-size"]]
            }
            _ => &[&["tensor-parallel-size"], &["pipeline-parallel-size"], &["context-parallel-size"]],
        };
        let mut factors = Vec::new();
        for spellings in names {
            let found = flags.iter().find(|(key, _)| spellings.contains(&key.replace('_', "-").as_str()));
            if let Some((key, Value::Int(size))) = found {
                factors.push((key.as_str(), *size));
            }
        }
        let vllm = matches!(backend, BackendSection::Vllm(_));
        let decides_layout = vllm && factors.iter().any(|(key, size)| key.starts_with("data") && *size != 0);
        Self { factors, decides_layout }
    }

    /// The first flag and the GPUs that all of them need; `None` where they say nothing.
    fn gpus(&self) -> Option<(&'a str, i64)> {
        let (key, _) = self.factors.first()?;
        let zero = self.factors.iter().any(|(_, size)| *size <= 0);
        let product = self.factors.iter().try_fold(1_i64, |product, (_, size)| product.checked_mul(*size))?;
        (!zero).then_some((key, product))
    }
}

impl std::fmt::Display for ParallelSizes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (key, size)) in self.factors.iter().enumerate() {
            let separator = if index == 0 { "" } else { " × " };
            write!(f, "{separator}{key} {size}")?;
        }
        Ok(())
    }
}
