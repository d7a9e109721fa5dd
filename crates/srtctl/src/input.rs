//! Reads the recipe and the cluster file that a command names.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use srt_schema::{LoadRequest, Loaded};
use srt_yaml::{Severity, Source};

use crate::{
    environment::{CLUSTER_FILE, Environment},
    exit::CommandError,
    terminal,
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
        let diagnostics = &self.loaded.diagnostics;
        let sources: Vec<&Source> = [Some(&self.recipe), self.cluster.as_ref()].into_iter().flatten().collect();
        terminal::print_diagnostics(&srt_yaml::render(diagnostics, &sources, terminal::stderr_has_colour()));
        if self.has_errors() { Err(CommandError::Reported) } else { Ok(()) }
    }

    /// Whether nothing may be started.
    pub(crate) fn has_errors(&self) -> bool {
        self.loaded.diagnostics.iter().any(|it| it.severity == Severity::Error)
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
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("failed to read the recipe from standard input")?;
        return Ok(Source { path: "<stdin>".to_owned(), text });
    }
    read_text(Path::new(path)).map_err(|error| {
        CommandError::BadInput(format!("failed to read the recipe `{path}`: {error}")).into()
    })
}

fn read_text(path: &Path) -> Result<Source, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&it| it == b'\n').count();
        format!("line {line} holds bytes that are not UTF-8; save the file as UTF-8")
    })?;
    Ok(Source { path: path.to_string_lossy().into_owned(), text })
}

/// Finds and reads the cluster file: the one that the environment names, else the first that exists.
fn read_cluster_file(environment: &Environment) -> anyhow::Result<Option<Source>> {
    let path: Option<PathBuf> = match environment.get(CLUSTER_FILE) {
        Some(named) => Some(PathBuf::from(named)),
        None => CLUSTER_FILE_PLACES.iter().map(PathBuf::from).find(|place| place.is_file()),
    };
    let Some(path) = path else { return Ok(None) };
    match read_text(&path) {
        Ok(source) => Ok(Some(source)),
        Err(error) => {
            let hint = if environment.get(CLUSTER_FILE).is_some() {
                format!("; {CLUSTER_FILE} names it: correct or unset the variable")
            } else {
                String::new()
            };
            let text = format!("failed to read the cluster file `{}`: {error}{hint}", path.display());
            Err(CommandError::BadInput(text).into())
        }
    }
}
