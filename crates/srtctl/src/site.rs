//! Where this program runs: the surroundings that a plan is made in.

use std::{
    io,
    path::{Path, PathBuf},
};

use jiff::ZonedDateTime;
use srt_context::{JobId, Surroundings};
use srt_schema::cluster::ClusterConfig;

use crate::environment::Environment;

/// The surroundings of everything before a run has a folder.
pub(crate) fn surroundings(environment: &Environment, local: bool) -> Surroundings {
    Surroundings {
        variables: environment.variables.clone(),
        home: environment.get("HOME").map(str::to_owned),
        current_dir: environment.current_dir.to_string_lossy().into_owned(),
        run_dir: String::new(),
        local,
    }
}

/// The surroundings of one job: `asked` is the folder of run directories that the command line names.
pub(crate) fn surroundings_of_job(
    general: &Surroundings,
    asked: Option<&Path>,
    cluster: &ClusterConfig,
    job_id: &JobId,
) -> Surroundings {
    let asked = asked.map(Path::to_string_lossy);
    let base = srt_context::output_base(asked.as_deref(), cluster, general);
    Surroundings { run_dir: srt_context::run_dir(&base, job_id), ..general.clone() }
}

/// A path of a recipe, as it is on this machine.
pub(crate) fn path(written: &str, environment: &Environment) -> PathBuf {
    srt_context::resolve(written, &surroundings(environment, false)).into()
}

/// A name for a local run: sortable, and unique on this machine; `number` is its place among several of one command.
pub(crate) fn local_job_id(now: &ZonedDateTime, number: Option<usize>, suffix: Option<&str>) -> JobId {
    let mut text = format!("local-{}-{}", now.strftime("%Y%m%d-%H%M%S"), std::process::id());
    text.extend(number.map(|number| format!("-{number}")));
    if let Some(part) = suffix {
        let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        text.push('-');
        text.extend(part.chars().map(safe));
    }
    JobId::new(&text).expect("made of letters, digits, `-`, and `_`")
}

/// The runtime of a command that asks Slurm and waits.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
