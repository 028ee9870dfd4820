//! How long polls take, as a histogram.
//!
//! In: the duration of each poll. Out: how many took at most so long.

use std::time::Duration;

/// The greatest duration of each bucket, in seconds. Polls of a quiet host take half a
/// millisecond, those of a flood some tenths of a second; over a second the next one is late.
pub(super) const BOUNDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Durations by bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct DurationHistogram {
    /// Those of each bucket alone. The last ones are longer than any bound.
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl DurationHistogram {
    /// Adds a duration.
    pub(crate) fn add(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS.partition_point(|&bound| bound < seconds);
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(duration);
    }

    /// The sum of all durations.
    pub(super) const fn sum(&self) -> Duration {
        self.sum
    }

    /// The number of all durations.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The bound of each bucket, with the number of durations in it alone.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        bounds.zip(self.counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut histogram = DurationHistogram::default();
        for micros in [0, 500, 501, 1_000, 10_000_000, 10_000_001] {
            histogram.add(Duration::from_micros(micros));
        }
        assert_eq!(histogram.count(), 6);
        assert_eq!(histogram.sum(), Duration::from_micros(20_002_002));
        let found: Vec<_> = histogram
            .buckets()
            .into_iter()
            .filter(|&(_, count)| count > 0)
            .collect();
        assert_eq!(
            found,
            [(0.0005, 2), (0.001, 2), (10.0, 1), (f64::INFINITY, 1)]
        );
    }
}
