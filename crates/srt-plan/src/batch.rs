//! The batch script: directives, and the one command that it runs.

use std::fmt;

use askama::Template;
use srt_context::Surroundings;
use srt_launch::shell;
use srt_schema::{
    cluster::ClusterConfig,
    recipe::{Engine, Recipe},
};

use crate::allocation::{het_groups, total_nodes};

/// The program that the script starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// The same everywhere.
    Path(String),
    /// By the machine's architecture as `uname -m` names it.
    ByArchitecture(Vec<(String, String)>),
}

/// Why a batch script cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A directive that would be more than one line, or no option.
    #[error(
        "the sbatch directive `{name}` has a name or value that cannot stand in one line of a script: `{value}`"
    )]
    Directive {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// Directives in order; `hetjob` separates the components of a heterogeneous job.
pub(crate) fn directives(
    recipe: &Recipe,
    cluster: &ClusterConfig,
    surroundings: &Surroundings,
) -> Vec<(String, Option<String>)> {
    let variable = |name: &str| surroundings.variables.get(name).filter(|value| !value.is_empty()).cloned();
    let runs = surroundings.run_dir.rsplit_once('/').map_or(surroundings.run_dir.as_str(), |(base, _)| base);
    let mut directives = vec![
        directive("job-name", variable("RUNNER_NAME").unwrap_or_else(|| recipe.name.clone())),
        directive("output", format!("{runs}/%j/logs/sweep_%j.log")),
    ];
    if let Some(het) = het_groups(recipe) {
        component(recipe, cluster, surroundings, het.prefill_nodes, &mut directives);
        directives.push(("hetjob".to_owned(), None));
        component(recipe, cluster, surroundings, het.decode_nodes, &mut directives);
    } else {
        component(recipe, cluster, surroundings, total_nodes(recipe), &mut directives);
    }
    directives
}

fn component(
    recipe: &Recipe,
    cluster: &ClusterConfig,
    surroundings: &Surroundings,
    nodes: usize,
    directives: &mut Vec<(String, Option<String>)>,
) {
    let gpus_per_node = recipe.hardware.gpus_per_node;
    // MPI launches one task per GPU; everything else starts one process per step.
    let tasks_per_node = if matches!(recipe.engine, Engine::Trtllm(_)) { gpus_per_node as usize } else { 1 };
    directives.push(directive("nodes", nodes));
    directives.push(directive("ntasks", nodes.saturating_mul(tasks_per_node)));
    directives.push(directive("ntasks-per-node", tasks_per_node));
    if cluster.use_gpus_per_node_directive {
        directives.push(directive("gpus-per-node", gpus_per_node));
    }
    if cluster.use_segment_directive {
        directives.push(directive("segment", nodes));
    }
    if cluster.use_exclusive_directive {
        directives.push(("exclusive".to_owned(), None));
    }
    let slurm = &recipe.slurm;
    let given = |value: &Option<String>, variable: &str| {
        value
            .clone()
            .or_else(|| surroundings.variables.get(variable).cloned())
            .filter(|value| !value.is_empty())
    };
    directives.extend(given(&slurm.account, "SLURM_ACCOUNT").map(|account| directive("account", account)));
    directives.push(directive("time", slurm.time_limit.clone().unwrap_or_else(|| "01:00:00".to_owned())));
    directives.extend(
        given(&slurm.partition, "SLURM_PARTITION").map(|partition| directive("partition", partition)),
    );
    for (name, value) in &slurm.sbatch_directives {
        directives.push((name.clone(), (!value.is_empty()).then(|| value.clone())));
    }
}

fn directive(name: &str, value: impl fmt::Display) -> (String, Option<String>) {
    (name.to_owned(), Some(value.to_string()))
}

#[derive(Template)]
#[template(path = "job.sh", escape = "none")]
struct Script {
    directives: Vec<String>,
    program: String,
    by_architecture: Vec<(String, String)>,
    arguments: String,
}

/// The script: it starts the program on the head node with these arguments, and nothing else.
pub fn batch_script(
    directives: &[(String, Option<String>)],
    program: &Program,
    arguments: &[String],
) -> Result<String, BatchError> {
    let (program, by_architecture) = match program {
        Program::Path(path) => (shell::quote(path), Vec::new()),
        Program::ByArchitecture(paths) => {
            let paths = paths.iter().map(|(name, path)| (shell::quote(name), shell::quote(path)));
            ("\"$program\"".to_owned(), paths.collect())
        }
    };
    let directives = directives.iter().map(directive_line).collect::<Result<_, _>>()?;
    let script = Script { directives, program, by_architecture, arguments: shell::join(arguments) };
    Ok(script.render().expect("the template writes only to memory"))
}

fn directive_line((name, value): &(String, Option<String>)) -> Result<String, BatchError> {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_line = value.iter().all(|value| !value.chars().any(char::is_control));
    if !is_name || !is_line {
        return Err(BatchError::Directive { name: name.clone(), value: value.clone().unwrap_or_default() });
    }
    Ok(match value {
        None if name == "hetjob" => "hetjob".to_owned(),
        None => format!("--{name}"),
        Some(value) => format!("--{name}={}", directive_value(value)),
    })
}

/// sbatch reads a directive much as a shell reads words: spaces split and `#` ends it, unless quoted.
fn directive_value(value: &str) -> String {
    if shell::quote(value) == value {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
