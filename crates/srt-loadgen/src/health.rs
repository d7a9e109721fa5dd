//! The client's own health: whether it, rather than the server, set the numbers.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::stats::percentile;

/// What one thread of the client noticed about itself.
#[derive(Debug, Clone)]
pub(crate) struct WorkerHealth {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    pub(crate) has_kernel_times: bool,
    /// How late tasks got to run, looked at a hundred times per second.
    pub(crate) lateness_us: Vec<u32>,
}

/// The client's health during a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientHealth {
    /// Threads that carried the load.
    pub threads: usize,
    /// Whether times of arrival are the kernel's, so that the client's own lateness is not part of them.
    pub has_kernel_times: bool,
    /// CPU seconds of all of them.
    pub cpu_s: f64,
    /// Share of a core that the busiest thread used.
    pub max_thread_cpu_share: f64,
    /// How late the event loop was, median of the worst thread.
    pub lateness_p50_ms: f64,
    /// How late the event loop was, 90th percentile of the worst thread.
    pub lateness_p90_ms: f64,
    /// How late the event loop was, 99th percentile of the worst thread.
    pub lateness_p99_ms: f64,
    /// How late the event loop was at most.
    pub lateness_max_ms: f64,
    /// The most memory that the process ever held.
    pub peak_rss_mb: Option<f64>,
}

impl ClientHealth {
    pub(crate) fn of(workers: &[WorkerHealth]) -> Self {
        let mut health = Self {
            threads: workers.len(),
            has_kernel_times: true,
            cpu_s: 0.0,
            max_thread_cpu_share: 0.0,
            lateness_p50_ms: 0.0,
            lateness_p90_ms: 0.0,
            lateness_p99_ms: 0.0,
            lateness_max_ms: 0.0,
            peak_rss_mb: peak_rss_mb(),
        };
        for worker in workers {
            let mut lateness_ms: Vec<f64> =
                worker.lateness_us.iter().map(|&us| f64::from(us) / 1000.0).collect();
            lateness_ms.sort_unstable_by(f64::total_cmp);
            health.has_kernel_times &= worker.has_kernel_times;
            health.cpu_s += worker.cpu.as_secs_f64();
            if !worker.wall.is_zero() {
                let share = worker.cpu.as_secs_f64() / worker.wall.as_secs_f64();
                health.max_thread_cpu_share = health.max_thread_cpu_share.max(share);
            }
            health.lateness_p50_ms = health.lateness_p50_ms.max(percentile(&lateness_ms, 50.0));
            health.lateness_p90_ms = health.lateness_p90_ms.max(percentile(&lateness_ms, 90.0));
            health.lateness_p99_ms = health.lateness_p99_ms.max(percentile(&lateness_ms, 99.0));
            health.lateness_max_ms = health.lateness_max_ms.max(percentile(&lateness_ms, 100.0));
        }
        health
    }
}

/// CPU time that this thread has used.
pub(crate) fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// The most memory that this process ever held, as the kernel tells it.
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1000.0)
}
