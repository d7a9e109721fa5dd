//! Where the model lies.

/// Where the model lies, on the host and for a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelLocation {
    /// Folder on the host, or the hub's identifier.
    pub path: String,
    /// Whether the model comes from the hub.
    pub is_hub: bool,
    /// The same for a step: `/model` in a container.
    pub in_step: String,
    /// Node-local copy that workers read.
    pub staged: Option<String>,
}

impl ModelLocation {
    /// What engines are given.
    pub fn for_workers(&self) -> &str {
        self.staged.as_deref().unwrap_or(&self.in_step)
    }
}
