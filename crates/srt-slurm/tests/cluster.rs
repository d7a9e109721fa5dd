//! srt-slurm against a real Slurm: a private cluster that the tests start themselves.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test, and what it starts by itself")]

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Command},
    sync::Arc,
    time::Duration,
};

use camino::Utf8PathBuf;
use expect_test::{Expect, expect};
use rustix::process::{Pid, Signal, kill_process};
use srt_context::{HetGroups, JobId, Surroundings};
use srt_launch::{Environment, Lifetime, Preamble, Stage, Step, StepId, StepOrigin};
use srt_plan::{plan, preview_allocation};
use srt_run::launcher::{Launcher as _, RunningStep, StartError, StepExit};
use srt_schema::{LoadRequest, load};
use srt_slurm::{
    JobContext, JobEnvironment, JobState, Phase, Slurm, SrunLauncher, Submission, Tool, hostlist,
};
use srt_testcluster::{Settings, Shared, own, shared};
use srt_topology::NodeName;
use srt_yaml::Source;

/// The program that stands in for srtctl.
const STAND_IN: &str = env!("CARGO_BIN_EXE_srt-slurm-stand-in");

/// Nothing here takes that long, even on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// A cluster, and a folder for a test's files.
struct Lab {
    cluster: Arc<Shared>,
    slurm: Slurm,
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        Self::on(shared())
    }

    fn on(cluster: Arc<Shared>) -> Self {
        let slurm = Slurm::with_environment(cluster.environment());
        Self { cluster, slurm, dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::from(self.dir.path().to_str().unwrap()).join(name)
    }

    fn script(&self, name: &str, options: &str, body: &str) -> Submission {
        let script = self.path(name);
        // Little memory, so that the tests' jobs can share the nodes.
        let log = self.path("job.log");
        fs::write(&script, format!("#!/bin/bash\n#SBATCH --output={log} --mem=100\n{options}\n{body}\n"))
            .unwrap();
        Submission { script, working_dir: self.path(""), exported: vec!["PATH".to_owned()] }
    }

    /// A job that holds nodes until it is cancelled.
    async fn hold(&self, options: &str) -> Job<'_> {
        let submission = self.script("hold.sh", options, "sleep 600");
        let id = self.slurm.submit(&submission).await.unwrap();
        let report = self.until(&id, |state| *state == JobState::Running).await;
        let nodes = hostlist::expand(&report.nodes.unwrap()).unwrap();
        let environment = JobEnvironment { job_id: id.clone(), component_ids: vec![id], nodes, het: None };
        let allocation = self.slurm.allocation(&environment, None).await.unwrap();
        Job {
            lab: self,
            context: JobContext::new(&environment, &allocation, STAND_IN.into(), self.path("")),
            nodes: environment.nodes,
        }
    }

    async fn until(&self, id: &JobId, wanted: impl Fn(&JobState) -> bool) -> srt_slurm::JobReport {
        let mut last = None;
        for _ in 0..300 {
            let jobs = self.slurm.jobs(std::slice::from_ref(id)).await.unwrap();
            match jobs.found.get(id) {
                Some(report) if wanted(&report.state) => return report.clone(),
                other => last = other.cloned(),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("job {id} did not come to the state in question: {last:?}");
    }
}

/// A job that holds nodes.
struct Job<'a> {
    lab: &'a Lab,
    context: JobContext,
    nodes: Vec<NodeName>,
}

