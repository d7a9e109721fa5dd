//! The jobs of one file: `base` with `override_*` and `zip_override_*`, selectors, and `sweep`.

use indexmap::IndexMap;
use srt_yaml::{Kind, Map, Node, Span, Value, overlay};

use crate::report::Report;

/// More jobs than this from one file are a mistake.
const MAX_JOBS: usize = 10_000;

/// A job before its sections are read.
#[derive(Debug, Clone)]
pub(crate) struct RawVariant {
    pub(crate) suffix: Option<String>,
    pub(crate) params: IndexMap<String, Value>,
    pub(crate) node: Node,
}

/// Which variants are asked for, and where that is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selector<'a> {
    pub(crate) text: &'a str,
    pub(crate) span: Span,
}

const OVERRIDE: &str = "override_";
const ZIP: &str = "zip_override_";

/// Whether the file has variants.
pub(crate) fn is_override_file(root: &Map) -> bool {
    root.get("base").is_some()
}

/// The variants that `selector` names; without one, all but the base.
pub(crate) fn expand_overrides(
    root: &Node,
    map: &Map,
    selector: Option<Selector<'_>>,
    report: &mut Report<'_>,
) -> Vec<RawVariant> {
    check_top_level(map, report);
    let Some(base) = map.get("base") else { return Vec::new() };
    if base.as_map().is_none() {
        report.error(base.span, "wrong-type", "`base` must be a mapping".to_owned(), None);
        return Vec::new();
    }
    let groups = Groups::new(map, report);
    let Some(selector) = selector else {
        if groups.all_names().is_empty() {
            let message = "the file has a `base` and no override, so it makes no job".to_owned();
            let help = "add `override_NAME:`, or select `:base`".to_owned();
            report.warning(root.span_at(&["base"]), "no-variants", message, Some(help));
        }
        return groups.select(base, &groups.all_names(), report);
    };
    match selector.text {
        "base" => {
            vec![RawVariant { suffix: Some("base".to_owned()), params: IndexMap::new(), node: base.clone() }]
        }
        pattern if pattern.contains(['*', '?']) => {
            let mut names = groups.all_names();
            names.sort_unstable();
            names.retain(|name| matches_glob(pattern, name));
            if names.is_empty() {
                let message = format!("no variant matches `{pattern}`");
                report.error(selector.span, "unknown-variant", message, Some(groups.available()));
            }
            groups.select(base, &names, report)
        }
        _ => groups.select_one(base, selector, report),
    }
}

/// Keys beside `base` and the overrides have no effect; those that look like them are slips.
fn check_top_level(map: &Map, report: &mut Report<'_>) {
    for (key, entry) in map.iter() {
        if key == "base" || key == "lock" || key.starts_with(OVERRIDE) || key.starts_with(ZIP) {
            continue;
        }
        match looks_like_override(key) {
            Some(prefix) => report.error(
                entry.key_span,
                "unknown-key",
                format!("unknown key `{key}` beside `base`"),
                Some(format!("did you mean `{prefix}…`?")),
            ),
            None => report.warning(
                entry.key_span,
                "no-effect",
                format!("`{key}` has no effect beside `base`"),
                Some("move it under `base`, or under an override".to_owned()),
            ),
        }
    }
}

/// The prefix that a key nearly has.
fn looks_like_override(key: &str) -> Option<&'static str> {
    [ZIP, OVERRIDE].into_iter().find(|prefix| {
        let heads = (prefix.len() - 1..=prefix.len() + 1).filter_map(|end| key.get(..end));
        heads.into_iter().any(|head| srt_yaml::edit_distance(head, prefix) <= 2)
    })
}

struct Groups<'a> {
    overrides: Vec<(&'a str, &'a Node, Span)>,
    zips: Vec<(&'a str, &'a Node, Span)>,
}

impl<'a> Groups<'a> {
    fn new(map: &'a Map, report: &mut Report<'_>) -> Self {
        let mut groups = Self { overrides: Vec::new(), zips: Vec::new() };
        for (key, entry) in map.iter() {
            let list = if key.starts_with(ZIP) {
                &mut groups.zips
            } else if key.starts_with(OVERRIDE) {
                &mut groups.overrides
            } else {
                continue;
            };
            if entry.value.as_map().is_none() {
                report.error(entry.key_span, "wrong-type", format!("`{key}` must be a mapping"), None);
                continue;
            }
            list.push((key, &entry.value, entry.key_span));
        }
        groups.overrides.sort_unstable_by_key(|(key, ..)| *key);
        groups.zips.sort_unstable_by_key(|(key, ..)| *key);
        groups
    }

