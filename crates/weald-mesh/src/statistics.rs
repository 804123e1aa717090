//! Durations, summed up.

use std::fmt;
use std::time::Duration;

/// What is told of many durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) count: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Summary {
    /// None for no durations.
    pub(crate) fn of(mut durations: Vec<Duration>) -> Option<Self> {
        durations.sort_unstable();
        Some(Self {
            count: durations.len(),
            p50: percentile(&durations, 50)?,
            p99: percentile(&durations, 99)?,
            max: *durations.last()?,
        })
    }
}

/// The smallest of `sorted` that at least `percent` of a hundred of them do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99, max) = (Shown(self.p50), Shown(self.p99), Shown(self.max));
        write!(f, "p50 {p50}  p99 {p99}  max {max}  (n={})", self.count)
    }
}

/// A duration in the unit that suits it.
pub(crate) struct Shown(pub(crate) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds >= 1.0 {
            write!(f, "{seconds:.2} s")
        } else if seconds >= 0.01 {
            write!(f, "{:.0} ms", seconds * 1e3)
        } else {
            write!(f, "{:.2} ms", seconds * 1e3)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(millis: impl IntoIterator<Item = u64>) -> Option<Summary> {
        Summary::of(millis.into_iter().map(Duration::from_millis).collect())
    }

    #[test]
    fn percentiles_are_ranks_of_what_was_measured() {
        let hundred = summary((1..=100).rev()).unwrap();
        let of = |millis| Duration::from_millis(millis);
        assert_eq!((hundred.p50, hundred.p99, hundred.max), (of(50), of(99), of(100)));
        let fifty = summary(1..=50).unwrap();
        assert_eq!((fifty.p50, fifty.p99), (of(25), of(50)));
        let one = summary([7]).unwrap();
        assert_eq!((one.count, one.p50, one.p99, one.max), (1, of(7), of(7), of(7)));
        assert_eq!(summary([]), None);
    }

    #[test]
    fn durations_are_shown_in_a_unit_that_suits_them() {
        let check = |micros, expect: &str| {
            assert_eq!(Shown(Duration::from_micros(micros)).to_string(), expect);
        };
        check(420, "0.42 ms");
        check(12_345, "12 ms");
        check(1_240_000, "1.24 s");
    }
}
