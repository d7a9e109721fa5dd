//! `srtctl schema`: JSON Schema for editors.

use srt_schema::Format;

use crate::{exit::Outcome, terminal};

/// Arguments of `srtctl schema`
#[derive(Debug, clap::Args)]
pub(crate) struct SchemaArguments {
    /// Of the cluster file `srtslurm.yaml` instead of recipes
    #[arg(long)]
    cluster: bool,
}

pub(crate) fn run(arguments: &SchemaArguments) -> anyhow::Result<Outcome> {
    let format = if arguments.cluster { Format::Cluster } else { Format::Recipe };
    terminal::print_line(&serde_json::to_string_pretty(&srt_schema::json_schema(format))?);
    Ok(Outcome::Success)
}
