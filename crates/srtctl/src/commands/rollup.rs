//! `srtctl rollup`: logs and results of run directories into `rollup.json`.
