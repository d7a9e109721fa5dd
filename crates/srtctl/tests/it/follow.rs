//! `status`, `wait`, `list`, `logs`, and `cancel` on runs of this machine, which need no Slurm.

use std::fs;

use serde_json::Value;

use crate::support::{Answer, TestEnvironment, recipe};

/// Small, and still with every part of a run.
const SMALL: [&str; 2] = ["--set", "benchmark.concurrencies=[2]"];

/// Requests for far longer than any test waits.
const ENDLESS: [&str; 4] =
    ["--set", "benchmark.concurrencies=[4]", "--set", "benchmark.num_prompts_mult=100000"];

/// Runs a command on the only run, with what follows its job id.
fn on_run(environment: &TestEnvironment, command: &str, further: &[&str]) -> Answer {
    let job_id = environment.job_id();
    let mut arguments = vec![command, &job_id, "-o", "outputs"];
    arguments.extend(further);
    environment.run(&arguments)
}

#[track_caller]
fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:#?}"))
}

#[test]
fn a_valid_run_is_followed_afterwards() {
    let environment = TestEnvironment::new();
    assert_eq!(environment.start_apply(&recipe("quickstart"), &SMALL).finish().code, Some(0));
    let job_id = environment.job_id();

    let status = json_of(&on_run(&environment, "status", &["--json"]));
    assert_eq!(status["state"], "ended", "{status:#}");
    assert_eq!(status["verdict"], "valid", "{status:#}");
    assert_eq!(status["exit_code"], 0, "{status:#}");
    assert_eq!(status["job_id"], job_id.as_str(), "{status:#}");
    assert_eq!(status["record"]["name"], "quickstart", "{status:#}");

    let wait = on_run(&environment, "wait", &[]);
    assert_eq!(wait.code, Some(0), "{wait:#?}");
    assert!(wait.stdout.contains("verdict: valid"), "{wait:#?}");
    assert!(wait.stderr.contains("decode_1"), "the events are shown: {wait:#?}");

    let list = environment.run(&["list", "-o", "outputs"]);
    assert_eq!(list.code, Some(0), "{list:#?}");
    let line = list.stdout.lines().find(|line| line.starts_with(&job_id));
    let line = line.unwrap_or_else(|| panic!("{job_id} is missing: {list:#?}"));
    assert!(line.ends_with("ended: valid") && line.contains("quickstart"), "{line}");

    // Nothing is under way.
    let status = environment.run(&["status", "-o", "outputs"]);
    assert_eq!((status.code, status.stdout.as_str()), (Some(0), ""), "{status:#?}");

    let cancel = on_run(&environment, "cancel", &[]);
    assert_eq!(cancel.code, Some(0), "{cancel:#?}");
    assert!(cancel.stderr.contains("is over already; ended: valid"), "{cancel:#?}");
}

#[test]
fn logs_are_shown_whole_and_by_worker() {
    let environment = TestEnvironment::new();
    assert_eq!(environment.start_apply(&recipe("quickstart"), &SMALL).finish().code, Some(0));

    let run_dir = environment.run_dir();
    let path = environment.log_of("decode_1");
    let log = fs::read_to_string(path).expect("the worker has a log");
    assert!(!log.is_empty());
    // A run directory is as good as a job id.
    let run_dir = run_dir.to_string_lossy();
    let one = environment.run(&["logs", &run_dir, "--worker", "decode_1"]);
    assert_eq!((one.code, one.stdout.as_str()), (Some(0), log.as_str()), "{one:#?}");

    // Following a run that is over ends.
    let all = environment.run(&["logs", &run_dir, "--follow"]);
    assert_eq!(all.code, Some(0), "{all:#?}");
    for step in ["prefill_0", "decode_0", "decode_1", "benchmark"] {
        assert!(all.stdout.lines().any(|line| line.starts_with(step)), "nothing of {step}: {all:#?}");
    }

    let none = environment.run(&["logs", &run_dir, "--worker", "decode_7"]);
    assert_eq!(none.code, Some(2), "{none:#?}");
    assert!(none.stderr.contains("`decode_7`") && none.stderr.contains("decode_1"), "{none:#?}");
}

