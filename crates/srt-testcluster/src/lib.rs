//! A private Slurm cluster on this machine: munged, slurmctld, and one slurmd per node, all real, with fake GPUs.
//!
//! For tests, and for people who want to try srtctl without a cluster. Everything lies in one folder: key,
//! socket, configuration, state, logs. Nothing system-wide is read or changed, no privilege is needed, and several
//! clusters live side by side. A cluster is known by its folder alone: its processes carry the folder's name in
//! their environment, so it can be ended after whatever happened to the process that started it.

mod cluster;
mod config;
mod packages;
mod process;
mod shared;
mod stub;

pub use crate::{
    cluster::{Cluster, State, Status, attach, default_dir, down, is_cluster_folder, up},
    config::{Mode, Settings},
    packages::{PACKAGES, install, require},
    shared::{Shared, own, shared},
};
