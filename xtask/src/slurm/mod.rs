//! `cargo xtask slurm`: a private Slurm cluster on this machine, for trying srtctl without a cluster.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
};

use anyhow::{Context, bail};
use camino::Utf8PathBuf;
use srt_testcluster::{
    Cluster, Mode, Settings, State, attach, default_dir, down, install, is_cluster_folder, up,
};

const USAGE: &str = "\
cargo xtask slurm COMMAND

  up [--nodes N] [--gpus N] [--mode named|plain] [--container-options]
                     start a cluster of N nodes (default 4) with N fake GPUs each (default 8), or find it running
  status             show whether it runs, and its nodes
  down [--remove]    end it and everything its jobs left; --remove deletes its folder too
  crash NODE         end a node as a power loss does
  start NODE         start a node that was ended
  install            install the Debian packages it needs (as root), or say how

  --dir DIR          the cluster's folder (default /tmp/srt-slurm-UID); one folder, one cluster
";

/// Runs `cargo xtask slurm ARGUMENTS`.
///
/// # Errors
/// When the arguments are wrong, or what was asked for failed.
pub(crate) fn main(arguments: &[String]) -> anyhow::Result<()> {
    let Some((command, rest)) = arguments.split_first() else { bail!("no command was given\n\n{USAGE}") };
    let options = Options::parse(rest)?;
    let said = match command.as_str() {
        "up" => start_cluster(&options)?,
        "status" => show(&options),
        "down" => end_cluster(&options)?,
        "crash" => {
            let cluster = attach(&options.dir)?;
            cluster.crash(options.node(&cluster)?);
            String::new()
        }
        "start" => {
            let cluster = attach(&options.dir)?;
            cluster.start(options.node(&cluster)?)?;
            String::new()
        }
        "install" => {
            install()?;
            String::new()
        }
        _ => bail!("no such command: {command}\n\n{USAGE}"),
    };
    // Whoever reads may have read enough and gone.
    let _unheard = io::stdout().write_all(said.as_bytes());
    Ok(())
}

struct Options {
    dir: Utf8PathBuf,
    settings: Settings,
    remove: bool,
    node: Option<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let mut options =
            Self { dir: default_dir(), settings: Settings::default(), remove: false, node: None };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (name, joined) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let mut value = || {
                joined
                    .clone()
                    .or_else(|| rest.next().cloned())
                    .with_context(|| format!("{name} needs a value"))
            };
            match name {
                "--dir" => options.dir = value()?.into(),
                "--nodes" => options.settings.nodes = number(name, &value()?)?,
                "--gpus" => options.settings.gpus = number(name, &value()?)?,
                "--mode" => options.settings.mode = Some(mode(&value()?)?),
                "--container-options" => options.settings.container_options = true,
                "--remove" => options.remove = true,
                _ if !name.starts_with('-') && options.node.is_none() => {
                    options.node = Some(argument.clone());
                }
                _ => bail!("no such option: {argument}\n\n{USAGE}"),
            }
        }
        Ok(options)
    }

    fn node(&self, cluster: &Cluster) -> anyhow::Result<&str> {
        let node = self.node.as_deref().context("which node? Such as: node2")?;
        if !cluster.nodes().iter().any(|it| it == node) {
            bail!("no such node: {node}; there are {}", cluster.nodes().join(", "));
        }
        Ok(node)
    }
}

fn number(name: &str, text: &str) -> anyhow::Result<u8> {
    text.parse().with_context(|| format!("{name} takes a number from 0 to 255: {text}"))
}

fn mode(text: &str) -> anyhow::Result<Mode> {
    match text {
        "named" => Ok(Mode::Named),
        "plain" => Ok(Mode::Plain),
        _ => bail!("--mode takes `named` or `plain`: {text}"),
    }
}

fn start_cluster(options: &Options) -> anyhow::Result<String> {
    let cluster = up(&options.dir, &options.settings)?;
    let Settings { nodes, gpus, .. } = options.settings;
    let explanation = match cluster.mode() {
        Mode::Named => "their names resolve on the nodes",
        Mode::Plain => "they share this machine's host name",
    };
    let mut said = format!("# {nodes} nodes with {gpus} fake GPUs each are up; {explanation}\n");
    for (name, value) in cluster.environment() {
        let _infallible = writeln!(said, "export {name}={value}");
    }
    Ok(said)
}

fn show(options: &Options) -> String {
    let Ok(cluster) = attach(&options.dir) else { return "down\n".to_owned() };
    let status = cluster.status();
    let state = match status.state {
        State::Down => "down",
        State::Broken => "broken: not everything of it runs; `up` starts it anew",
        State::Up => "up",
    };
    let mut said = format!("{state}\n");
    for (node, state) in status.nodes {
        let _infallible = writeln!(said, "{node} {state}");
    }
    said
}

fn end_cluster(options: &Options) -> anyhow::Result<String> {
    let ran = down(&options.dir)?;
    if options.remove && options.dir.exists() {
        // Only what `up` makes there: the folder may be one that a person named by mistake.
        if !is_cluster_folder(&options.dir) {
            bail!("not removed, since it is no cluster's folder: {}", options.dir);
        }
        fs::remove_dir_all(&options.dir).with_context(|| format!("removing {}", options.dir))?;
    }
    Ok(if ran { "ended\n" } else { "nothing ran\n" }.to_owned())
}
