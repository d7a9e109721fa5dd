//! Jobs on a private Slurm cluster: from `apply` to their end, and cancelled on the way.

use std::{fs, sync::Arc};

use srt_testcluster::{Shared, shared};

use crate::support::{Answer, TestEnvironment, recipe};

/// A cluster, and a folder from which a person submits to it.
struct Lab {
    cluster: Arc<Shared>,
    environment: TestEnvironment,
}

impl Lab {
    fn new() -> Self {
        let cluster = shared();
        let mut environment = TestEnvironment::new();
        // The cluster's Slurm is too old to know segments.
        let file =
            "cluster: private\nuse_segment_sbatch_directive: false\nuse_gpus_per_node_directive: true\n";
        fs::write(environment.path().join("srtslurm.yaml"), file).expect("the folder is ours");
        for (name, value) in cluster.environment() {
            environment.set(&name, &value);
        }
        Self { cluster, environment }
    }

    /// Submits the quickstart; its job id.
    #[track_caller]
    fn apply(&self, further: &[&str]) -> String {
        let recipe = recipe("quickstart");
        let mut arguments = vec!["apply", "-f", &recipe, "--no-preflight"];
        arguments.extend(["--set", "benchmark.concurrencies=[4]"]);
        arguments.extend(further);
        let answer = self.environment.run(&arguments);
        assert_eq!(answer.code, Some(0), "{answer:#?}");
        let job_id = answer.stdout.trim().to_owned();
        assert!(job_id.parse::<u32>().is_ok(), "{answer:#?}");
        job_id
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        self.environment.run(arguments)
    }

    /// What `status --json` says, and what the run left beside it in case of doubt.
    #[track_caller]
    fn status(&self, job_id: &str) -> serde_json::Value {
        let answer = self.run(&["status", job_id, "--json"]);
        assert_eq!(answer.code, Some(0), "{answer:#?}");
        serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:#?}"))
    }

    /// Slurm itself is asked: no step of the job is left.
    #[track_caller]
    fn assert_no_step_is_left(&self, job_id: &str) {
        let steps = format!("--jobs={job_id}");
        let left = self.cluster.run(&["squeue", "--steps", "--noheader", &steps, "--format=%i %j"]);
        let left = left.expect("the controller answers");
        // The script itself is a step to Slurm, and may be ending still.
        let left: Vec<&str> = left.lines().filter(|line| !line.contains(".batch")).collect();
        assert!(left.is_empty(), "steps are left: {left:?}");
    }
}

#[test]
fn a_job_is_submitted_and_awaited() {
    let lab = Lab::new();
    let job_id = lab.apply(&[]);
    let wait = lab.run(&["wait", &job_id]);
    assert_eq!(wait.code, Some(0), "{wait:#?}\n{}", lab.environment.all_logs(&job_id));
    assert!(wait.stdout.contains("verdict: valid"), "{wait:#?}");

    let status = lab.status(&job_id);
    assert_eq!(status["text"], "ended: valid", "{status:#}");
    assert_eq!(status["exit_code"], 0, "{status:#}");
    let steps = status["record"]["steps"].as_array().expect("there are steps");
    assert_eq!(steps.len(), 5, "{status:#}");
    let list = lab.run(&["list"]);
    assert!(list.stdout.lines().any(|line| line.starts_with(&job_id)), "{list:#?}");
    lab.assert_no_step_is_left(&job_id);
}

#[test]
fn a_job_is_cancelled_while_it_measures() {
    let lab = Lab::new();
    let job_id = lab.apply(&["--set", "benchmark.num_prompts_mult=100000"]);
    let mut wait = lab.environment.start(&["wait", &job_id]);
    wait.wait_for_line("measuring:");
    assert_eq!(lab.status(&job_id)["text"], "running: benchmark");

    let cancel = lab.run(&["cancel", &job_id]);
    assert_eq!(cancel.code, Some(0), "{cancel:#?}");
    let wait = wait.finish();
    assert_eq!(wait.code, Some(143), "{wait:#?}\n{}", lab.environment.all_logs(&job_id));
    assert!(wait.stdout.contains("verdict: failed in benchmark"), "{wait:#?}");
    lab.assert_no_step_is_left(&job_id);

    let path = lab.environment.path().join("outputs").join(&job_id).join("logs/rollup.json");
    let rollup = fs::read_to_string(path).expect("the results so far are rolled up");
    let rollup: serde_json::Value = serde_json::from_str(&rollup).expect("a rollup is JSON");
    assert_eq!(rollup["partial"], true, "{rollup:#}");
    assert_eq!(rollup["failed_stage"], "benchmark", "{rollup:#}");
}

#[test]
fn a_job_cancelled_in_the_queue_is_no_success() {
    let lab = Lab::new();
    // More time than the partition's nodes will ever be asked for; it waits until it is cancelled.
    let job_id = lab.apply(&["--set", "sbatch_directives.begin=now+1hour"]);
    assert_eq!(lab.status(&job_id)["state"], "pending");
    let cancel = lab.run(&["cancel", &job_id]);
    assert_eq!(cancel.code, Some(0), "{cancel:#?}");
    let wait = lab.run(&["wait", &job_id]);
    assert_eq!(wait.code, Some(143), "{wait:#?}");
    assert_eq!(lab.status(&job_id)["state"], "lost");
}

#[test]
fn a_job_that_nobody_knows_is_no_success() {
    let lab = Lab::new();
    for command in ["status", "wait", "cancel", "logs"] {
        let answer = lab.run(&[command, "999999"]);
        assert_eq!(answer.code, Some(2), "{answer:#?}");
        assert!(answer.stderr.contains("nothing is known of job 999999"), "{answer:#?}");
    }
}
