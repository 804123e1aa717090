//! Figures that a node keeps of itself, for whoever watches over it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper ends of the buckets of a [`Histogram`], in microseconds; one more bucket has no end.
pub const BUCKETS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 10_000_000,
];

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, as Prometheus has it. Several that differ in their labels follow each other.
    pub name: String,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// What sets it apart from others of its name: names and values.
    pub labels: Vec<(&'static str, String)>,
    /// What it is.
    pub value: MetricValue,
}

/// What a figure is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricValue {
    /// A count since the start; it only grows.
    Counter(u64),
    /// How much there is now.
    Gauge(u64),
    /// How long things took.
    Times(Histogram),
}

/// How long things took, since the start.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Histogram {
    /// How many took up to the end of each bucket of [`BUCKETS_US`] and longer than the one before.
    pub counts: [u64; BUCKETS_US.len() + 1],
    /// The sum of all times, in microseconds.
    pub sum_us: u64,
}

impl Metric {
    /// A counter without labels.
    pub(crate) fn counter(name: impl Into<String>, help: &'static str, count: u64) -> Self {
        let value = MetricValue::Counter(count);
        Self { name: name.into(), help, labels: Vec::new(), value }
    }

    /// A gauge without labels.
    pub(crate) fn gauge(name: impl Into<String>, help: &'static str, now: u64) -> Self {
        let value = MetricValue::Gauge(now);
        Self { name: name.into(), help, labels: Vec::new(), value }
    }
}

/// Counts how long things take.
#[derive(Debug, Default)]
pub(crate) struct Times {
    counts: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Times {
    /// Counts something that took so long.
    pub(crate) fn count(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|end| *end < took_us);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(took_us, Relaxed);
    }

    /// What was counted.
    pub(crate) fn read(&self) -> Histogram {
        Histogram {
            counts: std::array::from_fn(|bucket| self.counts[bucket].load(Relaxed)),
            sum_us: self.sum_us.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_the_bucket_that_holds_it() {
        let times = Times::default();
        for micros in [0, 100, 101, 250, 60_000_000] {
            times.count(Duration::from_micros(micros));
        }
        let Histogram { counts, sum_us } = times.read();
        assert_eq!((counts[0], counts[1], counts[BUCKETS_US.len()]), (2, 2, 1));
        assert_eq!(counts.iter().sum::<u64>(), 5);
        assert_eq!(sum_us, 60_000_451);
    }
}
