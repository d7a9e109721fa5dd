//! Rollups and plans as tables a person reads.
//!
//! Text in, text out: no figure is computed here that is not in the rollup or the plan, but for the share of a GPU.

pub mod folder;
pub mod plan;
pub mod results;
pub mod variants;

/// Rows without lines between them, under a ruled header.
fn style() -> comfy_table::TableStyle {
    let rule = || comfy_table::LineStyle::none().fill('─').junction('─');
    comfy_table::TableStyle::new().header_separator(rule()).bottom_border(rule())
}
