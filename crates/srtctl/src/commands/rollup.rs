//! `srtctl rollup`: logs and results of run directories into `rollup.json`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::ZonedDateTime;
use srtlog::{Rollup, RunFacts};

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
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &RollupArguments) -> Outcome {
    let generated_at = ZonedDateTime::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut outcome = Outcome::Success;
    for directory in &arguments.directories {
        // One unreadable run must not keep the others from being read.
        if let Err(error) = roll_up(directory, &generated_at, arguments.json) {
            terminal::print_error(&error);
            outcome = Outcome::Internal;
        }
    }
    outcome
}

fn roll_up(directory: &Path, generated_at: &str, json: bool) -> anyhow::Result<()> {
    let known = written_by_the_run(directory);
    let facts = RunFacts {
        generated_at: Some(generated_at.to_owned()),
        verdict: known.as_ref().and_then(|it| it.verdict.clone()),
        partial: known.as_ref().and_then(|it| it.partial),
        failed_stage: known.and_then(|it| it.failed_stage),
        ..RunFacts::UNKNOWN
    };
    let rollup = srtlog::rollup(directory, facts)?;
    if json {
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
    Ok(())
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
