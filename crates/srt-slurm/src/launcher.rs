//! [`SrunLauncher`]: steps as named steps of a Slurm job, one srun each.
//!
//! A running step has two handles, and each is good for something else. The srun beside us ends when the step ends,
//! and says how; the step itself, `job.step`, is what a signal must be sent to, because srun answers SIGTERM by
//! killing its tasks. Each srun runs under a [keeper](srt_run::keeper): should this program die, the keeper ends the
//! srun, and with it the step.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    os::unix::fs::FileExt as _,
    time::Duration,
};

use camino::Utf8Path;
use rustix::fs::{MemfdFlags, memfd_create};
use srt_context::JobId;
use srt_launch::Step;
use srt_run::{
    keeper::{KeptCommand, KeptProcess},
    launcher::{BoxFuture, Launcher, RunningStep, StartError, StepExit},
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    client::{Slurm, SlurmError, failed, words},
    messages::step_exit,
    srun::{JobContext, NOT_INHERITED, srun_argv, srun_environment},
};

/// How long a port may take to answer. In a cluster's network an answer, also a refusal, takes a millisecond; a
/// firewall that swallows the question must not hold up a start.
const PORT_ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// How long finding a step, and sending it a signal, may take. Both take some 20 ms; when the controller is gone, the
/// step's end must not wait for it.
const SIGNAL_LIMIT: Duration = Duration::from_secs(3);

/// How long a killed step's srun may take to end. It waits up to 5 seconds for its nodes.
const KILL_LIMIT: Duration = Duration::from_secs(7);

/// How long a step may be seen after it was killed, before it is left to Slurm, and the pause between looks. Without
/// cgroups slurmd itself looks after 1 and 3 seconds whether its processes are gone.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(5);
const LEFTOVER_PAUSE: Duration = Duration::from_millis(200);

/// No srun has that much to say; what a broken one repeats need not be read to its end.
const MOST_SAID: usize = 64 * 1024;

/// Starts steps by srun, in a job that exists.
#[derive(Debug, Clone)]
pub struct SrunLauncher {
    slurm: Slurm,
    job: JobContext,
}

impl SrunLauncher {
    /// A launcher for the steps of one job.
    pub fn new(slurm: Slurm, job: JobContext) -> Self {
        Self { slurm, job }
    }

    async fn start(&self, step: &Step, log: &Utf8Path) -> Result<Box<dyn RunningStep>, StartError> {
        let command = self.prepare(step, log).await?;
        // srun appends as well. Opened here too, since a log that cannot be written is better known before the start.
        let open = || OpenOptions::new().append(true).create(true).open(log);
        let log_file = open().map_err(|source| StartError::Log { path: log.to_owned(), source })?;
        let spawn = |source: io::Error| StartError::Spawn { program: "srun".to_owned(), source };
        let said =
            File::from(memfd_create("srun", MemfdFlags::CLOEXEC).map_err(|errno| spawn(errno.into()))?);
        let kept_said = said.try_clone().map_err(spawn)?;
        let marker = log.with_file_name(step.id.as_str());
        let srun = KeptProcess::start(
            self.job.srtctl.as_os_str(),
            step.id.as_str(),
            marker.as_str(),
            command,
            kept_said,
        )
        .await
        .map_err(|error| StartError::Refused(format!("failed to start `srun`: {error}")))?;
        Ok(Box::new(SrunStep {
            slurm: self.slurm.clone(),
            job_id: self.job.job_id.clone(),
            component_ids: self.job.component_ids.clone(),
            name: step.id.to_string(),
            log: log_file,
            said,
            srun,
            end: None,
            may_be_left: false,
            give_up_at: None,
        }))
    }

