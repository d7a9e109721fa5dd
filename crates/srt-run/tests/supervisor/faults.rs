//! One thing goes wrong in a run; the run ends with its name, and with nothing left.

use expect_test::{Expect, expect};
use srt_run::{Control, record::EventKind};

use crate::{
    harness::{good, run},
    scenario::Scenario,
};

#[track_caller]
fn check(change: impl FnOnce(&mut Scenario), expect: &Expect) {
    let mut scenario = good();
    change(&mut scenario);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let finished = runtime.block_on(run(&scenario, |_| None));
    expect.assert_eq(&finished.summary());
}

#[test]
fn nothing_goes_wrong() {
    check(|_| {}, &expect![[]]);
}

#[test]
fn a_worker_is_killed_while_its_readiness_is_awaited() {
    check(
        |run| {
            run.worker_1 = "echo loading weights; exec sleep 3600".to_owned();
            run.when_asked = "kill -9 $(cat decode_0.pid); sleep 3600".to_owned();
        },
        &expect![[]],
    );
}

#[test]
fn a_worker_that_exits_0_fails_the_run_too() {
    check(|run| run.worker_0 = "echo done early".to_owned(), &expect![[]]);
}

#[test]
fn a_worker_that_does_not_exist_is_named() {
    check(|run| run.worker_1 = "exec no-such-engine --flag".to_owned(), &expect![[]]);
}

#[test]
fn the_router_is_killed_during_the_benchmark() {
    check(|run| run.benchmark = "kill -9 $(cat frontend.pid); exec sleep 3600".to_owned(), &expect![[]]);
}

#[test]
fn infrastructure_dies_during_the_benchmark() {
    check(|run| run.benchmark = "kill -9 $(cat etcd.pid); exec sleep 3600".to_owned(), &expect![[]]);
}

#[test]
fn the_benchmark_fails() {
    check(|run| run.benchmark = "echo 'error: connection refused'; exit 7".to_owned(), &expect![[]]);
}

#[test]
fn the_benchmark_leaves_no_result() {
    check(|run| run.benchmark = "true".to_owned(), &expect![[]]);
}

#[test]
fn a_point_without_output_tokens_is_invalid() {
    check(|run| run.benchmark = run.benchmark.replace(":64", ":0"), &expect![[]]);
}

#[test]
fn a_missing_point_is_named() {
    check(|run| run.concurrencies.push(8), &expect![[]]);
}

#[test]
fn the_router_never_knows_all_workers() {
    check(
        |run| {
            run.known_workers = 1;
            run.ready_within_s = 1;
        },
        &expect![[]],
    );
}

#[test]
fn a_port_is_taken() {
    let mut scenario = good();
    let address = scenario.address;
    let listener = std::net::TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    scenario.worker_port = Some(port);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let finished = runtime.block_on(run(&scenario, |_| None));
    let summary =
        finished.summary().replace(&port.to_string(), "PORT").replace(&address.to_string(), "ADDRESS");
    let process = format!("(process {})", std::process::id());
    assert!(summary.contains(&process), "{summary}");
    let (before, after) = summary.split_once(" by `").unwrap();
    let (_, after) = after.split_once(&process).unwrap();
    expect![[]].assert_eq(&format!("{before} by OWNER{after}"));
}

#[test]
fn a_worker_that_ignores_sigterm_is_killed() {
    check(|run| run.infra = "trap '' TERM; while :; do sleep 1; done".to_owned(), &expect![[]]);
}

#[test]
fn a_grandchild_in_a_session_of_its_own_does_not_survive() {
    check(
        |run| {
            let in_sessions = "setsid sleep 3601 & (setsid sh -c 'sleep 3602 & exec sleep 3603' &)";
            run.worker_0 = format!("{in_sessions}; exec sleep 3604");
        },
        &expect![[]],
    );
}

#[test]
fn what_a_dead_worker_leaves_behind_does_not_survive_it() {
    check(|run| run.worker_0 = "setsid sh -c \"trap '' TERM; sleep 3605\" & exit 3".to_owned(), &expect![[]]);
}

#[test]
fn a_log_folder_that_vanishes_is_named() {
    check(|run| run.worker_0 = "rm -r logs; touch logs; exec sleep 3600".to_owned(), &expect![[]]);
}

#[track_caller]
fn check_ended(change: impl FnOnce(&mut Scenario), at_stage: &str, times: usize, expect: &Expect) {
    let mut scenario = good();
    change(&mut scenario);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let finished = runtime.block_on(run(&scenario, |event| {
        let wanted = match &event.kind {
            EventKind::StageStarted { stage } => stage == at_stage,
            // Only once the first request is being followed may the second come.
            EventKind::Ending { .. } => times > 1,
            _ => false,
        };
        wanted.then(|| Control::Terminate { by: "SIGINT".to_owned() })
    }));
    expect.assert_eq(&finished.summary());
}

#[test]
fn a_request_to_end_ends_the_run_in_tiers() {
    check_ended(|run| run.benchmark = "exec sleep 3600".to_owned(), "benchmark", 1, &expect![[]]);
}

#[test]
fn a_second_request_ends_it_at_once() {
    check_ended(
        |run| run.worker_0 = "trap '' TERM; while :; do sleep 1; done".to_owned(),
        "readiness",
        2,
        &expect![[]],
    );
}

#[test]
fn a_run_that_serves_is_complete_when_it_is_told_to_end() {
    check_ended(|run| run.serves = true, "serving", 1, &expect![[]]);
}
