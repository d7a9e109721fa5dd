//! Stands in for srtctl in the tests of the supervisor.
//!
//! - `keeper …`: a keeper;
//! - `serve ADDRESS:PORT N COMMAND`: a router that knows N workers, and runs COMMAND when it is first asked;
//! - `run SCENARIO.json RUN_DIR`: runs a scenario, and ends it on SIGINT and SIGTERM.
#![expect(clippy::print_stdout, reason = "what stands in for a program prints like one")]

mod scenario;

use std::{
    ffi::OsString,
    io::{Read as _, Write as _},
    net::TcpListener,
    process::ExitCode,
};

use camino::Utf8PathBuf;
use srt_run::{Control, SystemClock, command, keeper};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use self::scenario::Scenario;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|mode| mode == "keeper") {
        return keeper::main(&arguments[1..]);
    }
    let arguments: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    match arguments.as_slice() {
        ["serve", address, workers, when_asked] => {
            let workers = workers.parse().expect("the number of workers is a number");
            runtime.block_on(serve(address, workers, when_asked));
            ExitCode::SUCCESS
        }
        ["run", scenario, run_dir] => runtime.block_on(run(scenario, run_dir)),
        _ => ExitCode::from(2),
    }
}

async fn serve(address: &str, workers: usize, when_asked: &str) {
    let listener = TcpListener::bind(address).expect("the port is free");
    println!("serving at {address}");
    std::fs::write("frontend.pid", std::process::id().to_string()).expect("the run folder can be written");
    let worker = r#"{"worker_type":"regular","is_healthy":true}"#;
    let body = format!(r#"{{"workers":[{}]}}"#, vec![worker; workers].join(","));
    let mut is_first = true;
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        if std::mem::take(&mut is_first) && !when_asked.is_empty() {
            let invocation = command::Invocation {
                program: "sh".to_owned(),
                arguments: vec!["-c".to_owned(), when_asked.to_owned()],
                ..command::Invocation::default()
            };
            let limit = std::time::Duration::from_hours(1);
            command::output(&invocation, limit).await.expect("a shell runs");
        }
        let mut request = [0; 1024];
        let _unread = stream.read(&mut request);
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        let _unheard = stream.write_all(answer.as_bytes());
    }
}

async fn run(scenario: &str, run_dir: &str) -> ExitCode {
    let text = std::fs::read(scenario).expect("the scenario can be read");
    let scenario: Scenario = serde_json::from_slice(&text).expect("the scenario is one");
    let run_dir = Utf8PathBuf::from(run_dir);
    let program = std::env::current_exe().expect("this program has a path");
    let launcher = scenario.launcher(program.to_str().expect("the path is UTF-8"), &run_dir);
    let (control, controls) = mpsc::channel(4);
    let (events, mut shown) = mpsc::channel(1024);
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be handled");
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be handled");
    let execution = scenario.execution(&run_dir);
    let running = srt_run::execute(execution, launcher, &SystemClock, controls, events);
    tokio::pin!(running);
    loop {
        let by = tokio::select! {
            outcome = &mut running => {
                let outcome = outcome.expect("the run folder is new");
                println!("{:?}", outcome.end);
                return ExitCode::from(if outcome.verdict.is_valid() { 0 } else { 3 });
            }
            Some(event) = shown.recv() => {
                println!("{}", serde_json::to_string(&event).expect("events are JSON"));
                continue;
            }
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        let _over = control.send(Control::Terminate { by: by.to_owned() }).await;
    }
}