    async fn prepare(&self, step: &Step, log: &Utf8Path) -> Result<KeptCommand, StartError> {
        if step.argv.is_empty() {
            return Err(StartError::Incomplete("command"));
        }
        let node = step.nodes.first().ok_or(StartError::Incomplete("node"))?;
        let address = |node| self.job.addresses.get(node).copied();
        let unknown = step.nodes.iter().find(|node| address(node).is_none());
        if let Some(node) = unknown {
            return Err(StartError::UnknownNode { node: node.clone() });
        }
        let address = address(node).expect("every node was found a moment ago");
        check_free(address, &step.ports).await?;
        let mut env = srun_environment(step);
        env.extend(self.slurm.environment().iter().cloned());
        Ok(KeptCommand {
            argv: srun_argv(step, &self.job, log),
            env,
            unset: words(&NOT_INHERITED),
            cwd: self.job.working_dir.to_string(),
        })
    }
}

impl Launcher for SrunLauncher {
    fn start<'a>(
        &'a self,
        step: &'a Step,
        log: &'a Utf8Path,
    ) -> BoxFuture<'a, Result<Box<dyn RunningStep>, StartError>> {
        Box::pin(self.start(step, log))
    }
}

/// Checks that nobody answers on the ports of the step's node. Someone who does would otherwise show only as a
/// worker that dies after it has loaded its weights.
async fn check_free(address: IpAddr, ports: &[u16]) -> Result<(), StartError> {
    for &port in ports {
        let question = TcpStream::connect(SocketAddr::new(address, port));
        if let Ok(Ok(_connected)) = timeout(PORT_ANSWER_LIMIT, question).await {
            return Err(StartError::PortTaken { port, address, owner: None });
        }
    }
    Ok(())
}

/// A step that runs.
struct SrunStep {
    slurm: Slurm,
    job_id: JobId,
    component_ids: Vec<JobId>,
    /// Unique among the job's steps.
    name: String,
    log: File,
    /// What srun itself says: its stdout and stderr, which the tasks do not share.
    said: File,
    srun: KeptProcess,
    end: Option<StepExit>,
    /// srun was killed, so that nobody has said that its tasks have ended.
    may_be_left: bool,
    /// When a killed step's srun is killed as well.
    give_up_at: Option<Instant>,
}

impl SrunStep {
    /// The `job.step` of the step, once Slurm has created it.
    async fn step_ids(&self) -> Result<Vec<String>, SlurmError> {
        let ids = self.component_ids.iter().map(JobId::as_str).collect::<Vec<_>>();
        let job = format!("--jobs={}", ids.join(","));
        let argv = words(&["squeue", "--steps", "--noheader", &job, "--format=%i|%j"]);
        let answer = self.slurm.ask_within(&argv, SIGNAL_LIMIT).await?;
        if answer.exit.is_success() {
            Ok(ids_of(&answer.stdout, &self.name))
        } else {
            Err(failed(&argv, answer))
        }
    }

    /// Sends a signal to the tasks; whether there was a step to send it to.
    async fn signal(&self, signal: &str) -> Result<bool, SlurmError> {
        let ids = self.step_ids().await?;
        if ids.is_empty() {
            return Ok(false);
        }
        // Through the controller: scancel by itself asks every node of the job, and calls those on which the step
        // does not run an error.
        let mut argv = words(&["scancel", "--ctld", &format!("--signal={signal}")]);
        argv.extend(ids);
        let answer = self.slurm.ask_within(&argv, SIGNAL_LIMIT).await?;
        // A step that has ended by now needs no signal.
        let over = ["Invalid job id specified", "already completing or completed"];
        if answer.exit.is_success() || over.iter().any(|text| answer.stderr.contains(text)) {
            return Ok(true);
        }
        Err(failed(&argv, answer))
    }

    /// Waits for the end of srun. Cancel-safe.
    async fn srun_end(&mut self) -> StepExit {
        if let Some(at) = self.give_up_at {
            match timeout_at(at, self.srun.wait()).await {
                Ok(exit) => return exit,
                Err(_elapsed) => self.srun.kill().await,
            }
        }
        self.srun.wait().await
    }

