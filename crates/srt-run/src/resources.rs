//! What a job has to run on: `resource_snapshot.json`.
//!
//! The usual trap: a job that asks for GPUs only gets one CPU on some clusters, and every engine on the node then
//! shares it. So the snapshot also checks that there is at least one CPU for each GPU.

use std::{collections::BTreeMap, fs, io};

use jiff::Timestamp;
use rustix::thread::{CpuSet, sched_getaffinity};
use serde::{Deserialize, Serialize};

/// File name of the snapshot, under the log folder.
pub const RESOURCES_FILE: &str = "resource_snapshot.json";

/// What a job asked for, as far as the snapshot needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRequest {
    /// Identifier of the job.
    pub job_id: String,
    /// Nodes: those of the infrastructure first, then those of the workers, each once.
    pub nodes: Vec<String>,
    /// GPU type.
    pub gpu_type: String,
    /// GPUs of each node.
    pub gpus_per_node: u32,
    /// GPUs that workers use, by node, in the order of Slurm's list of nodes.
    pub backend_gpus: Vec<(String, u32)>,
    /// Environment of the job.
    pub variables: BTreeMap<String, String>,
}

/// What this machine has, and how much of it this process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Processor architecture.
    pub architecture: String,
    /// Name of the processor, if the kernel tells it.
    pub cpu_model: Option<String>,
    /// CPUs of the machine.
    pub logical_cpus: u32,
    /// CPUs that this process may run on.
    pub affinity: Vec<u32>,
}

impl Machine {
    /// Asks the kernel.
    pub fn read() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let capacity = u32::try_from(CpuSet::MAX_CPU).unwrap_or(u32::MAX);
        let is_allowed = |cpu: &u32| usize::try_from(*cpu).is_ok_and(|cpu| allowed.is_set(cpu));
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let (cpu_model, logical_cpus) = parse_cpuinfo(&cpuinfo);
        Ok(Self {
            architecture: std::env::consts::ARCH.to_owned(),
            cpu_model,
            logical_cpus,
            affinity: (0..capacity).filter(is_allowed).collect(),
        })
    }
}

fn parse_cpuinfo(text: &str) -> (Option<String>, u32) {
    let values = |wanted: &'static str| {
        text.lines().filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == wanted).then(|| value.trim().to_owned())
        })
    };
    let logical_cpus = u32::try_from(values("processor").count()).unwrap_or(u32::MAX);
    (values("model name").next(), logical_cpus)
}

/// The contents of `resource_snapshot.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceSnapshot {
    /// Version of the format.
    pub version: u32,
    /// When it was taken.
    pub captured_at: Timestamp,
    /// Identifier of the job.
    pub job_id: String,
    /// The machine of the supervisor.
    pub hardware: Hardware,
    /// Nodes of the job.
    pub nodes: Nodes,
    /// GPUs of the job.
    pub gpus: Gpus,
    /// CPUs of the job.
    pub cpus: Cpus,
    /// What Slurm said in the environment.
    pub slurm_environment: BTreeMap<String, String>,
    /// Whether there is a CPU for each GPU.
    pub cpu_check: CpuCheck,
}

/// The machine of the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// Processor architecture.
    pub architecture: String,
    /// Name of the processor.
    pub cpu_model: Option<String>,
    /// CPUs of the machine.
    pub host_logical_cpus: u32,
}

/// Nodes of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// How many.
    pub count: usize,
    /// Which: those of the infrastructure first, then those of the workers.
    pub names: Vec<String>,
}

/// GPUs of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpus {
    /// GPU type.
    #[serde(rename = "type")]
    pub kind: String,
    /// GPUs of each node.
    pub configured_per_node: u32,
    /// GPUs of all nodes.
    pub configured_total: u64,
    /// GPUs that workers use.
    pub backend_total: u64,
}

/// CPUs of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpus {
    /// Of all nodes, if Slurm says so.
    pub allocated_total: Option<u64>,
    /// Of each node, in Slurm's order.
    pub allocated_per_node: Option<Vec<u32>>,
    /// Of this node.
    pub current_node_allocated: Option<u32>,
    /// CPUs that this process may run on.
    pub process_affinity_count: usize,
    /// Which, such as `0-3,8`.
    pub process_affinity_list: String,
    /// The number that the check goes by.
    pub effective_for_check: Option<u32>,
    /// Of each node with workers.
    pub backend_node_allocations: Vec<NodeAllocation>,
}

