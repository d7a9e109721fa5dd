//! `srtctl apply --local`: real jobs with mock engines, to their end and to every other end.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{TestEnvironment, recipe};

/// Requests for far longer than any test waits.
const ENDLESS: [&str; 4] =
    ["--set", "benchmark.concurrencies=[4]", "--set", "benchmark.num_prompts_mult=100000"];

/// A job that is being measured.
const MEASURING: &str = "measuring:";

#[test]
fn the_quickstart_runs_to_its_end() {
    let environment = TestEnvironment::new();
    let answer = environment.start_apply(&recipe("quickstart"), &[]).finish();
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    assert!(answer.stdout.contains("verdict: valid"), "{answer:#?}");

    let rollup = environment.rollup();
    let results = rollup["results"].as_array().expect("there are results");
    let points: Vec<_> = results.iter().map(|result| result["concurrency"].as_i64()).collect();
    assert_eq!(points, [Some(4), Some(16), Some(64)]);
    for result in results {
        // 64 tokens are asked for, and random_range_ratio draws from 80 % upwards.
        let (completed, tokens) = (result["completed"].as_u64(), result["total_output_tokens"].as_u64());
        let (completed, tokens) = completed.zip(tokens).expect("both are counted");
        assert!((completed * 51..=completed * 64).contains(&tokens), "{result:#}");
        assert!(result["mean_ttft_ms"].as_f64().is_some_and(|it| it > 0.0), "{result:#}");
    }
    assert_eq!(rollup["verdict"], "valid");
    assert_eq!(rollup["partial"], false);
    // What the workers logged was read: two decode workers and a prefill worker have batches.
    let nodes = rollup["nodes_summary"]["nodes"].as_array().expect("workers have logs");
    assert_eq!(nodes.len(), 3, "{nodes:#?}");
    assert!(nodes.iter().all(|node| node["total_batches"].as_u64() > Some(0)), "{nodes:#?}");
    for file in ["recipe.yaml", "config.yaml", "plan.json", "status.json"] {
        assert!(environment.run_dir().join(file).is_file(), "{file} is missing");
    }
    environment.assert_nothing_is_left();
}

/// Runs until the benchmark measures, does `act`, and checks what is left: the exit code, the stage, and a text in
/// the verdict.
#[track_caller]
fn check_end(act: impl FnOnce(&TestEnvironment, &mut crate::support::Apply<'_>), code: i32, cause: &str) {
    let environment = TestEnvironment::new();
    let mut apply = environment.start_apply(&recipe("quickstart"), &ENDLESS);
    apply.wait_for_line(MEASURING);
    act(&environment, &mut apply);
    let answer = apply.finish();
    assert_eq!(answer.code, Some(code), "{answer:#?}");
    environment.assert_nothing_is_left();

    let rollup = environment.rollup();
    assert_eq!(rollup["partial"], true, "{rollup:#}");
    let verdict = rollup["verdict"].to_string();
    assert!(verdict.contains("failed") && verdict.contains(cause), "{verdict}");
    assert_eq!(ending(&environment.events()), Some(&rollup["verdict"]));
}

fn ending(events: &[Value]) -> Option<&Value> {
    events.iter().find(|event| event["event"] == "run_ended").map(|event| &event["verdict"])
}

#[test]
fn a_killed_decode_worker_is_named() {
    check_end(|_, apply| apply.kill_step("decode_1"), 3, "decode_1");
}

#[test]
fn a_killed_prefill_worker_is_named() {
    check_end(|_, apply| apply.kill_step("prefill_0"), 3, "prefill_0");
}

#[test]
fn a_killed_router_is_named() {
    check_end(|_, apply| apply.kill_step("mock_router"), 3, "mock_router");
}

#[test]
fn a_killed_benchmark_is_named() {
    check_end(|_, apply| apply.kill_step("benchmark"), 3, "benchmark");
}

#[test]
fn sigint_ends_a_run_in_order() {
    check_end(|_, apply| apply.signal(Signal::INT), 130, "SIGINT");
}

#[test]
fn sigterm_ends_a_run_in_order() {
    check_end(|_, apply| apply.signal(Signal::TERM), 143, "SIGTERM");
}

#[test]
fn sighup_ends_a_run_in_order() {
    check_end(|_, apply| apply.signal(Signal::HUP), 129, "SIGHUP");
}

#[test]
fn nothing_outlives_a_killed_srtctl() {
    let environment = TestEnvironment::new();
    let mut apply = environment.start_apply(&recipe("quickstart"), &ENDLESS);
    apply.wait_for_line(MEASURING);
    apply.signal(Signal::KILL);
    assert_eq!(apply.finish().signal, Some(9));
    environment.assert_nothing_is_left();

    // Nobody was there to judge the run; whoever rolls it up later is told that it is a part.
    let run_dir = environment.run_dir();
    let answer = environment.run(&["rollup", &run_dir.to_string_lossy()]);
    assert_eq!(answer.code, Some(0), "{answer:#?}");
    let rollup = environment.rollup();
    assert_eq!(rollup["partial"], true, "{rollup:#}");
}

#[test]
fn a_worker_that_crashes_at_start_ends_the_wait() {
    let environment = TestEnvironment::new();
    let fault = ["--set", "backend.mocker_config.decode.fault=oom-at-start"];
    let answer = environment.start_apply(&recipe("quickstart"), &fault).finish();
    assert_eq!(answer.code, Some(3), "{answer:#?}");
    assert!(answer.stderr.contains("out of memory"), "{answer:#?}");
    environment.assert_nothing_is_left();
}

#[test]
fn requests_without_tokens_are_no_success() {
    let environment = TestEnvironment::new();
    let fault =
        ["--set", "backend.mocker_config.decode.fault=zero-tokens", "--set", "benchmark.concurrencies=[2]"];
    let answer = environment.start_apply(&recipe("quickstart"), &fault).finish();
    assert_eq!(answer.code, Some(4), "{answer:#?}");
    assert!(answer.stdout.contains("verdict: invalid"), "{answer:#?}");
    assert_eq!(environment.rollup()["partial"], false);
    environment.assert_nothing_is_left();
}
