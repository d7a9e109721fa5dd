//! `srtctl run`: executes a submitted job, on the job's first node. Started by the batch script.

use std::{fs, sync::Arc};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use srt_context::Surroundings;
use srt_run::{RunFolder, RunRequest};
use srt_schema::LoadRequest;
use srt_slurm::{JobContext, JobEnvironment, Slurm, SrunLauncher};
use srt_yaml::Source;

use crate::{
    environment::Environment,
    execute::execute,
    exit::{CommandError, Outcome},
    input::Input,
    planning, run_files, site,
};

/// Arguments of `srtctl run`
#[derive(Debug, clap::Args)]
pub(crate) struct RunArguments {
    /// Folder of the run directories
    runs: Utf8PathBuf,
}

pub(crate) fn run(arguments: &RunArguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let job = JobEnvironment::read(&environment.variables)
        .map_err(|error| CommandError::Cluster(format!("{error}; submit with `srtctl apply`")))?;
    let run_dir = arguments.runs.join(job.job_id.as_str());
    let input = read(&run_dir)?;
    input.report()?;
    let variant = input.loaded.variants.first().context("the resolved recipe holds no job")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let slurm = Slurm::new();
        let interface = input.loaded.cluster.network_interface.as_deref();
        let allocation = slurm
            .allocation(&job, interface)
            .await
            .map_err(|error| CommandError::Cluster(error.to_string()))?;
        let general = site::surroundings(environment, false);
        let surroundings = Surroundings { run_dir: run_dir.to_string(), ..general };
        let plan = planning::plan(variant, &input, &allocation, &surroundings)?;
        let program = Utf8PathBuf::try_from(environment.program.clone())?;
        let context = JobContext::new(&job, &allocation, program, environment.utf8_dir()?);
        let launcher = SrunLauncher::new(slurm, context);
        let request = RunRequest {
            plan,
            job_id: job.job_id.to_string(),
            run_dir: run_dir.clone(),
            folder: RunFolder::Prepared,
        };
        execute(request, Arc::new(launcher), false).await
    })
}

/// Reads what was submitted, and nothing that may have changed since.
fn read(run_dir: &Utf8Path) -> anyhow::Result<Input> {
    let source = |name: &str| {
        let path = run_dir.join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read `{path}`"))?;
        Ok::<_, anyhow::Error>(Source { path: path.into_string(), text })
    };
    let recipe = source(run_files::CONFIG)?;
    let cluster =
        run_dir.join(run_files::CLUSTER).exists().then(|| source(run_files::CLUSTER)).transpose()?;
    let request =
        LoadRequest { recipe: &recipe, cluster: cluster.as_ref(), selector: None, set: &[], unset: &[] };
    let loaded = srt_schema::load(&request);
    Ok(Input { recipe, cluster, loaded })
}
