//! Mistakes made by a machine: every key of a recipe mistyped, moved one section up, or given a wrong type. The checker
//! has to complain on the very line. Shared by the test over the example recipes and by an example that takes any folder.

use srt_schema::{LoadRequest, load};
use srt_yaml::{KeyOrder, Kind, Node, Source, Sources, Value, write_yaml};

/// A kind of mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mistake {
    Mistyped,
    MovedUp,
    WrongType,
}

/// One mistake in one recipe, and whether it was caught.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) mistake: Mistake,
    pub(crate) path: String,
    pub(crate) caught: bool,
}

type KeyPath = Vec<String>;

/// Makes every mistake that the format can tell from a meaning: free-form keys, such as engine flags, are the engine's.
pub(crate) fn try_all(recipe: &str, cluster: Option<&Source>) -> Vec<Outcome> {
    let Some(tree) = parse(recipe) else { return Vec::new() };
    let mut value = tree.to_value();
    if let Value::Map(map) = &mut value {
        map.shift_remove("lock");
    }
    let mut paths = Vec::new();
    collect_paths(&value, &mut Vec::new(), &mut paths);
    let untouched = complaints(&write_yaml(&value, KeyOrder::Kept), cluster);
    let known: Vec<&str> = untouched.iter().map(|(_, message)| message.as_str()).collect();
    let mut outcomes = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        for mistake in [Mistake::Mistyped, Mistake::MovedUp, Mistake::WrongType] {
            let Some((mutated, place)) = make(mistake, &value, path, index) else { continue };
            let text = write_yaml(&mutated, KeyOrder::Kept);
            let caught = is_caught(&text, &place, cluster, &known);
            outcomes.push(Outcome { mistake, path: path.join("."), caught });
        }
    }
    outcomes
}

fn parse(text: &str) -> Option<Node> {
    let mut sources = Sources::default();
    let file = sources.add(&Source { path: "recipe.yaml".to_owned(), text: text.to_owned() });
    srt_yaml::parse(&sources, file, &mut Vec::new())
}

fn collect_paths(value: &Value, path: &mut KeyPath, paths: &mut Vec<KeyPath>) {
    let Value::Map(map) = value else { return };
    for (key, item) in map {
        path.push(key.clone());
        paths.push(path.clone());
        collect_paths(item, path, paths);
        path.pop();
    }
}

/// The path below `base` or an override.
fn in_recipe(path: &[String]) -> &[String] {
    match path.first() {
        Some(first) if first == "base" || first.contains("override_") => &path[1..],
        _ => path,
    }
}

/// How many keys down from a free-form mapping the path is; 0 for a key of the format.
fn free_depth(path: &[String]) -> usize {
    let path = in_recipe(path);
    let is_free = |parent: &[String]| {
        let last = parent.last().map_or("", String::as_str);
        let above = parent.len().checked_sub(2).map_or("", |index| parent[index].as_str());
        let free_names = [
            "environment",
            "container_mounts",
            "srun_options",
            "sbatch_directives",
            "args",
            "env",
            "ctx_router",
            "gen_router",
            "server_config_extra",
            "aiperf_args",
            "frameworks",
            "extra_metadata",
            "store_config",
            "sweep",
        ];
        free_names.contains(&last)
            || last.ends_with("_environment")
            || above.ends_with("_config") && ["prefill", "decode", "aggregated"].contains(&last)
    };
    (1..path.len()).find(|length| is_free(&path[..*length])).map_or(0, |length| path.len() - length)
}

