//! What starting steps through `SrunLauncher` costs beside plain srun.
//!
//! Starts a private cluster of 8 nodes, allocates all of them, and measures, for 32 steps of one task each, the time
//! from the first start until every task runs: through the launcher, one after another as the supervisor starts
//! them, and through 32 plain `srun` commands. Run it with `cargo run --release -p srt-slurm --example launch_overhead`.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a measurement, run by hand")]

use std::{
    fs,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use srt_launch::{Environment, Lifetime, Stage, Step, StepId, StepOrigin};
use srt_run::{
    keeper,
    launcher::{Launcher as _, RunningStep},
};
use srt_slurm::{JobContext, JobEnvironment, JobState, Slurm, SrunLauncher, Submission, hostlist};
use srt_testcluster::{Settings, own};
use srt_topology::NodeName;

const NODES: u8 = 8;
const STEPS: usize = 32;
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == "keeper"
    {
        return keeper::main(rest);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.context("no runtime").and_then(|runtime| runtime.block_on(measure())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> anyhow::Result<()> {
    let cluster = own(&Settings { nodes: NODES, ..Settings::default() });
    let slurm = Slurm::with_environment(cluster.environment());
    let dir = tempfile::tempdir()?;
    let dir = Utf8PathBuf::try_from(dir.path().to_owned())?;
    let environment = hold(&slurm, &dir).await?;
    let started = Instant::now();
    let allocation = slurm.allocation(&environment, None).await?;
    println!("addresses of {NODES} nodes: {} ms", started.elapsed().as_millis());
    let program = Utf8PathBuf::try_from(std::env::current_exe()?)?;
    let launcher =
        SrunLauncher::new(slurm.clone(), JobContext::new(&environment, &allocation, program, dir.clone()));
    let (mut ours, mut plain, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let folder = dir.join(format!("ours{round}"));
        fs::create_dir(&folder)?;
        let started = Instant::now();
        let mut running: Vec<Box<dyn RunningStep>> = Vec::new();
        for index in 0..STEPS {
            let node = &environment.nodes[index % environment.nodes.len()];
            let step = step(node, index, &folder);
            running.push(launcher.start(&step, &folder.join(format!("{}.log", step.id))).await?);
        }
        all_run(&folder).await?;
        ours.push(started.elapsed());
        let started = Instant::now();
        let ends = running.into_iter().map(|mut step| async move {
            step.terminate().await;
            step.wait().await;
            step.gone().await;
        });
        let mut tasks = tokio::task::JoinSet::new();
        ends.for_each(|end| drop(tasks.spawn(end)));
        tasks.join_all().await;
        ended.push(started.elapsed());

        let folder = dir.join(format!("plain{round}"));
        fs::create_dir(&folder)?;
        let started = Instant::now();
        let mut commands: Vec<Child> = Vec::new();
        for index in 0..STEPS {
            let node = &environment.nodes[index % environment.nodes.len()];
            commands.push(plain_srun(
                &cluster.environment(),
                &environment,
                node,
                &step(node, index, &folder),
            )?);
        }
        all_run(&folder).await?;
        plain.push(started.elapsed());
        for command in &mut commands {
            command.kill()?;
            command.wait()?;
        }
    }
    show(&format!("{STEPS} steps through the launcher, until all tasks run"), &ours);
    show(&format!("{STEPS} plain sruns, until all tasks run"), &plain);
    show(&format!("{STEPS} steps asked to end at once, until all are gone"), &ended);
    slurm.cancel(&environment.job_id).await?;
    Ok(())
}

/// A job that holds all nodes.
async fn hold(slurm: &Slurm, dir: &Utf8Path) -> anyhow::Result<JobEnvironment> {
    let script = dir.join("hold.sh");
    fs::write(&script, format!("#!/bin/bash\n#SBATCH --nodes={NODES} --output=/dev/null\nsleep 600\n"))?;
    let submission = Submission { script, working_dir: dir.to_owned(), exported: vec!["PATH".to_owned()] };
    let id = slurm.submit(&submission).await?;
    for _ in 0..200 {
        let jobs = slurm.jobs(std::slice::from_ref(&id)).await?;
        if let Some(report) = jobs.found.get(&id).filter(|report| report.state == JobState::Running) {
            let nodes = hostlist::expand(report.nodes.as_deref().unwrap_or_default())?;
            return Ok(JobEnvironment { component_ids: vec![id.clone()], job_id: id, nodes, het: None });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the job does not start")
}

/// A task that says that it runs by making a file.
fn step(node: &NodeName, index: usize, folder: &Utf8Path) -> Step {
    Step {
        stage: Stage::Worker,
        id: StepId::new(&format!("{}_{index}", folder.file_name().unwrap_or_default())),
        origin: StepOrigin::Other,
        nodes: vec![node.clone()],
        argv: vec![
            "sh".to_owned(),
            "-c".to_owned(),
            format!("touch {folder}/running{index}; exec sleep 300"),
        ],
        env: Environment::new(),
        unset: Vec::new(),
        preamble: Vec::new(),
        wrapped: true,
        container: None,
        srun: Vec::new(),
        log: String::new(),
        lifetime: Lifetime::Service,
        wait_for: Vec::new(),
        ports: Vec::new(),
    }
}

fn plain_srun(
    variables: &[(String, String)],
    job: &JobEnvironment,
    node: &NodeName,
    step: &Step,
) -> anyhow::Result<Child> {
    let mut command = Command::new("srun");
    command.envs(variables.iter().cloned()).stdin(Stdio::null()).stderr(Stdio::null());
    command.args([format!("--jobid={}", job.job_id), format!("--nodelist={node}")]);
    command.args(["--overlap", "--nodes=1", "--ntasks=1", "--output=/dev/null"]).args(&step.argv);
    Ok(command.spawn()?)
}

async fn all_run(folder: &Utf8Path) -> anyhow::Result<()> {
    for _ in 0..12_000 {
        let running = folder.read_dir_utf8()?.filter_map(Result::ok);
        if running.filter(|entry| entry.file_name().starts_with("running")).count() == STEPS {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("not all tasks run in {folder}")
}

fn show(what: &str, times: &[Duration]) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let [first, .., last] = sorted.as_slice() else { return };
    let median = sorted[sorted.len() / 2];
    println!(
        "{what}: {} / {} / {} ms (min/median/max of {ROUNDS})",
        first.as_millis(),
        median.as_millis(),
        last.as_millis()
    );
}
