//! Reads the recipe and the cluster file that a command names.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use srt_schema::{LoadRequest, Loaded, PathKind};
use srt_yaml::{Diagnostic, Source};

use crate::{
    environment::{CLUSTER_FILE, Environment},
    exit::CommandError,
    site, terminal,
};

/// Where the cluster file is looked for, from the current folder.
const CLUSTER_FILE_PLACES: [&str; 3] = ["srtslurm.yaml", "../srtslurm.yaml", "../../srtslurm.yaml"];

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
        let recipe = read_recipe(path)?;
        let cluster = read_cluster_file(environment)?;
        let request = LoadRequest {
            recipe: &recipe,
            cluster: cluster.as_ref(),
            selector,
            set: &self.set,
            unset: &self.unset,
        };
        let loaded = srt_schema::load(&request);
        Ok(Input { recipe, cluster, loaded })
    }
}

impl Input {
    /// Prints what was found wrong or doubtful; an error among it ends the command.
    pub(crate) fn report(&self) -> Result<(), CommandError> {
        terminal::print_diagnostics(&self.loaded.diagnostics);
        if self.loaded.has_errors() { Err(CommandError::Reported) } else { Ok(()) }
    }

    /// Adds what is missing on this file system: models and container images that the recipe names.
    pub(crate) fn check_paths(&mut self, environment: &Environment) {
        let checks = self.loaded.variants.iter().flat_map(srt_schema::path_checks);
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

fn read_recipe(path: &str) -> anyhow::Result<Source> {
    if path == "-" || path == "/dev/stdin" {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).context("failed to read the recipe from standard input")?;
        return decode("<stdin>", bytes);
    }
    match fs::read(path) {
        Ok(bytes) => decode(path, bytes),
        Err(error) => {
            Err(CommandError::BadInput(format!("failed to read the recipe `{path}`: {error}")).into())
        }
    }
}

fn decode(path: &str, bytes: Vec<u8>) -> anyhow::Result<Source> {
    Source::from_bytes(path.to_owned(), bytes).map_err(|diagnostic| {
        terminal::print_diagnostics(&[*diagnostic]);
        CommandError::Reported.into()
    })
}

/// Finds and reads the cluster file: the one that the environment names, else the first that exists.
fn read_cluster_file(environment: &Environment) -> anyhow::Result<Option<Source>> {
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
