//! What the recipe and the job's own records say about a run.

use serde_json::{Value as Json, json};

use super::{
    RunFacts,
    model::{EnvironmentConfig, FORMAT, Rollup},
};
use crate::{command, number::leading_number, run_dir::RunDir, verdict::Verdict};

/// GPUs of a node when a recipe does not say.
const GPUS_PER_NODE: i64 = 8;

/// The recipe of a run: the resolved one, and behind it the original, which answers where the resolved one is silent.
pub(crate) struct Recipe {
    resolved: Option<Json>,
    original: Option<Json>,
}

impl Recipe {
    pub(crate) fn read(dir: &RunDir, warnings: &mut Vec<String>) -> Recipe {
        let mut places = vec![dir.logs.join("config.yaml"), dir.root.join("config.yaml")];
        places.extend(dir.root.parent().map(|parent| parent.join("config.yaml")));
        Recipe {
            resolved: dir.yaml(&places, warnings),
            original: dir.yaml(&[dir.root.join("recipe.yaml")], warnings),
        }
    }

    pub(crate) fn is_found(&self) -> bool {
        self.resolved.is_some() || self.original.is_some()
    }

    fn get(&self, path: &str) -> Option<&Json> {
        let sources = [self.resolved.as_ref(), self.original.as_ref()];
        sources.into_iter().flatten().find_map(|source| source.pointer(path).filter(|value| !value.is_null()))
    }

    fn text(&self, path: &str) -> Option<String> {
        match self.get(path)? {
            Json::String(text) => Some(text.clone()),
            value @ (Json::Number(_) | Json::Bool(_)) => Some(value.to_string()),
            _ => None,
        }
    }

