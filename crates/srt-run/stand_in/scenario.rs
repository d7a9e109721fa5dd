//! A small disaggregated run whose processes are shell commands: everything a supervisor meets, without an engine.
//!
//! Shared by the tests and by the program that stands in for srtctl.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use srt_launch::{
    FrontendProtocol, Lifetime, Probe, Readiness, SELF_PROGRAM, Stage, Step, StepId, StepOrigin, Wait,
};
use srt_plan::Expected;
use srt_run::{Execution, RunFile, RunFolder, local::LocalLauncher};
use srt_topology::NodeName;

/// Port of the frontend, at the scenario's own address.
const PORT: u16 = 8000;

/// One run. Its processes write their process ids into the run folder, for whoever wants to harm them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Scenario {
    /// Loopback address of the one node.
    pub(crate) address: IpAddr,
    /// Shell text of each process.
    pub(crate) infra: String,
    pub(crate) worker_0: String,
    pub(crate) worker_1: String,
    pub(crate) benchmark: String,
    /// What the frontend does when it is first asked for its workers.
    pub(crate) when_asked: String,
    /// Workers that the frontend knows.
    pub(crate) known_workers: u32,
    /// What runs instead of the frontend.
    pub(crate) frontend: Option<Vec<String>>,
    /// Ports that steps, by name, will listen on.
    pub(crate) ports: Vec<(String, u16)>,
    /// Ports that steps, by name, wait for before they start, and for how many seconds.
    pub(crate) waits: Vec<(String, u16, u32)>,
    /// Seconds until readiness is given up.
    pub(crate) ready_within_s: u32,
    /// The run serves until it is told to end, and has no benchmark.
    pub(crate) serves: bool,
    /// Concurrencies for which results are expected.
    pub(crate) concurrencies: Vec<u64>,
}

impl Scenario {
    /// What the supervisor is to do.
    pub(crate) fn execution(&self, run_dir: &Utf8Path) -> Execution {
        let mut steps = vec![
            shell(Stage::Infra, Lifetime::Service, "etcd", &self.infra),
            shell(Stage::Worker, Lifetime::Service, "prefill_0", &self.worker_0),
            shell(Stage::Worker, Lifetime::Service, "decode_0", &self.worker_1),
            self.frontend(),
        ];
        for (name, port) in &self.ports {
            named(&mut steps, name).ports.push(*port);
        }
        for (name, port, timeout_s) in &self.waits {
            let probe = Probe::Tcp { host: self.address.to_string(), port: *port };
            let what = format!("port {port}");
            named(&mut steps, name).wait_for.push(Wait { probe, what, interval_s: 1, timeout_s: *timeout_s });
        }
        if !self.serves {
            steps.push(shell(Stage::Benchmark, Lifetime::Task, "benchmark", &self.benchmark));
        }
        let readiness = Readiness {
            protocol: FrontendProtocol::SglangRouter,
            host: self.address.to_string(),
            port: PORT,
            prefill: 0,
            decode: 2,
            model: None,
        };
        let expected = if self.serves {
            Expected::Serving
        } else {
            let folder = "sa-bench_isl_8_osl_8".to_owned();
            Expected::Points { folder, concurrencies: self.concurrencies.clone() }
        };
        let file =
            |path: &str, private| RunFile { path: path.to_owned(), text: "name: x\n".to_owned(), private };
        Execution {
            name: "scenario".to_owned(),
            job_id: "local-1".to_owned(),
            run_dir: run_dir.to_owned(),
            folder: RunFolder::New { files: vec![file("recipe.yaml", false), file("config.yaml", true)] },
            files: Vec::new(),
            steps,
            readiness: Wait {
                probe: Probe::Frontend(readiness),
                what: "the model".to_owned(),
                interval_s: 1,
                timeout_s: self.ready_within_s,
            },
            expected,
        }
    }

    /// The launcher for this run; `srtctl` is the program that stands in for it.
    pub(crate) fn launcher(&self, srtctl: &str, run_dir: &Utf8Path) -> Arc<LocalLauncher> {
        let nodes = BTreeMap::from([(node(), self.address)]);
        Arc::new(LocalLauncher::new(srtctl, nodes, Utf8PathBuf::from(run_dir)))
    }

    fn frontend(&self) -> Step {
        let address = format!("{}:{PORT}", self.address);
        let known = self.known_workers.to_string();
        let serve =
            || vec![SELF_PROGRAM.to_owned(), "serve".to_owned(), address, known, self.when_asked.clone()];
        let argv = self.frontend.clone().unwrap_or_else(serve);
        let mut frontend = step(Stage::Frontend, Lifetime::Service, "frontend", argv);
        frontend.ports.push(PORT);
        frontend
    }
}

fn named<'a>(steps: &'a mut [Step], name: &str) -> &'a mut Step {
    steps.iter_mut().find(|step| step.id.as_str() == name).expect("the scenario names a step")
}

fn node() -> NodeName {
    "node0".parse().expect("this is a node name")
}

fn shell(stage: Stage, lifetime: Lifetime, name: &str, text: &str) -> Step {
    let with_pid = format!("echo $$ > {name}.pid\n{text}");
    step(stage, lifetime, name, vec!["sh".to_owned(), "-c".to_owned(), with_pid])
}

fn step(stage: Stage, lifetime: Lifetime, name: &str, argv: Vec<String>) -> Step {
    Step {
        stage,
        id: StepId::new(name),
        origin: StepOrigin::Other,
        nodes: vec![node()],
        argv,
        env: [("STEP".to_owned(), name.to_owned())].into(),
        unset: vec!["HOME".to_owned()],
        preamble: Vec::new(),
        wrapped: false,
        container: None,
        srun: Vec::new(),
        log: format!("{name}.out"),
        lifetime,
        wait_for: Vec::new(),
        ports: Vec::new(),
    }
}
