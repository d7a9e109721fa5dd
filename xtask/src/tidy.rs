//! Checks that keep the walls standing: which crate may use which, where versions stand, and what every crate
//! must have. Findings are values, so that the checks are tested on made-up workspaces.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, bail};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::root;

/// Layer and rank of each crate: a crate may only use crates of a strictly smaller pair.
const LAYERS: &[(&str, (u8, u8))] = &[
    ("srt-yaml", (0, 0)),
    ("srt-topology", (0, 0)),
    ("srtlog", (0, 1)),
    ("srt-launch", (1, 0)),
    ("srt-schema", (1, 0)),
    ("srt-context", (2, 0)),
    ("srt-backends", (2, 1)),
    ("srt-frontends", (2, 1)),
    ("srt-benchmarks", (2, 1)),
    ("srt-plan", (2, 2)),
    ("srt-report", (2, 3)),
    ("srt-http", (3, 0)),
    ("srt-testcluster", (3, 0)),
    ("srt-health", (3, 1)),
    ("srt-loadgen", (3, 1)),
    ("srt-mocker", (3, 1)),
    ("srt-run", (3, 2)),
    ("srt-slurm", (3, 3)),
    ("srtctl", (4, 0)),
    ("xtask", (5, 0)),
];

/// Libraries that do something to the world, which only layers from 3 up may use.
const EFFECT_LIBRARIES: &[&str] =
    &["tokio", "tokio-util", "hyper", "hyper-util", "axum", "rustix", "indicatif", "which", "xshell", "jiff"];

/// Libraries that only one crate may use.
const SOLE_USERS: &[(&str, &str)] = &[("granit-parser", "srt-yaml"), ("clap", "srtctl")];

/// One dependency of one crate, as `cargo metadata` tells it.
struct Dependency {
    crate_name: String,
    name: String,
    dev: bool,
}

pub(crate) fn main() -> anyhow::Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    let metadata = cmd!(shell, "cargo metadata --format-version 1 --no-deps").quiet().read()?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;

    let all = dependencies(&metadata);
    let mut findings = check_dependencies(&all);
    findings.extend(check_manifests(&metadata)?);
    findings.extend(check_sources(&shell)?);
    findings.extend(check_architecture_document()?);
    findings.extend(check_workspace_dependencies(&fs::read_to_string(root().join("Cargo.toml"))?, &all));
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{} in the structure:\n  {}", count(findings.len()), findings.join("\n  "));
}

fn count(findings: usize) -> String {
    if findings == 1 { "1 finding".to_owned() } else { format!("{findings} findings") }
}

fn dependencies(metadata: &Value) -> Vec<Dependency> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .flat_map(|package| {
            let crate_name = package["name"].as_str().unwrap_or_default();
            package["dependencies"].as_array().into_iter().flatten().map(move |dependency| Dependency {
                crate_name: crate_name.to_owned(),
                name: dependency["name"].as_str().unwrap_or_default().to_owned(),
                dev: dependency["kind"].as_str() == Some("dev"),
            })
        })
        .collect()
}

fn check_dependencies(dependencies: &[Dependency]) -> Vec<String> {
    let layers: BTreeMap<&str, (u8, u8)> = LAYERS.iter().copied().collect();
    let mut findings = Vec::new();
    for Dependency { crate_name, name, dev } in dependencies {
        let Some(&layer) = layers.get(crate_name.as_str()) else {
            findings
                .push(format!("crate `{crate_name}` has no layer: add it to LAYERS in xtask/src/tidy.rs"));
            continue;
        };
        if *dev {
            continue;
        }
        if layers.get(name.as_str()).is_some_and(|&used| used >= layer) {
            findings.push(format!("`{crate_name}` uses `{name}`, which is not below it"));
        }
        if layer.0 < 3 && EFFECT_LIBRARIES.contains(&name.as_str()) {
            findings.push(format!("`{crate_name}` is below layer 3 and uses the effect library `{name}`"));
        }
        if let Some((_, user)) =
            SOLE_USERS.iter().find(|(library, user)| library == name && user != crate_name)
        {
            findings.push(format!("`{crate_name}` uses `{name}`, which only `{user}` may use"));
        }
    }
    findings.dedup();
    findings
}

fn check_manifests(metadata: &Value) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let path = package["manifest_path"].as_str().unwrap_or_default();
        let text = fs::read_to_string(path).with_context(|| format!("failed to read `{path}`"))?;
        findings.extend(check_manifest(package["name"].as_str().unwrap_or_default(), &text));
    }
    Ok(findings)
}

