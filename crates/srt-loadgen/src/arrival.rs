//! When requests are sent: the times of a whole point, drawn before it starts.

use std::time::Duration;

use crate::{config::Arrival, numpy::NumpyRandom};

/// When each request of a point is to be sent, since its start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Schedule {
    /// Whenever a request may be in flight.
    AllAtOnce,
    /// At these times, which never decrease.
    At(Vec<Duration>),
}

impl Schedule {
    /// Draws the times of `count` requests.
    pub(crate) fn draw(arrival: Arrival, count: usize, random: &mut NumpyRandom) -> Self {
        match arrival {
            Arrival::AllAtOnce => Self::AllAtOnce,
            Arrival::Gamma { rate_rps, burstiness } => {
                let scale = 1.0 / (rate_rps * burstiness);
                let mut at_s = 0.0;
                let times = (0..count).map(|_| {
                    let time = Duration::try_from_secs_f64(at_s).unwrap_or(Duration::MAX);
                    at_s += random.gamma(burstiness, scale);
                    time
                });
                Self::At(times.collect())
            }
        }
    }

    /// When request `index` is to be sent.
    pub(crate) fn time(&self, index: usize) -> Duration {
        match self {
            Self::AllAtOnce => Duration::ZERO,
            Self::At(times) => times.get(index).copied().unwrap_or_default(),
        }
    }
}
