//! [`load`]: texts to jobs.

use std::{collections::HashSet, sync::LazyLock};

use indexmap::IndexMap;
use srt_yaml::{
    Decoder, Diagnostic, FieldRules, FromNode, KeyPlace, Map, Node, Path, Section, SectionTable, Severity,
    Shape, Source, Sources, Span, Value,
};

use crate::{
    assign,
    cluster::ClusterConfig,
    defaults::{self, Cluster},
    layout::{LayoutProblem, layout_problems},
    read,
    recipe::Recipe,
    report::Report,
    rules,
    sections::{ClusterFile, RecipeFile},
    variants::{self, RawVariant, Selector},
};

/// What is to be read.
#[derive(Debug, Clone, Copy)]
pub struct LoadRequest<'a> {
    /// The recipe, or a lockfile, which is a recipe too.
    pub recipe: &'a Source,
    /// `srtslurm.yaml`.
    pub cluster: Option<&'a Source>,
    /// `base`, `override_x`, `zip_override_x`, `zip_override_x[2]`, or a shell pattern.
    pub selector: Option<&'a str>,
    /// `KEY=VALUE` arguments, applied to every variant.
    pub set: &'a [String],
    /// `KEY` arguments, likewise.
    pub unset: &'a [String],
}

/// What was read. With any diagnostic of severity error, nothing may be started.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The jobs, in order. Those with errors are left out.
    pub variants: Vec<Variant>,
    /// The cluster file.
    pub cluster: ClusterConfig,
    /// Everything that is wrong or worth knowing, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Whether anything forbids to start a job.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// One job of a file.
#[derive(Debug, Clone)]
pub struct Variant {
    /// `tp64` of `override_tp64`, `base`, or `None` for a plain recipe.
    pub suffix: Option<String>,
    /// Values of the sweep's parameters.
    pub params: IndexMap<String, Value>,
    /// Whether the variant is there only because a selector names it: the base of an override file.
    pub only_when_selected: bool,
    /// The job.
    pub recipe: Recipe,
    /// The recipe of this variant alone, as a tree: overrides merged, `--set` applied, placeholders replaced; without
    /// the cluster's defaults and aliases, so that it can be carried to another cluster.
    pub resolved: Node,
    /// The texts behind `resolved` and behind the checks of [`path_checks`](crate::path_checks).
    pub sources: Sources,
    /// The tree that the sections were read from, with the cluster's defaults and aliases.
    pub(crate) effective: Node,
    pub(crate) layout_problems: Vec<LayoutProblem>,
}

impl Variant {
    /// The recipe of this variant alone, as YAML text.
    pub fn resolved_yaml(&self) -> String {
        srt_yaml::write_yaml(&self.resolved.to_value(), srt_yaml::KeyOrder::Kept)
    }
}

/// Every key of the recipe, and the section it belongs to.
static RECIPE_KEYS: LazyLock<Vec<KeyPlace>> = LazyLock::new(|| {
    let mut places = Vec::new();
    collect_places(&RecipeFile::table(), "", &mut places);
    places
});

static CLUSTER_KEYS: LazyLock<Vec<KeyPlace>> = LazyLock::new(|| {
    let mut places = Vec::new();
    collect_places(&ClusterFile::table(), "", &mut places);
    places
});

fn collect_places(table: &SectionTable, path: &str, places: &mut Vec<KeyPlace>) {
    for field in &table.fields {
        let section = if path.is_empty() { "the top level".to_owned() } else { format!("`{path}`") };
        for former in field.rules.formerly.unwrap_or_default() {
            places.push(KeyPlace { key: former, section: section.clone(), successor: Some(field.key) });
        }
        places.push(KeyPlace { key: field.key, section, successor: None });
        let below = if path.is_empty() { field.key.to_owned() } else { format!("{path}.{}", field.key) };
        collect_shape(&field.shape, &below, places);
    }
}

fn collect_shape(shape: &Shape, path: &str, places: &mut Vec<KeyPlace>) {
    match shape {
        Shape::Section(table) => collect_places(table, path, places),
        Shape::Nullable(inner) => collect_shape(inner, path, places),
        Shape::Either(shapes) => shapes.iter().for_each(|it| collect_shape(it, path, places)),
        Shape::Tagged { key, variants, .. } => {
            for (word, table) in variants {
                let mut of_type = Vec::new();
                collect_places(table, path, &mut of_type);
                for place in &mut of_type {
                    if place.section == format!("`{path}`") {
                        place.section = format!("`{path}` with `{key}: {word}`");
                    }
                }
                places.extend(of_type);
            }
        }
        _ => {}
    }
}

