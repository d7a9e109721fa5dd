//! What runs in a step's shell before its command: the recipe's setup script, and the installation of Dynamo.

use srt_launch::{Preamble, StepId, shell};
use srt_schema::recipe::{DynamoSource, FrontendKind};

use crate::job::Job;

impl Job<'_> {
    /// Whether the job's containers install Dynamo before use. A host is left as it is.
    pub fn installs_dynamo(&self) -> bool {
        let uses_dynamo = self.recipe.frontend.kind == FrontendKind::Dynamo;
        uses_dynamo && self.recipe.dynamo.install && self.ctx.container.is_some()
    }

    /// Preamble of workers and Dynamo frontends: the setup script, then Dynamo.
    pub fn setup_preamble(&self) -> Vec<Preamble> {
        let mut preamble = Vec::new();
        if let Some(name) = &self.recipe.setup_script {
            preamble.push(Preamble::SetupScript { name: name.clone(), folder: self.ctx.configs.clone() });
        }
        if self.installs_dynamo() {
            preamble.push(Preamble::DynamoInstall(self.dynamo_install()));
        }
        preamble
    }

    /// Option that lets a container's installation write as root.
    pub fn remap_root_export(&self) -> Option<String> {
        self.installs_dynamo().then(|| "ENROOT_REMAP_ROOT=yes".to_owned())
    }

    /// Several steps of a job may share a container's files, so one installs and the others wait and skip.
    fn dynamo_install(&self) -> String {
        let install = match &self.recipe.dynamo.source {
            DynamoSource::Version(version) => {
                let packages = packages(version);
                format!("{PIP} --extra-index-url https://pypi.nvidia.com {packages}")
            }
            DynamoSource::Wheel(version) => {
                format!("{PIP} --no-index --find-links /srtctl-wheels {}", packages(version))
            }
            DynamoSource::Hash(hash) => self.build_commit(hash),
            DynamoSource::TopOfTree => {
                self.build_from_source("git clone --quiet --depth 1 $repository $source")
            }
        };
        // A shell of its own, because `set -e` has no effect on the left of `&&`. Each source has its own marker, so
        // that a home folder shared by nodes and runs does not mix them.
        let install = shell::quote(install.trim());
        let marker = StepId::new(&self.source_name());
        format!(
            r#"marker="${{HOME:-/root}}"/.srtctl_dynamo_install_{marker}
(
  flock -x 200
  [ -f "$marker.complete" ] || {{ bash -euc {install} && touch "$marker.complete"; }}
) 200>"$marker.lock""#
        )
    }

    fn source_name(&self) -> String {
        match &self.recipe.dynamo.source {
            DynamoSource::Version(version) => version.clone(),
            DynamoSource::Wheel(version) => format!("wheel_{version}"),
            DynamoSource::Hash(hash) => format!("commit_{hash}"),
            DynamoSource::TopOfTree => "top_of_tree".to_owned(),
        }
    }

    fn build_commit(&self, hash: &str) -> String {
        let hash = shell::quote(hash);
        self.build_from_source(&format!(
            "git clone --quiet $repository $source
git -C $source checkout --quiet {hash}"
        ))
    }

    fn build_from_source(&self, fetch: &str) -> String {
        let mut patches = String::new();
        for patch in &self.recipe.dynamo.cargo_patches {
            // A patch is one line `name = { … }` that replaces the dependency of that name wherever it stands.
            let name = patch.split('=').next().unwrap_or_default().trim();
            let script = shell::quote(&format!(r"s|^{}[[:space:]]*=.*$|{}|", sed(name), sed(patch)));
            patches.extend(["\nfind $source -name Cargo.toml -exec sed -i ", &script, " {} +"]);
        }
        format!(
            r#"repository=https://github.com/ai-dynamo/dynamo.git
source=/tmp/srtctl_dynamo_build
rm -rf $source
if command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -qq -y git build-essential libclang-dev protobuf-compiler >/dev/null; fi
{fetch}{patches}
command -v cargo >/dev/null || {{ curl --proto '=https' -sSf https://sh.rustup.rs | sh -s -- -y --quiet; . "$HOME/.cargo/env"; }}
{PIP} maturin
( cd $source/lib/bindings/python && RUSTFLAGS='-C target-cpu=native --cfg tokio_unstable' maturin build --release --out /tmp/srtctl_dynamo_wheels )
{PIP} /tmp/srtctl_dynamo_wheels/*.whl $source"#
        )
    }
}

const PIP: &str = "python3 -m pip install --break-system-packages --quiet";

fn packages(version: &str) -> String {
    let requirement = |name: &str| shell::quote(&format!("{name}=={version}"));
    format!("{} {}", requirement("ai-dynamo-runtime"), requirement("ai-dynamo"))
}

/// Text as a literal in a `sed` command whose separator is `|`.
fn sed(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if "\\|&[]*.^$".contains(c) {
            out.push('\\');
        }
        out.push(if c == '\n' { ' ' } else { c });
    }
    out
}
