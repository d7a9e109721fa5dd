//! Plans for people: who sits where, what is started, and what it is given.

use comfy_table::{Table, presets};
use srt_launch::{Preamble, Step, is_secret_variable};
use srt_plan::{Plan, PlannedVariant};
use srt_topology::{NodeName, Process, Role};

use crate::variants;

/// Everything about the planned variants. With several, what they have in common is not said again.
pub fn render(planned: &[PlannedVariant<'_>]) -> String {
    let mut out = String::new();
    if planned.len() > 1 {
        out.push_str(&variants::differences(planned));
        out.push('\n');
    }
    for it in planned {
        out.push_str(&one(&it.plan, it.variant.recipe.hardware.gpus_per_node));
    }
    out
}

fn one(plan: &Plan, gpus_per_node: u32) -> String {
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
    line(grid(plan, gpus_per_node));
    line(String::new());
    line(processes(plan));
    line(String::new());
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
        line(step(it, plan.context.local));
    }
    out
}

/// `1 prefill × 4 GPUs, 2 decode × 4 GPUs on 2 nodes`.
pub(crate) fn topology_text(plan: &Plan) -> String {
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

/// Nodes × GPUs: whose each GPU is, and what else runs on a node.
fn grid(plan: &Plan, gpus_per_node: u32) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let indices = (0..gpus_per_node).map(|gpu| gpu.to_string());
    table
        .set_header(["node".to_owned(), "address".to_owned()].into_iter().chain(indices).collect::<Vec<_>>());
    for node in nodes(plan) {
        let mut row = vec![node.to_string(), plan.context.address(&node).to_string()];
        row.extend((0..gpus_per_node).map(|gpu| owner(plan, &node, gpu)));
        row.push(also_here(plan, &node));
        table.add_row(row);
    }
    table.trim_fmt()
}

/// `P0` on a GPU of prefill worker 0, and `·` on a free one.
fn owner(plan: &Plan, node: &NodeName, gpu: u32) -> String {
    let on_it = |process: &&Process| process.node == *node && process.gpus.indices().contains(&gpu);
    plan.processes.iter().find(on_it).map_or_else(
        || "·".to_owned(),
        |process| {
            let letter = match process.role {
                Role::Prefill => 'P',
                Role::Decode => 'D',
                Role::Agg => 'A',
            };
            format!("{letter}{}", process.index)
        },
    )
}

/// A row per worker process: where it sits, and its ports.
fn processes(plan: &Plan) -> String {
    let mut table = Table::new();
    table.load_style(crate::style());
    table.set_header([
        "worker",
        "node",
        "GPUs",
        "http",
        "bootstrap",
        "system",
        "kv events",
        "nixl",
        "dp rpc",
    ]);
    for process in &plan.processes {
        let rank = if process.rank == 0 { String::new() } else { format!(" rank {}", process.rank) };
        let ports = &process.ports;
        let optional = |port: Option<u16>| port.map(|it| it.to_string()).unwrap_or_default();
        table.add_row([
            format!("{} {}{rank}", process.role, process.index),
            process.node.to_string(),
            process.gpus.to_string(),
            optional(ports.http),
            optional(ports.bootstrap),
            ports.system.to_string(),
            ports.kv_events.to_string(),
            ports.nixl.to_string(),
            optional(ports.dp_rpc),
        ]);
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

/// A step: where it runs, what it waits for, what it is given, and the command.
fn step(step: &Step, local: bool) -> String {
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
    if !local && !step.srun.is_empty() {
        line(format!("srun {}", step.srun.join(" ")));
    }
    line(format!("$ {}", srt_launch::shell::join(&step.argv)));
    line(format!("log {}", step.log));
    out
}
