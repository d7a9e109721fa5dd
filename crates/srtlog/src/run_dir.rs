//! What lies where in the folder of a run, ours or the Python tool's.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex::Regex;
use serde_json::Value as Json;

use crate::{read, yaml};

/// Folders under the log folder are searched this deep for results.
const MAX_DEPTH: usize = 5;
/// Largest recipe or status that is read.
const MAX_TEXT: u64 = 16 << 20;

/// The folder of a run.
#[derive(Debug)]
pub(crate) struct RunDir {
    pub(crate) root: PathBuf,
    pub(crate) logs: PathBuf,
}

/// The log of one worker's process, in one or more files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerLog {
    /// Node it ran on.
    pub node: String,
    /// Role of the worker: `prefill`, `decode`, or `agg`.
    pub role: String,
    /// Which worker of its role: `w0`, `w1`, …
    pub worker: String,
    /// Files in the order in which they were written; those of standard error last.
    pub files: Vec<PathBuf>,
}

static LOG_NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(.+)_(prefill|decode|agg)_([^.]+)\.(err|out)(?:\.(\d+))?(?:\.(?:gz|zst))?$")
        .expect("the pattern is a constant")
});

impl RunDir {
    /// Looks at `root`; logs lie in `logs/`, or in the folder itself for older runs.
    pub(crate) fn open(root: &Path) -> io::Result<RunDir> {
        fs::read_dir(root)?;
        let logs = root.join("logs");
        let logs = if logs.is_dir() { logs } else { root.to_owned() };
        Ok(RunDir { root: root.to_owned(), logs })
    }

    /// The logs of workers, sorted by name.
    pub(crate) fn worker_logs(&self) -> io::Result<Vec<WorkerLog>> {
        let mut files: Vec<(String, String, String, bool, std::cmp::Reverse<u64>, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.logs)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let Some(parts) = LOG_NAME.captures(name) else { continue };
            if !path.is_file() {
                continue;
            }
            // A rotated file with a higher number is older.
            let age = parts.get(5).and_then(|age| age.as_str().parse().ok()).unwrap_or(0);
            let is_err = &parts[4] == "err";
            let text = |part: usize| parts[part].to_owned();
            files.push((text(1), text(2), text(3), is_err, std::cmp::Reverse(age), path.clone()));
        }
        // The order of the Python tool: by file name, which starts with node, role, and worker.
        files.sort_by(|a, b| (&a.0, &a.1, &a.2, a.3, a.4).cmp(&(&b.0, &b.1, &b.2, b.3, b.4)));
        let mut logs: Vec<WorkerLog> = Vec::new();
        for (node, role, worker, _, _, path) in files {
            match logs.last_mut() {
                Some(log) if (&log.node, &log.role, &log.worker) == (&node, &role, &worker) => {
                    log.files.push(path);
                }
                _ => logs.push(WorkerLog { node, role, worker, files: vec![path] }),
            }
        }
        Ok(logs)
    }

    /// All files under the log folder, by their path there, sorted.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.logs, Path::new(""), 0, &mut found);
        if self.logs != self.root {
            // The first layout kept result folders beside the logs.
            let mut beside = Vec::new();
            walk(&self.root, Path::new(""), MAX_DEPTH - 1, &mut beside);
            found.extend(
                beside.into_iter().filter(|path| !path.starts_with("logs") && path.components().count() == 2),
            );
        }
        found.sort();
        found
    }

    /// Where a file of [`RunDir::files`] lies.
    pub(crate) fn resolve(&self, file: &Path) -> PathBuf {
        let in_logs = self.logs.join(file);
        if in_logs.exists() { in_logs } else { self.root.join(file) }
    }

    /// The first of these YAML files that there is, and what is wrong with it if something is.
    pub(crate) fn yaml(&self, candidates: &[PathBuf], warnings: &mut Vec<String>) -> Option<Json> {
        let path = candidates.iter().find(|path| path.is_file())?;
        let shown = path.strip_prefix(&self.root).unwrap_or(path).display().to_string();
        let text = match read::text(path, MAX_TEXT) {
            Ok(text) => text,
            Err(error) => {
                warnings.push(format!("failed to read `{shown}`: {error}"));
                return None;
            }
        };
        match yaml::read(&shown, text) {
            Ok(value) => Some(value),
            Err(problem) => {
                warnings.push(format!("failed to read `{shown}`: {problem}"));
                None
            }
        }
    }

    /// A JSON file of the run folder, if it is there and whole.
    pub(crate) fn json(&self, name: &str) -> Option<Json> {
        let text = read::text(&self.root.join(name), MAX_TEXT).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The job's own record in the Python tool's layouts: `{job id}.json`.
    pub(crate) fn job_record(&self) -> Option<Json> {
        let mut names: Vec<String> = fs::read_dir(&self.root)
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| {
                name.strip_suffix(".json").is_some_and(|stem| stem.bytes().all(|byte| byte.is_ascii_digit()))
            })
            .collect();
        names.sort();
        names.iter().find_map(|name| self.json(name))
    }
}

fn walk(folder: &Path, relative: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let relative = relative.join(entry.file_name());
        if kind.is_dir() && depth < MAX_DEPTH {
            walk(&entry.path(), &relative, depth + 1, found);
        } else if kind.is_file() || (kind.is_symlink() && entry.path().is_file()) {
            found.push(relative);
        }
    }
}
