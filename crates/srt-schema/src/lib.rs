//! Recipe and cluster file: one typed, roles-based model read strictly from YAML.
//!
//! [`load()`] takes texts and gives [`Loaded`]: every job of the recipe, the cluster file, and every diagnostic at once.
//! [`json_schema`] and [`reference_markdown`] describe the format, from the declarations that read it.
//! Nothing here touches the file system; what must exist there is told by [`path_checks`].

mod assign;
pub mod cluster;
mod defaults;
mod document;
mod flags;
mod layout;
mod load;
mod preflight;
mod read;
pub mod recipe;
mod report;
mod rules;
mod sections;
mod served_name;
mod variants;

pub use crate::{
    document::{Format, json_schema, reference_markdown},
    load::{LoadRequest, Loaded, Variant, load, load_cluster},
    preflight::{PathCheck, PathKind, path_checks, topology_problems},
    served_name::served_model_name,
};
