//! What a recipe's tree gets before it is read: the cluster's defaults and aliases, and what observability implies.

use indexmap::IndexMap;
use srt_yaml::{Kind, Map, Node, Span};

use crate::{report::Report, sections::ClusterFile};

/// The cluster file as it is applied to recipes: its sections, and its tree for the places of its values.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) file: ClusterFile,
    pub(crate) tree: Node,
}

impl Cluster {
    /// Fills what the recipe leaves open, and replaces aliases.
    pub(crate) fn apply(&self, recipe: &mut Node) {
        let Some(root) = recipe.as_map_mut() else { return };
        for (key, default) in [
            ("account", "default_account"),
            ("partition", "default_partition"),
            ("time_limit", "default_time_limit"),
        ] {
            if let Some(value) = self.tree.at(&[default]).filter(|value| value.is_truthy()) {
                insert_absent(section(root, "slurm", value.span), key, value);
            }
        }
        if let Some(directives) = self.tree.at(&["default_sbatch_directives"]).and_then(Node::as_map) {
            for (key, entry) in directives.iter() {
                insert_absent(section(root, "sbatch_directives", entry.key_span), key, &entry.value);
            }
        }
        if let Some(resources) = root.get_mut("resources").and_then(Node::as_map_mut)
            && resources.get("het_jobs").is_none_or(Node::is_null)
        {
            let span = self.tree.span_at(&["use_het_jobs"]);
            resources.insert(
                "het_jobs".to_owned(),
                span,
                Node::new(span, Kind::Bool(self.file.use_het_jobs)),
            );
        }
        for (key, default) in [("reporting", "reporting"), ("health_check", "default_health_check")] {
            if let Some(value) = self.tree.at(&[default]).filter(|value| value.is_truthy())
                && root.get(key).is_none()
            {
                root.insert(key.to_owned(), value.span, value.clone());
            }
        }
        if let Some(value) = self.tree.at(&["nginx_raise_ulimit"]).filter(|value| !value.is_null()) {
            insert_absent(section(root, "frontend", value.span), "nginx_raise_ulimit", value);
        }
        self.replace_aliases(recipe);
    }

    fn replace_aliases(&self, recipe: &mut Node) {
        let nothing = IndexMap::new();
        let models = self.file.model_paths.as_ref().unwrap_or(&nothing);
        let containers = self.file.containers.as_ref().unwrap_or(&nothing);
        replace_alias(recipe, &["model", "path"], models);
        for path in CONTAINER_FIELDS {
            replace_alias(recipe, path, containers);
        }
    }
}

/// Fields that take an alias of `containers`.
pub(crate) const CONTAINER_FIELDS: [&[&str]; 6] = [
    &["model", "container"],
    &["frontend", "nginx_container"],
    &["benchmark", "container_image"],
    &["observability", "tachometer", "dcgm_exporter", "container_image"],
    &["observability", "tachometer", "node_exporter", "container_image"],
    &["telemetry", "dcgm_exporter", "container_image"],
];

fn replace_alias(recipe: &mut Node, path: &[&str], aliases: &IndexMap<String, String>) {
    let node = path.iter().try_fold(recipe, |node, key| node.as_map_mut()?.get_mut(key));
    if let Some(Node { kind: Kind::String(text), .. }) = node
        && let Some(target) = aliases.get(text.as_str())
    {
        text.clone_from(target);
    }
}

/// The mapping under a key; created where the key is absent. `None` where something else stands there, which is
/// reported when the sections are read.
fn section<'a>(map: &'a mut Map, key: &str, span: Span) -> Option<&'a mut Map> {
    if map.get(key).is_none() {
        map.insert(key.to_owned(), span, Node::new(span, Kind::Map(Map::default())));
    }
    map.get_mut(key)?.as_map_mut()
}

fn insert_absent(map: Option<&mut Map>, key: &str, value: &Node) {
    if let Some(map) = map
        && map.get(key).is_none()
    {
        map.insert(key.to_owned(), value.span, value.clone());
    }
}

const LOGGING: [(&str, &str); 3] =
    [("DYN_LOGGING_SPAN_EVENTS", "true"), ("DYN_LOGGING_JSONL", "true"), ("DYN_LOG", "debug")];

const TRACING: [(&str, &str); 2] =
    [("DYN_REQUEST_TRACE", "1"), ("DYN_REQUEST_TRACE_FILE_PATH", "/logs/dynamo-request-trace")];

/// What `observability.enabled` implies for variables and engine settings. What the recipe says itself stays.
pub(crate) fn expand_observability(recipe: &mut Node, report: &mut Report<'_>) {
    if !recipe.at(&["observability", "enabled"]).is_some_and(Node::is_truthy) {
        return;
    }
    let span = recipe.span_at(&["observability", "enabled"]);
    let trtllm = recipe.at(&["backend", "type"]).and_then(Node::as_str) == Some("trtllm");
    let Some(root) = recipe.as_map_mut() else { return };
    let text = |text: &str| Node::new(span, Kind::String(text.to_owned()));
    if let Some(backend) = section(root, "backend", span) {
        for environment in ["prefill_environment", "decode_environment", "aggregated_environment"] {
            replace_null(backend, environment, span);
            for (key, value) in LOGGING {
                insert_absent(section(backend, environment, span), key, &text(value));
            }
        }
        if trtllm {
            expand_trtllm(backend, span, report);
        }
    }
    if let Some(frontend) = section(root, "frontend", span) {
        replace_null(frontend, "env", span);
        for (key, value) in LOGGING.iter().chain(&TRACING) {
            insert_absent(section(frontend, "env", span), key, &text(value));
        }
    }
}

fn expand_trtllm(backend: &mut Map, span: Span, report: &mut Report<'_>) {
    let on = Node::new(span, Kind::Bool(true));
    if let Some(entry) = backend.entry("publish_events_and_metrics")
        && !entry.value.is_truthy()
    {
        let message =
            "with `publish_events_and_metrics: false` the engine reports no metrics to observe".to_owned();
        report.warning(entry.key_span, "no-metrics", message, Some("remove the line".to_owned()));
    }
    insert_absent(Some(backend), "publish_events_and_metrics", &on);
    let Some(config) = section(backend, "trtllm_config", span) else { return };
    for role in config.values_mut() {
        for key in ["enable_iter_perf_stats", "return_perf_metrics"] {
            insert_absent(role.as_map_mut(), key, &on);
        }
    }
}

fn replace_null(map: &mut Map, key: &str, span: Span) {
    if let Some(node) = map.get_mut(key)
        && node.is_null()
    {
        *node = Node::new(span, Kind::Map(Map::default()));
    }
}
