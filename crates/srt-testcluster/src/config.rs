//! What a cluster looks like, and the text of its configuration files.

use std::fmt::{self, Write as _};

use camino::Utf8Path;

/// What a cluster should look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Number of nodes: `node1`, `node2`, and so on.
    pub nodes: u8,
    /// Fake GPUs per node; no process can use them, but Slurm hands them out.
    pub gpus: u8,
    /// Whether nodes have names of their own; `None` takes the best that this machine allows.
    pub mode: Option<Mode>,
    /// Load a plugin that accepts the options of pyxis, and of newer Slurm, without any effect.
    pub container_options: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { nodes: 4, gpus: 8, mode: None, container_options: false }
    }
}

/// Whether nodes have names of their own.
///
/// In both modes every node has an address of its own, `127.A.B.n`, and all share one network: a port bound on the
/// wildcard address is taken on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every node has its own host name, and the nodes' names resolve on the nodes. Needs root with
    /// `CAP_SYS_ADMIN`, or user namespaces.
    Named,
    /// All nodes share the machine's host name; the nodes' names do not resolve. Works everywhere.
    Plain,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named => "named",
            Self::Plain => "plain",
        })
    }
}

/// Everything the configuration files follow from.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    pub(crate) dir: &'a Utf8Path,
    pub(crate) user: &'a str,
    /// The machine's host name.
    pub(crate) host: &'a str,
    pub(crate) mode: Mode,
    /// Port of the controller; the nodes' ports follow it.
    pub(crate) first_port: u16,
    pub(crate) nodes: u8,
    pub(crate) gpus: u8,
    pub(crate) container_options: bool,
}

impl Layout<'_> {
    /// The address of a node. The middle bytes come from the port, which clusters do not share.
    fn address(&self, node: u8) -> String {
        let [high, low] = self.first_port.to_be_bytes();
        format!("127.{high}.{low}.{node}")
    }

    pub(crate) fn slurm_conf(&self) -> String {
        let Self { dir, user, first_port, .. } = self;
        let mut text = format!(
            "\
# A private cluster of srtctl's developers; see docs/slurm.md.
ClusterName=private
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={first_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={dir}/run/munge.sock
CredType=cred/munge
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool/%n
SlurmctldPidFile={dir}/run/slurmctld.pid
SlurmdPidFile={dir}/run/slurmd-%n.pid
SlurmctldLogFile={dir}/log/slurmctld.log
SlurmdLogFile={dir}/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
# PMIx makes a folder here on every node, so every node needs its own.
TmpFS={dir}/tmp/%n

# Binding and cgroups would need more cores and more rights than a test machine has; the epilog ends what
# leaves its process group, as cgroups would.
ProctrackType=proctrack/pgid
Epilog={dir}/etc/epilog.sh
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
PropagateResourceLimits=NONE

# What this file says counts, whatever the machine has.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1
CompleteWait=0
ReturnToService=2
MinJobAge=3600

# Failures are noticed as fast as Slurm can.
SlurmctldTimeout=10
SlurmdTimeout=10
MessageTimeout=10
TCPTimeout=2
KillWait=3
InactiveLimit=0
WaitTime=0
UnkillableStepTimeout=30

"
        );
        let gres = match self.gpus {
            0 => String::new(),
            gpus => {
                text.push_str("GresTypes=gpu\n");
                format!(" Gres=gpu:{gpus}")
            }
        };
        let _infallible = writeln!(text, "NodeName=DEFAULT CPUs=64 RealMemory=1000000{gres} State=UNKNOWN");
        for node in 1..=self.nodes {
            let host = match self.mode {
                Mode::Named => "",
                Mode::Plain => " NodeHostname=localhost",
            };
            let port = first_port + u16::from(node);
            let address = self.address(node);
            let _infallible = writeln!(text, "NodeName=node{node}{host} NodeAddr={address} Port={port}");
        }
        text.push_str("PartitionName=batch Nodes=ALL Default=YES DefaultTime=60 MaxTime=INFINITE State=UP\n");
        text
    }

    /// slurmd wants device files for GPUs, and accepts a link to one.
    pub(crate) fn gres_conf(&self) -> String {
        let gpu = |index| format!("Name=gpu File={}/dev/nvidia{index}\n", self.dir);
        (0..self.gpus).map(gpu).collect()
    }

    pub(crate) fn hosts(&self) -> String {
        let mut text = format!("127.0.0.1 localhost {}\n", self.host);
        for node in 1..=self.nodes {
            let _infallible = writeln!(text, "{} node{node}", self.address(node));
        }
        text
    }

    pub(crate) fn plugstack_conf(&self) -> String {
        if self.container_options { format!("required {}/etc/options.so\n", self.dir) } else { String::new() }
    }
}

