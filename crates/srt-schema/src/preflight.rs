//! What a job needs on the file system, as data: whoever may look there checks it.

use srt_yaml::{Diagnostic, Node};

use crate::{
    load::Variant,
    recipe::{Engine, FrontendKind, Recipe},
};

/// A path that must exist before a job is submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathCheck {
    /// Key of the recipe that names the path, such as `model.path`.
    pub field: &'static str,
    /// The path; may start with `~` and hold `$VAR`.
    pub path: String,
    /// What the recipe says, where that is an alias of the cluster file.
    pub alias: Option<String>,
    /// What must be there.
    pub kind: PathKind,
    /// The error to report when it is not there, at the recipe's line.
    pub missing: Diagnostic,
}

/// What must be at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// A directory.
    Directory,
    /// A file.
    File,
}

/// What must exist for this job. `hf:` models and image names are fetched, and are not checked; the tool's own mock
/// engine reads no model.
pub fn path_checks(variant: &Variant) -> Vec<PathCheck> {
    let recipe = &variant.recipe;
    let mut checks = Vec::new();
    let own_engine = matches!(recipe.engine, Engine::Mocker(_))
        && matches!(recipe.frontend.kind, FrontendKind::Mock | FrontendKind::Sglang);
    if !own_engine && !written(variant, &["model", "path"]).is_some_and(|text| text.starts_with("hf:")) {
        checks.push(check(
            variant,
            "model.path",
            &["model", "path"],
            &recipe.model.path,
            PathKind::Directory,
        ));
    }
    if let Some(container) = &recipe.model.container
        && !written(variant, &["model", "container"]).is_some_and(is_image_name)
    {
        checks.push(check(variant, "model.container", &["model", "container"], container, PathKind::File));
    }
    for (field, path, image) in exporter_images(recipe) {
        if !is_image_name(image) {
            checks.push(check(variant, field, path, image, PathKind::File));
        }
    }
    checks
}

/// What the recipe itself says, before aliases.
fn written<'a>(variant: &'a Variant, path: &[&str]) -> Option<&'a str> {
    variant.resolved.at(path).and_then(Node::as_str)
}

/// `nvcr.io/x:1` and `docker://x:1`, but no path.
fn is_image_name(text: &str) -> bool {
    !text.starts_with('/') && !text.starts_with("./") && text.contains(':')
}

type ExporterImage<'a> = (&'static str, &'static [&'static str], &'a str);

fn exporter_images(recipe: &Recipe) -> Vec<ExporterImage<'_>> {
    let mut images: Vec<ExporterImage<'_>> = Vec::new();
    let tachometer = &recipe.observability.tachometer;
    if recipe.observability.enabled && tachometer.enabled {
        if let Some(it) = &tachometer.dcgm_exporter {
            let path = &["observability", "tachometer", "dcgm_exporter", "container_image"];
            images.push((
                "observability.tachometer.dcgm_exporter.container_image",
                path,
                &it.container_image,
            ));
        }
        if let Some(it) = &tachometer.node_exporter {
            let path = &["observability", "tachometer", "node_exporter", "container_image"];
            images.push((
                "observability.tachometer.node_exporter.container_image",
                path,
                &it.container_image,
            ));
        }
    }
    if recipe.telemetry.enabled
        && let Some(it) = &recipe.telemetry.dcgm_exporter
    {
        let path = &["telemetry", "dcgm_exporter", "container_image"];
        images.push(("telemetry.dcgm_exporter.container_image", path, &it.container_image));
    }
    images
}

fn check(variant: &Variant, field: &'static str, keys: &[&str], path: &str, kind: PathKind) -> PathCheck {
    let alias = written(variant, keys).filter(|text| *text != path).map(str::to_owned);
    let noun = match kind {
        PathKind::Directory => "directory",
        PathKind::File => "file",
    };
    let message = match &alias {
        Some(alias) => format!("the {noun} `{path}`, for which `{alias}` stands, does not exist"),
        None => format!("the {noun} `{path}` does not exist"),
    };
    let help = match (field, &alias) {
        ("model.path", None) => {
            "give a directory, an alias of `model_paths` in srtslurm.yaml, or `hf:ORG/NAME`"
        }
        ("model.path", Some(_)) => "download the model there, or correct `model_paths` in srtslurm.yaml",
        (_, None) => {
            "give an image file, an alias of `containers` in srtslurm.yaml, or an image name such as `docker://IMAGE:TAG`"
        }
        (_, Some(_)) => "import the image there, or correct `containers` in srtslurm.yaml",
    };
    let code = if field == "model.path" { "model-not-found" } else { "container-not-found" };
    let missing =
        variant.sources.error(variant.effective.span_at(keys), code, message).with_help(help.to_owned());
    PathCheck { field, path: path.to_owned(), alias, kind, missing }
}

/// Layouts that can be planned, and that no job should be submitted with: no workers at all, or one side alone. When
/// reading they are warnings.
pub fn topology_problems(variant: &Variant) -> Vec<Diagnostic> {
    let found = variant.layout_problems.iter().filter(|problem| problem.can_be_planned);
    found
        .map(|problem| {
            let span = variant.effective.span_at(&["resources", problem.key]);
            let error = variant.sources.error(span, problem.code, problem.message.clone());
            error.with_help(problem.help.to_owned())
        })
        .collect()
}
