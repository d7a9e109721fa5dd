//! The command line of a step: pure text, made of the step and the job.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use indexmap::IndexMap;
use srt_context::{Allocation, JobId};
use srt_launch::{Container, Mount, SELF_PROGRAM, Step, is_secret_variable, shell};
use srt_topology::NodeName;

use crate::job::JobEnvironment;

/// What a step's command line needs to know of its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobContext {
    /// The job.
    pub job_id: JobId,
    /// The jobs under whose numbers Slurm counts its steps; see [`JobEnvironment`].
    pub component_ids: Vec<JobId>,
    /// Addresses of its nodes.
    pub addresses: BTreeMap<NodeName, std::net::IpAddr>,
    /// Path of this program on the nodes.
    pub srtctl: Utf8PathBuf,
    /// Folder in which steps start.
    pub working_dir: Utf8PathBuf,
}

impl JobContext {
    /// The context of a job whose nodes' addresses are known.
    pub fn new(
        job: &JobEnvironment,
        allocation: &Allocation,
        srtctl: Utf8PathBuf,
        working_dir: Utf8PathBuf,
    ) -> Self {
        Self {
            job_id: job.job_id.clone(),
            component_ids: job.component_ids.clone(),
            addresses: allocation.nodes.iter().map(|node| (node.name.clone(), node.address)).collect(),
            srtctl,
            working_dir,
        }
    }
}

/// Where this program is mounted in the container of a step that runs it.
const SRTCTL_IN_CONTAINER: &str = "/srtctl-bin/srtctl";

/// Seconds after which srun gives up when it cannot create the step, rather than waiting for ever for a node that is
/// gone. Creating a step takes milliseconds, but hundreds at once queue up.
const CREATION_LIMIT_S: u32 = 120;

/// Variables of the batch script's environment that srun would take as options, although they describe the script
/// and not the step.
pub(crate) const NOT_INHERITED: [&str; 10] = [
    "SLURM_EXPORT_ENV",
    "SLURM_NTASKS",
    "SLURM_NPROCS",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_TASKS_PER_NODE",
    "SLURM_DISTRIBUTION",
    "SLURM_NTASKS_PER_NODE_HET_GROUP_0",
    "SLURM_NTASKS_PER_NODE_HET_GROUP_1",
    "SLURM_NTASKS_PER_NODE_PACK_GROUP_0",
    "SLURM_NTASKS_PER_NODE_PACK_GROUP_1",
];

/// The command line of a step, its output appended to the file `log`.
///
/// Values of secret variables are not part of it, because everyone on the node can read a command line; see
/// [`srun_environment`].
pub fn srun_argv(step: &Step, job: &JobContext, log: &Utf8Path) -> Vec<String> {
    let nodes = step.nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(",");
    let mut argv = vec!["srun".to_owned()];
    argv.push(format!("--jobid={}", job.job_id));
    argv.push("--overlap".to_owned());
    argv.push(format!("--job-name={}", step.id));
    argv.push(format!("--nodelist={nodes}"));
    let count = step.nodes.len();
    let defaults = [
        ("--nodes", format!("--nodes={count}")),
        ("--ntasks", format!("--ntasks={count}")),
        ("--kill-on-bad-exit", "--kill-on-bad-exit=1".to_owned()),
        ("--immediate", format!("--immediate={CREATION_LIMIT_S}")),
        ("--export", "--export=ALL".to_owned()),
    ];
    // What the step says itself comes last, and is said once.
    argv.extend(defaults.into_iter().filter(|(name, _)| !sets(step, name)).map(|(_, option)| option));
    argv.extend(step.srun.iter().cloned());
    argv.push(format!("--output={}", literal_path(log)));
    argv.push("--open-mode=append".to_owned());
    let step = with_own_program(step, job);
    argv.extend(container_options(&step));
    if step.wrapped {
        argv.extend([
            "bash".to_owned(),
            "-c".to_owned(),
            shell::body(&step, |name| !is_secret_variable(name)),
        ]);
    } else {
        argv.extend(environment_prefix(&step));
        argv.extend(step.argv.iter().cloned());
    }
    argv
}

