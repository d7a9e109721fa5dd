//! `srtctl rollup`: logs and results of run directories into `rollup.json`.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::ZonedDateTime;
use srtlog::{Csv, Parquet, Rollup, RunFacts, Table};

use crate::{exit::Outcome, terminal};

/// File that a rollup is written to, in the log folder of a run.
const ROLLUP_FILE: &str = "rollup.json";

/// Arguments of `srtctl rollup`
#[derive(Debug, clap::Args)]
pub(crate) struct RollupArguments {
    /// Run directories, of this tool or of NVIDIA srt-slurm
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Print the rollups as JSON instead of writing files
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Write tables of results, workers, and batches beside the rollup too
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<TableFormat>,
}

/// Formats that pandas, polars, and `DuckDB` read
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum TableFormat {
    Csv,
    Parquet,
}

impl TableFormat {
    fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// The tables of a run, and the names of their files.
const TABLES: [(Table, &str); 3] =
    [(Table::Results, "results"), (Table::Nodes, "nodes"), (Table::Batches, "batches")];

pub(crate) fn run(arguments: &RollupArguments) -> Outcome {
    let generated_at = ZonedDateTime::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut outcome = Outcome::Success;
    for directory in &arguments.directories {
        // One unreadable run must not keep the others from being read.
        if let Err(error) = roll_up(directory, &generated_at, arguments) {
            terminal::print_error(&error);
            outcome = Outcome::Internal;
        }
    }
    outcome
}

fn roll_up(directory: &Path, generated_at: &str, arguments: &RollupArguments) -> anyhow::Result<()> {
    let known = written_by_the_run(directory);
    let facts = RunFacts {
        generated_at: Some(generated_at.to_owned()),
        verdict: known.as_ref().and_then(|it| it.verdict.clone()),
        partial: known.as_ref().and_then(|it| it.partial),
        failed_stage: known.and_then(|it| it.failed_stage),
        ..RunFacts::UNKNOWN
    };
    let rollup = srtlog::rollup(directory, facts)?;
    if arguments.json {
        terminal::print_line(&rollup.to_json());
        return Ok(());
    }
    let path = write(directory, &rollup)?;
    terminal::print_line(&srt_report::results::table(&rollup));
    if let Some(verdict) = &rollup.verdict {
        terminal::print_line(&srt_report::results::verdict(verdict));
    }
    for warning in &rollup.warnings {
        terminal::note(&format!("warning: {warning}"));
    }
    terminal::print_line(&format!("rollup: {}", path.display()));
    let Some(format) = arguments.format else { return Ok(()) };
    for (table, name) in &TABLES {
        let path = path.with_file_name(format!("{name}.{}", format.extension()));
        write_table(*table, format, directory, &rollup, &path)?;
        terminal::print_line(&format!("table: {}", path.display()));
    }
    Ok(())
}

fn write_table(
    table: Table,
    format: TableFormat,
    directory: &Path,
    rollup: &Rollup,
    path: &Path,
) -> anyhow::Result<()> {
    let beside = path.with_extension("tmp");
    let failed = || format!("failed to write `{}`", path.display());
    let file = BufWriter::new(File::create(&beside).with_context(failed)?);
    let columns = table.columns();
    match format {
        TableFormat::Csv => {
            let mut out = Csv::new(file, &columns).with_context(failed)?;
            table.write(directory, rollup, &mut out).with_context(failed)?;
            out.finish().with_context(failed)?;
        }
        TableFormat::Parquet => {
            let mut out = Parquet::new(file, &columns).with_context(failed)?;
            table.write(directory, rollup, &mut out).with_context(failed)?;
            out.finish().with_context(failed)?;
        }
    }
    fs::rename(&beside, path).with_context(failed)
}

/// The rollup that is there. Logs do not say what a run was judged, so that is carried over.
fn written_by_the_run(directory: &Path) -> Option<Rollup> {
    let text = fs::read_to_string(log_folder(directory).join(ROLLUP_FILE)).ok()?;
    Rollup::from_json(&text).ok()
}

/// `DIR/logs`, or `DIR` itself where it is a log folder.
fn log_folder(directory: &Path) -> PathBuf {
    let logs = directory.join("logs");
    if logs.is_dir() { logs } else { directory.to_owned() }
}

fn write(directory: &Path, rollup: &Rollup) -> anyhow::Result<PathBuf> {
    let path = log_folder(directory).join(ROLLUP_FILE);
    let beside = path.with_extension("tmp");
    fs::write(&beside, rollup.to_json())
        .and_then(|()| fs::rename(&beside, &path))
        .with_context(|| format!("failed to write `{}`", path.display()))?;
    Ok(path)
}
