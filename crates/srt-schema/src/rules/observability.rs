//! Observability and power measurement.

use super::{Rules, benchmark::concurrency_points};
use crate::{recipe::Placement, sections::ExporterSection};

const TACHOMETER: [&str; 2] = ["observability", "tachometer"];

impl Rules<'_, '_> {
    pub(super) fn observability(&mut self) {
        let observability = &self.file.observability;
        let tachometer = &observability.tachometer;
        if !tachometer.enabled {
            return;
        }
        if !observability.enabled {
            let message = "`observability.tachometer` runs only with `observability.enabled: true`";
            self.error(
                &[TACHOMETER[0], TACHOMETER[1], "enabled"],
                "missing-key",
                message,
                "add `enabled: true` to `observability`",
            );
        }
        if self.file.telemetry.enabled {
            if tachometer.dcgm_exporter.is_some() {
                let message =
                    "with `telemetry.enabled` there is one GPU exporter, and it belongs to `telemetry`";
                let path = [TACHOMETER[0], TACHOMETER[1], "dcgm_exporter"];
                self.error(&path, "conflicting-keys", message, "move it to `telemetry.dcgm_exporter`");
            }
            if tachometer.storage_subdir == self.file.telemetry.storage_subdir {
                let message = "`telemetry` and `observability.tachometer` write to the same `storage_subdir`";
                let path = [TACHOMETER[0], TACHOMETER[1], "storage_subdir"];
                self.error(&path, "conflicting-keys", message, "give one of them another name");
            }
        }
        self.exporter(&[TACHOMETER[0], TACHOMETER[1], "dcgm_exporter"], tachometer.dcgm_exporter.as_ref());
        self.exporter(&[TACHOMETER[0], TACHOMETER[1], "node_exporter"], tachometer.node_exporter.as_ref());
        if tachometer.binary_path.is_empty() {
            let message = "`observability.tachometer.binary_path` may not be empty";
            self.error(&[TACHOMETER[0], TACHOMETER[1], "binary_path"], "bad-value", message, "");
        }
        let numbers = [
            ("default_frequency", tachometer.default_frequency > 0.0, "greater than 0"),
            ("sync_interval_secs", tachometer.sync_interval_secs >= 0, "at least 0"),
            ("compaction_threads", tachometer.compaction_threads >= 0, "at least 0"),
        ];
        for (key, good, range) in numbers {
            if !good {
                let message = format!("`observability.tachometer.{key}` must be {range}");
                self.error(&[TACHOMETER[0], TACHOMETER[1], key], "out-of-range", &message, "");
            }
        }
        self.subfolder(&[TACHOMETER[0], TACHOMETER[1], "storage_subdir"], &tachometer.storage_subdir);
    }

    fn exporter(&mut self, path: &[&str], exporter: Option<&ExporterSection>) {
        let Some(exporter) = exporter else { return };
        let name = path.join(".");
        if exporter.container_image.trim().is_empty() {
            let path = [path, &["container_image"]].concat();
            self.error(&path, "bad-value", &format!("`{name}.container_image` may not be empty"), "");
        }
        if !(1..=65535).contains(&exporter.port) {
            let path = [path, &["port"]].concat();
            let message = format!("`{name}.port` must be from 1 to 65535, not {}", exporter.port);
            self.error(&path, "out-of-range", &message, "");
        }
    }

    fn subfolder(&mut self, path: &[&str], folder: &str) {
        let leaves = folder.split('/').any(|part| part == "..");
        if folder.is_empty() || folder.starts_with(['/', '~']) || leaves {
            let message = format!("`{}` must be a folder below the logs", path.join("."));
            self.error(path, "bad-value", &message, "write a relative path without `..`");
        }
    }

    pub(super) fn telemetry(&mut self) {
        let telemetry = &self.file.telemetry;
        if !telemetry.enabled {
            return;
        }
        if telemetry.dcgm_exporter.is_none() {
            let message = "`telemetry` needs `telemetry.dcgm_exporter`";
            let help = "add `dcgm_exporter:` with `container_image` and `port`";
            self.error(&["telemetry", "enabled"], "missing-key", message, help);
        }
        self.exporter(&["telemetry", "dcgm_exporter"], telemetry.dcgm_exporter.as_ref());
        let positive = [
            ("default_frequency", telemetry.default_frequency),
            ("startup_timeout_seconds", telemetry.startup_timeout_seconds),
            ("request_timeout_seconds", telemetry.request_timeout_seconds),
        ];
        for (key, value) in positive {
            if value <= 0.0 {
                let message = format!("`telemetry.{key}` must be greater than 0");
                self.error(&["telemetry", key], "out-of-range", &message, "");
            }
        }
        if telemetry.default_frequency > 3.0 {
            let message =
                "`telemetry.default_frequency` must be at most 3 s: power is not known over longer gaps";
            self.error(&["telemetry", "default_frequency"], "out-of-range", message, "write 1.0");
        }
        if let Some(timeout) = telemetry.collector_join_timeout_seconds {
            let cycles = 2.0 * (2.0 * telemetry.request_timeout_seconds + 1.0);
            if timeout <= cycles {
                let message = format!(
                    "`telemetry.collector_join_timeout_seconds` must be more than two collector cycles, which take {} s",
                    srt_yaml::python_float(cycles)
                );
                self.error(
                    &["telemetry", "collector_join_timeout_seconds"],
                    "out-of-range",
                    &message,
                    "remove the line",
                );
            }
        }
        self.subfolder(&["telemetry", "storage_subdir"], &telemetry.storage_subdir);
        let benchmark = &self.file.benchmark;
        if benchmark.kind != "sa-bench" {
            let message = "`telemetry` measures power only under `benchmark.type: sa-bench`";
            self.error(&["benchmark", "type"], "unsupported", message, "");
        }
        if benchmark.client_placement != Placement::Head {
            let message = "`telemetry` needs `benchmark.client_placement: head`";
            self.error(&["benchmark", "client_placement"], "unsupported", message, "remove the line");
        }
        if self.file.infra.etcd_nats_dedicated_node {
            let message = "`telemetry` does not work with `infra.etcd_nats_dedicated_node`";
            self.error(&["infra", "etcd_nats_dedicated_node"], "unsupported", message, "");
        }
        let points = concurrency_points(benchmark).unwrap_or_default();
        let mut distinct = points.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if points.is_empty() || distinct.len() != points.len() || points.iter().any(|it| *it <= 0) {
            let message =
                "`telemetry` needs `benchmark.concurrencies` of at least one, all different, all above 0";
            self.error(&["benchmark", "concurrencies"], "bad-value", message, "");
        }
    }
}