    fn all_names(&self) -> Vec<&'a str> {
        self.overrides.iter().chain(&self.zips).map(|(key, ..)| *key).collect()
    }

    fn available(&self) -> String {
        let overrides = self.overrides.iter().map(|(key, ..)| format!("`{key}`"));
        let zips = self.zips.iter().map(|(key, ..)| format!("`{key}[N]`"));
        let names: Vec<String> = std::iter::once("`base`".to_owned()).chain(overrides).chain(zips).collect();
        format!("available: {}", names.join(", "))
    }

    fn select(&self, base: &Node, names: &[&str], report: &mut Report<'_>) -> Vec<RawVariant> {
        let mut variants = Vec::new();
        for name in names {
            if let Some((key, node, span)) = self.overrides.iter().find(|(key, ..)| key == name) {
                variants.push(override_variant(base, key, node, *span));
            }
            if let Some((key, node, span)) = self.zips.iter().find(|(key, ..)| key == name) {
                variants.extend(zip_variants(base, key, node, *span, report));
            }
        }
        variants
    }

    fn select_one(&self, base: &Node, selector: Selector<'_>, report: &mut Report<'_>) -> Vec<RawVariant> {
        let name = selector.text;
        let (group, index) = match name.strip_suffix(']').and_then(|it| it.split_once('[')) {
            Some((group, index)) if group.starts_with(ZIP) => (group, index.parse::<usize>().ok()),
            _ => (name, None),
        };
        if !self.all_names().contains(&group) {
            let near = srt_yaml::nearest(group, self.all_names());
            let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            let message = format!("there is no variant `{name}`");
            report.error(selector.span, "unknown-variant", message, Some(hint + &self.available()));
            return Vec::new();
        }
        let mut variants = self.select(base, &[group], report);
        if let Some(index) = index
            && !variants.is_empty()
        {
            if index >= variants.len() {
                let message = format!("`{group}` has {} variants, so there is no `{name}`", variants.len());
                let help = format!("valid are `{group}[0]` to `{group}[{}]`", variants.len() - 1);
                report.error(selector.span, "unknown-variant", message, Some(help));
                return Vec::new();
            }
            return vec![variants.swap_remove(index)];
        }
        variants
    }
}

fn override_variant(base: &Node, key: &str, over: &Node, key_span: Span) -> RawVariant {
    let suffix = &key[OVERRIDE.len()..];
    let mut node = overlay(base, over);
    let named = over.at(&["name"]).is_some_and(|name| !name.is_null());
    if !named {
        set_name(&mut node, base, suffix, key_span);
    }
    RawVariant { suffix: Some(suffix.to_owned()), params: IndexMap::new(), node }
}

/// `{base name}_{suffix}`, at the place of the override that it comes from.
fn set_name(node: &mut Node, base: &Node, suffix: &str, key_span: Span) {
    let name = match base.at(&["name"]) {
        Some(Node { kind: Kind::String(name), .. }) if !name.is_empty() => name.as_str(),
        None | Some(Node { kind: Kind::Null | Kind::String(_), .. }) => "unnamed",
        // A name that is no text is reported as what it is.
        Some(_) => return,
    };
    let value = Node::new(key_span, Kind::String(format!("{name}_{suffix}")));
    if let Some(map) = node.as_map_mut() {
        map.insert("name".to_owned(), key_span, value);
    }
}

fn zip_variants(
    base: &Node,
    key: &str,
    zip: &Node,
    key_span: Span,
    report: &mut Report<'_>,
) -> Vec<RawVariant> {
    let group = &key[ZIP.len()..];
    let mut lists = Vec::new();
    collect_lists(zip, &mut lists);
    let Some(count) = zip_length(key, key_span, &lists, report) else { return Vec::new() };
    let name = zip.at(&["name"]);
    if let Some(name) = name.filter(|name| name.as_map().is_some()) {
        let help = "give one name for each variant, or leave it out".to_owned();
        report.error(
            name.span,
            "wrong-type",
            format!("`{key}.name` must be a list of text values"),
            Some(help),
        );
        return Vec::new();
    }
    let name_is_list = name.is_some_and(|name| name.as_list().is_some());
    (0..count)
        .map(|index| {
            let suffix = format!("{group}_{index}");
            let mut node = overlay(base, &pick(zip, index));
            if !name_is_list {
                set_name(&mut node, base, &suffix, key_span);
            }
            RawVariant { suffix: Some(suffix), params: IndexMap::new(), node }
        })
        .collect()
}

