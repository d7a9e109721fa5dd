//! [`LocalLauncher`]: steps as processes of this machine, each virtual node an address of its own.

use std::{collections::BTreeMap, ffi::OsString, fs::OpenOptions, net::IpAddr};

use camino::{Utf8Path, Utf8PathBuf};
use srt_launch::{SELF_PROGRAM, Step};
use srt_topology::NodeName;

use crate::{
    keeper::{KeptCommand, KeptProcess},
    launcher::{BoxFuture, Launcher, RunningStep, StartError},
    ports,
};

/// Starts steps as processes of this machine, each under a [keeper](crate::keeper).
///
/// Containers, shell preambles, and `srun` options of a step have no meaning here and are not used.
#[derive(Debug, Clone)]
pub struct LocalLauncher {
    srtctl: OsString,
    nodes: BTreeMap<NodeName, IpAddr>,
    cwd: Utf8PathBuf,
}

impl LocalLauncher {
    /// `srtctl` is the path of this program, `nodes` the loopback address of each virtual node, and `cwd` the folder
    /// in which steps start.
    pub fn new(srtctl: impl Into<OsString>, nodes: BTreeMap<NodeName, IpAddr>, cwd: Utf8PathBuf) -> Self {
        Self { srtctl: srtctl.into(), nodes, cwd }
    }

    fn prepare(&self, step: &Step) -> Result<KeptCommand, StartError> {
        let node = step.nodes.first().ok_or(StartError::Incomplete("node"))?;
        let address = *self.nodes.get(node).ok_or_else(|| StartError::UnknownNode { node: node.clone() })?;
        ports::check_free(address, &step.ports)?;
        let mut argv = step.argv.clone();
        let program = argv.first_mut().ok_or(StartError::Incomplete("command"))?;
        if program == SELF_PROGRAM {
            *program = self.srtctl.to_str().map(str::to_owned).ok_or_else(|| {
                StartError::Refused(format!("the path of srtctl is not UTF-8: {}", self.srtctl.display()))
            })?;
        }
        let (env, unset) = (step.env.clone(), step.unset.clone());
        Ok(KeptCommand { argv, env, unset, cwd: self.cwd.to_string() })
    }

    async fn start(&self, step: &Step, log: &Utf8Path) -> Result<Box<dyn RunningStep>, StartError> {
        let command = self.prepare(step)?;
        // Steps may share a log, so it is continued, never cut.
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .map_err(|source| StartError::Log { path: log.to_owned(), source })?;
        let marker = log.with_file_name(step.id.as_str());
        let process = KeptProcess::start(&self.srtctl, step.id.as_str(), marker.as_str(), command, file)
            .await
            .map_err(|error| StartError::Refused(format!("failed to start `{}`: {error}", step.argv[0])))?;
        Ok(Box::new(process))
    }
}

impl Launcher for LocalLauncher {
    fn start<'a>(
        &'a self,
        step: &'a Step,
        log: &'a Utf8Path,
    ) -> BoxFuture<'a, Result<Box<dyn RunningStep>, StartError>> {
        Box::pin(self.start(step, log))
    }
}
