//! `srtctl keeper`: keeps one process of a local run, and ends it with the run.
