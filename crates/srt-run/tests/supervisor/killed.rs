//! srtctl itself, or a keeper, is killed.