/// What srun's own environment has to hold beside the job's: the step's secrets, which it passes on to the tasks.
pub fn srun_environment(step: &Step) -> IndexMap<String, String> {
    let secrets = step.env.iter().filter(|(name, _)| is_secret_variable(name));
    secrets.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The options of pyxis for a step.
pub(crate) fn container_options(step: &Step) -> Vec<String> {
    let Some(Container { image, mounts }) = &step.container else { return Vec::new() };
    let mut options = vec![
        format!("--container-image={image}"),
        "--no-container-entrypoint".to_owned(),
        "--no-container-mount-home".to_owned(),
    ];
    if !mounts.is_empty() {
        let mounts: Vec<String> = mounts.iter().map(Mount::to_string).collect();
        options.push(format!("--container-mounts={}", mounts.join(",")));
    }
    options
}

/// Whether a step sets an option of srun itself.
fn sets(step: &Step, name: &str) -> bool {
    step.srun.iter().any(|option| option.split_once('=').map_or(option.as_str(), |(name, _)| name) == name)
}

/// srun replaces `%` patterns in the paths of outputs; a path of ours holds none.
fn literal_path(path: &Utf8Path) -> String {
    path.as_str().replace('%', "%%")
}

/// The step with this program's path in place of its name; in a container, with a mount that brings it there.
fn with_own_program(step: &Step, job: &JobContext) -> Step {
    let mut step = step.clone();
    if let Some(program) = step.argv.first_mut().filter(|program| *program == SELF_PROGRAM) {
        match &mut step.container {
            None => *program = job.srtctl.to_string(),
            Some(container) => {
                SRTCTL_IN_CONTAINER.clone_into(program);
                let (host, container_path) = (job.srtctl.to_string(), SRTCTL_IN_CONTAINER.to_owned());
                container.mounts.push(Mount { host, container: container_path });
            }
        }
    }
    step
}

/// Sets a command's variables without a shell, and without touching the environment of srun itself.
fn environment_prefix(step: &Step) -> Vec<String> {
    let variables = || step.env.iter().filter(|(name, _)| !is_secret_variable(name));
    if variables().next().is_none() && step.unset.is_empty() {
        // Some images hold nothing but their program.
        return Vec::new();
    }
    let unset = step.unset.iter().map(|name| format!("--unset={name}"));
    let set = variables().map(|(name, value)| format!("{name}={value}"));
    ["env".to_owned()].into_iter().chain(unset).chain(set).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use srt_launch::{Environment, Lifetime, Preamble, Stage, StepId, StepOrigin};

    use super::*;

    fn step(wrapped: bool) -> Step {
        Step {
            stage: Stage::Worker,
            id: StepId::new("prefill_0_node1"),
            origin: StepOrigin::Other,
            nodes: vec!["node1".parse().unwrap(), "node2".parse().unwrap()],
            argv: ["python3", "-m", "x; $(touch /tmp/y)"].map(str::to_owned).to_vec(),
            env: Environment::from([
                ("A".to_owned(), "1 \"2\"\n$(id)".to_owned()),
                ("HF_TOKEN".to_owned(), "hidden".to_owned()),
            ]),
            unset: vec!["VLLM_PORT".to_owned()],
            preamble: vec![Preamble::Cluster("ulimit -n 1".to_owned())],
            wrapped,
            container: None,
            srun: Vec::new(),
            log: "node1_prefill_w0.out".to_owned(),
            lifetime: Lifetime::Service,
            wait_for: Vec::new(),
            ports: Vec::new(),
        }
    }

    fn job() -> JobContext {
        JobContext {
            job_id: JobId::new("7").unwrap(),
            component_ids: Vec::new(),
            addresses: BTreeMap::new(),
            srtctl: "/opt/srtctl".into(),
            working_dir: "/run".into(),
        }
    }

    #[track_caller]
    fn check(step: &Step, expected: &Expect) {
        expected.assert_eq(&srun_argv(step, &job(), Utf8Path::new("/logs/50%/node1.out")).join("\n"));
    }

    #[test]
    fn a_wrapped_step_runs_in_a_shell_that_sees_only_quoted_values() {
        check(
            &step(true),
            &expect![[r#"
            srun
            --jobid=7
            --overlap
            --job-name=prefill_0_node1
            --nodelist=node1,node2
            --nodes=2
            --ntasks=2
            --kill-on-bad-exit=1
            --immediate=120
            --export=ALL
            --output=/logs/50%%/node1.out
            --open-mode=append
            bash
            -c
            { ulimit -n 1
            } && export A='1 "2"
            $(id)' && unset -- VLLM_PORT && exec python3 -m 'x; $(touch /tmp/y)'"#]],
        );
    }

    #[test]
    fn an_unwrapped_step_runs_without_a_shell() {
        check(
            &step(false),
            &expect![[r#"
            srun
            --jobid=7
            --overlap
            --job-name=prefill_0_node1
            --nodelist=node1,node2
            --nodes=2
            --ntasks=2
            --kill-on-bad-exit=1
            --immediate=120
            --export=ALL
            --output=/logs/50%%/node1.out
            --open-mode=append
            env
            --unset=VLLM_PORT
            A=1 "2"
            $(id)
            python3
            -m
            x; $(touch /tmp/y)"#]],
        );
        let plain = Step { env: Environment::new(), unset: Vec::new(), ..step(false) };
        assert_eq!(
            srun_argv(&plain, &job(), Utf8Path::new("/l")).last_chunk::<3>().unwrap(),
            &plain.argv[..]
        );
    }

    #[test]
    fn containers_are_started_by_pyxis() {
        let mounts = vec![Mount { host: "/data".to_owned(), container: "/model:ro".to_owned() }];
        let container = Container { image: "docker://host/x:1".to_owned(), mounts };
        let argv = ["srtctl", "mock"].map(str::to_owned).to_vec();
        let step = Step { container: Some(container), argv, env: Environment::new(), ..step(false) };
        check(
            &Step { unset: Vec::new(), ..step },
            &expect![[r"
            srun
            --jobid=7
            --overlap
            --job-name=prefill_0_node1
            --nodelist=node1,node2
            --nodes=2
            --ntasks=2
            --kill-on-bad-exit=1
            --immediate=120
            --export=ALL
            --output=/logs/50%%/node1.out
            --open-mode=append
            --container-image=docker://host/x:1
            --no-container-entrypoint
            --no-container-mount-home
            --container-mounts=/data:/model:ro,/opt/srtctl:/srtctl-bin/srtctl
            /srtctl-bin/srtctl
            mock"]],
        );
    }

    #[test]
    fn what_a_step_says_itself_is_not_said_twice() {
        let srun =
            ["--mpi=pmix", "--nodes=2", "--ntasks=16", "--het-group=1", "--export=ALL,ENROOT_REMAP_ROOT=yes"];
        let step = Step { srun: srun.map(str::to_owned).to_vec(), ..step(true) };
        let argv = srun_argv(&step, &job(), Utf8Path::new("/l"));
        for name in ["--nodes", "--ntasks", "--export", "--het-group"] {
            let count = argv.iter().filter(|it| it.split('=').next() == Some(name)).count();
            assert_eq!(count, 1, "{name}: {argv:?}");
        }
    }

    #[test]
    fn secrets_travel_in_the_environment_only() {
        let argv = srun_argv(&step(true), &job(), Utf8Path::new("/l")).join(" ");
        assert!(!argv.contains("hidden"), "{argv}");
        assert_eq!(
            srun_environment(&step(true)),
            IndexMap::from([("HF_TOKEN".to_owned(), "hidden".to_owned())])
        );
    }
}
