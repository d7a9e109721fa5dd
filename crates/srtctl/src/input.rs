//! Reads the recipes and the cluster file that a command names.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rayon::prelude::*;
use srt_plan::{Plan, PlannedVariant};
use srt_schema::{
    LoadRequest, Loaded, PathCheck, PathKind,
    cluster::{ClusterConfig, ContainerRuntime},
};
use srt_yaml::{Diagnostic, Source, Sources, Span};

use crate::{
    environment::{CLUSTER_FILE, Environment},
    exit::CommandError,
    site, terminal,
};

/// Where the cluster file is looked for, from the current folder.
const CLUSTER_FILE_PLACES: [&str; 3] = ["srtslurm.yaml", "../srtslurm.yaml", "../../srtslurm.yaml"];

/// Name of the cluster file, which is no recipe although it ends like one.
const CLUSTER_FILE_NAME: &str = "srtslurm.yaml";

/// Arguments of every command that reads a recipe
#[derive(Debug, clap::Args)]
pub(crate) struct RecipeArguments {
    /// Recipe file, `-` for standard input; `FILE:SELECTOR` chooses variants, such as `FILE:base` or `FILE:override_tp64`
    #[arg(short = 'f', long = "file", value_name = "FILE[:SELECTOR]")]
    pub(crate) file: String,
    /// Set a value before defaults apply, such as `benchmark.isl=2048` or `resources.decode_workers=4`
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Remove a key before defaults apply
    #[arg(long, value_name = "KEY")]
    pub(crate) unset: Vec<String>,
}

/// A recipe and a cluster file as they were read.
pub(crate) struct Input {
    /// The recipe's text.
    pub(crate) recipe: Source,
    /// The cluster file's text.
    pub(crate) cluster: Option<Source>,
    /// What they say.
    pub(crate) loaded: Loaded,
}

impl RecipeArguments {
    /// Reads and decodes the recipe, with the cluster file where there is one.
    pub(crate) fn read(&self, environment: &Environment) -> anyhow::Result<Input> {
        let (path, selector) = split_selector(&self.file);
        let bytes = read_recipe(path)?;
        Ok(self.load(path, bytes, selector, read_cluster_file(environment)?))
    }

    /// The folder, where it is a folder that was named.
    pub(crate) fn folder(&self) -> Result<Option<&Path>, CommandError> {
        let (path, selector) = split_selector(&self.file);
        match selector {
            _ if !Path::new(path).is_dir() => Ok(None),
            None => Ok(Some(Path::new(path))),
            Some(selector) => Err(CommandError::BadInput(format!(
                "`{path}` is a folder, and a selector chooses variants of one file; remove `:{selector}`"
            ))),
        }
    }

    /// Reads every recipe below a folder, in the order of their paths.
    pub(crate) fn read_folder(&self, folder: &Path, environment: &Environment) -> anyhow::Result<Vec<Input>> {
        let paths = recipes_below(folder)?;
        if paths.is_empty() {
            let text = format!("there is no recipe (`*.yaml`, `*.yml`) below `{}`", folder.display());
            return Err(CommandError::BadInput(text).into());
        }
        let cluster = read_cluster_file(environment)?;
        let read = |path: &PathBuf| {
            let name = path.to_string_lossy();
            match fs::read(path) {
                Ok(bytes) => self.load(&name, bytes, None, cluster.clone()),
                Err(error) => Input::refused(unreadable(&name, &error), cluster.clone()),
            }
        };
        Ok(paths.par_iter().map(read).collect())
    }

    fn load(&self, path: &str, bytes: Vec<u8>, selector: Option<&str>, cluster: Option<Source>) -> Input {
        let recipe = match Source::from_bytes(path.to_owned(), bytes) {
            Ok(recipe) => recipe,
            Err(diagnostic) => return Input::refused(*diagnostic, cluster),
        };
        let request = LoadRequest {
            recipe: &recipe,
            cluster: cluster.as_ref(),
            selector,
            set: &self.set,
            unset: &self.unset,
        };
        let loaded = srt_schema::load(&request);
        Input { recipe, cluster, loaded }
    }
}

impl Input {
    /// A recipe that is no text.
    fn refused(diagnostic: Diagnostic, cluster: Option<Source>) -> Self {
        let recipe = Source { path: diagnostic.file.clone(), text: String::new() };
        let loaded =
            Loaded { variants: Vec::new(), cluster: ClusterConfig::none(), diagnostics: vec![diagnostic] };
        Self { recipe, cluster, loaded }
    }

    /// Prints what was found wrong or doubtful; an error among it ends the command.
    pub(crate) fn report(&self) -> Result<(), CommandError> {
        terminal::print_diagnostics(&self.loaded.diagnostics);
        if self.loaded.has_errors() { Err(CommandError::Reported) } else { Ok(()) }
    }

