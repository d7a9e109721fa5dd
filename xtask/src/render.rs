//! Prints rendered templates of a recipe, for whoever edits a template.

use std::fs;

use anyhow::{Context as _, anyhow, bail};
use srt_context::{JobId, Surroundings};
use srt_plan::{Plan, Program};
use srt_schema::{LoadRequest, Variant};
use srt_yaml::Source;

/// Renders for a preview of the job: nodes node0001, node0002, …
pub(crate) fn main(arguments: &[String]) -> anyhow::Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (path, wanted) = match arguments[..] {
        ["-f", path] => (path, None),
        ["-f", path, "--template", name] => (path, Some(name)),
        _ => bail!("usage: cargo xtask render -f RECIPE [--template NAME]"),
    };
    let text = fs::read_to_string(path).with_context(|| format!("failed to read `{path}`"))?;
    let recipe = Source { path: path.to_owned(), text };
    let request = LoadRequest { recipe: &recipe, cluster: None, selector: None, set: &[], unset: &[] };
    let loaded = srt_schema::load(&request);
    for diagnostic in &loaded.diagnostics {
        eprintln!("{}\n", diagnostic.render(false));
    }
    if loaded.has_errors() {
        bail!("`{path}` has errors");
    }
    let mut names = Vec::new();
    let mut printed = false;
    for variant in &loaded.variants {
        let plan = preview(variant, &loaded.cluster)?;
        for (name, text) in rendered(&plan)? {
            if wanted.is_none_or(|wanted| wanted == name) {
                println!("# ---- {}: {name}\n{text}", plan.name);
                printed = true;
            }
            names.push(name);
        }
    }
    match wanted {
        Some(wanted) if !printed => {
            names.dedup();
            Err(anyhow!("this recipe renders no `{wanted}`; it renders {}", names.join(", ")))
        }
        _ => Ok(()),
    }
}

fn preview(variant: &Variant, cluster: &srt_schema::cluster::ClusterConfig) -> anyhow::Result<Plan> {
    let job_id = JobId::new("preview").expect("letters are allowed");
    let allocation = srt_plan::preview_allocation(&variant.recipe, &job_id);
    let surroundings = Surroundings {
        current_dir: "/".to_owned(),
        run_dir: "/outputs/preview".to_owned(),
        ..Surroundings::default()
    };
    Ok(srt_plan::plan(&variant.recipe, cluster, &allocation, &surroundings)?)
}

fn rendered(plan: &Plan) -> anyhow::Result<Vec<(String, String)>> {
    let program = Program::Path("srtctl".to_owned());
    let script = srt_plan::batch_script(&plan.sbatch, &program, &["run".to_owned()])?;
    let files = plan.files.iter().map(|file| (file.path.clone(), file.text.clone()));
    Ok(std::iter::once(("job.sh".to_owned(), script)).chain(files).collect())
}
