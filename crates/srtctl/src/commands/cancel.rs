//! `srtctl cancel`: ends a job.

use anyhow::Context as _;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{
    environment::Environment,
    exit::{CommandError, Outcome},
    job_view::{Controller, JobView, State},
    lookout::Lookout,
    run_directory::{Job, PlaceArguments},
    site, terminal,
};

/// Arguments of `srtctl cancel`
#[derive(Debug, clap::Args)]
pub(crate) struct CancelArguments {
    /// Job id or run directory
    job: String,
    #[command(flatten)]
    place: PlaceArguments,
}

pub(crate) fn run(arguments: &CancelArguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let job = arguments.place.find(&arguments.job, environment)?;
    let controller = Controller::new(environment);
    site::runtime()?.block_on(async {
        let view = Lookout::new(&controller, job).first().await?;
        cancel(&controller, &view).await?;
        Ok(Outcome::Success)
    })
}

async fn cancel(controller: &Controller, view: &JobView) -> anyhow::Result<()> {
    let job_id = &view.job.job_id;
    if view.state.is_over() {
        terminal::note(&format!("job {job_id} is over already; {}", view.state.text()));
        return Ok(());
    }
    if let (true, Some(record)) = (view.job.is_local(), &view.record) {
        tell_process(&view.job, record.pid)?;
        report_told(view);
        return Ok(());
    }
    let slurm = controller.slurm().ok_or_else(|| {
        CommandError::Cluster(
            "there is no Slurm on PATH, so the job cannot be told to end from here".to_owned(),
        )
    })?;
    let cluster_error = |error: srt_slurm::SlurmError| CommandError::Cluster(error.to_string());
    if matches!(view.state, State::Running { .. } | State::Ending { .. }) {
        // The orchestrator alone: it ends its steps in order, and reads what they left.
        slurm.signal_script(job_id, "TERM").await.map_err(cluster_error)?;
        report_told(view);
        return Ok(());
    }
    slurm.cancel(job_id).await.map_err(cluster_error)?;
    terminal::note(&format!("job {job_id} is cancelled"));
    Ok(())
}

fn report_told(view: &JobView) {
    let job_id = &view.job.job_id;
    let text = if matches!(view.state, State::Ending { .. }) {
        format!("job {job_id} is told once more to end, which it does at once")
    } else {
        format!(
            "job {job_id} ends in order and keeps its results; `srtctl wait {job_id}` waits for it, and the same \
             command once more ends it at once"
        )
    };
    terminal::note(&text);
}

/// Sends SIGTERM to the process that executes a local run, and to no other that may have got its number.
fn tell_process(job: &Job, pid: u32) -> anyhow::Result<()> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).context("the record names no process")?;
    let process = pidfd_open(raw, PidfdFlags::empty())
        .with_context(|| format!("failed to reach process {pid}, which executes the run"))?;
    if !job.is_executed_by(pid) {
        return Err(CommandError::BadInput(format!("the run `{}` has just ended", job.job_id)).into());
    }
    pidfd_send_signal(&process, Signal::TERM).with_context(|| format!("failed to signal process {pid}"))
}