    fn number(&self, path: &str) -> Option<i64> {
        match self.get(path)? {
            Json::Number(number) => number.as_i64(),
            Json::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A rollup with everything that is known before a log is read.
    pub(crate) fn start(&self, dir: &RunDir, facts: RunFacts) -> Rollup {
        let status = dir.json("status.json").unwrap_or_default();
        let job = dir.job_record().unwrap_or_default();
        let record = |keys: &[&str]| {
            let found = [&status, &job].into_iter().find_map(|source| {
                keys.iter().find_map(|key| source.get(key).filter(|value| !value.is_null()))
            })?;
            let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            (!text.is_empty()).then_some(text)
        };
        let verdict = facts.verdict.or_else(|| serde_json::from_value(status.get("verdict")?.clone()).ok());
        let failed_stage = facts.failed_stage.or_else(|| match &verdict {
            Some(Verdict::Failed { stage, .. }) => Some(stage.clone()),
            Some(Verdict::Valid | Verdict::Invalid { .. }) | None => None,
        });
        // A status that never reached its end is of a run that was killed, or is still under way.
        let is_unfinished = status.get("state").map(|state| state != "ended");
        let partial = facts.partial.or_else(|| Some(is_unfinished? || failed_stage.is_some()));
        let layout = Layout::of(self);
        let backend_type =
            self.is_found().then(|| self.text("/backend/type").unwrap_or_else(|| "sglang".to_owned()));
        Rollup {
            format: FORMAT.to_owned(),
            job_id: facts.job_id.or_else(|| record(&["job_id"])).or_else(|| folder_job_id(dir)),
            job_name: facts.job_name.or_else(|| self.text("/name")).or_else(|| record(&["name", "job_name"])),
            generated_at: facts.generated_at,
            verdict,
            partial,
            failed_stage,
            model_path: self.text("/model/path"),
            model_name: self.model_name(backend_type.as_deref()),
            precision: self.text("/model/precision"),
            gpu_type: self.text("/resources/gpu_type"),
            gpus_per_node: self.is_found().then_some(layout.gpus_per_node),
            backend_type,
            frontend_type: self
                .is_found()
                .then(|| self.text("/frontend/type").unwrap_or_else(|| "dynamo".to_owned())),
            is_disaggregated: layout.is_disaggregated,
            total_nodes: layout.total_nodes,
            total_gpus: layout.total_gpus,
            prefill_nodes: layout.prefill.map(|role| role.nodes),
            decode_nodes: layout.decode.map(|role| role.nodes),
            prefill_workers: layout.prefill.map(|role| role.workers),
            decode_workers: layout.decode.map(|role| role.workers),
            prefill_gpus: layout.prefill.map(|role| role.workers * role.gpus_per_worker),
            decode_gpus: layout.decode.map(|role| role.workers * role.gpus_per_worker),
            agg_nodes: layout.agg.map(|role| role.nodes),
            agg_workers: layout.agg.map(|role| role.workers),
            benchmark_type: self
                .is_found()
                .then(|| self.text("/benchmark/type").unwrap_or_else(|| "manual".to_owned())),
            isl: self.number("/benchmark/isl"),
            osl: self.number("/benchmark/osl"),
            concurrencies: self.get("/benchmark/concurrencies").map(concurrencies).unwrap_or_default(),
            missing_concurrencies: Vec::new(),
            results: Vec::new(),
            max_output_tps: None,
            max_total_tps: None,
            min_mean_ttft_ms: None,
            min_mean_itl_ms: None,
            nodes_summary: None,
            environment_config: None,
            benchmark_command: None,
            tags: facts.tags,
            files: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The name under which the model is served, else the last part of its path.
    fn model_name(&self, backend: Option<&str>) -> Option<String> {
        let backend = backend.unwrap_or("sglang");
        let served = ["prefill", "decode", "aggregated"].iter().find_map(|role| {
            ["served-model-name", "served_model_name"]
                .iter()
                .find_map(|key| self.text(&format!("/backend/{backend}_config/{role}/{key}")))
        });
        served
            .or_else(|| self.text("/served_model_name"))
            .or_else(|| self.text("/model/served_model_name"))
            .or_else(|| {
                let path = self.text("/model/path")?;
                path.trim_end_matches('/').rsplit(['/', ':']).next().map(str::to_owned)
            })
    }

    /// Environment and engine settings. `null` when there are none, so that a run without is told from one not read.
    pub(crate) fn environment(&self, dir: &RunDir, warnings: &mut Vec<String>) -> Option<EnvironmentConfig> {
        let section = |key: &str| -> Json {
            let value = self
                .resolved
                .as_ref()
                .or(self.original.as_ref())
                .and_then(|recipe| recipe.pointer("/backend")?.get(key));
            value.filter(|value| !is_empty(value)).cloned().unwrap_or_else(|| json!({}))
        };
        let engine = |role: &str| -> Json {
            let recipe = self.resolved.as_ref().or(self.original.as_ref());
            ["trtllm_config", "sglang_config", "vllm_config"]
                .iter()
                .find_map(|key| {
                    recipe?.pointer(&format!("/backend/{key}/{role}")).filter(|value| !is_empty(value))
                })
                .cloned()
                .unwrap_or_else(|| json!({}))
        };
        let mut found = EnvironmentConfig {
            prefill_environment: section("prefill_environment"),
            decode_environment: section("decode_environment"),
            aggregated_environment: section("aggregated_environment"),
            prefill_engine_config: engine("prefill"),
            decode_engine_config: engine("decode"),
            aggregated_engine_config: engine("aggregated"),
        };
        for (settings, names) in [
            (&mut found.prefill_engine_config, ["trtllm_config_prefill.yaml", "prefill_config.yaml"]),
            (&mut found.decode_engine_config, ["trtllm_config_decode.yaml", "decode_config.yaml"]),
            (&mut found.aggregated_engine_config, ["trtllm_config_agg.yaml", "agg_config.yaml"]),
        ] {
            if is_empty(settings)
                && let Some(file) = dir.yaml(&names.map(|name| dir.logs.join(name)), warnings)
                && !file.is_null()
            {
                *settings = file;
            }
        }
        let all = [
            &found.prefill_environment,
            &found.decode_environment,
            &found.aggregated_environment,
            &found.prefill_engine_config,
            &found.decode_engine_config,
            &found.aggregated_engine_config,
        ];
        all.iter().any(|value| !is_empty(value)).then_some(found)
    }
}

/// The command that was planned for a log, by the plan that our runs keep.
pub(crate) struct PlannedCommands {
    plan: Option<Json>,
}

impl PlannedCommands {
    pub(crate) fn read(dir: &RunDir) -> PlannedCommands {
        PlannedCommands { plan: dir.json("plan.json") }
    }

    /// The command whose output went to this file of the log folder.
    pub(crate) fn of(&self, log: &str) -> Option<String> {
        let variants = self.plan.as_ref()?.get("variants")?.as_array()?;
        let mut steps = variants.iter().filter_map(|variant| variant.get("steps")?.as_array()).flatten();
        let step = steps.find(|step| step.get("log").and_then(Json::as_str) == Some(log))?;
        let words: Option<Vec<&str>> = step.get("argv")?.as_array()?.iter().map(Json::as_str).collect();
        words.filter(|words| !words.is_empty()).map(|words| command::shell_text(&words))
    }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Object(entries) => entries.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

/// The job's number when the folder is named after it, as `12345` or `12345_name`.
fn folder_job_id(dir: &RunDir) -> Option<String> {
    let name = dir.root.file_name()?.to_str()?;
    let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
    let rest = &name[digits.len()..];
    (!digits.is_empty() && (rest.is_empty() || rest.starts_with(['_', '-']))).then_some(digits)
}

/// `"4x16x64"`, `[4, 16]`, or `4`.
fn concurrencies(value: &Json) -> Vec<i64> {
    match value {
        Json::Array(items) => items.iter().flat_map(concurrencies).collect(),
        Json::Number(number) => number.as_i64().into_iter().collect(),
        Json::String(text) => text
            .split(['x', ',', ' '])
            .filter_map(|part| leading_number(part.trim().as_bytes())?.0.as_i64())
            .collect(),
        Json::Null | Json::Bool(_) | Json::Object(_) => Vec::new(),
    }
}

#[derive(Clone, Copy)]
struct Role {
    nodes: i64,
    workers: i64,
    gpus_per_worker: i64,
}

struct Layout {
    gpus_per_node: i64,
    is_disaggregated: bool,
    total_nodes: Option<i64>,
    total_gpus: Option<i64>,
    prefill: Option<Role>,
    decode: Option<Role>,
    agg: Option<Role>,
}

impl Layout {
    fn of(recipe: &Recipe) -> Layout {
        let resource = |key: &str| recipe.number(&format!("/resources/{key}"));
        let gpus_per_node = resource("gpus_per_node").unwrap_or(GPUS_PER_NODE);
        let role = |nodes: &str, workers: &str, gpus: &str, inherited: i64| {
            let nodes = resource(nodes).unwrap_or(0);
            let workers = resource(workers).unwrap_or(0);
            let divided = (nodes * gpus_per_node).checked_div(workers).filter(|gpus| *gpus > 0);
            Role { nodes, workers, gpus_per_worker: resource(gpus).or(divided).unwrap_or(inherited) }
        };
        let is_disaggregated = ["prefill_nodes", "decode_nodes", "prefill_workers", "decode_workers"]
            .iter()
            .any(|key| resource(key).is_some());
        let mut layout = Layout {
            gpus_per_node,
            is_disaggregated,
            total_nodes: None,
            total_gpus: None,
            prefill: None,
            decode: None,
            agg: None,
        };
        if !recipe.is_found() {
            return layout;
        }
        if is_disaggregated {
            let prefill = role("prefill_nodes", "prefill_workers", "gpus_per_prefill", gpus_per_node);
            // Decode workers without nodes of their own sit on prefill's, and are as large.
            let decode = role("decode_nodes", "decode_workers", "gpus_per_decode", prefill.gpus_per_worker);
            layout.total_nodes = Some(prefill.nodes + decode.nodes);
            layout.total_gpus =
                Some(prefill.workers * prefill.gpus_per_worker + decode.workers * decode.gpus_per_worker);
            (layout.prefill, layout.decode) = (Some(prefill), Some(decode));
        } else {
            let agg = role("agg_nodes", "agg_workers", "gpus_per_agg", gpus_per_node);
            let nodes = agg.nodes.max(1);
            layout.total_nodes = Some(nodes);
            layout.total_gpus = Some(nodes * gpus_per_node);
            layout.agg = Some(agg);
        }
        layout
    }
}
