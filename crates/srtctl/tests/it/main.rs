//! Tests of the binary: arguments in; output, exit code, files, and processes out.

mod apply_local;
mod bad_input;
mod dry_run;
mod follow;
mod rollup;
mod slurm;
mod support;
