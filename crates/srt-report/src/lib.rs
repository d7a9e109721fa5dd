//! Rollups and plans as tables a person reads.
//!
//! Text in, text out: no figure is computed here that is not in the rollup or the plan, but for the share of a GPU.

pub mod plan;
pub mod results;
