//! `srtctl dry-run`: plans of the example recipes, as snapshots.
