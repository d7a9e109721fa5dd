//! What a run is worth: whether its numbers may be quoted, and if not, why not.
//!
//! The load generator writes a verdict into each result file, the supervisor decides one for the whole run, and
//! the rollup carries it on. The three share this type so that no reader has to translate.

use serde::{Deserialize, Serialize};

/// The judgement over one result or one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The run went to its end and its numbers mean what they say.
    Valid,
    /// The run went to its end, but its numbers must not be compared with others.
    Invalid {
        /// Every reason found, never only the first.
        reasons: Vec<Reason>,
    },
    /// The run did not go to its end.
    Failed {
        /// The stage that failed, as the supervisor names it: `infrastructure`, `workers`, `readiness`, …
        stage: String,
        /// What failed, for a person.
        text: String,
    },
}

/// One reason why numbers must not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable word for machines, snake case: `requests_failed`, `client_saturated`, …
    pub code: String,
    /// The same for a person, with the numbers.
    pub text: String,
}

impl Verdict {
    /// The verdict that these reasons add up to: valid when there are none.
    #[must_use]
    pub fn from_reasons(reasons: Vec<Reason>) -> Verdict {
        if reasons.is_empty() { Verdict::Valid } else { Verdict::Invalid { reasons } }
    }

    /// Whether numbers under this verdict may be compared with others.
    pub fn is_valid(&self) -> bool {
        matches!(self, Verdict::Valid)
    }
}
