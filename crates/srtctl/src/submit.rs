//! Submits the jobs of a recipe to Slurm.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use srt_context::JobId;
use srt_plan::{PlannedVariant, Program};
use srt_run::RunFile;
use srt_slurm::{Slurm, Submission};

use crate::{
    commands::apply::{ApplyArguments, NO_JOB_YET},
    environment::Environment,
    exit::{CommandError, Outcome},
    input::Input,
    planning,
    run_files::{self, run_files},
    site, terminal,
};

/// What every job gets of the login shell's environment; anything else must be named by the recipe.
const EXPORTED: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TZ", "SLURM_CONF"];

/// Submits every job of the inputs, or with `--dry-run-slurm` only asks whether Slurm would take it.
pub(crate) fn run(
    arguments: &ApplyArguments,
    inputs: &[Input],
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let slurm = Slurm::new();
        let mut jobs = Vec::new();
        for input in inputs {
            jobs.extend(plan_jobs(arguments, input, environment)?);
        }
        for job in &jobs {
            check_options(&slurm, job).await?;
        }
        for (submitted, job) in jobs.iter().enumerate() {
            let answer = submit(&slurm, job, arguments, environment).await;
            answer.map_err(|error| match submitted {
                0 => error,
                _ => error
                    .context(format!("{submitted} of {} jobs are submitted; the next failed", jobs.len())),
            })?;
        }
        Ok(Outcome::Success)
    })
}

/// A job that is about to be submitted.
struct SlurmJob<'a> {
    input: &'a Input,
    planned: PlannedVariant<'a>,
    /// Folder of the run directories.
    runs: Utf8PathBuf,
}

fn plan_jobs<'a>(
    arguments: &ApplyArguments,
    input: &'a Input,
    environment: &Environment,
) -> anyhow::Result<Vec<SlurmJob<'a>>> {
    let job_id = JobId::new(NO_JOB_YET).expect("letters are allowed");
    let general = site::surroundings(environment, false);
    let asked = arguments.output.as_deref();
    let surroundings = site::surroundings_of_job(&general, asked, &input.loaded.cluster, &job_id);
    let runs = Utf8PathBuf::from(surroundings.run_dir.clone());
    let runs = runs.parent().context("the folder of the runs has no parent")?.to_owned();
    let variants = input.loaded.variants.iter();
    variants
        .map(|variant| {
            let allocation = srt_plan::preview_allocation(&variant.recipe, &job_id);
            let plan = planning::plan(variant, input, &allocation, &surroundings)?;
            Ok(SlurmJob { input, planned: PlannedVariant { variant, plan }, runs: runs.clone() })
        })
        .collect()
}

/// Options that the installed Slurm does not take are told by name, before anything is submitted.
async fn check_options(slurm: &Slurm, job: &SlurmJob<'_>) -> anyhow::Result<()> {
    let unknown = slurm.unknown_in_plan(&job.planned.plan).await.map_err(|error| {
        CommandError::Cluster(format!("{error}; without a cluster, run it on this machine with `--local`"))
    })?;
    if unknown.is_empty() {
        return Ok(());
    }
    let lines = unknown.iter().map(|it| {
        format!("\n  {} does not take `{}`: {}; {}", it.tool.name(), it.option, it.message, it.setting)
    });
    let text = format!("this cluster's Slurm does not take what is planned:{}", lines.collect::<String>());
    Err(CommandError::Cluster(text).into())
}

async fn submit(
    slurm: &Slurm,
    job: &SlurmJob<'_>,
    arguments: &ApplyArguments,
    environment: &Environment,
) -> anyhow::Result<()> {
    let staged = stage(job, environment)?;
    let submission = Submission {
        script: staged.join(run_files::SCRIPT),
        working_dir: environment.utf8_dir()?,
        exported: exported(job.input, environment),
    };
    if arguments.dry_run_slurm {
        let answer = slurm.try_submit(&submission).await.map_err(cluster_error);
        fs::remove_dir_all(&staged).with_context(|| format!("failed to remove `{staged}`"))?;
        terminal::print_line(&format!("{}: {}", job.planned.plan.name, answer?));
        return Ok(());
    }
    let job_id = match slurm.submit(&submission).await {
        Ok(job_id) => job_id,
        Err(error) => {
            // What was staged is of no use; the refusal is what counts.
            let _left = fs::remove_dir_all(&staged);
            return Err(cluster_error(error));
        }
    };
    let run_dir = job.runs.join(job_id.as_str());
    // The job is held, so that it never starts in a folder that is not there yet.
    let released = match fs::rename(&staged, &run_dir).with_context(|| format!("failed to make `{run_dir}`"))
    {
        Ok(()) => slurm.release(&job_id).await.map_err(cluster_error),
        Err(error) => Err(error),
    };
    if let Err(error) = released {
        // It would wait for ever.
        let _cancelled = slurm.cancel(&job_id).await;
        return Err(error.context(format!("job {job_id} was submitted and cancelled again")));
    }
    report(job, &job_id, &run_dir, arguments.json);
    Ok(())
}