    /// Adds what is missing on this file system: models and container images that the recipe names.
    pub(crate) fn check_paths(&mut self, environment: &Environment) {
        let runs_in_containers = self.loaded.cluster.container_runtime != ContainerRuntime::None;
        let needed = |check: &PathCheck| runs_in_containers || check.field != "model.container";
        let checks = self.loaded.variants.iter().flat_map(srt_schema::path_checks).filter(needed);
        let missing = checks.filter(|check| {
            let path = site::path(&check.path, environment);
            match check.kind {
                PathKind::Directory => !path.is_dir(),
                PathKind::File => !path.is_file(),
            }
        });
        let mut found: Vec<Diagnostic> = Vec::new();
        for check in missing {
            if !found.contains(&check.missing) {
                found.push(check.missing);
            }
        }
        self.loaded.diagnostics.extend(found);
    }

    /// The variants with their plans; there is one for each, where the input has no errors.
    pub(crate) fn planned(&self, plans: Vec<Plan>) -> Vec<PlannedVariant<'_>> {
        let pairs = self.loaded.variants.iter().zip(plans);
        pairs.map(|(variant, plan)| PlannedVariant { variant, plan }).collect()
    }

    /// Diagnostics of the recipe itself, without those of the cluster file and the command line.
    pub(crate) fn own_diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.loaded.diagnostics.iter().filter(|it| it.file == self.recipe.path)
    }
}

/// The diagnostics that are for people: all of the inputs with errors, and what all inputs share; each once.
pub(crate) fn diagnostics_of(inputs: &[Input]) -> Vec<Diagnostic> {
    let mut shared: Vec<Diagnostic> = Vec::new();
    let mut own = Vec::new();
    for input in inputs {
        for diagnostic in &input.loaded.diagnostics {
            if diagnostic.file == input.recipe.path {
                if input.loaded.has_errors() {
                    own.push(diagnostic.clone());
                }
            } else if !shared.contains(diagnostic) {
                shared.push(diagnostic.clone());
            }
        }
    }
    shared.extend(own);
    shared
}

/// All recipes below a folder, sorted. Hidden folders hold none, and a link to a folder may lead back to it.
fn recipes_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut recipes = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = || format!("failed to read the folder `{}`", folder.display());
        for entry in fs::read_dir(&folder).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type().with_context(failed)?.is_dir() {
                folders.push(path);
            } else if is_recipe(&path) {
                recipes.push(path);
            }
        }
    }
    recipes.sort();
    Ok(recipes)
}

fn is_recipe(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "yaml" || it == "yml")
        && path.file_name().is_some_and(|it| it != CLUSTER_FILE_NAME)
        && !path.is_dir()
}

fn unreadable(path: &str, error: &io::Error) -> Diagnostic {
    let mut sources = Sources::default();
    let file = sources.add(&Source { path: path.to_owned(), text: String::new() });
    sources.error(Span::new(file, 0, 0), "unreadable", format!("the file cannot be read: {error}"))
}

/// Splits `FILE:SELECTOR`. A file that exists under the whole name wins, so that a path may hold a colon.
fn split_selector(argument: &str) -> (&str, Option<&str>) {
    if Path::new(argument).exists() {
        return (argument, None);
    }
    match argument.rsplit_once(':') {
        Some((path, selector)) => (path, Some(selector)),
        None => (argument, None),
    }
}

fn read_recipe(path: &str) -> anyhow::Result<Vec<u8>> {
    if path == "-" || path == "/dev/stdin" {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).context("failed to read the recipe from standard input")?;
        return Ok(bytes);
    }
    fs::read(path).map_err(|error| {
        CommandError::BadInput(format!("failed to read the recipe `{path}`: {error}")).into()
    })
}

fn decode(path: &str, bytes: Vec<u8>) -> anyhow::Result<Source> {
    Source::from_bytes(path.to_owned(), bytes).map_err(|diagnostic| {
        terminal::print_diagnostics(&[*diagnostic]);
        CommandError::Reported.into()
    })
}

/// Finds and reads the cluster file: the one that the environment names, else the first that exists.
pub(crate) fn read_cluster_file(environment: &Environment) -> anyhow::Result<Option<Source>> {
    let named = environment.get(CLUSTER_FILE).map(PathBuf::from);
    let found = || CLUSTER_FILE_PLACES.iter().map(PathBuf::from).find(|place| place.is_file());
    let Some(path) = named.clone().or_else(found) else { return Ok(None) };
    match fs::read(&path) {
        Ok(bytes) => decode(&path.to_string_lossy(), bytes).map(Some),
        Err(error) => {
            let hint = if named.is_some() { format!("; `{CLUSTER_FILE}` names it") } else { String::new() };
            let text = format!("failed to read the cluster file `{}`: {error}{hint}", path.display());
            Err(CommandError::BadInput(text).into())
        }
    }
}
