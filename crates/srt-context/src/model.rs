//! Where the model lies, and the name it is served under.

use srt_launch::python;
use srt_schema::recipe::{Engine, Recipe};
use srt_yaml::Value;

use crate::text;

/// Where the model lies, on the host and for a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelLocation {
    /// Folder on the host, or the hub's identifier.
    pub path: String,
    /// Whether the model comes from the hub.
    pub is_hub: bool,
    /// The same for a step: `/model` in a container.
    pub in_step: String,
    /// Node-local copy that workers read.
    pub staged: Option<String>,
}

impl ModelLocation {
    /// What engines are given.
    pub fn for_workers(&self) -> &str {
        self.staged.as_deref().unwrap_or(&self.in_step)
    }
}

/// The name under which the model is served: what a role's engine flags say, else the last part of the path.
pub(crate) fn served_model_name(recipe: &Recipe, path: &str) -> String {
    let names_itself = matches!(recipe.engine, Engine::Sglang(_) | Engine::Vllm(_));
    let roles = [&recipe.roles.prefill, &recipe.roles.agg, &recipe.roles.decode];
    let named = roles
        .into_iter()
        .filter(|_| names_itself)
        .filter_map(|role| role.flags.as_ref())
        .flat_map(|flags| ["served-model-name", "served_model_name"].map(|key| flags.get(key)))
        .flatten()
        .find(|value| python::is_truthy(value));
    match named {
        Some(Value::String(name)) => name.clone(),
        Some(other) => python::text(other),
        None => text::file_name(path).to_owned(),
    }
}