fn report(job: &SlurmJob<'_>, job_id: &JobId, run_dir: &Utf8Path, json: bool) {
    if json {
        let line = json!({
            "status": "submitted",
            "slurm_job_id": job_id.as_str(),
            "job_name": job.planned.plan.name,
            "output_dir": run_dir,
            "config_path": run_dir.join(run_files::CONFIG),
        });
        terminal::print_line(&line.to_string());
        return;
    }
    terminal::print_line(job_id.as_str());
    terminal::note(&format!("submitted {} as job {job_id}, in {run_dir}", job.planned.plan.name));
}

/// Writes the run directory under a name of its own: the job's number is known only afterwards.
fn stage(job: &SlurmJob<'_>, environment: &Environment) -> anyhow::Result<Utf8PathBuf> {
    let staged = job.runs.join(format!(".submitting-{}", std::process::id()));
    let make = |folder: &Utf8Path| {
        fs::create_dir_all(folder).with_context(|| format!("failed to make the run directory `{folder}`"))
    };
    make(&staged.join("logs"))?;
    for file in run_files(job.input, &job.planned)? {
        write(&staged, &file)?;
    }
    let cluster = &job.input.loaded.cluster;
    let program = if cluster.srtctl_binaries.is_empty() {
        Program::Path(environment.program.to_string_lossy().into_owned())
    } else {
        Program::ByArchitecture(cluster.srtctl_binaries.clone().into_iter().collect())
    };
    let directives = submitted(&job.planned.plan.sbatch);
    let script = srt_plan::batch_script(&directives, &program, &["run".to_owned(), job.runs.to_string()])?;
    write(&staged, &RunFile { path: run_files::SCRIPT.to_owned(), text: script, private: false })?;
    Ok(staged)
}

/// The planned directives, and ours in each component of a heterogeneous job: it is held until its folder is there,
/// and never starts a second time, for it would find its own record and append to it.
fn submitted(planned: &[(String, Option<String>)]) -> Vec<(String, Option<String>)> {
    let ours = ["hold", "no-requeue"].map(|name| (name.to_owned(), None));
    let components = planned.split(|(name, _)| name == "hetjob");
    let components: Vec<_> = components.map(|it| [it, &ours].concat()).collect();
    components.join(&("hetjob".to_owned(), None))
}

fn write(folder: &Utf8Path, file: &RunFile) -> anyhow::Result<()> {
    let path = folder.join(&file.path);
    let mode = if file.private { 0o600 } else { 0o666 };
    fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(mode)
        .open(&path)
        .and_then(|mut it| it.write_all(file.text.as_bytes()))
        .with_context(|| format!("failed to write `{path}`"))
}

/// Variables that the job gets: a few that every program needs, and those that recipe or cluster file name as `$NAME`.
fn exported(input: &Input, environment: &Environment) -> Vec<String> {
    let texts = [Some(&input.recipe), input.cluster.as_ref()];
    let is_named = |name: &str| {
        texts.iter().flatten().any(|source| {
            source.text.contains(&format!("${name}")) || source.text.contains(&format!("${{{name}}}"))
        })
    };
    let names = environment.variables.keys().map(String::as_str);
    names.filter(|name| EXPORTED.contains(name) || is_named(name)).map(str::to_owned).collect()
}

fn cluster_error(error: impl std::error::Error) -> anyhow::Error {
    CommandError::Cluster(error.to_string()).into()
}

/// Whether there is a Slurm to submit to.
pub(crate) fn is_possible(environment: &Environment) -> bool {
    has_program("sbatch", environment)
}

/// Whether a program is on `PATH`.
pub(crate) fn has_program(name: &str, environment: &Environment) -> bool {
    let path = environment.get("PATH").unwrap_or_default();
    which::which_in(name, Some(path), Path::new("/")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_component_is_held_and_not_requeued() {
        let planned = ["nodes", "hetjob", "nodes"].map(|name| (name.to_owned(), None));
        let names: Vec<String> = submitted(&planned).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["nodes", "hold", "no-requeue", "hetjob", "nodes", "hold", "no-requeue"]);
    }
}
