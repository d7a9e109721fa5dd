//! `srtctl resolve`: the recipe of each variant, as text of its own.

use std::{fs, path::Path};

use anyhow::Context as _;

use crate::{environment::Environment, exit::Outcome, input::RecipeArguments, terminal};

/// Arguments of `srtctl resolve`
#[derive(Debug, clap::Args)]
pub(crate) struct ResolveArguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Print instead of writing files beside the recipe
    #[arg(long)]
    stdout: bool,
}

pub(crate) fn run(arguments: &ResolveArguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let input = arguments.recipe.read(environment)?;
    input.report()?;
    let several = input.loaded.variants.len() > 1;
    for variant in &input.loaded.variants {
        let label = variant.suffix.as_deref().unwrap_or(&variant.recipe.name);
        let text = variant.resolved_yaml();
        if arguments.stdout {
            let heading = if several { format!("# --- {label} ---\n") } else { String::new() };
            terminal::print_line(&format!("{heading}{text}"));
            continue;
        }
        let source = Path::new(&input.recipe.path);
        let stem = source.file_stem().unwrap_or_default().to_string_lossy();
        let path = source.with_file_name(format!("{stem}_{}.yaml", file_name(label)));
        let beside = path.with_extension("yaml.tmp");
        fs::write(&beside, text)
            .and_then(|()| fs::rename(&beside, &path))
            .with_context(|| format!("failed to write `{}`", path.display()))?;
        terminal::print_line(&path.display().to_string());
    }
    Ok(Outcome::Success)
}

/// A label without what a file name must not hold.
fn file_name(label: &str) -> String {
    label.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect()
}