fn make(mistake: Mistake, root: &Value, path: &[String], index: usize) -> Option<(Value, KeyPath)> {
    let mut mutated = root.clone();
    let (key, above) = path.split_last()?;
    let depth = free_depth(path);
    match mistake {
        Mistake::Mistyped => {
            if depth > 0 {
                return None;
            }
            let typo = mistype(key, index);
            let Value::Map(map) = at(&mut mutated, above)? else { return None };
            if map.contains_key(&typo) {
                return None;
            }
            *map = map
                .iter()
                .map(|(old, item)| (if old == key { &typo } else { old }.clone(), item.clone()))
                .collect();
            Some((mutated, [above, &[typo]].concat()))
        }
        Mistake::MovedUp => {
            // Deeper in a free-form mapping, or out of an override, it is still a place of its own.
            if depth > 1 || in_recipe(path).len() < 2 {
                return None;
            }
            let (_, target) = above.split_last()?;
            let Value::Map(map) = at(&mut mutated, above)? else { return None };
            let item = map.shift_remove(key)?;
            let Value::Map(map) = at(&mut mutated, target)? else { return None };
            if map.contains_key(key) {
                return None;
            }
            map.insert(key.clone(), item);
            Some((mutated, [target, std::slice::from_ref(key)].concat()))
        }
        Mistake::WrongType => {
            let flag = depth > 0 && !is_text_map(path);
            let whole_override = in_recipe(path).is_empty();
            if flag || whole_override {
                return None;
            }
            let item = at(&mut mutated, path)?;
            *item = match item {
                Value::Map(_) => Value::from("wrong"),
                _ => Value::Map([("wrong".to_owned(), Value::from("type"))].into_iter().collect()),
            };
            Some((mutated, path.to_vec()))
        }
    }
}

/// A mapping whose values are text, whatever its keys are.
fn is_text_map(path: &[String]) -> bool {
    let parent = &path[path.len() - 2];
    free_depth(path) == 1
        && (parent.ends_with("environment")
            || ["env", "container_mounts", "srun_options", "sbatch_directives", "frameworks"]
                .contains(&parent.as_str()))
}

fn at<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Map(map) => map.get_mut(key),
        _ => None,
    })
}

/// A slip of the fingers: one letter lost, doubled, swapped, or replaced.
fn mistype(key: &str, index: usize) -> String {
    let mut letters: Vec<char> = key.chars().collect();
    let position = letters.len() / 2;
    match index % 4 {
        0 if letters.len() > 2 => {
            letters.remove(position);
        }
        1 => letters.insert(position, letters[position]),
        2 if position > 0 && letters[position] != letters[position - 1] => {
            letters.swap(position, position - 1);
        }
        _ => letters[position] = if letters[position] == 'x' { 'z' } else { 'x' },
    }
    letters.into_iter().collect()
}

/// Line and message of every complaint about the recipe.
fn complaints(text: &str, cluster: Option<&Source>) -> Vec<(u32, String)> {
    let source = Source { path: "recipe.yaml".to_owned(), text: text.to_owned() };
    let loaded = load(&LoadRequest { recipe: &source, cluster, selector: None, set: &[], unset: &[] });
    let of_recipe = loaded.diagnostics.into_iter().filter(|it| it.file == source.path);
    of_recipe.map(|it| (it.line, it.message)).collect()
}

/// Whether there is a new complaint on the line of the mistake.
fn is_caught(text: &str, place: &[String], cluster: Option<&Source>, known: &[&str]) -> bool {
    let mut sources = Sources::default();
    let file = sources.add(&Source { path: "recipe.yaml".to_owned(), text: text.to_owned() });
    let tree = srt_yaml::parse(&sources, file, &mut Vec::new()).expect("what was written is YAML");
    let (last, above) = place.split_last().expect("a mistake is at a key");
    let keys: Vec<&str> = above.iter().map(String::as_str).collect();
    let parent = tree.at(&keys).and_then(Node::as_map).expect("the mistake's section is there");
    let entry = parent.entry(last).expect("the mistake's key is there");
    let mut lines = vec![sources.line(entry.key_span)];
    if !matches!(entry.value.kind, Kind::Null) {
        lines.push(sources.line(entry.value.span));
    }
    complaints(text, cluster)
        .iter()
        .any(|(line, message)| lines.contains(line) && !known.contains(&message.as_str()))
}
