//! Is it up: TCP and HTTP probes, and what each frontend reports of its workers.
//!
//! Reading an answer is pure ([`Readiness`](srt_launch::Readiness) and answers in, [`Progress`] out); [`wait()`] asks
//! again and again until the answer is good, the time is over, or the caller has heard that waiting is pointless.

mod progress;
mod wait;

pub use crate::{
    progress::{Answer, Count, Progress, frontend_progress},
    wait::{WaitError, wait},
};
