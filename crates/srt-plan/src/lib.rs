//! The plan: everything a run will do, as data.

mod plan;

pub use crate::plan::{Expected, FrontendLayout, NginxPlan, Plan, PlannedFile};
