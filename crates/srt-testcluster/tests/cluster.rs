//! A private cluster's life, with the real daemons.

use std::{fs, time::Duration};

use srt_testcluster::{Cluster, Mode, Settings, State, attach, down, own, up};

const SMALL: Settings = Settings { nodes: 2, gpus: 4, mode: Some(Mode::Plain), container_options: false };

fn state(cluster: &Cluster) -> State {
    cluster.status().state
}

/// What identifies the run of a controller.
fn controller_log(cluster: &Cluster) -> String {
    fs::read_to_string(cluster.dir().join("log/slurmctld.log")).unwrap_or_default()
}

/// Starts a job on a node and waits until it has run `first`.
fn hold(cluster: &Cluster, node: &str, first: &str) {
    let started = cluster.dir().join("started");
    let (node, script) =
        (format!("--nodelist={node}"), format!("--wrap={first}\ntouch {started}; sleep 300"));
    cluster.run(&["sbatch", "--output=/dev/null", &node, &script]).expect("the job is accepted");
    for _ in 0..600 {
        if started.exists() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "Slurm offers no wait for the start of a job")]
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the job does not start");
}

#[test]
fn a_running_cluster_is_found_and_a_damaged_one_is_started_anew() {
    let cluster = own(&SMALL);
    assert_eq!(state(&cluster), State::Up);
    let before = controller_log(&cluster);
    up(cluster.dir(), &SMALL).unwrap();
    assert!(controller_log(&cluster).starts_with(&before), "it was started again, although it ran");

    cluster.crash_controller();
    assert_eq!(state(&cluster), State::Broken);
    up(cluster.dir(), &SMALL).unwrap();
    assert_eq!(state(&cluster), State::Up);

    let larger = Settings { nodes: 3, ..SMALL };
    let cluster = up(cluster.dir(), &larger).unwrap();
    assert_eq!(cluster.nodes(), ["node1", "node2", "node3"]);
    assert_eq!(attach(cluster.dir()).unwrap().nodes(), cluster.nodes());
}

#[test]
fn clusters_side_by_side_do_not_know_of_each_other() {
    let (one, other) = (own(&SMALL), own(&SMALL));
    let hold = ["sbatch", "--output=/dev/null", "--nodes=2", "--wrap=sleep 300"];
    one.run(&hold).unwrap();
    other.run(&hold).unwrap();
    assert!(down(one.dir()).unwrap());
    assert_eq!((state(&one), state(&other)), (State::Down, State::Up));
    // Nothing is left to end.
    assert!(!down(one.dir()).unwrap());
    assert_eq!(other.run(&["squeue", "--noheader", "--format=%j"]).unwrap(), "wrap\n");
}

#[test]
fn ending_a_cluster_ends_what_its_jobs_left() {
    let cluster = own(&SMALL);
    hold(&cluster, "node1", "setsid sleep 300 &");
    assert!(cluster.job_processes().iter().any(|line| line.contains("sleep 300")));
    assert!(down(cluster.dir()).unwrap());
    assert!(cluster.job_processes().is_empty(), "{:?}", cluster.job_processes());
}

#[test]
fn a_crashed_node_takes_its_tasks_along_and_comes_back() {
    let cluster = own(&SMALL);
    hold(&cluster, "node1", "true");
    cluster.crash("node1");
    assert!(cluster.job_processes().is_empty(), "{:?}", cluster.job_processes());
    assert_eq!(state(&cluster), State::Broken);
    cluster.start("node1").unwrap();
    cluster.start("node1").unwrap();
}

#[test]
fn impossible_settings_are_refused() {
    let dir = camino::Utf8Path::new("/tmp/srt-refused");
    let error = up(dir, &Settings { nodes: 0, ..SMALL }).unwrap_err();
    assert_eq!(error.to_string(), "a private cluster has 1 to 64 nodes: 0");
    assert!(!dir.exists());
    assert!(attach(dir).is_err());
    let long = format!("/tmp/srt-{}", "x".repeat(80));
    let error = up(long.as_str().into(), &SMALL).unwrap_err();
    assert!(error.to_string().starts_with("the folder's path may have 60 characters"), "{error}");
    fs::remove_dir(long).unwrap();
}
