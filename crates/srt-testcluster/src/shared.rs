//! One cluster for all tests of a process.

use std::{
    fs,
    ops::Deref,
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    cluster::{Cluster, base_folder, down, up},
    config::Settings,
    process::start_time,
};

/// A cluster that ends with its last user.
///
/// Test harnesses never run destructors of statics, so the cluster lives as long as some test holds it. Should the
/// process be killed, the next one to ask for a cluster ends what it left.
#[derive(Debug)]
pub struct Shared(Cluster);

impl Deref for Shared {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let dir = self.0.dir();
        if down(dir).is_ok() && !std::thread::panicking() {
            // After a failure the logs are what one wants to read.
            let _kept = fs::remove_dir_all(dir);
        }
    }
}

#[expect(clippy::disallowed_types, reason = "tests share one cluster across the threads of the harness")]
static CURRENT: LazyLock<std::sync::Mutex<Weak<Shared>>> = LazyLock::new(Default::default);

/// The cluster of this test process: 4 nodes with 8 GPUs each.
///
/// # Panics
/// When it cannot be started, with the reason: most often the command that installs Slurm.
#[track_caller]
pub fn shared() -> Arc<Shared> {
    let mut current = CURRENT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(cluster) = current.upgrade() {
        return cluster;
    }
    let cluster = Arc::new(own(&Settings::default()));
    *current = Arc::downgrade(&cluster);
    cluster
}

/// A cluster of one's own, for a test that breaks it.
///
/// # Panics
/// When it cannot be started, with the reason.
#[track_caller]
pub fn own(settings: &Settings) -> Shared {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    end_abandoned();
    // A new folder each time: the cluster before may still be ending.
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    match up(&base_folder().join(format!("{}-{number}", owner_name())), settings) {
        Ok(cluster) => Shared(cluster),
        Err(error) => panic!("the private Slurm cluster could not be started: {error:#}"),
    }
}

const PREFIX: &str = "srt-t";

/// Folder name that says which process owns the cluster.
fn owner_name() -> String {
    let pid = std::process::id();
    format!("{PREFIX}{pid}-{}", start_time(pid).unwrap_or_default())
}

fn is_abandoned(name: &str) -> bool {
    let Some(owner) = name.strip_prefix(PREFIX) else { return false };
    let mut parts = owner.split('-');
    let pid = parts.next().and_then(|it| it.parse::<u32>().ok());
    let started = parts.next().and_then(|it| it.parse::<u64>().ok());
    let (Some(pid), Some(started)) = (pid, started) else { return false };
    start_time(pid) != Some(started)
}

/// Ends clusters of test processes that no longer exist.
fn end_abandoned() {
    let Ok(entries) = fs::read_dir(base_folder()) else { return };
    let abandoned = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_abandoned(name))
        .map(|name| base_folder().join(name));
    for dir in abandoned.collect::<Vec<Utf8PathBuf>>() {
        end_one(&dir);
    }
}

fn end_one(dir: &Utf8Path) {
    if down(dir).is_ok() {
        // Another user's folder cannot be removed, and needs not be.
        let _kept = fs::remove_dir_all(dir);
    }
}
