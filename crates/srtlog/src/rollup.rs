//! [`rollup`]: one run folder in, one [`Rollup`] out.

mod facts;
mod model;
mod nodes;

use std::{
    io,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

pub use self::model::{
    EnvironmentConfig, FileCoverage, NodeProblem, NodeRollup, NodesSummary, Rollup, StartupPhase,
};
use crate::{
    command,
    number::Number,
    read,
    results::{BenchmarkParser, BenchmarkResult, any_result, benchmark_parser},
    run_dir::{RunDir, WorkerLog},
    sums::NodeSums,
    verdict::Verdict,
};

/// What only the caller knows about a run. Everything that is `None` is looked up in the run's own files.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// Identifier of the job.
    pub job_id: Option<String>,
    /// Name of the job.
    pub job_name: Option<String>,
    /// The time to write into the rollup; this crate reads no clock.
    pub generated_at: Option<String>,
    /// What the run is worth.
    pub verdict: Option<Verdict>,
    /// Whether the run ended before its time, so that the rollup covers a part of it.
    pub partial: Option<bool>,
    /// The stage that failed.
    pub failed_stage: Option<String>,
    /// Words to find the run by.
    pub tags: Vec<String>,
}

impl RunFacts {
    /// Nothing is known but what the files say.
    pub const UNKNOWN: RunFacts = RunFacts {
        job_id: None,
        job_name: None,
        generated_at: None,
        verdict: None,
        partial: None,
        failed_stage: None,
        tags: Vec::new(),
    };
}

/// Why there is no rollup.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// The run folder cannot be listed.
    #[error("failed to read run folder `{path}`: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder has nothing of a run: no recipe, no log, no result.
    #[error(
        "`{path}` is no run folder: it has no `config.yaml`, no worker log, and no result; name the folder that holds `logs/`"
    )]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
}

/// Rolls up a run. What cannot be read is left out and named in the rollup's warnings.
pub fn rollup(run: &Path, facts: RunFacts) -> Result<Rollup, RollupError> {
    let folder_error = |source| RollupError::Folder { path: run.to_owned(), source };
    let dir = RunDir::open(run).map_err(folder_error)?;
    let mut warnings = Vec::new();
    let recipe = facts::Recipe::read(&dir, &mut warnings);
    let logs = dir.worker_logs().map_err(folder_error)?;
    let mut rollup = recipe.start(&dir, facts);
    rollup.results = read_results(&dir, rollup.benchmark_type.as_deref(), &mut warnings);
    if !recipe.is_found() && logs.is_empty() && rollup.results.is_empty() {
        return Err(RollupError::NoRun { path: run.to_owned() });
    }
    let planned = facts::PlannedCommands::read(&dir);
    let readings = read_logs(&logs, rollup.backend_type.as_deref());
    for reading in &readings {
        warnings.extend(reading.warnings.iter().cloned());
        rollup.files.extend(reading.files.iter().cloned());
    }
    rollup.nodes_summary = (!readings.is_empty()).then(|| nodes::summarise(&logs, &readings, &planned));
    rollup.environment_config = recipe.environment(&dir, &mut warnings);
    rollup.benchmark_command = benchmark_command(&dir, &planned, rollup.benchmark_type.as_deref());
    rollup.summarise_results();
    rollup.warnings = warnings;
    Ok(rollup)
}

/// What was read of one worker's files.
struct Reading {
    engine: &'static str,
    sums: NodeSums,
    files: Vec<FileCoverage>,
    warnings: Vec<String>,
}

/// Reads all logs, as many at a time as there are cores.
fn read_logs(logs: &[WorkerLog], backend: Option<&str>) -> Vec<Reading> {
    logs.par_iter().map(|log| read_log(log, backend)).collect()
}

fn read_log(log: &WorkerLog, backend: Option<&str>) -> Reading {
    let engine = log.engine(backend);
    let mut reading = Reading { engine, sums: NodeSums::default(), files: Vec::new(), warnings: Vec::new() };
    for path in &log.files {
        let mut sums = NodeSums::default();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (coverage, outcome) = log.read_file(path, engine, &mut sums);
        if let Err(error) = outcome {
            reading.warnings.push(format!("`{name}` was read up to an error: {error}"));
        }
        reading.files.push(FileCoverage { file: name, coverage });
        reading.sums.merge(sums);
    }
    reading
}

/// Reads the results of a run, by its own benchmark's reader, else whatever lies in result folders.
fn read_results(dir: &RunDir, benchmark: Option<&str>, warnings: &mut Vec<String>) -> Vec<BenchmarkResult> {
    let files = dir.files();
    let mut results = Vec::new();
    if let Some(parser) = benchmark.and_then(benchmark_parser) {
        results = read_result_files(dir, &files, parser.as_ref(), warnings);
    }
    if results.is_empty() {
        results = read_result_files(dir, &files, &any_result(), warnings);
    }
    let concurrency = |result: &BenchmarkResult| result.concurrency.map_or(0.0, Number::as_f64);
    results.sort_by(|a, b| concurrency(a).total_cmp(&concurrency(b)));
    warnings.dedup();
    results
}

fn read_result_files(
    dir: &RunDir,
    files: &[PathBuf],
    parser: &dyn BenchmarkParser,
    warnings: &mut Vec<String>,
) -> Vec<BenchmarkResult> {
    let mut results = Vec::new();
    for file in files.iter().filter(|file| parser.reads(file)) {
        let shown = file.display().to_string();
        let read = read::open(&dir.resolve(file))
            .map_err(crate::results::ResultError::from)
            .and_then(|mut stream| parser.read(stream.as_mut()));
        match read {
            Ok(found) => results.extend(found.into_iter().map(|mut result| {
                result.file = Some(shown.clone());
                result
            })),
            Err(error) => warnings.push(format!("result `{shown}` left out: {error}")),
        }
    }
    results
}

/// Log of the benchmark, in the log folder.
const BENCHMARK_LOG: &str = "benchmark.out";

/// Longest benchmark output that is searched for its command.
const MAX_BENCHMARK_OUTPUT: u64 = 16 << 20;

fn benchmark_command(
    dir: &RunDir,
    planned: &facts::PlannedCommands,
    benchmark: Option<&str>,
) -> Option<command::LaunchCommand> {
    let output = read::text(&dir.logs.join(BENCHMARK_LOG), MAX_BENCHMARK_OUTPUT).unwrap_or_default();
    command::benchmark(&output, planned.of(BENCHMARK_LOG).as_deref(), benchmark?)
}
