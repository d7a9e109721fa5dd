//! Rollups and plans as tables a person reads
