//! The run folder: made, and filled with what is known before anything starts.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::record::WriteError;

/// Where the run is recorded.
#[derive(Debug, Clone)]
pub enum RunFolder {
    /// A folder that this run makes, with these files in it. It must not exist, or be empty.
    New {
        /// The original recipe, the resolved one, the plan.
        files: Vec<RunFile>,
    },
    /// A folder that was made when the job was submitted, with its files.
    Prepared,
}

/// A file of the run folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFile {
    /// Path under the run folder.
    pub path: String,
    /// Contents.
    pub text: String,
    /// It holds secrets: only its owner may read it.
    pub private: bool,
}

/// Why a run was not begun. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// There is another run.
    #[error("`{path}` is not empty; a run needs a folder of its own")]
    NotEmpty {
        /// The folder.
        path: Utf8PathBuf,
    },
    /// The folder cannot be made or looked into.
    #[error("failed to make the run folder `{path}`: {source}")]
    Folder {
        /// The folder.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file would lie outside its folder.
    #[error("`{path}` is not a path below the run folder")]
    Outside {
        /// The path.
        path: String,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Makes the folder and writes `files` into it.
pub(crate) fn prepare(run_dir: &Utf8Path, folder: &RunFolder) -> Result<(), PrepareError> {
    let broken = |source| PrepareError::Folder { path: run_dir.to_owned(), source };
    let logs = run_dir.join(LOGS);
    match folder {
        RunFolder::Prepared => fs::create_dir_all(&logs).map_err(broken),
        RunFolder::New { files } => {
            let is_occupied = match fs::read_dir(run_dir) {
                Ok(mut entries) => entries.next().is_some(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(broken(error)),
            };
            if is_occupied {
                return Err(PrepareError::NotEmpty { path: run_dir.to_owned() });
            }
            fs::create_dir_all(&logs).map_err(broken)?;
            files.iter().try_for_each(|file| write_below(run_dir, &file.path, &file.text, file.private))
        }
    }
}

/// Folder of logs and results, under the run folder.
pub(crate) const LOGS: &str = "logs";

/// Writes a file that a plan or a caller names, and makes its folder.
pub(crate) fn write_below(
    folder: &Utf8Path,
    path: &str,
    text: &str,
    private: bool,
) -> Result<(), PrepareError> {
    let relative = Utf8Path::new(path);
    if path.is_empty() || !relative.components().all(|part| matches!(part, Utf8Component::Normal(_))) {
        return Err(PrepareError::Outside { path: path.to_owned() });
    }
    let full = folder.join(relative);
    let write = || {
        if let Some(parent) = full.parent() {
            fs::create_dir_all(parent)?;
        }
        // The mode of a file that others may read is left to the user's umask.
        let mode = if private { 0o600 } else { 0o666 };
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&full)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|source| WriteError { path: full.clone(), source }.into())
}
