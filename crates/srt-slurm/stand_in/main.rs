//! Stands in for srtctl in the tests: a keeper when started as one; otherwise an orchestrator that starts one step
//! and then waits to be killed.

use std::{collections::BTreeMap, ffi::OsString, process::ExitCode};

use camino::Utf8PathBuf;
use srt_context::JobId;
use srt_launch::{Environment, Lifetime, Stage, Step, StepId, StepOrigin};
use srt_run::{keeper, launcher::Launcher as _};
use srt_slurm::{JobContext, Slurm, SrunLauncher};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.split_first() {
        Some((command, rest)) if command == "keeper" => keeper::main(rest),
        _ => {
            let arguments: Vec<String> = std::env::args().skip(1).collect();
            orchestrate(&arguments);
            ExitCode::SUCCESS
        }
    }
}

/// `JOB NODE LOG COMMAND...`: starts the command as a step, says so in the file `LOG.started`, and never ends.
fn orchestrate(arguments: &[String]) {
    let [job, node, log, command @ ..] = arguments else { panic!("expected JOB NODE LOG COMMAND...") };
    let node: srt_topology::NodeName = node.parse().expect("a node's name");
    let log = Utf8PathBuf::from(log);
    let program = std::env::current_exe().expect("this program has a path");
    let job_id = JobId::new(job).expect("a job");
    let job = JobContext {
        component_ids: vec![job_id.clone()],
        job_id,
        addresses: BTreeMap::from([(node.clone(), std::net::Ipv4Addr::LOCALHOST.into())]),
        srtctl: program.try_into().expect("the path is text"),
        working_dir: "/tmp".into(),
    };
    let step = Step {
        stage: Stage::Worker,
        id: StepId::new("orphan"),
        origin: StepOrigin::Other,
        nodes: vec![node],
        argv: command.to_vec(),
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
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let launcher = SrunLauncher::new(Slurm::new(), job);
        let mut running = launcher.start(&step, &log).await.expect("the step starts");
        std::fs::write(log.with_extension("started"), "").expect("the file can be written");
        running.wait().await;
    });
}
