//! [`PlannedFile`]: a file that a step reads.

use srt_yaml::{KeyOrder, Value, write_yaml};

/// A file to write into the log folder before the first step starts.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFile {
    /// Path under the log folder.
    pub path: String,
    /// Contents.
    pub text: String,
    /// The contents as data, where the file is YAML or JSON.
    pub value: Option<Value>,
}

impl PlannedFile {
    /// A file of plain text.
    pub fn text(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into(), value: None }
    }

    /// A YAML file.
    pub fn yaml(path: impl Into<String>, value: Value, order: KeyOrder) -> Self {
        Self { path: path.into(), text: write_yaml(&value, order), value: Some(value) }
    }
}
