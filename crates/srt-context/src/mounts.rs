//! Mounts of the job's container, in order of precedence.

use indexmap::IndexMap;
use srt_launch::Mount;
use srt_schema::{cluster::ClusterConfig, recipe::Recipe};

use crate::{allocation::Surroundings, context::ContextError, text};

/// Values of the placeholders in `container_mounts`.
pub(crate) type Placeholders<'a> = [(&'a str, &'a str)];

/// Mounts that follow from the run itself, before those that files ask for.
pub(crate) struct OwnMounts<'a> {
    pub(crate) log_dir: &'a str,
    /// `None` for a model of the hub.
    pub(crate) model: Option<&'a str>,
    /// Folder that holds the folder that models are staged to.
    pub(crate) stage_root: Option<&'a str>,
    /// `srtctl_root`.
    pub(crate) root: Option<&'a str>,
    /// Whether Dynamo is installed from wheels below `srtctl_root`.
    pub(crate) wheels: bool,
    /// Whether steps run scripts of ours.
    pub(crate) scripts: bool,
}

/// A host path that is mounted twice keeps its place and takes the later container path.
pub(crate) fn mounts(
    own: &OwnMounts<'_>,
    recipe: &Recipe,
    cluster: &ClusterConfig,
    surroundings: &Surroundings,
    placeholders: &Placeholders<'_>,
) -> Result<Vec<Mount>, ContextError> {
    let variables = &surroundings.variables;
    let home = surroundings.home.as_deref();
    let absolute = |path: &str| text::absolute(path, &surroundings.current_dir);
    let mut mounts: IndexMap<String, String> = IndexMap::new();

    mounts.insert(own.log_dir.to_owned(), "/logs".to_owned());
    if let Some(model) = own.model {
        mounts.insert(model.to_owned(), "/model".to_owned());
    }
    if let Some(stage_root) = own.stage_root {
        mounts.insert(stage_root.to_owned(), stage_root.to_owned());
    }
    if let Some(root) = own.root {
        mounts.insert(format!("{root}/configs"), "/configs".to_owned());
        if own.wheels {
            mounts.insert(format!("{root}/wheelhouse/dynamo"), "/srtctl-wheels".to_owned());
        }
    }
    if own.scripts {
        mounts.insert(format!("{}/runtime", own.log_dir), "/srtctl-runtime".to_owned());
    }
    for (host, container) in &cluster.default_mounts {
        mounts.insert(absolute(&text::expand_variables(host, variables)), text::tidy(container));
    }
    for mount in &recipe.extra_mounts {
        let (host, container) =
            mount.split_once(':').ok_or_else(|| ContextError::MountWithoutTarget(mount.clone()))?;
        let host = text::expand_home(&text::expand_variables(host, variables), home);
        mounts.insert(absolute(&host), text::tidy(container));
    }
    if let Some(workspace) = variables.get("INFMAX_WORKSPACE") {
        mounts.insert(workspace.clone(), "/infmax-workspace".to_owned());
    }
    for (host, container) in &recipe.container_mounts {
        let fill = |template: &str| -> Result<String, ContextError> {
            let filled = text::fill_placeholders(template, placeholders).map_err(|unknown| {
                ContextError::UnknownPlaceholder {
                    placeholder: unknown.0,
                    template: template.to_owned(),
                    known: placeholders.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
                }
            })?;
            Ok(text::expand_home(&text::expand_variables(&filled, variables), home))
        };
        mounts.insert(absolute(&fill(host)?), text::tidy(&fill(container)?));
    }
    Ok(mounts.into_iter().map(|(host, container)| Mount { host, container }).collect())
}
