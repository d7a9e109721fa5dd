//! [`served_model_name`]: the name that clients ask for.

use srt_yaml::Value;

use crate::recipe::{Engine, Recipe};

/// The name that clients ask for: what an SGLang or vLLM flag says, else the last part of the model's path.
pub fn served_model_name(recipe: &Recipe) -> String {
    let from_flags = match recipe.engine {
        Engine::Sglang(_) | Engine::Vllm(_) => {
            let roles = [&recipe.roles.prefill, &recipe.roles.agg, &recipe.roles.decode];
            roles.into_iter().filter_map(|role| role.flags.as_ref()).find_map(|flags| {
                ["served-model-name", "served_model_name"]
                    .iter()
                    .find_map(|key| flags.get(*key).and_then(truthy_text))
            })
        }
        Engine::Trtllm(_) | Engine::Mocker(_) => None,
    };
    from_flags.unwrap_or_else(|| {
        let path = recipe.model.path.trim_end_matches('/');
        path.rsplit('/').next().unwrap_or(path).to_owned()
    })
}

fn truthy_text(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) => None,
        Value::String(text) if text.is_empty() => None,
        other => Some(other.python_str()),
    }
}