impl Job<'_> {
    fn step(&self, name: &str, script: &str) -> Step {
        Step {
            stage: Stage::Worker,
            id: StepId::new(name),
            origin: StepOrigin::Other,
            nodes: vec![self.nodes[0].clone()],
            argv: ["bash", "-c", script].map(str::to_owned).to_vec(),
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

    fn log(&self, step: &Step) -> Utf8PathBuf {
        self.lab.path(&format!("{}.out", step.id))
    }

    async fn start(&self, step: &Step) -> Result<Box<dyn RunningStep>, StartError> {
        let launcher = SrunLauncher::new(self.lab.slurm.clone(), self.context.clone());
        launcher.start(step, &self.log(step)).await
    }

    /// Runs a step to its end: its log, and how it ended.
    async fn run(&self, step: &Step) -> String {
        let mut running = self.start(step).await.unwrap();
        let end = within(running.wait()).await;
        within(running.gone()).await;
        format!("{}[{end}]", self.text(step))
    }

    /// Without what differs from run to run.
    fn neutral(&self, text: &str) -> String {
        let id = format!("StepId={}.", self.context.job_id);
        text.replace(self.nodes[0].as_str(), "NODE").replace(&id, "StepId=JOB.")
    }

    fn text(&self, step: &Step) -> String {
        fs::read_to_string(self.log(step)).unwrap_or_default()
    }

    /// Waits until a step has written a text.
    async fn until_written(&self, step: &Step, text: &str) {
        eventually(text, || self.text(step).contains(text)).await;
    }

    fn steps(&self) -> String {
        let job = format!("--jobs={}", self.context.job_id);
        self.lab.cluster.run(&["squeue", "--steps", "--noheader", &job, "--format=%j"]).unwrap()
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        let _over = self.lab.cluster.run(&["scancel", self.context.job_id.as_str()]);
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it ends in time")
}

async fn eventually(what: &str, done: impl Fn() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("this did not happen: {what}");
}

#[track_caller]
fn check(found: &str, expected: &Expect) {
    expected.assert_eq(found);
}

#[tokio::test]
async fn a_job_is_submitted_and_followed_to_its_end() {
    let lab = Lab::new();
    let failing = lab.slurm.submit(&lab.script("a.sh", "", "exit 7")).await.unwrap();
    let killed =
        lab.slurm.submit(&lab.script("b.sh", "#SBATCH --job-name='a|b c'", "kill -9 $$")).await.unwrap();
    for id in [&failing, &killed] {
        lab.until(id, |state| state.phase() == Phase::Finished).await;
    }
    let nobody = JobId::new("99999").unwrap();
    let jobs = lab.slurm.jobs(&[failing.clone(), nobody.clone(), killed.clone()]).await.unwrap();
    let shown = |id| {
        let report = &jobs.found[id];
        format!("{} {:?} {:?} {}", report.state, report.exit, report.reason, report.name)
    };
    check(
        &shown(&failing),
        &expect![[r#"FAILED JobExit { code: 7, signal: 0 } Some("NonZeroExitCode") a.sh"#]],
    );
    check(
        &shown(&killed),
        &expect![[r#"FAILED JobExit { code: 0, signal: 9 } Some("JobLaunchFailure") a|b c"#]],
    );
    assert!(!jobs.found.contains_key(&nobody) && !jobs.has_accounting, "{jobs:?}");
    // A job alone that the controller has never seen is unknown, not an error.
    assert!(lab.slurm.jobs(&[nobody]).await.unwrap().found.is_empty());
}

#[tokio::test]
async fn the_environment_of_the_login_shell_stays_there() {
    let lab = Lab::new();
    let mut environment = lab.cluster.environment();
    environment.push(("VIRTUAL_ENV".to_owned(), "/leaks".to_owned()));
    environment.push(("NAMED".to_owned(), "passes".to_owned()));
    let slurm = Slurm::with_environment(environment);
    let mut submission =
        lab.script("env.sh", "", "echo [$VIRTUAL_ENV] [$NAMED]; read -r line; echo \"[$line]\"");
    submission.exported.push("NAMED".to_owned());
    let id = slurm.submit(&submission).await.unwrap();
    lab.until(&id, |state| state.phase() == Phase::Finished).await;
    check(
        &fs::read_to_string(lab.path("job.log")).unwrap(),
        &expect![[r"
        [] [passes]
        []
    "]],
    );
}

#[tokio::test]
async fn what_slurm_refuses_is_said_in_its_words_with_the_setting() {
    let lab = Lab::new();
    let refused = async |options: &str| {
        let submission = lab.script("refused.sh", options, "true");
        let tested = lab.slurm.try_submit(&submission).await.unwrap_err();
        let submitted = lab.slurm.submit(&submission).await.unwrap_err();
        format!("{tested}\n{submitted}")
    };
    check(
        &refused("#SBATCH --gpus-per-node=9").await,
        &expect![[r"
        Slurm refused the job: allocation failure: Requested node configuration is not available (no set of nodes fits: compare `resources.gpus_per_node` and the number of nodes with what `sinfo -N -o '%N %G'` shows)
        Slurm refused the job: Batch job submission failed: Requested node configuration is not available (no set of nodes fits: compare `resources.gpus_per_node` and the number of nodes with what `sinfo -N -o '%N %G'` shows)"]],
    );
    check(
        &refused("#SBATCH --gres=foo:1").await,
        &expect![[r"
        Slurm refused the job: Invalid generic resource (gres) specification (this cluster has no such GPUs: set `use_gpus_per_node_directive: false` in srtslurm.yaml, or name what it has in the recipe's `sbatch_directives.gres`)
        Slurm refused the job: Invalid generic resource (gres) specification (this cluster has no such GPUs: set `use_gpus_per_node_directive: false` in srtslurm.yaml, or name what it has in the recipe's `sbatch_directives.gres`)"]],
    );
    check(
        &refused("#SBATCH --partition=nosuch").await,
        &expect![[r"
        Slurm refused the job: invalid partition specified: nosuch; allocation failure: Invalid partition name specified (set `default_partition` in srtslurm.yaml, or `slurm.partition` in the recipe)
        Slurm refused the job: invalid partition specified: nosuch; Batch job submission failed: Invalid partition name specified (set `default_partition` in srtslurm.yaml, or `slurm.partition` in the recipe)"]],
    );
    check(
        &refused("#SBATCH --segment=2").await,
        &expect![[r"
        Slurm refused the job: unrecognized option '--segment=2' (set `use_segment_sbatch_directive: false` in srtslurm.yaml)
        Slurm refused the job: unrecognized option '--segment=2' (set `use_segment_sbatch_directive: false` in srtslurm.yaml)"]],
    );
    let accepted = lab.slurm.try_submit(&lab.script("ok.sh", "#SBATCH --nodes=4", "true")).await.unwrap();
    assert!(accepted.contains("on nodes node[1-4] in partition batch"), "{accepted}");
}

#[tokio::test]
async fn options_that_this_slurm_lacks_are_found_before_submission() {
    let lab = Lab::new();
    let unknown = async |tool, options: &[&str]| {
        let options: Vec<String> = options.iter().map(|it| (*it).to_owned()).collect();
        let found = lab.slurm.unknown_options(tool, &options).await.unwrap();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let known =
        ["--nodes=2", "--gpus-per-node=8", "--exclusive", "--mem=0", "--signal=B:TERM@60", "--requeue"];
    check(&unknown(Tool::Sbatch, &known).await, &expect![""]);
    // Neither stands in this version's help text.
    check(&unknown(Tool::Srun, &["--open-mode=append", "--cpu-bind=verbose,none"]).await, &expect![""]);
    check(
        &unknown(Tool::Sbatch, &["--nodes=2", "--segment=2", "--exclusive=topo", "--time=soon"]).await,
        &expect![[r"
        sbatch does not take `--segment=2`: unrecognized option '--segment=2'; set `use_segment_sbatch_directive: false` in srtslurm.yaml
        sbatch does not take `--exclusive=topo`: Invalid --exclusive specification; set `use_exclusive_sbatch_directive: false` in srtslurm.yaml
        sbatch does not take `--time=soon`: Invalid --time specification; change it in the recipe's `sbatch_directives`"]],
    );
    check(
        &unknown(Tool::Srun, &["--overlap", "--container-image=x", "--no-container-mount-home"]).await,
        &expect![[r"
        srun does not take `--container-image=x`: unrecognized option '--container-image=x'; install pyxis, or set `container_runtime: none` in srtslurm.yaml to run on the host
        srun does not take `--no-container-mount-home`: unrecognized option '--no-container-mount-home'; install pyxis, or set `container_runtime: none` in srtslurm.yaml to run on the host"]],
    );
}

/// What the private cluster does not take of a plan for another cluster.
async fn unknown_in_plan(lab: &Lab, cluster: &str) -> String {
    let recipe = include_str!("../../../fixtures/recipes/sglang-router-disagg.yaml");
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let loaded = load(&LoadRequest {
        recipe: &source("recipe.yaml", recipe),
        cluster: Some(&source("srtslurm.yaml", cluster)),
        selector: None,
        set: &[],
        unset: &[],
    });
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    let recipe = &loaded.variants[0].recipe;
    let allocation = preview_allocation(recipe, &JobId::new("1").unwrap());
    let surroundings = Surroundings { run_dir: "/runs/1".to_owned(), ..Surroundings::default() };
    let plan = plan(recipe, &loaded.cluster, &allocation, &surroundings).unwrap();
    let unknown = lab.slurm.unknown_in_plan(&plan).await.unwrap();
    unknown.iter().map(|it| format!("{} {}", it.tool.name(), it.option)).collect::<Vec<_>>().join("\n")
}

/// The switches of cluster files in use, in the combinations in which they are used.
#[tokio::test]
async fn plans_for_other_clusters_are_checked_against_this_one() {
    let lab = Lab::new();
    let common = "default_account: a\ndefault_partition: batch\n";
    let with = |text: &str| format!("{common}{text}");
    let gres_without_segment =
        with("use_segment_sbatch_directive: false\nuse_gpus_per_node_directive: true\n");
    check(
        &unknown_in_plan(&lab, &gres_without_segment).await,
        &expect!["srun --container-image=lmsysorg/sglang:v0.5.11"],
    );
    let all = "use_gpus_per_node_directive: false\nuse_segment_sbatch_directive: true\nuse_exclusive_sbatch_directive: true\n";
    check(
        &unknown_in_plan(&lab, &with(all)).await,
        &expect![[r"
            sbatch --segment=1
            srun --container-image=lmsysorg/sglang:v0.5.11"]],
    );
    let on_hosts = with(
        "use_segment_sbatch_directive: false\nuse_exclusive_sbatch_directive: true\ncontainer_runtime: none\n",
    );
    check(&unknown_in_plan(&lab, &on_hosts).await, &expect![""]);
}

#[tokio::test]
async fn addresses_come_from_slurm_and_an_interface_must_have_one() {
    let lab = Lab::new();
    let job = lab.hold("#SBATCH --nodes=2").await;
    let environment = JobEnvironment {
        job_id: job.context.job_id.clone(),
        component_ids: Vec::new(),
        nodes: job.nodes.clone(),
        het: None,
    };
    for (name, address) in &job.context.addresses {
        let text = lab.cluster.run(&["scontrol", "show", "node", name.as_str()]).unwrap();
        assert!(text.contains(&format!("NodeAddr={address} ")), "{address}: {text}");
    }
    // The loopback interface has an address, but none that another node can use.
    let error = lab.slurm.allocation(&environment, Some("lo")).await.unwrap_err().to_string();
    check(
        &error.replace(job.nodes[0].as_str(), "NODE"),
        &expect![
            "interface `lo` has no address on node `NODE` that another node can use (it has 127.0.0.1): change `network_interface` in srtslurm.yaml, or remove it to use Slurm's own addresses"
        ],
    );
    let nowhere = JobEnvironment { nodes: vec!["nowhere".parse().unwrap()], ..environment };
    assert!(lab.slurm.allocation(&nowhere, None).await.is_err());
}

#[tokio::test]
async fn a_step_ends_as_its_task_does() {
    let lab = Lab::new();
    let job = lab.hold("#SBATCH --nodes=2").await;
    check(
        &job.run(&job.step("fine", "echo out; echo err >&2")).await,
        &expect![[r"
        out
        err
        [exited with code 0]"]],
    );
    check(
        &job.neutral(&job.run(&job.step("failing", "echo out; exit 7")).await),
        &expect![[r"
        out
        srun: error: NODE: task 0: Exited with exit code 7
        srun: launch/slurm: _step_signal: Terminating StepId=JOB.1
        [exited with code 7]"]],
    );
    check(
        &job.neutral(&job.run(&job.step("killed", "kill -9 $$")).await),
        &expect![[r"
        srun: error: NODE: task 0: Killed
        srun: launch/slurm: _step_signal: Terminating StepId=JOB.2
        srun: Force Terminated StepId=JOB.2
        [was killed by SIGKILL]"]],
    );
    let missing =
        Step { argv: vec!["/no/such/program".to_owned()], wrapped: false, ..job.step("missing", "") };
    assert!(job.run(&missing).await.ends_with("[exited with code 2]"));
    // One task fails, the other is ended because of it.
    let script = "if [ $SLURM_PROCID = 1 ]; then exit 3; else sleep 100; fi";
    let both = Step { nodes: job.nodes.clone(), ..job.step("both", script) };
    assert!(job.run(&both).await.ends_with("[exited with code 3]"), "{}", job.text(&both));
    let greedy = Step { srun: vec!["--ntasks=5000".to_owned()], ..job.step("greedy", "true") };
    let refused = job.run(&greedy).await;
    assert!(refused.ends_with("More processors requested than permitted)]"), "{refused}");
}

#[tokio::test]
async fn hostile_values_arrive_as_they_are_and_secrets_stay_out_of_command_lines() {
    let lab = Lab::new();
    let job = lab.hold("").await;
    let hostile = "a 'b' \"c\" $(touch HACKED) `touch HACKED` \\ ; touch HACKED\n#é %j";
    let mut step = job.step("hostile", "");
    step.argv = [
        "bash",
        "-c",
        "printf '%s\\n' \"$1\" \"$VALUE\" \"$HF_TOKEN\"; tr '\\0' ' ' </proc/$PPID/cmdline",
        "x",
        hostile,
    ]
    .map(str::to_owned)
    .to_vec();
    step.env.insert("VALUE".to_owned(), hostile.to_owned());
    step.env.insert("HF_TOKEN".to_owned(), "s3cret".to_owned());
    step.preamble = vec![Preamble::Shell("echo preamble # comment".to_owned())];
    let wrapped = job.run(&step).await;
    assert!(wrapped.starts_with(&format!("preamble\n{hostile}\n{hostile}\ns3cret\n")), "{wrapped}");
    let unwrapped = Step { id: StepId::new("unwrapped"), wrapped: false, preamble: Vec::new(), ..step };
    let unwrapped = job.run(&unwrapped).await;
    assert!(unwrapped.starts_with(&format!("{hostile}\n{hostile}\ns3cret\n")), "{unwrapped}");
    assert!(!lab.path("HACKED").exists());
}

#[tokio::test]
async fn asking_a_step_to_end_reaches_its_task() {
    let lab = Lab::new();
    let job = lab.hold("#SBATCH --nodes=2").await;
    let step =
        job.step("polite", "trap 'echo goodbye; exit 5' TERM; echo ready; while :; do sleep 0.1; done");
    let mut running = job.start(&step).await.unwrap();
    job.until_written(&step, "ready").await;
    within(running.terminate()).await;
    assert_eq!(within(running.wait()).await, StepExit::Code(5));
    within(running.gone()).await;
    assert!(job.text(&step).contains("goodbye\n"));
    // Asking one that has ended does nothing.
    within(running.terminate()).await;
    within(running.kill()).await;
    assert_eq!(within(running.wait()).await, StepExit::Code(5));
}

#[tokio::test]
async fn a_step_that_does_not_listen_is_killed_with_all_it_started() {
    let lab = Lab::new();
    let job = lab.hold("#SBATCH --nodes=2").await;
    let mark = lab.path("stubborn").to_string();
    let script = format!("trap '' TERM; sleep 300 '{mark}' & echo ready; wait; sleep 300");
    let script = script.replace("sleep 300 '", "bash -c 'trap \"\" TERM; echo started; sleep 300; :' '");
    let step = Step { nodes: job.nodes.clone(), ..job.step("stubborn", &script) };
    let mut running = job.start(&step).await.unwrap();
    job.until_written(&step, "started").await;
    within(running.terminate()).await;
    within(running.kill()).await;
    assert_eq!(within(running.wait()).await, StepExit::Signal(9), "{}", job.text(&step));
    within(running.gone()).await;
    eventually("the step is gone", || !job.steps().contains("stubborn")).await;
    let left = || lab.cluster.job_processes().iter().any(|line| line.contains(&mark));
    eventually("its processes are gone", || !left()).await;
}

#[tokio::test]
async fn a_dropped_step_ends() {
    let lab = Lab::new();
    let job = lab.hold("").await;
    let step = job.step("dropped", "echo ready; sleep 300");
    let running = job.start(&step).await.unwrap();
    job.until_written(&step, "ready").await;
    drop(running);
    eventually("the step is gone", || !job.steps().contains("dropped")).await;
}

#[tokio::test]
async fn a_taken_port_is_found_before_the_start() {
    let lab = Lab::new();
    let job = lab.hold("").await;
    let address = job.context.addresses[&job.nodes[0]];
    let listener = std::net::TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let step = Step { ports: vec![port], ..job.step("ports", "true") };
    let error = job.start(&step).await.err().unwrap();
    assert_eq!(error.to_string(), format!("port {port} on {address} is taken"));
    drop(listener);
    assert_eq!(job.run(&step).await, "[exited with code 0]");
}

#[tokio::test]
async fn steps_find_their_component_of_a_heterogeneous_job() {
    let lab = Lab::new();
    let submission = lab.script(
        "het.sh",
        "#SBATCH --nodes=1\n#SBATCH hetjob\n#SBATCH --nodes=2 --mem=100",
        "env >env.txt; sleep 600",
    );
    lab.slurm.submit(&submission).await.unwrap();
    eventually("the job has started", || {
        fs::read_to_string(lab.path("env.txt"))
            .is_ok_and(|text| text.contains("SLURM_JOB_NODELIST_HET_GROUP_1"))
    })
    .await;
    let text = fs::read_to_string(lab.path("env.txt")).unwrap();
    let variables: BTreeMap<String, String> = text
        .lines()
        .filter_map(|it| it.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let environment = JobEnvironment::read(&variables).unwrap();
    assert_eq!(environment.het, Some(HetGroups { prefill_nodes: 1, decode_nodes: 2 }));
    let allocation = lab.slurm.allocation(&environment, None).await.unwrap();
    assert_eq!(allocation.nodes.len(), 3);
    let job = Job {
        lab: &lab,
        context: JobContext::new(&environment, &allocation, STAND_IN.into(), lab.path("")),
        nodes: environment.nodes,
    };
    let error =
        lab.slurm.allocation(&JobEnvironment::read(&variables).unwrap(), Some("lo")).await.unwrap_err();
    assert!(error.to_string().contains("(it has 127.0.0.1)"), "{error}");
    let last = job.nodes[2].clone();
    let step = Step {
        nodes: vec![last.clone()],
        srun: vec!["--het-group=1".to_owned()],
        ..job.step("decode", "trap 'exit 5' TERM; echo on $SLURMD_NODENAME; while :; do sleep 0.1; done")
    };
    let mut running = job.start(&step).await.unwrap();
    job.until_written(&step, &format!("on {last}\n")).await;
    within(running.terminate()).await;
    assert_eq!(within(running.wait()).await, StepExit::Code(5));
    within(running.gone()).await;
}

#[tokio::test]
async fn a_cancelled_job_takes_its_steps_with_it() {
    let lab = Lab::new();
    let job = lab.hold("").await;
    let step = job.step("cancelled", "echo ready; sleep 300");
    let mut running = job.start(&step).await.unwrap();
    job.until_written(&step, "ready").await;
    lab.slurm.cancel(&job.context.job_id).await.unwrap();
    assert_ne!(within(running.wait()).await, StepExit::Code(0));
    within(running.gone()).await;
    lab.until(&job.context.job_id, |state| *state == JobState::Cancelled).await;
    eventually("the step is gone", || !job.steps().contains("cancelled")).await;
}

/// A process that is killed with the test.
struct Orchestrator(Child);

impl Orchestrator {
    fn kill(&mut self) {
        let pid = Pid::from_child(&self.0);
        let _ended = kill_process(pid, Signal::KILL);
        let _reaped = self.0.wait();
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test]
async fn a_killed_orchestrator_leaves_no_step() {
    let lab = Lab::new();
    let job = lab.hold("").await;
    let log = lab.path("orphan.out");
    let mut orchestrator = Orchestrator(
        Command::new(STAND_IN)
            .args([job.context.job_id.as_str(), job.nodes[0].as_str(), log.as_str()])
            .args(["bash", "-c", "echo ready; sleep 300"])
            .envs(lab.cluster.environment())
            .spawn()
            .unwrap(),
    );
    eventually("the step runs", || fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"))).await;
    assert!(job.steps().contains("orphan"));
    orchestrator.kill();
    eventually("the step is gone", || !job.steps().contains("orphan")).await;
}

#[tokio::test]
async fn an_orchestrator_killed_in_its_job_ends_the_job_with_all_steps() {
    let lab = Lab::new();
    let log = lab.path("orphan.out");
    let options = "#SBATCH --nodes=2 --ntasks-per-node=1";
    let body =
        format!("exec {STAND_IN} $SLURM_JOB_ID $SLURMD_NODENAME {log} bash -c 'echo ready; sleep 300'");
    let id = lab.slurm.submit(&lab.script("orchestrator.sh", options, &body)).await.unwrap();
    eventually("the step runs", || fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"))).await;
    lab.slurm.signal_script(&id, "KILL").await.unwrap();
    let report = lab.until(&id, |state| state.phase() == Phase::Finished).await;
    assert_eq!((report.state, report.exit.signal), (JobState::Failed, 9));
    let steps = || lab.cluster.run(&["squeue", "--steps", "--noheader", &format!("--jobs={id}")]).unwrap();
    eventually("no step is left", || steps().is_empty()).await;
}

#[tokio::test]
async fn steps_share_the_gpus_of_their_job() {
    let lab = Lab::new();
    let job = lab.hold("#SBATCH --gpus-per-node=8").await;
    let step = job.step("gpus", "echo $CUDA_VISIBLE_DEVICES; sleep 300");
    let mut running = job.start(&step).await.unwrap();
    job.until_written(&step, "0,1,2,3,4,5,6,7\n").await;
    let beside = job.step("beside", "echo $CUDA_VISIBLE_DEVICES");
    assert!(job.run(&beside).await.starts_with("0,1,2,3,4,5,6,7\n"), "{}", job.text(&beside));
    within(running.kill()).await;
    within(running.gone()).await;
}

#[tokio::test]
async fn a_step_whose_srun_was_killed_is_cancelled() {
    let lab = Lab::new();
    let job = lab.hold("").await;
    let step = job.step("stranded", "echo ready; sleep 300");
    let mut running = job.start(&step).await.unwrap();
    job.until_written(&step, "ready").await;
    // srun and the helper beside it; together, or the helper would end the step.
    let output = format!("--output={}", job.log(&step));
    for pid in processes_with_argument(&output) {
        let _ended = kill_process(pid, Signal::KILL);
    }
    assert_eq!(within(running.wait()).await, StepExit::Signal(9));
    within(running.gone()).await;
    eventually("the step is gone", || !job.steps().contains("stranded")).await;
}

/// Processes whose program is srun and whose command line has this argument.
fn processes_with_argument(argument: &str) -> Vec<Pid> {
    let entries =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    entries
        .filter(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            text.starts_with("srun\0") && text.split('\0').any(|it| it == argument)
        })
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

#[tokio::test]
async fn without_the_controller_nothing_waits_for_ever() {
    let lab = Lab::on(Arc::new(own(&Settings { nodes: 1, ..Settings::default() })));
    let job = lab.hold("").await;
    let step = job.step("alone", "trap '' TERM; echo ready; while :; do sleep 0.1; done");
    let mut running = job.start(&step).await.unwrap();
    job.until_written(&step, "ready").await;
    lab.cluster.crash_controller();
    within(running.terminate()).await;
    within(running.kill()).await;
    // Only srun could be ended.
    assert_eq!(within(running.wait()).await, StepExit::Signal(9), "{}", job.text(&step));
    within(running.gone()).await;
}

#[tokio::test]
async fn a_failed_node_is_not_taken_for_success() {
    let lab = Lab::on(Arc::new(own(&Settings { nodes: 2, ..Settings::default() })));
    let job = lab.hold("#SBATCH --nodes=2 --no-kill").await;
    // Not the node of the batch script.
    let node = job.nodes[1].clone();
    let step = Step { nodes: vec![node.clone()], ..job.step("lost", "echo ready; sleep 300") };
    let mut running = job.start(&step).await.unwrap();
    job.until_written(&step, "ready").await;
    lab.cluster.crash(node.as_str());
    lab.cluster.mark_down(node.as_str()).unwrap();
    let end = within(running.wait()).await;
    check(
        &end.to_string().replace(node.as_str(), "NODE"),
        &expect!["was lost with its node (Node failure on NODE)"],
    );
    within(running.gone()).await;
}
