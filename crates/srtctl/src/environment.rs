//! The environment, read once. Every variable that the program knows is named here.

use std::{collections::BTreeMap, env, path::PathBuf};

use anyhow::Context as _;
use camino::Utf8PathBuf;

/// Path of the cluster file; nothing else is searched when it is set.
pub(crate) const CLUSTER_FILE: &str = "SRTSLURM_CONFIG";
/// Filter of diagnostic output, such as `srt_run=debug`.
pub(crate) const LOG_FILTER: &str = "SRTCTL_LOG";

/// The environment, the current folder, and this program's path.
pub(crate) struct Environment {
    /// All variables that are valid text.
    pub(crate) variables: BTreeMap<String, String>,
    /// The current folder.
    pub(crate) current_dir: PathBuf,
    /// This program.
    pub(crate) program: PathBuf,
}

impl Environment {
    /// Reads everything there is to read.
    pub(crate) fn read() -> Self {
        let text = |value: std::ffi::OsString| value.into_string().ok();
        Self {
            variables: env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect(),
            current_dir: env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            program: env::current_exe().unwrap_or_else(|_| PathBuf::from("srtctl")),
        }
    }

    /// A variable that is set to something.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The current folder as text.
    pub(crate) fn utf8_dir(&self) -> anyhow::Result<Utf8PathBuf> {
        Utf8PathBuf::try_from(self.current_dir.clone()).context("the name of the current folder is not UTF-8")
    }
}
