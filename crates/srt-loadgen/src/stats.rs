//! Means, deviations, and percentiles, as `NumPy` computes them.

use serde::{Deserialize, Serialize};

use crate::record::Gaps;

/// A distribution in a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of values.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of the population.
    pub std: f64,
    /// Smallest value.
    pub min: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Largest value.
    pub max: f64,
}

impl Summary {
    /// The summary of `values`; all zero if there are none.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        values.sort_unstable_by(f64::total_cmp);
        let count = values.len() as u64;
        let mean = values.iter().sum::<f64>() / as_f64(count);
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / as_f64(count);
        Self {
            count,
            mean,
            std: variance.sqrt(),
            min: values[0],
            p50: percentile(&values, 50.0),
            p90: percentile(&values, 90.0),
            p95: percentile(&values, 95.0),
            p99: percentile(&values, 99.0),
            p999: percentile(&values, 99.9),
            max: values[values.len() - 1],
        }
    }

    /// The same distribution in a unit that is `factor` times smaller.
    #[must_use]
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self {
            count: self.count,
            mean: self.mean * factor,
            std: self.std * factor,
            min: self.min * factor,
            p50: self.p50 * factor,
            p90: self.p90 * factor,
            p95: self.p95 * factor,
            p99: self.p99 * factor,
            p999: self.p999 * factor,
            max: self.max * factor,
        }
    }
}

/// The `percent`th percentile of ascending values, by linear interpolation; 0 if there are none.
pub(crate) fn percentile(ascending: &[f64], percent: f64) -> f64 {
    interpolate(ascending.len() as u64, percent, |rank| {
        ascending[usize::try_from(rank).expect("a rank is less than the length")]
    })
}

fn interpolate(count: u64, percent: f64, value: impl Fn(u64) -> f64) -> f64 {
    if count == 0 {
        return 0.0;
    }
    let position = as_f64(count - 1) * percent / 100.0;
    let below = position.floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position is between 0 and the count"
    )]
    let rank = below as u64;
    let low = value(rank);
    let share = position - below;
    if share == 0.0 { low } else { low + (value(rank + 1) - low) * share }
}

/// Gaps of any number of tokens in bounded memory, exact to the microsecond they are kept in.
#[derive(Debug, Clone)]
pub(crate) struct GapCounts {
    /// How many gaps of so many microseconds.
    short: Vec<u64>,
    long: Vec<u64>,
}

impl GapCounts {
    const SHORT_US: u64 = 1 << 17;

    pub(crate) fn new() -> Self {
        Self { short: vec![0; 1 << 17], long: Vec::new() }
    }

    /// Adds gaps, each divided by `divisor`.
    pub(crate) fn add(&mut self, gaps: &Gaps, divisor: f64) {
        for gap_us in gaps.iter() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a gap divided by a positive number; `as` keeps any value in range"
            )]
            self.add_one((as_f64(gap_us) / divisor).round() as u64);
        }
    }

    fn add_one(&mut self, gap_us: u64) {
        match usize::try_from(gap_us) {
            Ok(index) if gap_us < Self::SHORT_US => self.short[index] += 1,
            _ => self.long.push(gap_us),
        }
    }

    /// The distribution in milliseconds.
    pub(crate) fn summary_ms(mut self) -> Summary {
        self.long.sort_unstable();
        // Values in ascending order, each with the number of gaps up to and including it.
        let mut steps: Vec<(u64, u64)> = Vec::new();
        let mut total = 0;
        let mut sum = 0.0;
        for (gap_us, &count) in self.short.iter().enumerate().filter(|(_, count)| **count > 0) {
            total += count;
            sum += as_f64(gap_us as u64) * as_f64(count);
            steps.push((gap_us as u64, total));
        }
        for &gap_us in &self.long {
            total += 1;
            sum += as_f64(gap_us);
            steps.push((gap_us, total));
        }
        let Some(&(max, _)) = steps.last() else { return Summary::default() };
        let count = as_f64(total);
        let mean = sum / count;
        let mut squares = 0.0;
        let mut before = 0;
        for &(gap_us, up_to) in &steps {
            let gap = as_f64(gap_us);
            squares += (gap - mean).powi(2) * as_f64(up_to - before);
            before = up_to;
        }
        let at = |percent: f64| {
            interpolate(total, percent, |rank| {
                let step = steps.partition_point(|&(_, up_to)| up_to <= rank);
                as_f64(steps[step].0)
            })
        };
        let summary_us = Summary {
            count: total,
            mean,
            std: (squares / count).sqrt(),
            min: as_f64(steps[0].0),
            p50: at(50.0),
            p90: at(90.0),
            p95: at(95.0),
            p99: at(99.0),
            p999: at(99.9),
            max: as_f64(max),
        };
        summary_us.scaled(0.001)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds stay below 2^53")]
pub(crate) fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_interpolate() {
        let values = [1.0, 2.0, 4.0];
        let at = [0.0, 50.0, 75.0, 100.0].map(|percent| percentile(&values, percent).to_string());
        assert_eq!(at, ["1", "2", "3", "4"]);
        assert!(percentile(&[], 50.0).abs() < f64::EPSILON);
        assert_eq!(Summary::of(Vec::new()), Summary::default());
        assert_eq!(GapCounts::new().summary_ms(), Summary::default());
    }

    proptest! {
        #[test]
        fn counted_gaps_give_what_sorted_gaps_give(
            gaps_us in proptest::collection::vec(prop_oneof![0_u64..50, 130_000_u64..132_000, 0_u64..1 << 30], 1..80),
        ) {
            let mut gaps = Gaps::default();
            for &gap_us in &gaps_us {
                gaps.push(gap_us);
            }
            let mut counts = GapCounts::new();
            counts.add(&gaps, 1.0);
            let counted = counts.summary_ms();
            let values = gaps_us.iter().map(|&us| as_f64(us) / 1000.0).collect();
            let sorted = Summary::of(values);
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + a.abs());
            prop_assert!(close(counted.mean, sorted.mean) && close(counted.std, sorted.std));
            prop_assert!(close(counted.p50, sorted.p50) && close(counted.p99, sorted.p99));
            prop_assert!(close(counted.max, sorted.max) && close(counted.min, sorted.min));
            prop_assert_eq!(counted.count, sorted.count);
        }
    }
}
