//! Mappings of a recipe as command-line flags.

use indexmap::IndexMap;
use srt_yaml::Value;

/// Flags of an engine: sorted by key as written, `_` becomes `-`, a list is one argument per item, `true` a bare
/// flag; `false` and `null` are left out.
pub fn engine(flags: &IndexMap<String, Value>, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut sorted: Vec<_> = flags.iter().filter(|(key, _)| is_wanted(key)).collect();
    sorted.sort_by_key(|(key, _)| key.as_bytes());
    let mut argv = Vec::new();
    for (key, value) in sorted {
        let flag = format!("--{}", key.replace('_', "-"));
        match value {
            Value::Null | Value::Bool(false) => {}
            Value::Bool(true) => argv.push(flag),
            Value::List(items) => {
                argv.push(flag);
                argv.extend(items.iter().map(Value::python_str));
            }
            other => argv.extend([flag, other.python_str()]),
        }
    }
    argv
}

/// Arguments of a router or client: in the order of the file, keys verbatim, a list is one argument.
pub fn in_order(flags: &IndexMap<String, Value>) -> Vec<String> {
    let mut argv = Vec::new();
    for (key, value) in flags {
        match value {
            Value::Null | Value::Bool(false) => {}
            Value::Bool(true) => argv.push(format!("--{key}")),
            other => argv.extend([format!("--{key}"), other.python_str()]),
        }
    }
    argv
}

/// The value of a key in its dashed spelling, or else in its underscored one.
pub fn lookup<'a>(flags: &'a IndexMap<String, Value>, dashed: &str) -> Option<&'a Value> {
    flags.get(dashed).or_else(|| flags.get(&dashed.replace('-', "_")))
}

/// Whether two keys are the same flag.
pub fn is_same(key: &str, dashed: &str) -> bool {
    key.len() == dashed.len()
        && key.bytes().zip(dashed.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> IndexMap<String, Value> {
        IndexMap::from([
            ("b_true".to_owned(), Value::Bool(true)),
            ("a_b".to_owned(), Value::Int(3)),
            ("a.b".to_owned(), Value::Float(0.5)),
            ("a-b".to_owned(), Value::String("x y".to_owned())),
            ("Upper".to_owned(), Value::Null),
            ("list".to_owned(), Value::List(vec![Value::Int(1), Value::Bool(true)])),
            ("none".to_owned(), Value::Bool(false)),
        ])
    }

    #[test]
    fn engine_flags_are_sorted_and_lists_are_spread() {
        let argv = engine(&flags(), |key| key != "a.b");
        assert_eq!(argv, ["--a-b", "x y", "--a-b", "3", "--b-true", "--list", "1", "True"]);
    }

    #[test]
    fn router_arguments_keep_order_and_spelling() {
        let argv = in_order(&flags());
        let expected = ["--b_true", "--a_b", "3", "--a.b", "0.5", "--a-b", "x y", "--list", "[1, True]"];
        assert_eq!(argv, expected);
    }

    #[test]
    fn both_spellings_of_a_key_are_found_and_the_dashed_one_wins() {
        assert_eq!(lookup(&flags(), "a-b"), Some(&Value::String("x y".to_owned())));
        assert_eq!(lookup(&flags(), "b-true"), Some(&Value::Bool(true)));
        assert!(is_same("data_parallel-size", "data-parallel-size") && !is_same("a.b", "a-b"));
    }
}