/// CPUs and GPUs of a node with workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAllocation {
    /// The node.
    pub node: String,
    /// CPUs, if Slurm says so.
    pub allocated_cpus: Option<u32>,
    /// GPUs that workers use.
    pub backend_gpus: u32,
}

/// Whether there is a CPU for each GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuCheck {
    /// The answer.
    pub status: CpuStatus,
    /// GPUs counted.
    pub gpu_count_basis: u32,
    /// CPUs that there should be.
    pub minimum_cpu_count: u32,
    /// CPUs that there are.
    pub available_cpu_count: Option<u32>,
    /// Where that number comes from.
    pub available_cpu_source: String,
    /// The node that was looked at.
    pub node: Option<String>,
    /// The answer for a person.
    pub message: String,
}

/// Whether there is a CPU for each GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuStatus {
    /// There is.
    Ok,
    /// There is not.
    Warning,
    /// Nobody says how many CPUs there are.
    Unknown,
}

/// Puts together what is known. Pure.
pub fn resource_snapshot(request: &ResourceRequest, machine: &Machine, now: Timestamp) -> ResourceSnapshot {
    let per_node = allocated_cpus(&request.variables);
    let current_node = number(&request.variables, "SLURM_CPUS_ON_NODE");
    let affinity_count = machine.affinity.len();
    // Slurm's list has one entry per node of the job; with any other length nobody can tell which is whose.
    let of_node = |index: usize| {
        let known = per_node.as_ref().filter(|counts| counts.len() == request.backend_gpus.len())?;
        known.get(index).copied()
    };
    let nodes_with_workers: Vec<NodeAllocation> = request
        .backend_gpus
        .iter()
        .enumerate()
        .filter(|(_, (_, gpus))| *gpus > 0)
        .map(|(index, (node, gpus))| NodeAllocation {
            node: node.clone(),
            allocated_cpus: of_node(index),
            backend_gpus: *gpus,
        })
        .collect();
    let affinity = u32::try_from(affinity_count).ok();
    let cpu_check = check(&nodes_with_workers, per_node.as_deref(), current_node, affinity);
    let node_count = u64::try_from(request.nodes.len()).unwrap_or(u64::MAX);
    let is_slurm = |name: &str| name.starts_with("SLURM_") && !srt_launch::is_secret_variable(name);
    ResourceSnapshot {
        version: 1,
        captured_at: now,
        job_id: request.job_id.clone(),
        hardware: Hardware {
            architecture: machine.architecture.clone(),
            cpu_model: machine.cpu_model.clone(),
            host_logical_cpus: machine.logical_cpus,
        },
        nodes: Nodes { count: request.nodes.len(), names: request.nodes.clone() },
        gpus: Gpus {
            kind: request.gpu_type.clone(),
            configured_per_node: request.gpus_per_node,
            configured_total: u64::from(request.gpus_per_node).saturating_mul(node_count),
            backend_total: request.backend_gpus.iter().map(|(_, gpus)| u64::from(*gpus)).sum(),
        },
        cpus: Cpus {
            allocated_total: per_node.as_ref().map(|counts| counts.iter().copied().map(u64::from).sum()),
            allocated_per_node: per_node,
            current_node_allocated: current_node,
            process_affinity_count: affinity_count,
            process_affinity_list: ranges(&machine.affinity),
            effective_for_check: cpu_check.available_cpu_count,
            backend_node_allocations: nodes_with_workers,
        },
        slurm_environment: request
            .variables
            .iter()
            .filter(|(name, _)| is_slurm(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        cpu_check,
    }
}

fn check(
    nodes: &[NodeAllocation],
    per_node: Option<&[u32]>,
    current_node: Option<u32>,
    affinity: Option<u32>,
) -> CpuCheck {
    let (node, cpus, source) = if let [only] = nodes {
        // The supervisor runs on that node, so what it may use itself is a limit too.
        let allocated = only.allocated_cpus.or_else(|| per_node?.first().copied());
        let limits =
            [(allocated, "allocation"), (current_node, "SLURM_CPUS_ON_NODE"), (affinity, "affinity")];
        let least = limits.into_iter().filter_map(|(cpus, source)| Some((cpus?, source))).min();
        (Some(only), least.map(|(cpus, _)| cpus), least.map_or("", |(_, source)| source))
    } else {
        // The node that is worst off: fewest CPUs for each GPU, compared without rounding.
        let known = nodes.iter().filter_map(|node| Some((node, node.allocated_cpus?)));
        let worst = known.min_by(|(a, a_cpus), (b, b_cpus)| {
            let left = u64::from(*a_cpus) * u64::from(b.backend_gpus);
            left.cmp(&(u64::from(*b_cpus) * u64::from(a.backend_gpus)))
        });
        (worst.map(|(node, _)| node), worst.map(|(_, cpus)| cpus), "allocation")
    };
    let gpus = node.map_or(0, |node| node.backend_gpus);
    let name = node.map(|node| node.node.clone());
    let (status, message) = match (cpus, &name) {
        (Some(cpus), Some(name)) if cpus < gpus => (
            CpuStatus::Warning,
            format!(
                "node `{name}` has {} for {}; ask Slurm for more, such as by `cpus-per-task`",
                counted(cpus, "CPU"),
                counted(gpus, "GPU")
            ),
        ),
        (Some(cpus), Some(name)) => (
            CpuStatus::Ok,
            format!("node `{name}` has {} for {}", counted(cpus, "CPU"), counted(gpus, "GPU")),
        ),
        _ => (CpuStatus::Unknown, "the number of CPUs of the job is not known".to_owned()),
    };
    CpuCheck {
        status,
        gpu_count_basis: gpus,
        minimum_cpu_count: gpus,
        available_cpu_count: cpus,
        available_cpu_source: cpus.map_or("", |_| source).to_owned(),
        node: name,
        message,
    }
}

fn counted(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// CPUs of each node as Slurm says it, for a heterogeneous job component by component.
fn allocated_cpus(variables: &BTreeMap<String, String>) -> Option<Vec<u32>> {
    let component = |index: usize| variables.get(&format!("SLURM_JOB_CPUS_PER_NODE_HET_GROUP_{index}"));
    let components: Vec<&String> = (0..).map_while(component).collect();
    let texts =
        if components.is_empty() { vec![variables.get("SLURM_JOB_CPUS_PER_NODE")?] } else { components };
    let counts: Option<Vec<Vec<u32>>> = texts.into_iter().map(|text| parse_counts(text)).collect();
    Some(counts?.concat())
}

/// `72(x2),36` is 72, 72, and 36. One item that cannot be read makes the whole unknown.
fn parse_counts(text: &str) -> Option<Vec<u32>> {
    // More nodes than any cluster has; a number beyond that is no count of nodes.
    const MOST_NODES: usize = 100_000;
    let mut counts = Vec::new();
    for item in text.split(',') {
        let (cpus, times) = match item.trim().split_once("(x") {
            Some((cpus, times)) => (cpus, times.strip_suffix(')')?.parse().ok()?),
            None => (item.trim(), 1),
        };
        if counts.len().saturating_add(times) > MOST_NODES {
            return None;
        }
        counts.extend(std::iter::repeat_n(cpus.parse::<u32>().ok()?, times));
    }
    Some(counts)
}

fn number(variables: &BTreeMap<String, String>, name: &str) -> Option<u32> {
    variables.get(name)?.trim().parse().ok()
}

/// `0-3,8` of 0, 1, 2, 3, and 8.
fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let shown = ranges
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], backend_gpus: &[(&str, u32)], affinity: u32, expect: &Expect) {
        let request = ResourceRequest {
            job_id: "17".to_owned(),
            nodes: backend_gpus.iter().map(|(node, _)| (*node).to_owned()).collect(),
            gpu_type: "h100".to_owned(),
            gpus_per_node: 8,
            backend_gpus: backend_gpus.iter().map(|(node, gpus)| ((*node).to_owned(), *gpus)).collect(),
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let machine = Machine {
            architecture: "x86_64".to_owned(),
            cpu_model: None,
            logical_cpus: 96,
            affinity: (0..affinity).collect(),
        };
        let snapshot = resource_snapshot(&request, &machine, Timestamp::UNIX_EPOCH);
        let CpuCheck { status, message, available_cpu_source, .. } = snapshot.cpu_check;
        expect.assert_eq(&format!("{status:?} {available_cpu_source}: {message}"));
    }

    #[test]
    fn one_node_has_what_the_tightest_limit_leaves() {
        check(
            &[("SLURM_JOB_CPUS_PER_NODE", "72"), ("SLURM_CPUS_ON_NODE", "72")],
            &[("a", 8)],
            64,
            &expect!["Ok affinity: node `a` has 64 CPUs for 8 GPUs"],
        );
        check(
            &[("SLURM_JOB_CPUS_PER_NODE", "1"), ("SLURM_CPUS_ON_NODE", "1")],
            &[("a", 8)],
            64,
            &expect![
                "Warning SLURM_CPUS_ON_NODE: node `a` has 1 CPU for 8 GPUs; ask Slurm for more, such as by `cpus-per-task`"
            ],
        );
        check(
            &[],
            &[("a", 8)],
            4,
            &expect![
                "Warning affinity: node `a` has 4 CPUs for 8 GPUs; ask Slurm for more, such as by `cpus-per-task`"
            ],
        );
    }

    #[test]
    fn of_several_nodes_the_worst_off_counts() {
        check(
            &[("SLURM_JOB_CPUS_PER_NODE", "72(x2),4")],
            &[("a", 8), ("b", 8), ("c", 8)],
            64,
            &expect![
                "Warning allocation: node `c` has 4 CPUs for 8 GPUs; ask Slurm for more, such as by `cpus-per-task`"
            ],
        );
        // More CPUs, but for more GPUs.
        check(
            &[("SLURM_JOB_CPUS_PER_NODE", "8,2")],
            &[("a", 8), ("b", 1)],
            64,
            &expect!["Ok allocation: node `a` has 8 CPUs for 8 GPUs"],
        );
    }

    #[test]
    fn components_of_a_heterogeneous_job_are_read_in_order() {
        check(
            &[
                ("SLURM_JOB_CPUS_PER_NODE_HET_GROUP_0", "72"),
                ("SLURM_JOB_CPUS_PER_NODE_HET_GROUP_1", "3(x2)"),
                ("SLURM_JOB_CPUS_PER_NODE", "72"),
            ],
            &[("a", 4), ("b", 4), ("c", 4)],
            64,
            &expect![
                "Warning allocation: node `b` has 3 CPUs for 4 GPUs; ask Slurm for more, such as by `cpus-per-task`"
            ],
        );
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_no_guess() {
        check(
            &[("SLURM_JOB_CPUS_PER_NODE", "72(x2")],
            &[("a", 8), ("b", 8)],
            64,
            &expect!["Unknown : the number of CPUs of the job is not known"],
        );
        check(
            &[("SLURM_JOB_CPUS_PER_NODE", "72")],
            &[("a", 8), ("b", 8)],
            64,
            &expect!["Unknown : the number of CPUs of the job is not known"],
        );
        check(
            &[("SLURM_JOB_CPUS_PER_NODE", "1(x99999999999)")],
            &[("a", 8), ("b", 8)],
            64,
            &expect!["Unknown : the number of CPUs of the job is not known"],
        );
    }

    #[test]
    fn cpu_lists_are_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 3, 8]), "0-3,8");
        assert_eq!(ranges(&[5]), "5");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn this_machine_can_be_read() {
        let machine = Machine::read().unwrap();
        assert!(machine.logical_cpus > 0);
        assert!(!machine.affinity.is_empty());
    }

    #[test]
    fn secrets_do_not_reach_the_file() {
        let variables = [("SLURM_JOB_ID", "17"), ("SLURM_ACCESS_TOKEN", "hush"), ("PATH", "/bin")];
        let request = ResourceRequest {
            job_id: "17".to_owned(),
            nodes: Vec::new(),
            gpu_type: String::new(),
            gpus_per_node: 0,
            backend_gpus: Vec::new(),
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let machine =
            Machine { architecture: String::new(), cpu_model: None, logical_cpus: 1, affinity: vec![0] };
        let snapshot = resource_snapshot(&request, &machine, Timestamp::UNIX_EPOCH);
        assert_eq!(snapshot.slurm_environment.keys().collect::<Vec<_>>(), ["SLURM_JOB_ID"]);
    }
}
