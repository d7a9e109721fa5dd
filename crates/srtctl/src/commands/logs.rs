//! `srtctl logs`: the logs of a job's processes, each line under the name of its step.

use std::io::{self, Write as _};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use srt_run::record::Status;

use crate::{
    environment::Environment,
    exit::{CommandError, Outcome},
    growing_file::{GrowingFile, READ_INTERVAL},
    job_view::{Controller, JobView},
    lookout::Lookout,
    run_directory::PlaceArguments,
    site, terminal,
};

/// Name under which a job's own log is shown, the one that Slurm writes.
const JOB: &str = "job";

/// Arguments of `srtctl logs`
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArguments {
    /// Job id or run directory
    job: String,
    /// Go on until the job is over
    #[arg(short, long)]
    follow: bool,
    /// Only the processes of this worker or step, such as `decode_1` or `benchmark`, without its name before each line
    #[arg(long, value_name = "W")]
    worker: Option<String>,
    #[command(flatten)]
    place: PlaceArguments,
}

pub(crate) fn run(arguments: &LogsArguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let job = arguments.place.find(&arguments.job, environment)?;
    let controller = Controller::new(environment);
    let shown = site::runtime()?.block_on(async {
        let mut lookout = Lookout::new(&controller, job);
        let first = lookout.first().await?;
        show(&mut lookout, first, arguments).await
    });
    match shown {
        // Whoever reads has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(Outcome::Success),
        other => other.map(|()| Outcome::Success),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
}

async fn show(lookout: &mut Lookout<'_>, first: JobView, arguments: &LogsArguments) -> anyhow::Result<()> {
    let job_id = first.job.job_id.clone();
    let run_dir = first.job.run_dir.clone().ok_or_else(|| {
        let text =
            format!("there is no run directory of job {job_id} here; `-o DIR` names the folder of runs");
        CommandError::BadInput(text)
    })?;
    let mut record = first.record;
    let mut is_over = first.state.is_over();
    if arguments.follow && record.is_none() && !is_over {
        terminal::note(&format!("job {job_id} is {}", first.state.text()));
    }
    let mut logs: Vec<Log> = Vec::new();
    loop {
        // Steps are known from the first event on; a job that never came so far has left what it has left.
        if logs.is_empty() && (record.is_some() || is_over || !arguments.follow) {
            let sources = sources(&run_dir, job_id.as_str(), record.as_ref())?;
            logs = select(sources, arguments.worker.as_deref())?;
        }
        print_new(&mut logs)?;
        if is_over || !arguments.follow {
            return print_rests(&mut logs);
        }
        tokio::time::sleep(READ_INTERVAL).await;
        let sight = lookout.look().await?;
        (record, is_over) = (sight.record, sight.is_over);
    }
}

/// A log, and how far it has been shown.
#[derive(Debug)]
struct Log {
    /// What stands before each of its lines.
    prefix: String,
    file: GrowingFile,
}

/// A log that could be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    name: String,
    path: Utf8PathBuf,
}

/// The logs of a run: those of its steps, or whatever lies in its log folder where no step is known.
fn sources(run_dir: &Utf8Path, job_id: &str, record: Option<&Status>) -> anyhow::Result<Vec<Source>> {
    let folder = run_dir.join("logs");
    let of_slurm = folder.join(format!("sweep_{job_id}.log"));
    let mut sources = Vec::new();
    if of_slurm.is_file() {
        sources.push(Source { name: JOB.to_owned(), path: of_slurm.clone() });
    }
    if let Some(record) = record.filter(|it| !it.steps.is_empty()) {
        let steps = record.steps.iter();
        sources.extend(steps.map(|it| Source { name: it.step.clone(), path: run_dir.join(&it.log) }));
        return Ok(sources);
    }
    let Ok(entries) = folder.read_dir_utf8() else { return Ok(sources) };
    let mut others = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("failed to read `{folder}`"))?.into_path();
        let is_log = matches!(path.extension(), Some("out" | "err" | "log")) && path != of_slurm;
        if let (true, Some(name)) = (is_log, path.file_stem()) {
            others.push(Source { name: name.to_owned(), path: path.clone() });
        }
    }
    others.sort_by(|a, b| a.path.cmp(&b.path));
    sources.extend(others);
    Ok(sources)
}

/// Those that are asked for. Names stand before the lines where there is more than one.
fn select(mut sources: Vec<Source>, worker: Option<&str>) -> Result<Vec<Log>, CommandError> {
    if let Some(worker) = worker {
        let names: Vec<String> = sources.iter().map(|it| it.name.clone()).collect();
        sources.retain(|it| is_of(&it.name, worker));
        if sources.is_empty() {
            let known = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
            return Err(CommandError::BadInput(format!(
                "this job has no worker or step called `{worker}`; there are: {known}"
            )));
        }
    }
    let width = sources.iter().map(|it| it.name.chars().count()).max().unwrap_or_default();
    let is_alone = sources.len() == 1;
    let logs = sources.into_iter().map(|Source { name, path }| {
        let prefix = if is_alone { String::new() } else { format!("{name:width$} | ") };
        Log { prefix, file: GrowingFile::new(path) }
    });
    Ok(logs.collect())
}

/// Whether a step belongs to a worker: `decode_1_node3` to `decode_1` and to `decode`, but not to `decode_10`.
fn is_of(step: &str, worker: &str) -> bool {
    step.strip_prefix(worker).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

fn print_new(logs: &mut [Log]) -> anyhow::Result<()> {
    for log in logs {
        loop {
            let lines = log.file.read()?;
            if lines.is_empty() {
                break;
            }
            print(&log.prefix, &lines)?;
        }
    }
    Ok(())
}

/// Prints the lines that have no end.
fn print_rests(logs: &mut [Log]) -> anyhow::Result<()> {
    for log in logs {
        let mut rest = log.file.rest();
        if !rest.is_empty() {
            rest.push(b'\n');
            print(&log.prefix, &rest)?;
        }
    }
    Ok(())
}

/// Prints bytes as they are: a log need not be text.
fn print(prefix: &str, lines: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        stdout.write_all(prefix.as_bytes())?;
        stdout.write_all(line)?;
    }
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(worker: Option<&str>, expected: &str) {
        let sources = ["job", "decode_1_n2", "decode_10_n3", "benchmark"]
            .map(|name| Source { name: name.to_owned(), path: name.into() });
        let said = match select(sources.to_vec(), worker) {
            Ok(logs) => logs.iter().map(|it| it.prefix.clone()).collect::<Vec<_>>().join("\n"),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn lines_of_several_logs_are_told_apart() {
        check(None, "job          | \ndecode_1_n2  | \ndecode_10_n3 | \nbenchmark    | ");
        check(Some("decode"), "decode_1_n2  | \ndecode_10_n3 | ");
        check(Some("decode_1"), "");
    }

    #[test]
    fn a_worker_that_is_none_is_answered_with_those_there_are() {
        let text = "this job has no worker or step called `decode_2`; there are: job, decode_1_n2, \
                    decode_10_n3, benchmark";
        check(Some("decode_2"), text);
    }
}