/// Reads a recipe with its cluster file: all variants, and all diagnostics at once. Works on texts alone.
pub fn load(request: &LoadRequest<'_>) -> Loaded {
    let mut sources = Sources::default();
    let recipe_file = sources.add(request.recipe);
    let cluster_file = request.cluster.map(|source| sources.add(source));
    let selector = request.selector.map(|text| {
        let file = sources.add(&Source { path: "selector".to_owned(), text: text.to_owned() });
        Selector { text, span: Span::new(file, 0, text.len()) }
    });
    let (assignments, assignment_problems) =
        assign::parse_assignments(&mut sources, request.set, request.unset);

    let mut diagnostics = Vec::new();
    let cluster = cluster_file.and_then(|file| {
        let tree = srt_yaml::parse(&sources, file, &mut diagnostics)?;
        read_cluster(&sources, tree, &mut diagnostics)
    });
    let cluster_config =
        cluster.as_ref().map_or_else(ClusterConfig::none, |it| read::cluster(it.file.clone()));

    let recipe_problems = &mut Vec::new();
    let mut variants = Vec::new();
    if let Some(root) = srt_yaml::parse(&sources, recipe_file, recipe_problems) {
        let mut report = Report::new(&sources);
        let raw = expand(&root, selector, &assignments, &mut report);
        recipe_problems.append(&mut report.diagnostics);
        for variant in raw {
            variants.extend(read_variant(
                variant,
                &sources,
                cluster.as_ref(),
                request.selector,
                recipe_problems,
            ));
        }
    }
    diagnostics.splice(0..0, assignment_problems);
    diagnostics.append(recipe_problems);
    Loaded {
        variants,
        cluster: cluster_config,
        diagnostics: sorted_and_unique(diagnostics, &request.recipe.path),
    }
}

/// Reads a cluster file alone, for a program that checks it.
pub fn load_cluster(source: &Source) -> (ClusterConfig, Vec<Diagnostic>) {
    let mut sources = Sources::default();
    let file = sources.add(source);
    let mut diagnostics = Vec::new();
    let cluster = srt_yaml::parse(&sources, file, &mut diagnostics)
        .and_then(|tree| read_cluster(&sources, tree, &mut diagnostics));
    let config = cluster.map_or_else(ClusterConfig::none, |it| read::cluster(it.file));
    (config, sorted_and_unique(diagnostics, &source.path))
}

