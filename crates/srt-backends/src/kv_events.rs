//! `--kv-events-config`.

use indexmap::IndexMap;
use srt_context::Job;
use srt_launch::python;
use srt_schema::recipe::KvEvents;
use srt_topology::Process;
use srt_yaml::Value;

/// The flag and its JSON, where the role publishes KV events.
pub(crate) fn flag(job: &Job<'_>, process: &Process, extra: &[(&str, Value)]) -> Vec<String> {
    let Some(events) = &job.recipe.roles.get(process.role).kv_events else {
        return Vec::new();
    };
    let mut config = IndexMap::from([
        ("publisher".to_owned(), Value::String("zmq".to_owned())),
        ("topic".to_owned(), Value::String("kv-events".to_owned())),
    ]);
    config.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    if let KvEvents::Custom(custom) = events {
        config.extend(custom.clone());
    }
    let endpoint = format!("tcp://*:{}", process.ports.kv_events);
    config.insert("endpoint".to_owned(), Value::String(endpoint));
    vec!["--kv-events-config".to_owned(), python::json(&Value::Map(config))]
}
