//! One thing goes wrong in a run; the run ends with its name, and with nothing left.

use std::{fs, os::unix::fs::PermissionsExt as _};

use camino::Utf8Path;
use expect_test::{Expect, expect};
use srt_run::{Control, record::EventKind};

use crate::{
    harness::{begin, good, read_events, run_to_end, signal},
    scenario::Scenario,
};

#[track_caller]
fn check(change: impl FnOnce(&mut Scenario), expect: &Expect) {
    let mut scenario = good();
    change(&mut scenario);
    expect.assert_eq(&run_to_end(&scenario, |_| None).summary());
}

#[test]
fn nothing_goes_wrong() {
    check(
        |_| {},
        &expect![[r#"
        valid
        SIGTERM to frontend
        SIGTERM to prefill_0, decode_0
        SIGTERM to etcd"#]],
    );
}

#[test]
fn a_worker_is_killed_while_its_readiness_is_awaited() {
    check(
        |run| {
            run.worker_1 = "echo loading weights; echo > ../go; exec sleep 3600".to_owned();
            run.when_asked = format!("cat ../go; {}; exec sleep 3600", signal("decode_0", "KILL"));
        },
        &expect![[r#"
            failed in readiness: `decode_0` on node0 was killed by SIGKILL
              | loading weights
            SIGTERM to frontend
            SIGTERM to prefill_0
            SIGTERM to etcd"#]],
    );
}

#[test]
fn a_worker_that_exits_0_fails_the_run_too() {
    check(
        |run| {
            run.worker_0 = "read _ < ../go; echo done early".to_owned();
            run.when_asked = "echo > ../go; exec sleep 3600".to_owned();
        },
        &expect![[r#"
            failed in readiness: `prefill_0` on node0 exited with code 0, but must run until the run ends
              | done early
            SIGTERM to frontend
            SIGTERM to decode_0
            SIGTERM to etcd"#]],
    );
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    check(
        |run| run.frontend = Some(vec!["no-such-router".to_owned(), "--flag".to_owned()]),
        &expect![[r#"
            failed in readiness: `frontend` on node0 exited with code 127 (the program was not found)
              | srtctl: failed to start `no-such-router`: No such file or directory (os error 2)
            SIGTERM to prefill_0, decode_0
            SIGTERM to etcd"#]],
    );
}

#[test]
fn the_router_is_killed_during_the_benchmark() {
    check(
        |run| run.benchmark = format!("{}; exec sleep 3600", signal("frontend", "KILL")),
        &expect![[r#"
            failed in benchmark: `frontend` on node0 was killed by SIGKILL
              | serving at ADDRESS:8000
            SIGTERM to benchmark
            SIGTERM to prefill_0, decode_0
            SIGTERM to etcd"#]],
    );
}

#[test]
fn infrastructure_dies_during_the_benchmark() {
    check(
        |run| run.benchmark = format!("{}; exec sleep 3600", signal("etcd", "KILL")),
        &expect![[r#"
            failed in benchmark: `etcd` on node0 was killed by SIGKILL
            SIGTERM to benchmark
            SIGTERM to frontend
            SIGTERM to prefill_0, decode_0"#]],
    );
}

#[test]
fn the_benchmark_is_killed() {
    check(
        |run| run.benchmark = "kill -9 $$".to_owned(),
        &expect![[r#"
            failed in benchmark: `benchmark` on node0 was killed by SIGKILL
            SIGTERM to frontend
            SIGTERM to prefill_0, decode_0
            SIGTERM to etcd"#]],
    );
}

#[test]
fn the_benchmark_fails() {
    check(
        |run| run.benchmark = "echo 'error: connection refused'; exit 7".to_owned(),
        &expect![[r#"
            failed in benchmark: `benchmark` on node0 exited with code 7
              | error: connection refused
            SIGTERM to frontend
            SIGTERM to prefill_0, decode_0
            SIGTERM to etcd"#]],
    );
}

#[test]
fn the_benchmark_leaves_no_result() {
    check(
        |run| run.benchmark = "true".to_owned(),
        &expect![[r#"
            invalid: the expected result was not written
            SIGTERM to frontend
            SIGTERM to prefill_0, decode_0
            SIGTERM to etcd"#]],
    );
}

#[test]
fn a_point_without_output_tokens_is_invalid() {
    check(
        |run| run.benchmark = run.benchmark.replace(":64", ":0"),
        &expect![[r#"
        invalid: concurrency 4: no output token was generated
        SIGTERM to frontend
        SIGTERM to prefill_0, decode_0
        SIGTERM to etcd"#]],
    );
}

#[test]
fn a_missing_point_is_named() {
    check(
        |run| run.concurrencies.push(8),
        &expect![[r#"
        invalid: concurrency 8 has no result
        SIGTERM to frontend
        SIGTERM to prefill_0, decode_0
        SIGTERM to etcd"#]],
    );
}

#[test]
fn the_router_never_knows_all_workers() {
    check(
        |run| {
            run.known_workers = 1;
            run.ready_within_s = 1;
        },
        &expect![[r#"
            failed in readiness: the model was not ready after 1 s: decode 1/2, waiting for workers to register
            SIGTERM to frontend
            SIGTERM to prefill_0, decode_0
            SIGTERM to etcd"#]],
    );
}

#[test]
fn a_router_that_hangs_does_not_hold_the_run_past_its_time() {
    let mut scenario = good();
    scenario.when_asked = "exec sleep 3600".to_owned();
    scenario.ready_within_s = 2;
    let summary = run_to_end(&scenario, |_| None).summary();
    let expected = "failed in readiness: the model was not ready after 2 s: decode 0/2, ";
    // What it says beyond that depends on how fast the router came up.
    assert!(summary.starts_with(expected), "{summary}");
}

#[test]
fn a_port_is_taken() {
    let mut scenario = good();
    let address = scenario.address;
    let listener = std::net::TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    scenario.ports.push(("decode_0".to_owned(), port));
    let finished = run_to_end(&scenario, |_| None);
    let summary = finished.summary().replace(&port.to_string(), "PORT");
    let process = format!("(process {})", std::process::id());
    assert!(summary.contains(&process), "{summary}");
    let (before, after) = summary.split_once(" by `").unwrap();
    let (_, after) = after.split_once(&process).unwrap();
    expect![[r#"
        failed in workers: `decode_0` on node0 could not be started: port PORT on ADDRESS is taken by OWNER
        SIGTERM to prefill_0
        SIGTERM to etcd"#]]
    .assert_eq(&format!("{before} by OWNER{after}"));
}

#[test]
fn a_process_that_ignores_sigterm_is_killed() {
    check(
        |run| {
            run.infra = "trap '' TERM; echo > ../go; while :; do sleep 1; done".to_owned();
            run.when_asked = "cat ../go".to_owned();
        },
        &expect![[r#"
            valid
            SIGTERM to frontend
            SIGTERM to prefill_0, decode_0
            SIGTERM to etcd
            SIGKILL to etcd"#]],
    );
}

#[test]
fn a_stopped_process_is_killed() {
    check(
        |run| run.benchmark = format!("{}; {}", signal("etcd", "STOP"), run.benchmark),
        &expect![[r#"
            valid
            SIGTERM to frontend
            SIGTERM to prefill_0, decode_0
            SIGTERM to etcd
            SIGKILL to etcd"#]],
    );
}

#[test]
fn a_grandchild_in_a_session_of_its_own_does_not_survive() {
    check(
        |run| {
            let in_sessions =
                "setsid sleep 3601 & (setsid sh -c 'sleep 3602 & echo > ../go; exec sleep 3603' &)";
            run.worker_0 = format!("{in_sessions}; exec sleep 3604");
            run.when_asked = "cat ../go".to_owned();
        },
        &expect![[r#"
            valid
            SIGTERM to frontend
            SIGTERM to prefill_0, decode_0
            SIGTERM to etcd"#]],
    );
}

#[test]
fn what_a_dead_worker_leaves_behind_does_not_survive_it() {
    check(
        |run| {
            let stubborn = "setsid sh -c \"trap '' TERM; touch trapped; sleep 3605\" &";
            let wait = "until [ -e trapped ]; do sleep 0.01; done; read _ < ../go";
            run.worker_0 = format!("{stubborn} {wait}; exit 3");
            run.when_asked = "echo > ../go; exec sleep 3600".to_owned();
        },
        &expect![[r#"
            failed in readiness: `prefill_0` on node0 exited with code 3
            SIGTERM to frontend
            SIGTERM to decode_0
            SIGTERM to etcd"#]],
    );
}

#[test]
fn a_log_folder_that_vanishes_is_named() {
    check(
        |run| run.when_asked = "rm -r logs; touch logs".to_owned(),
        &expect![[r#"
        failed in benchmark: `benchmark` on node0 could not be started: failed to open the log file `RUN_DIR/logs/benchmark.out`: Not a directory (os error 20)
        no rollup
        warning: the results could not be rolled up: failed to write `RUN_DIR/logs/rollup.json`: Not a directory (os error 20)
        SIGTERM to frontend
        SIGTERM to prefill_0, decode_0
        SIGTERM to etcd"#]],
    );
}

#[test]
fn a_folder_that_holds_another_run_is_refused() {
    let scenario = good();
    let finished = run_to_end(&scenario, |_| None);
    let before = read_events(&finished.place.run_dir);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(begin(&scenario, &finished.place.run_dir)).unwrap_err();
    let shown = refused.to_string().replace(finished.place.run_dir.as_str(), "RUN_DIR");
    expect!["`RUN_DIR` is not empty; a run needs a folder of its own"].assert_eq(&shown);
    assert_eq!(read_events(&finished.place.run_dir), before);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let run_dir = Utf8Path::from_path(file.path()).unwrap().join("run");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(begin(&good(), &run_dir)).unwrap_err();
    expect!["failed to make the run folder `RUN_DIR`: Not a directory (os error 20)"]
        .assert_eq(&refused.to_string().replace(run_dir.as_str(), "RUN_DIR"));
}

#[test]
fn files_are_there_before_anything_starts_and_secrets_are_private() {
    let finished = run_to_end(&good(), |_| None);
    let mode =
        |name: &str| fs::metadata(finished.place.run_dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(fs::read_to_string(finished.place.run_dir.join("recipe.yaml")).unwrap(), "name: x\n");
    assert_eq!(mode("config.yaml"), 0o600);
    assert_eq!(mode("recipe.yaml") & 0o400, 0o400);
}

#[test]
fn a_step_has_the_environment_of_its_plan() {
    let mut scenario = good();
    scenario.worker_0 =
        "echo \"STEP=$STEP HOME=${HOME-unset} PWD=$PWD\"; echo > ../go; exec sleep 3600".to_owned();
    scenario.when_asked = "cat ../go".to_owned();
    let finished = run_to_end(&scenario, |_| None);
    let log = fs::read_to_string(finished.place.run_dir.join("logs/prefill_0.out")).unwrap();
    expect![[r#"
        STEP=prefill_0 HOME=unset PWD=RUN_DIR
    "#]]
    .assert_eq(&log.replace(finished.place.run_dir.as_str(), "RUN_DIR"));
}

#[test]
fn the_benchmark_progress_becomes_events() {
    let finished = run_to_end(&good(), |_| None);
    let lines: Vec<String> = finished
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Benchmark { progress } => Some(progress.to_string()),
            _ => None,
        })
        .collect();
    expect![[r#"
        {"event":"point_started","concurrency":4,"num_prompts":8}
        {"event":"point_finished","concurrency":4}"#]]
    .assert_eq(&lines.join("\n"));
}

#[track_caller]
fn check_ended(change: impl FnOnce(&mut Scenario), at_stage: &str, times: usize, expect: &Expect) {
    let mut scenario = good();
    change(&mut scenario);
    let finished = run_to_end(&scenario, |event| {
        let wanted = match &event.kind {
            EventKind::StageStarted { stage } => stage == at_stage,
            // Only once the first request is being followed may the second come.
            EventKind::Ending { .. } => times > 1,
            _ => false,
        };
        wanted.then(|| Control::Terminate { by: "SIGINT".to_owned() })
    });
    // The frontend is told first, and may or may not be gone when the second request comes.
    expect.assert_eq(&finished.summary().replace("decode_0, frontend", "decode_0"));
}

#[test]
fn a_request_to_end_ends_the_run_in_tiers() {
    check_ended(
        |run| run.benchmark = "exec sleep 3600".to_owned(),
        "benchmark",
        1,
        &expect![[r#"
        failed in benchmark: ended by SIGINT
        SIGTERM to benchmark
        SIGTERM to frontend
        SIGTERM to prefill_0, decode_0
        SIGTERM to etcd"#]],
    );
}

#[test]
fn a_request_to_end_during_the_start_ends_what_has_started() {
    check_ended(
        |run| run.when_asked = "exec sleep 3600".to_owned(),
        "readiness",
        1,
        &expect![[r#"
        failed in readiness: ended by SIGINT
        SIGTERM to frontend
        SIGTERM to prefill_0, decode_0
        SIGTERM to etcd"#]],
    );
}

#[test]
fn a_second_request_ends_the_run_at_once() {
    check_ended(
        |run| run.when_asked = "exec sleep 3600".to_owned(),
        "readiness",
        2,
        &expect![[r#"
        failed in readiness: ended by SIGINT
        SIGTERM to frontend
        SIGKILL to etcd, prefill_0, decode_0"#]],
    );
}

#[test]
fn a_request_to_end_after_the_measurement_changes_no_verdict() {
    check_ended(
        |_| {},
        "rollup",
        1,
        &expect![[r#"
        valid
        SIGTERM to frontend
        SIGTERM to prefill_0, decode_0
        SIGTERM to etcd"#]],
    );
}

#[test]
fn a_step_that_is_told_to_end_a_moment_before_us_has_not_failed() {
    let mut scenario = good();
    scenario.benchmark = format!("{}; exec sleep 3600", signal("decode_0", "TERM"));
    let finished = run_to_end(&scenario, |event| match &event.kind {
        EventKind::StepEnded { step, .. } if step == "decode_0" => {
            Some(Control::Terminate { by: "SIGTERM".to_owned() })
        }
        _ => None,
    });
    expect![[r#"
        failed in benchmark: ended by SIGTERM
        SIGTERM to benchmark
        SIGTERM to frontend
        SIGTERM to prefill_0
        SIGTERM to etcd"#]]
    .assert_eq(&finished.summary());
}

#[test]
fn a_step_that_dies_by_sigterm_alone_has_failed() {
    check(
        |run| run.benchmark = format!("{}; exec sleep 3600", signal("decode_0", "TERM")),
        &expect![[r#"
        failed in benchmark: `decode_0` on node0 was killed by SIGTERM
        SIGTERM to benchmark
        SIGTERM to frontend
        SIGTERM to prefill_0
        SIGTERM to etcd"#]],
    );
}

#[test]
fn a_run_that_serves_is_complete_when_it_is_told_to_end() {
    check_ended(
        |run| run.serves = true,
        "serving",
        1,
        &expect![[r#"
        valid
        SIGTERM to frontend
        SIGTERM to prefill_0, decode_0
        SIGTERM to etcd"#]],
    );
}
