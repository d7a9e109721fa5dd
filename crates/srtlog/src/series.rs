//! [`Series`]: a worker's log as a time series, in bounded memory.

use std::collections::BTreeMap;

use crate::{
    event::{BatchKind, Event, Sink},
    metric::{Metric, MetricSet},
    number::Number,
    sums::BatchSums,
};

/// Points of each kind that are kept. A longer log gets wider points, never more of them.
const MAX_POINTS: usize = 1024;

/// Collects the batches of a log into points of equal width.
///
/// A log that would need more than 1024 points of a kind gets points twice as wide, as often as it takes.
#[derive(Debug)]
pub struct Series {
    width_s: f64,
    points: BTreeMap<(BatchKind, i64), BatchSums>,
}

/// The batches of one kind in one stretch of time.
#[derive(Debug)]
pub struct SeriesPoint<'a> {
    /// Kind of the batches.
    pub kind: BatchKind,
    /// Start of the stretch, in seconds as [`Timestamp::seconds`](crate::Timestamp::seconds) counts them.
    pub start_s: f64,
    /// Batches in it.
    pub batches: u64,
    sums: &'a BatchSums,
}

impl SeriesPoint<'_> {
    /// The mean of a reading over the batches that have it.
    pub fn mean(&self, metric: Metric) -> Option<f64> {
        self.sums.of(metric).mean()
    }

    /// The greatest reading.
    pub fn max(&self, metric: Metric) -> Option<Number> {
        self.sums.of(metric).max()
    }
}

impl Series {
    /// Collects into points of `width_s` seconds; widths that are no positive number count as one second.
    pub fn new(width_s: f64) -> Series {
        let width_s = if width_s.is_finite() && width_s > 0.0 { width_s } else { 1.0 };
        Series { width_s, points: BTreeMap::new() }
    }

    /// The width of a point now, seconds.
    pub fn width_s(&self) -> f64 {
        self.width_s
    }

    /// The points, by kind and time.
    #[expect(clippy::cast_precision_loss, reason = "points since 1970 stay far below 2^53")]
    pub fn points(&self) -> impl Iterator<Item = SeriesPoint<'_>> {
        self.points.iter().map(|(&(kind, slot), sums)| SeriesPoint {
            kind,
            start_s: slot as f64 * self.width_s,
            batches: sums.batches,
            sums,
        })
    }

    fn widen(&mut self) {
        self.width_s *= 2.0;
        for ((kind, slot), sums) in std::mem::take(&mut self.points) {
            self.points.entry((kind, slot.div_euclid(2))).or_default().merge(&sums);
        }
    }
}

impl Sink for Series {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seconds since 1970 over a width fit an i64, or saturate"
    )]
    fn event(&mut self, event: &Event<'_>) {
        let Event::Batch(batch) = event else { return };
        let Some(seconds) = batch.timestamp.seconds() else { return };
        let slot = (seconds / self.width_s).floor() as i64;
        self.points.entry((batch.kind, slot)).or_default().add(&batch.values, MetricSet::ALL);
        while self.points.range((batch.kind, i64::MIN)..=(batch.kind, i64::MAX)).count() > MAX_POINTS {
            self.widen();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::node_parser;

    fn read(seconds: impl Iterator<Item = u32>) -> Series {
        let mut series = Series::new(1.0);
        let mut parser = node_parser("sglang").expect("registered");
        for second in seconds {
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            let line = format!(
                "[2026-01-16 {hour:02}:{minute:02}:{second:02}] Decode batch, #running-req: {second}, #queue-req: 1\n"
            );
            parser.push(line.as_bytes(), &mut series);
        }
        series
    }

    #[test]
    fn batches_of_a_second_are_one_point() {
        let series = read([5, 5, 7].into_iter());
        let points: Vec<_> =
            series.points().map(|point| (point.batches, point.mean(Metric::RunningReq))).collect();
        assert_eq!(points, [(2, Some(5.0)), (1, Some(7.0))]);
    }

    #[test]
    fn a_long_log_gets_wider_points() {
        let series = read((0..5000).chain(0..10));
        assert!((series.width_s() - 8.0).abs() < f64::EPSILON);
        assert_eq!(series.points().count(), 625);
        assert_eq!(series.points().map(|point| point.batches).sum::<u64>(), 5010);
    }
}
