//! Plans of recipes that use the rarer features, as digests under `fixtures/corpus`.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use expect_test::expect_file;
use srt_launch::{Environment, Preamble, Step, shell};
use srt_plan::Plan;
use srt_topology::NodeName;

use crate::support::setup;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/corpus")
}

#[test]
fn rarer_features_plan_as_recorded() {
    let entries = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path());
    let mut recipes: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect();
    recipes.sort();
    assert!(recipes.len() > 50, "the corpus is not where it should be");
    for path in recipes {
        let setup = setup(&fs::read_to_string(&path).unwrap());
        let digests: Vec<String> = setup.plans().iter().map(|plan| digest(plan.as_ref().unwrap())).collect();
        expect_file![path.with_extension("txt")].assert_eq(&digests.join("\n"));
    }
}

/// What a person would compare: who sits where, and what starts with what.
fn digest(plan: &Plan) -> String {
    let mut out = String::new();
    let ctx = &plan.context;
    writeln!(out, "{} serves {}", plan.name, ctx.served_model_name).unwrap();
    writeln!(out, "head {} infra {} bench {}", ctx.nodes.head, ctx.nodes.infra, ctx.nodes.bench).unwrap();
    for mount in &ctx.mounts {
        writeln!(out, "mount {mount}").unwrap();
    }
    for process in &plan.processes {
        let (worker, rank, node, gpus) = (process.worker(), process.rank, &process.node, &process.gpus);
        writeln!(out, "process {worker} rank {rank} {node}[{gpus}] {:?}", process.ports).unwrap();
    }
    let readiness = plan.public_endpoint().unwrap();
    writeln!(
        out,
        "ready {:?} {}:{} with {} + {} of {:?} within {} s",
        readiness.protocol,
        readiness.host,
        readiness.port,
        readiness.prefill,
        readiness.decode,
        readiness.model,
        plan.readiness.timeout_s,
    )
    .unwrap();
    for file in plan.files.iter().filter(|file| file.value.is_some()) {
        writeln!(out, "file {}\n{}", file.path, file.text.trim_end()).unwrap();
    }
    for (name, value) in &plan.sbatch {
        writeln!(out, "#SBATCH --{name}={}", value.as_deref().unwrap_or_default()).unwrap();
    }
    let mut before = Environment::new();
    for step in &plan.steps {
        write_step(step, &before, &mut out);
        before.clone_from(&step.env);
    }
    writeln!(out, "expected {:?}", plan.expected).unwrap();
    out
}

fn write_step(step: &Step, before: &Environment, out: &mut String) {
    let nodes: Vec<_> = step.nodes.iter().map(NodeName::as_str).collect();
    writeln!(out, "{} {} on {} to {}", step.stage.name(), step.id, nodes.join(","), step.log).unwrap();
    let image = step.container.as_ref().map(|container| container.image.as_str());
    writeln!(out, "  srun {} in {}", step.srun.join(" "), image.unwrap_or("no container")).unwrap();
    for preamble in &step.preamble {
        match preamble {
            Preamble::SetupScript { name, .. } => writeln!(out, "  setup {name}").unwrap(),
            Preamble::DynamoInstall(text) => {
                writeln!(out, "  install Dynamo in {} lines", text.lines().count()).unwrap();
            }
            Preamble::Cluster(text) | Preamble::Shell(text) => writeln!(out, "  shell {text}").unwrap(),
        }
    }
    for (name, value) in step.env.iter().filter(|(name, value)| before.get(*name) != Some(value)) {
        writeln!(out, "  {name}={value}").unwrap();
    }
    for name in &step.unset {
        writeln!(out, "  unset {name}").unwrap();
    }
    for wait in &step.wait_for {
        writeln!(out, "  after {} within {} s", wait.what, wait.timeout_s).unwrap();
    }
    let words: Vec<_> = step
        .argv
        .iter()
        .map(|word| if word.lines().count() > 1 { "<script>".to_owned() } else { shell::quote(word) })
        .collect();
    writeln!(out, "  $ {}", words.join(" ")).unwrap();
}