/// Ends what a job leaves on a node: every process with the job's and the node's mark that is not this script.
pub(crate) const EPILOG: &str = r#"#!/bin/bash
for environ in /proc/[0-9]*/environ; do
    variables=$(tr '\0' '\n' <"$environ" 2>/dev/null) || continue
    case $variables in *"SLURM_TASK_PID="*) ;; *) continue ;; esac
    for wanted in "SLURM_CONF=$SLURM_CONF" "SLURM_JOB_ID=$SLURM_JOB_ID" "SLURMD_NODENAME=$SLURMD_NODENAME"; do
        case $'\n'$variables$'\n' in *$'\n'"$wanted"$'\n'*) ;; *) continue 2 ;; esac
    done
    pid=${environ#/proc/}
    kill -KILL "${pid%/environ}" 2>/dev/null
done
exit 0
"#;

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn layout(mode: Mode, nodes: u8, gpus: u8) -> Layout<'static> {
        Layout {
            dir: Utf8Path::new("/tmp/c"),
            user: "me",
            host: "box",
            mode,
            first_port: 12_345,
            nodes,
            gpus,
            container_options: true,
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &Expect) {
        expected.assert_eq(text);
    }

    #[track_caller]
    fn check_nodes(layout: &Layout<'_>, expected: &Expect) {
        let conf = layout.slurm_conf();
        let lines: Vec<&str> =
            conf.lines().filter(|line| line.contains("Node") || line.contains("Gres")).collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn every_node_has_its_own_address_and_port() {
        check_nodes(
            &layout(Mode::Plain, 2, 8),
            &expect![[r"
                GresTypes=gpu
                NodeName=DEFAULT CPUs=64 RealMemory=1000000 Gres=gpu:8 State=UNKNOWN
                NodeName=node1 NodeHostname=localhost NodeAddr=127.48.57.1 Port=12346
                NodeName=node2 NodeHostname=localhost NodeAddr=127.48.57.2 Port=12347
                PartitionName=batch Nodes=ALL Default=YES DefaultTime=60 MaxTime=INFINITE State=UP"]],
        );
    }

    #[test]
    fn named_nodes_are_known_by_their_names_and_may_have_no_gpus() {
        check_nodes(
            &layout(Mode::Named, 1, 0),
            &expect![[r"
                NodeName=DEFAULT CPUs=64 RealMemory=1000000 State=UNKNOWN
                NodeName=node1 NodeAddr=127.48.57.1 Port=12346
                PartitionName=batch Nodes=ALL Default=YES DefaultTime=60 MaxTime=INFINITE State=UP"]],
        );
    }

    #[test]
    fn other_files() {
        let layout = layout(Mode::Named, 2, 2);
        check(
            &layout.gres_conf(),
            &expect![[r"
                Name=gpu File=/tmp/c/dev/nvidia0
                Name=gpu File=/tmp/c/dev/nvidia1
            "]],
        );
        check(
            &layout.hosts(),
            &expect![[r"
                127.0.0.1 localhost box
                127.48.57.1 node1
                127.48.57.2 node2
            "]],
        );
        check(&layout.plugstack_conf(), &expect![["required /tmp/c/etc/options.so\n"]]);
    }
}
