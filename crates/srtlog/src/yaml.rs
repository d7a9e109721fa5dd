//! YAML files of a run, as JSON values. The only use of the YAML library in this crate.

use serde_json::Value as Json;
use srt_yaml::{Source, Sources, Value};

/// Reads YAML text; `Err` says in one line what is wrong.
pub(crate) fn read(path: &str, text: String) -> Result<Json, String> {
    let mut sources = Sources::default();
    let file = sources.add(&Source { path: path.to_owned(), text });
    let mut diagnostics = Vec::new();
    match srt_yaml::parse(&sources, file, &mut diagnostics) {
        Some(tree) => Ok(to_json(tree.to_value())),
        None => Err(diagnostics.first().map_or_else(|| "no YAML".to_owned(), |first| first.message.clone())),
    }
}

fn to_json(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(value),
        Value::Int(value) => Json::from(value),
        Value::Float(value) => serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number),
        Value::String(value) => Json::String(value),
        Value::List(items) => Json::Array(items.into_iter().map(to_json).collect()),
        Value::Map(entries) => {
            Json::Object(entries.into_iter().map(|(key, value)| (key, to_json(value))).collect())
        }
    }
}
