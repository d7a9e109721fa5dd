//! Rules between fields. Every broken rule is reported, not only the first; a rule is silent where a value it looks
//! at could not be read, because that is reported already.

mod benchmark;
mod observability;
mod topology;

use srt_yaml::{Decoder, Node, Span, Value};

use crate::{
    flags::meant_flag,
    read::is_disaggregated,
    recipe::{DpLaunchMode, EngineFlags, FrontendKind, Placement},
    sections::{BackendSection, RecipeFile, RoleFlags},
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
    rules.when(&["resources", "backend"], Rules::workers_without_gpus);
    // These look at keys and texts as they stand, whatever else is wrong.
    rules.flags();
    rules.time_limit();
    rules.option_names();
    rules.variable_names();
    rules.mounts();
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

const HET_JOBS: [&str; 2] = ["resources", "het_jobs"];

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