fn collect_lists<'a>(node: &'a Node, lists: &mut Vec<(Span, &'a [Node])>) {
    match &node.kind {
        Kind::List(items) => lists.push((node.span, items)),
        Kind::Map(map) => map.iter().for_each(|(_, entry)| collect_lists(&entry.value, lists)),
        _ => {}
    }
}

/// How many variants a zip makes; `None` after a complaint.
fn zip_length(
    key: &str,
    key_span: Span,
    lists: &[(Span, &[Node])],
    report: &mut Report<'_>,
) -> Option<usize> {
    if lists.is_empty() {
        let help = "give lists of the same length; element by element they make the variants".to_owned();
        report.error(key_span, "zip-without-lists", format!("`{key}` has no list to zip"), Some(help));
        return None;
    }
    if let Some((span, _)) = lists.iter().find(|(_, items)| items.is_empty()) {
        report.error(
            *span,
            "zip-empty-list",
            format!("a list of `{key}` is empty: it makes no variant"),
            None,
        );
        return None;
    }
    let mut longer = lists.iter().filter(|(_, items)| items.len() > 1);
    let Some((_, first)) = longer.next() else { return Some(1) };
    if let Some((span, other)) = longer.find(|(_, items)| items.len() != first.len()) {
        let message = format!("the lists of `{key}` differ in length: {} and {}", first.len(), other.len());
        let help = "all lists must have one length, or length 1, which stands for every variant".to_owned();
        report.error(*span, "zip-lengths", message, Some(help));
        return None;
    }
    if first.len() > MAX_JOBS {
        report.error(key_span, "too-many-jobs", format!("`{key}` makes more than {MAX_JOBS} jobs"), None);
        return None;
    }
    Some(first.len())
}

/// The zip section with each list replaced by its element.
fn pick(node: &Node, index: usize) -> Node {
    match &node.kind {
        Kind::List(items) => items.get(if items.len() == 1 { 0 } else { index }).unwrap_or(node).clone(),
        Kind::Map(map) => {
            let mut picked = Map::default();
            for (key, entry) in map.iter() {
                picked.insert(key.to_owned(), entry.key_span, pick(&entry.value, index));
            }
            Node::new(node.span, Kind::Map(picked))
        }
        _ => node.clone(),
    }
}

/// Shell patterns: `*`, `?`, and `[…]`. Backtracks to the last `*` only, so its time is at most quadratic.
pub(crate) fn matches_glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at, position));
                at += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => match_class(&pattern[at..], text[position]),
            Some(literal) if *literal == text[position] => Some(1),
            _ => None,
        };
        if let Some(width) = step {
            at += width;
            position += 1;
        } else if let Some((star_at, star_position)) = star {
            at = star_at + 1;
            position = star_position + 1;
            star = Some((star_at, position));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|it| *it == '*')
}

/// Length of the class at the start of `pattern` if it holds `character`; an unclosed `[` is itself.
fn match_class(pattern: &[char], character: char) -> Option<usize> {
    let negated = pattern.get(1) == Some(&'!');
    let start = if negated { 2 } else { 1 };
    let Some(length) = pattern.iter().skip(start + 1).position(|it| *it == ']') else {
        return (character == '[').then_some(1);
    };
    let body = &pattern[start..=start + length];
    let mut found = false;
    let mut index = 0;
    while index < body.len() {
        if index + 2 < body.len() && body[index + 1] == '-' {
            found |= (body[index]..=body[index + 2]).contains(&character);
            index += 3;
        } else {
            found |= body[index] == character;
            index += 1;
        }
    }
    (found != negated).then_some(start + length + 2)
}