#[test]
fn a_failed_run_has_its_exit_code_for_whoever_waits() {
    let environment = TestEnvironment::new();
    let fault = ["--set", "backend.mocker_config.decode.fault=oom-at-start"];
    assert_eq!(environment.start_apply(&recipe("quickstart"), &fault).finish().code, Some(3));
    let wait = on_run(&environment, "wait", &[]);
    assert_eq!(wait.code, Some(3), "{wait:#?}");
    assert!(wait.stdout.contains("verdict: failed"), "{wait:#?}");
    let status = json_of(&on_run(&environment, "status", &["--json"]));
    assert_eq!(status["exit_code"], 3, "{status:#}");
}

#[test]
fn a_run_is_cancelled_in_order() {
    let environment = TestEnvironment::new();
    let mut apply = environment.start_apply(&recipe("quickstart"), &ENDLESS);
    apply.wait_for_line("measuring:");
    let status = json_of(&on_run(&environment, "status", &["--json"]));
    assert_eq!(status["text"], "running: benchmark", "{status:#}");
    let cancel = on_run(&environment, "cancel", &[]);
    assert_eq!(cancel.code, Some(0), "{cancel:#?}");
    assert_eq!(apply.finish().code, Some(143));
    let wait = on_run(&environment, "wait", &[]);
    assert_eq!(wait.code, Some(143), "{wait:#?}");
    assert_eq!(environment.rollup()["partial"], true);
    environment.assert_nothing_is_left();
}

#[test]
fn a_run_whose_srtctl_was_killed_is_lost_and_no_success() {
    let environment = TestEnvironment::new();
    let mut apply = environment.start_apply(&recipe("quickstart"), &ENDLESS);
    apply.wait_for_line("measuring:");
    apply.signal(rustix::process::Signal::KILL);
    assert_eq!(apply.finish().signal, Some(9));
    environment.assert_nothing_is_left();
    let wait = on_run(&environment, "wait", &[]);
    assert_eq!(wait.code, Some(3), "{wait:#?}");
    assert!(wait.stdout.contains("lost") || wait.stdout.contains("not on this machine"), "{wait:#?}");
    let status = json_of(&on_run(&environment, "status", &["--json"]));
    assert_eq!(status["state"], "lost", "{status:#}");
}

#[test]
fn a_broken_record_hides_no_other_run() {
    let environment = TestEnvironment::new();
    for (name, status) in [("local-1", "{"), ("local-2", "[]")] {
        let run_dir = environment.path().join("outputs").join(name);
        fs::create_dir_all(&run_dir).expect("the folder is ours");
        fs::write(run_dir.join("status.json"), status).expect("the folder is ours");
    }
    let list = environment.run(&["list", "-o", "outputs"]);
    assert_eq!(list.code, Some(0), "{list:#?}");
    let broken = list.stdout.lines().filter(|line| line.contains("unknown: failed to understand"));
    assert_eq!(broken.count(), 2, "{list:#?}");
    // Nobody can tell how it ended, which is no success.
    let wait = environment.run(&["wait", "local-1", "-o", "outputs"]);
    assert_eq!(wait.code, Some(1), "{wait:#?}");
    assert!(wait.stderr.contains("status.json"), "{wait:#?}");
}

#[test]
fn what_is_no_run_is_said() {
    let environment = TestEnvironment::new();
    for command in ["status", "wait", "logs", "cancel"] {
        // No Slurm is on the path of these tests, or it does not know the job.
        for name in ["local-1", "../somewhere", "a b"] {
            let answer = environment.run(&[command, name]);
            assert_eq!(answer.code, Some(2), "{answer:#?}");
            assert!(answer.stderr.contains(name) && answer.stderr.contains("srtctl list"), "{answer:#?}");
        }
    }
    let list = environment.run(&["list"]);
    assert_eq!((list.code, list.stdout.as_str()), (Some(0), ""), "{list:#?}");
    assert!(list.stderr.contains("there are no runs in"), "{list:#?}");
}
