//! When requests are sent: the times of a whole point, drawn before it starts.

use std::time::Duration;

use crate::{config::Arrival, numpy::NumpyRandom};

/// When each session of a point is to start, since the start of the point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Schedule {
    /// Whenever a request may be in flight.
    AllAtOnce,
    /// At these times, which never decrease.
    At(Vec<Duration>),
}

impl Schedule {
    /// Draws the times of as many sessions as there are `recorded` times.
    pub(crate) fn draw(arrival: Arrival, recorded: &[Duration], random: &mut NumpyRandom) -> Self {
        let count = recorded.len();
        match arrival {
            Arrival::AllAtOnce => Self::AllAtOnce,
            Arrival::Gamma { rate_rps, burstiness } => {
                let scale = 1.0 / (rate_rps * burstiness);
                Self::spaced(count, |_| random.gamma(burstiness, scale))
            }
            Arrival::Constant { rate_rps } => Self::spaced(count, |_| 1.0 / rate_rps),
            Arrival::Ramp { from_rps, to_rps, over_s } => Self::spaced(count, |at_s| {
                let share = if over_s > 0.0 { (at_s / over_s).min(1.0) } else { 1.0 };
                1.0 / (from_rps + (to_rps - from_rps) * share)
            }),
            Arrival::Trace { speedup } => {
                Self::At(recorded.iter().map(|time| seconds(time.as_secs_f64() / speedup)).collect())
            }
        }
    }

    /// Times of which each follows the one before by `interval_s` of it.
    fn spaced(count: usize, mut interval_s: impl FnMut(f64) -> f64) -> Self {
        let mut at_s = 0.0;
        let times = (0..count).map(|_| {
            let time = seconds(at_s);
            at_s += interval_s(at_s);
            time
        });
        Self::At(times.collect())
    }

    /// When session `index` is to start.
    pub(crate) fn time(&self, index: usize) -> Duration {
        match self {
            Self::AllAtOnce => Duration::ZERO,
            Self::At(times) => times.get(index).copied().unwrap_or_default(),
        }
    }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "an expectation is written at the call")]
    #[track_caller]
    fn check(arrival: Arrival, expected: Expect) {
        let recorded = [0, 100, 400, 1000].map(Duration::from_millis);
        let schedule = Schedule::draw(arrival, &recorded, &mut NumpyRandom::new(0));
        let times: Vec<String> =
            (0..4).map(|index| format!("{:.3}", schedule.time(index).as_secs_f64())).collect();
        expected.assert_eq(&times.join(" "));
    }

    #[test]
    fn each_arrival_has_its_times() {
        check(Arrival::AllAtOnce, expect!["0.000 0.000 0.000 0.000"]);
        check(Arrival::Constant { rate_rps: 10.0 }, expect!["0.000 0.100 0.200 0.300"]);
        check(Arrival::Ramp { from_rps: 1.0, to_rps: 10.0, over_s: 2.0 }, expect!["0.000 1.000 1.182 1.340"]);
        check(Arrival::Trace { speedup: 2.0 }, expect!["0.000 0.050 0.200 0.500"]);
        // np.random.seed(0); np.cumsum(np.random.gamma(1.0, 0.1, size=3))
        check(Arrival::Gamma { rate_rps: 10.0, burstiness: 1.0 }, expect!["0.000 0.080 0.205 0.298"]);
    }
}