fn check_manifest(crate_name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section.contains("dependencies") && !line.is_empty() && !line.starts_with('#') {
            let from_workspace = line.contains(".workspace = true") || line.contains("workspace = true");
            let inside_list = !line.contains('=');
            if !from_workspace && !inside_list {
                findings.push(format!("`{crate_name}` names a version of its own: {line}"));
            }
        }
    }
    if !text.contains("[lints]\nworkspace = true") {
        findings.push(format!("`{crate_name}` does not take the workspace's lints"));
    }
    if !text.contains("\ndescription = ") {
        findings.push(format!("`{crate_name}` has no description"));
    }
    findings
}

/// A version that nobody uses is a decision that nobody remembers.
fn check_workspace_dependencies(manifest: &str, used: &[Dependency]) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    let names = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once(" = "));
    let unused = names.filter(|(name, _)| !name.starts_with('#') && !used.iter().any(|it| it.name == *name));
    unused.map(|(name, _)| format!("no member uses `{name}` of `[workspace.dependencies]`")).collect()
}

fn check_sources(shell: &Shell) -> anyhow::Result<Vec<String>> {
    let listed = cmd!(shell, "git ls-files --cached --others --exclude-standard -- *.rs").quiet().read()?;
    let mut findings = Vec::new();
    for path in listed.lines().filter(|path| Path::new(path).exists()) {
        let text =
            fs::read_to_string(root().join(path)).with_context(|| format!("failed to read `{path}`"))?;
        findings.extend(check_source(path, &text));
    }
    Ok(findings)
}

fn check_source(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let top_of_crate = ["/src/lib.rs", "/src/main.rs"].iter().any(|end| path.ends_with(end));
    if top_of_crate && !text.starts_with("//!") {
        findings.push(format!("{path}: starts without a module document"));
    }
    // Written in parts, so that this file does not find itself.
    for banned in [concat!("#[al", "low("), concat!("#![al", "low(")] {
        for (index, _) in text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with(banned)) {
            findings.push(format!(
                "{path}:{}: use `#[expect(lint, reason = \"…\")]` instead of `{banned}…`",
                index + 1
            ));
        }
    }
    findings
}

fn check_architecture_document() -> anyhow::Result<Vec<String>> {
    let path = root().join("docs/architecture.md");
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let missing = LAYERS.iter().filter(|(name, _)| !text.contains(&format!("### `{name}`")));
    Ok(missing.map(|(name, _)| format!("docs/architecture.md has no section on `{name}`")).collect())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(findings: &[String], expected: &Expect) {
        expected.assert_eq(&findings.join("\n"));
    }

    fn dependency(crate_name: &str, name: &str) -> Dependency {
        Dependency { crate_name: crate_name.to_owned(), name: name.to_owned(), dev: false }
    }

    #[test]
    fn arrows_point_down() {
        let edges = [
            dependency("srt-plan", "srt-schema"),
            dependency("srt-schema", "srt-plan"),
            dependency("srt-schema", "srt-launch"),
            dependency("srt-topology", "tokio"),
            dependency("srt-run", "tokio"),
            dependency("srt-schema", "granit-parser"),
            dependency("srt-new", "serde"),
        ];
        check(
            &check_dependencies(&edges),
            &expect![[r"
                `srt-schema` uses `srt-plan`, which is not below it
                `srt-schema` uses `srt-launch`, which is not below it
                `srt-topology` is below layer 3 and uses the effect library `tokio`
                `srt-schema` uses `granit-parser`, which only `srt-yaml` may use
                crate `srt-new` has no layer: add it to LAYERS in xtask/src/tidy.rs"]],
        );
    }

    #[test]
    fn a_test_may_use_what_lies_above() {
        let upward = Dependency { dev: true, ..dependency("srt-http", "srt-mocker") };
        check(&check_dependencies(&[upward]), &expect![""]);
    }

    #[test]
    fn versions_stand_in_the_workspace() {
        let manifest = "[package]\ndescription = \"x\"\n[lints]\nworkspace = true\n\n[dependencies]\nserde = \"1\"\ntokio.workspace = true\nhyper = { workspace = true, features = [\n  \"client\",\n] }\n";
        check(
            &check_manifest("a", manifest),
            &expect![[r#"
            `a` names a version of its own: serde = "1""#]],
        );
    }

    #[test]
    fn a_version_has_a_user() {
        let manifest =
            "[workspace.dependencies]\nserde = \"1\"\n# why = this\ntokio = \"1\"\n\n[profile.dev]\nx = 1\n";
        check(
            &check_workspace_dependencies(manifest, &[dependency("srt-run", "tokio")]),
            &expect!["no member uses `serde` of `[workspace.dependencies]`"],
        );
    }

    #[test]
    fn a_crate_says_what_it_is() {
        check(
            &check_source("crates/a/src/lib.rs", "mod b;\n"),
            &expect!["crates/a/src/lib.rs: starts without a module document"],
        );
    }
}
