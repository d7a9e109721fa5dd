//! Plans for people: who sits where, what is started, and what it is given.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use srt_launch::{Preamble, Step, is_secret_variable};
use srt_plan::{Plan, PlannedVariant};
use srt_topology::{NodeName, Role};

/// Everything about the planned variants. With several, what they have in common is not said again.
pub fn render(planned: &[PlannedVariant<'_>]) -> String {
    let mut out = String::new();
    if planned.len() > 1 {
        writeln!(out, "{} jobs\n{}\n", planned.len(), variants(planned)).expect("text can be extended");
    }
    for it in planned {
        out.push_str(&one(&it.plan));
    }
    out
}

/// One row per job: its name, and what was varied.
fn variants(planned: &[PlannedVariant<'_>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for it in planned {
        let params = it.variant.params.iter().map(|(name, value)| format!("{name}={}", value.python_str()));
        table.add_row(vec![
            format!("  {}", it.plan.name),
            topology_text(&it.plan),
            format!("concurrencies {}", numbers(&it.plan.summary.concurrencies)),
            params.collect::<Vec<_>>().join(" "),
        ]);
    }
    table.trim_fmt()
}

fn one(plan: &Plan) -> String {
    let mut out = String::new();
    let summary = &plan.summary;
    let mut line = |text: String| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(format!("{}: {} behind {}, {}", plan.name, summary.backend, summary.frontend, summary.benchmark));
    line(format!("  model      {} as `{}`", plan.context.model.path, summary.served_model_name));
    line(format!(
        "  container  {}",
        plan.context.container.as_deref().unwrap_or("none: processes run on the host")
    ));
    line(format!("  workers    {}", topology_text(plan)));
    line(format!("  endpoint   {}", plan.target.url));
    line(format!("  logs       {}", plan.context.log_dir));
    line(String::new());
    line(picture(plan));
    if !plan.sbatch.is_empty() && !plan.context.local {
        line("sbatch".to_owned());
        for (name, value) in &plan.sbatch {
            line(value.as_ref().map_or_else(|| format!("  --{name}"), |value| format!("  --{name}={value}")));
        }
        line(String::new());
    }
    if !plan.context.mounts.is_empty() {
        line("mounts".to_owned());
        for mount in &plan.context.mounts {
            line(format!("  {} → {}", mount.host, mount.container));
        }
        line(String::new());
    }
    for file in &plan.files {
        line(format!("file {}", file.path));
        for text in file.text.lines() {
            line(format!("  {text}"));
        }
        line(String::new());
    }
    for it in &plan.steps {
        line(step(it));
    }
    out
}

fn topology_text(plan: &Plan) -> String {
    let summary = &plan.summary;
    let roles = [
        (Role::Prefill, summary.workers.prefill, summary.gpus_per_worker.prefill),
        (Role::Decode, summary.workers.decode, summary.gpus_per_worker.decode),
        (Role::Agg, summary.workers.agg, summary.gpus_per_worker.agg),
    ];
    let workers = roles.iter().filter(|(_, workers, _)| *workers > 0);
    let workers: Vec<_> =
        workers.map(|(role, workers, gpus)| format!("{workers} {role} × {gpus} GPUs")).collect();
    let nodes = if summary.nodes == 1 { "1 node".to_owned() } else { format!("{} nodes", summary.nodes) };
    format!("{} on {nodes}", workers.join(", "))
}

/// Nodes × GPUs, and what else runs on a node.
fn picture(plan: &Plan) -> String {
    let mut table = Table::new();
    table.load_style(crate::style());
    table.set_header(["node", "address", "GPUs", "worker", "ports", "also here"]);
    for node in nodes(plan) {
        let mut first = true;
        let workers = plan.processes.iter().filter(|process| process.node == node);
        let mut rows: Vec<[String; 3]> = workers
            .map(|process| {
                let rank = if process.rank == 0 { String::new() } else { format!(" rank {}", process.rank) };
                let worker = format!("{} {}{rank}", process.role, process.index);
                [process.gpus.to_string(), worker, ports_text(&process.ports)]
            })
            .collect();
        if rows.is_empty() {
            rows.push([String::new(), String::new(), String::new()]);
        }
        for [gpus, worker, ports] in rows {
            let (name, address, also) = if first {
                (node.to_string(), plan.context.address(&node).to_string(), also_here(plan, &node))
            } else {
                Default::default()
            };
            table.add_row([name, address, gpus, worker, ports, also]);
            first = false;
        }
    }
    table.trim_fmt()
}

/// Every node of the job, those with workers first.
fn nodes(plan: &Plan) -> Vec<NodeName> {
    let roles = &plan.context.nodes;
    let mut nodes = roles.workers.clone();
    for node in [&roles.head, &roles.infra, &roles.bench] {
        if !nodes.contains(node) {
            nodes.push(node.clone());
        }
    }
    nodes
}

fn also_here(plan: &Plan, node: &NodeName) -> String {
    let others = plan
        .steps
        .iter()
        .filter(|step| step.nodes.first() == Some(node) && step.stage != srt_launch::Stage::Worker);
    others.map(|step| step.id.to_string()).collect::<Vec<_>>().join(", ")
}

fn ports_text(ports: &srt_topology::Ports) -> String {
    let named = [
        ("http", ports.http),
        ("bootstrap", ports.bootstrap),
        ("system", Some(ports.system)),
        ("kv", Some(ports.kv_events)),
        ("nixl", Some(ports.nixl)),
        ("dp-rpc", ports.dp_rpc),
    ];
    let named = named.iter().filter_map(|(name, port)| Some(format!("{name} {}", (*port)?)));
    named.collect::<Vec<_>>().join(", ")
}

/// A step: where it runs, what it waits for, what it is given, and the command.
fn step(step: &Step) -> String {
    let nodes: Vec<_> = step.nodes.iter().map(ToString::to_string).collect();
    let mut out = format!("step {} ({}) on {}\n", step.id, step.stage.name(), nodes.join(", "));
    let mut line = |text: String| {
        out.push_str("  ");
        out.push_str(&text);
        out.push('\n');
    };
    for wait in &step.wait_for {
        line(format!("waits for {} (at most {} s)", wait.what, wait.timeout_s));
    }
    for (name, value) in &step.env {
        let value = if is_secret_variable(name) { srt_plan::json::REDACTED } else { value };
        line(format!("{name}={value}"));
    }
    for name in &step.unset {
        line(format!("unset {name}"));
    }
    for part in &step.preamble {
        line(match part {
            Preamble::Cluster(_) => "first: the cluster's preamble".to_owned(),
            Preamble::SetupScript { name, .. } => format!("first: setup script {name}"),
            Preamble::DynamoInstall(_) => "first: install Dynamo".to_owned(),
            Preamble::Shell(text) => format!("first: {}", text.lines().next().unwrap_or_default()),
        });
    }
    if !step.srun.is_empty() {
        line(format!("srun {}", step.srun.join(" ")));
    }
    line(format!("$ {}", srt_launch::shell::join(&step.argv)));
    line(format!("log {}", step.log));
    out
}

fn numbers(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}
