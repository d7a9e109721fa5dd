//! Documents that are written by the code they describe.

use std::fs;

use anyhow::{Context as _, bail};
use srt_schema::{Format, json_schema, reference_markdown};

use crate::root;

/// Writes the generated documents; with `--check`, fails where a document differs from what would be written.
pub(crate) fn main(arguments: &[String]) -> anyhow::Result<()> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask codegen [--check]"),
    };
    let mut stale = Vec::new();
    for (path, text) in documents()? {
        let file = root().join(path);
        let current = fs::read_to_string(&file).unwrap_or_default();
        if current == text {
            continue;
        }
        if check {
            stale.push(path);
        } else {
            fs::write(&file, text).with_context(|| format!("failed to write `{path}`"))?;
            println!("wrote {path}");
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    bail!("out of date: {}; run `cargo xtask codegen`", stale.join(", "));
}

fn documents() -> anyhow::Result<Vec<(&'static str, String)>> {
    let schema = |format| {
        Ok::<_, serde_json::Error>(format!("{}\n", serde_json::to_string_pretty(&json_schema(format))?))
    };
    Ok(vec![
        ("docs/recipe-reference.md", reference_markdown()),
        ("docs/recipe.schema.json", schema(Format::Recipe)?),
        ("docs/srtslurm.schema.json", schema(Format::Cluster)?),
    ])
}