/// The jobs of a `sweep` section: every combination, the last parameter fastest.
pub(crate) fn expand_sweep(variant: RawVariant, report: &mut Report<'_>) -> Vec<RawVariant> {
    let Some(map) = variant.node.as_map() else { return vec![variant] };
    let Some(entry) = map.entry("sweep").cloned() else { return vec![variant] };
    let Some(parameters) = parameters(&entry.value, entry.key_span, report) else { return Vec::new() };
    let mut template = variant.node.clone();
    if let Some(map) = template.as_map_mut() {
        map.remove("sweep");
    }
    for (name, items) in &parameters {
        if !items.is_empty() && !contains(&template, &format!("{{{name}}}")) {
            let span = entry.value.span_at(&[name]);
            let span =
                entry.value.as_map().and_then(|map| map.entry(name)).map_or(span, |entry| entry.key_span);
            let message = format!("the sweep parameter `{name}` is used nowhere");
            let help = format!("write \"{{{name}}}\" as the value that it should replace");
            report.warning(span, "unused-parameter", message, Some(help));
        }
    }
    let base_name = template.at(&["name"]).and_then(Node::as_str).map(str::to_owned);
    let name_span = template.span_at(&["name"]);
    combinations(&parameters)
        .into_iter()
        .map(|combination| {
            let mut node = template.clone();
            for (name, value) in &combination {
                substitute(&mut node, name, value);
            }
            if let (Some(base_name), Some(map)) = (&base_name, node.as_map_mut()) {
                let parts: Vec<String> = combination
                    .iter()
                    .map(|(name, value)| format!("{name}{}", value.to_value().python_str()))
                    .collect();
                let name = format!("{base_name}_{}", parts.join("_"));
                map.insert("name".to_owned(), name_span, Node::new(name_span, Kind::String(name)));
            }
            let mut params = variant.params.clone();
            params.extend(combination.iter().map(|(name, value)| ((*name).to_owned(), value.to_value())));
            RawVariant { suffix: variant.suffix.clone(), params, node }
        })
        .collect()
}

type Parameters<'a> = Vec<(&'a str, &'a [Node])>;

fn parameters<'a>(sweep: &'a Node, key_span: Span, report: &mut Report<'_>) -> Option<Parameters<'a>> {
    let Some(map) = sweep.as_map() else {
        let help = "write `sweep:` with one list for each parameter".to_owned();
        report.error(key_span, "wrong-type", "`sweep` must be a mapping of lists".to_owned(), Some(help));
        return None;
    };
    let mut parameters = Vec::new();
    let mut good = true;
    for (name, entry) in map.iter() {
        match entry.value.as_list() {
            Some([]) => {
                let message = format!("`sweep.{name}` is empty: there would be no job");
                report.error(entry.key_span, "empty-sweep", message, None);
                good = false;
            }
            Some(items) => parameters.push((name, items)),
            None => {
                let message = format!("`sweep.{name}` must be a list, not {}", entry.value.kind.describe());
                let help = format!("write {name}: [{}]", report.sources.slice(entry.value.span));
                report.error(entry.value.span, "wrong-type", message, Some(help));
                good = false;
            }
        }
    }
    let jobs = parameters.iter().try_fold(1_usize, |jobs, (_, items)| jobs.checked_mul(items.len()));
    if jobs.is_none_or(|jobs| jobs > MAX_JOBS) {
        report.error(key_span, "too-many-jobs", format!("the sweep makes more than {MAX_JOBS} jobs"), None);
        good = false;
    }
    good.then_some(parameters)
}

fn combinations<'a>(parameters: &Parameters<'a>) -> Vec<Vec<(&'a str, &'a Node)>> {
    let mut rows: Vec<Vec<(&str, &Node)>> = vec![Vec::new()];
    for (name, items) in parameters {
        rows = rows
            .into_iter()
            .flat_map(|row| {
                items.iter().map(move |item| {
                    let mut longer = row.clone();
                    longer.push((*name, item));
                    longer
                })
            })
            .collect();
    }
    rows
}

fn contains(node: &Node, placeholder: &str) -> bool {
    match &node.kind {
        Kind::String(text) => text.contains(placeholder),
        Kind::List(items) => items.iter().any(|item| contains(item, placeholder)),
        Kind::Map(map) => map.iter().any(|(_, entry)| contains(&entry.value, placeholder)),
        _ => false,
    }
}

/// Replaces `{name}` in every text. A text that is nothing else takes the place of the parameter's value too, so that
/// a complaint about it points at the value.
fn substitute(node: &mut Node, name: &str, value: &Node) {
    let placeholder = format!("{{{name}}}");
    match &mut node.kind {
        Kind::String(text) if *text == placeholder => {
            *node = match &value.kind {
                Kind::List(_) => value.clone(),
                _ => Node::new(value.span, Kind::String(value.to_value().python_str())),
            };
        }
        Kind::String(text) if text.contains(&placeholder) => {
            let replacement = match value.to_value() {
                Value::List(items) => items.iter().map(Value::python_str).collect::<Vec<_>>().join(","),
                other => other.python_str(),
            };
            *text = text.replace(&placeholder, &replacement);
        }
        Kind::List(items) => items.iter_mut().for_each(|item| substitute(item, name, value)),
        Kind::Map(map) => map.values_mut().for_each(|item| substitute(item, name, value)),
        _ => {}
    }
}