    /// What srun has said so far.
    fn said(&self) -> String {
        let mut bytes = vec![0; MOST_SAID];
        let length = self.said.read_at(&mut bytes, 0).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    async fn wait_for_end(&mut self) -> StepExit {
        if let Some(end) = &self.end {
            return end.clone();
        }
        let srun = self.srun_end().await;
        let said = self.said();
        // A full disk must not hide how the step ended.
        let _unwritten = self.log.write_all(said.as_bytes());
        self.may_be_left = matches!(srun, StepExit::Signal(_) | StepExit::Lost(_));
        let end = step_exit(srun, &said);
        self.end = Some(end.clone());
        end
    }

    async fn ask_to_end(&mut self) {
        if self.end.is_some() {
            return;
        }
        match self.signal("TERM").await {
            Ok(true) => {}
            // There is no step yet: its srun still waits for one, and gives up when told to end.
            Ok(false) => self.srun.terminate().await,
            Err(error) => tracing::warn!(step = self.name, "the step could not be asked to end: {error}"),
        }
    }

    async fn end_at_once(&mut self) {
        if self.end.is_some() {
            return;
        }
        self.give_up_at.get_or_insert(Instant::now() + KILL_LIMIT);
        // Two ways, in case one is stuck: srun has its tasks killed when told to end, and so does the controller.
        // Both need a controller that answers; without one, the step ends when it is back, with the job.
        self.srun.terminate().await;
        if let Err(error) = self.signal("KILL").await {
            tracing::warn!(step = self.name, "the step could not be killed through the controller: {error}");
        }
    }

    async fn wait_until_gone(&mut self) {
        self.wait_for_end().await;
        self.srun.gone().await;
        if self.may_be_left {
            if timeout(LEFTOVER_LIMIT, self.cancel_leftover()).await.is_err() {
                tracing::warn!(
                    step = self.name,
                    "the step is still there; it ends with the job at the latest"
                );
            }
            self.may_be_left = false;
        }
    }

    async fn cancel_leftover(&self) {
        // A controller that does not answer now is asked again until the limit.
        while !matches!(self.signal("KILL").await, Ok(false)) {
            sleep(LEFTOVER_PAUSE).await;
        }
    }
}

impl RunningStep for SrunStep {
    fn handle(&self) -> String {
        format!("job {}, step {}", self.job_id, self.name)
    }

    fn wait(&mut self) -> BoxFuture<'_, StepExit> {
        Box::pin(self.wait_for_end())
    }

    fn terminate(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.ask_to_end())
    }

    fn kill(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.end_at_once())
    }

    fn gone(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.wait_until_gone())
    }
}

/// The steps of that name, in lines of `ID|NAME`.
fn ids_of(text: &str, name: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.trim().split_once('|'));
    lines.filter(|(id, found)| *found == name && is_step_id(id)).map(|(id, _)| id.to_owned()).collect()
}

/// `7.0`, or `7+1.0` as some versions write it in a heterogeneous job; not `7.batch`.
fn is_step_id(id: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    id.split_once('.').is_some_and(|(job, step)| job.split('+').all(digits) && digits(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_found_by_their_name() {
        let text = "7.0|prefill_0\n7.1|decode_0\n7.batch|batch\n7+1.3|prefill_0\n7.extern|prefill_0\n7.4|prefill_01\n";
        assert_eq!(ids_of(text, "prefill_0"), ["7.0", "7+1.3"]);
        assert_eq!(ids_of(text, "batch"), [""; 0]);
    }

    #[tokio::test]
    async fn a_port_on_which_someone_answers_is_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = check_free("127.0.0.1".parse().unwrap(), &[port]).await.unwrap_err();
        assert_eq!(error.to_string(), format!("port {port} on 127.0.0.1 is taken"));
        drop(listener);
        check_free("127.0.0.1".parse().unwrap(), &[port]).await.unwrap();
    }
}