fn read_cluster(sources: &Sources, tree: Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Cluster> {
    if tree.is_null() {
        let message = "the cluster file is empty".to_owned();
        let help = "write at least `cluster: NAME`, or remove the file".to_owned();
        diagnostics.push(sources.error(tree.span, "empty-file", message).with_help(help));
        return None;
    }
    let mut decoder = Decoder::new(sources, &CLUSTER_KEYS);
    let file = if let Some(map) = tree.as_map() {
        ClusterFile::from_map(&tree, map, Path::ROOT, &mut decoder)
    } else {
        let message = "the cluster file must be a mapping of keys to values".to_owned();
        decoder.error(tree.span, "wrong-type", message, None);
        ClusterFile::placeholder()
    };
    diagnostics.append(&mut decoder.diagnostics);
    Some(Cluster { file, tree })
}

/// The variants of a file: overrides, then `--set` and `--unset`, then sweeps.
fn expand(
    root: &Node,
    selector: Option<Selector<'_>>,
    assignments: &[assign::Assignment],
    report: &mut Report<'_>,
) -> Vec<RawVariant> {
    if root.is_null() {
        report.error(root.span, "empty-file", "the recipe is empty".to_owned(), None);
        return Vec::new();
    }
    let Some(map) = root.as_map() else {
        let message = "a recipe must be a mapping of keys to values".to_owned();
        report.error(root.span, "wrong-type", message, None);
        return Vec::new();
    };
    let mut variants = if variants::is_override_file(map) {
        variants::expand_overrides(root, map, selector, report)
    } else {
        if let Some(selector) = selector {
            let message = "the selector has no effect: the recipe has no variants".to_owned();
            report.warning(selector.span, "no-effect", message, None);
        }
        if lacks_base(map, report) {
            return Vec::new();
        }
        vec![RawVariant { suffix: None, params: IndexMap::new(), node: root.clone() }]
    };
    for variant in &mut variants {
        // What a lockfile records beside the recipe.
        if let Some(map) = variant.node.as_map_mut() {
            map.remove("lock");
        }
    }
    for assignment in assignments {
        let mut effective = variants.is_empty();
        for variant in &mut variants {
            effective |= assignment.apply(&mut variant.node, report);
        }
        if !effective {
            assignment.report_nothing_removed(report);
        }
    }
    variants.into_iter().flat_map(|variant| variants::expand_sweep(variant, report)).collect()
}

/// A file with overrides and no base was meant to have one.
fn lacks_base(map: &Map, report: &mut Report<'_>) -> bool {
    let over = map.iter().find(|(key, _)| key.starts_with("override_") || key.starts_with("zip_override_"));
    let Some((key, entry)) = over else { return false };
    let message = format!("`{key}` needs a `base` to override, and the file has none");
    let near = map.keys().find(|key| srt_yaml::nearest(key, ["base"]).is_some());
    let help = match near {
        Some(near) => format!("did you mean `base` where the file says `{near}`?"),
        None => "put the common part of the recipe under `base:`".to_owned(),
    };
    let span = near.and_then(|near| map.entry(near)).map_or(entry.key_span, |entry| entry.key_span);
    report.error(span, "missing-key", message, Some(help));
    true
}

/// A later syntax names itself; complaints about each of its keys would help nobody.
fn other_syntax(recipe: &Node, sources: &Sources) -> Option<Diagnostic> {
    let entry = recipe.as_map()?.entry("schema")?;
    let written = sources.slice(entry.value.span);
    let message =
        format!("the recipe is written in syntax `schema: {written}`, which this program does not read");
    let help =
        "write it with `resources` and `backend`, without `schema`; see docs/recipe-reference.md".to_owned();
    Some(sources.error(entry.key_span, "unsupported-syntax", message).with_help(help))
}

fn read_variant(
    raw: RawVariant,
    sources: &Sources,
    cluster: Option<&Cluster>,
    selector: Option<&str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Variant> {
    if let Some(problem) = other_syntax(&raw.node, sources) {
        diagnostics.push(problem);
        return None;
    }
    let mut effective = raw.node.clone();
    let mut report = Report::new(sources);
    if let Some(cluster) = cluster {
        cluster.apply(&mut effective);
    }
    defaults::expand_observability(&mut effective, &mut report);
    diagnostics.append(&mut report.diagnostics);

    let mut decoder = Decoder::new(sources, &RECIPE_KEYS);
    let file: RecipeFile = decoder.read(&effective, effective.span, Path::ROOT, &FieldRules::NONE)?;
    rules::check(&file, &effective, &mut decoder);
    let failed = decoder.diagnostics.iter().any(Diagnostic::is_error);
    diagnostics.append(&mut decoder.diagnostics);
    if failed {
        return None;
    }
    let only_when_selected = raw.suffix.as_deref() == Some("base") && selector.is_some();
    let layout_problems = layout_problems(&file.resources);
    Some(Variant {
        layout_problems,
        suffix: raw.suffix,
        params: raw.params,
        only_when_selected,
        recipe: read::recipe(file),
        resolved: raw.node,
        sources: sources.clone(),
        effective,
    })
}

/// Variants share most of their text, and so their problems: each is told once. Other files than the recipe come
/// first, because what is wrong there is wrong for every recipe.
fn sorted_and_unique(mut diagnostics: Vec<Diagnostic>, recipe: &str) -> Vec<Diagnostic> {
    diagnostics.sort_by(|a, b| {
        let place = |it: &Diagnostic| (it.file == recipe, it.line, it.column);
        place(a).cmp(&place(b)).then_with(|| a.file.cmp(&b.file))
    });
    let mut seen = HashSet::new();
    diagnostics.retain(|it| seen.insert((it.file.clone(), it.span.clone(), it.message.clone())));
    if diagnostics.len() > MAX_DIAGNOSTICS {
        let errors_beyond = diagnostics[MAX_DIAGNOSTICS..].iter().any(Diagnostic::is_error);
        let more = diagnostics.len() - MAX_DIAGNOSTICS;
        diagnostics.truncate(MAX_DIAGNOSTICS + 1);
        if let Some(last) = diagnostics.last_mut() {
            last.severity = if errors_beyond { Severity::Error } else { Severity::Warning };
            last.code = "too-many-problems";
            last.message = format!("{more} more problems are not shown");
            last.help = None;
        }
    }
    diagnostics
}

/// Nobody reads more, and a file that has more is not a recipe.
const MAX_DIAGNOSTICS: usize = 500;
