//! Recipe and cluster file: one typed, roles-based model read strictly from YAML.

pub mod cluster;
pub mod recipe;
