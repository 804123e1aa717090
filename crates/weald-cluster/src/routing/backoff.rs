//! Pauses that double, with jitter, up to a cap.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weald_core::Digest;

/// How pauses grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Backoff {
    /// The first pause at most, default 25 ms.
    pub first: Duration,
    /// Every pause at most, default 500 ms: what a request may lose after a takeover.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(25), max: Duration::from_millis(500) }
    }
}

impl Backoff {
    /// The longest pause after `failure_count` failures in a row: it doubles with each.
    pub fn ceiling(&self, failure_count: u32) -> Duration {
        let doublings = failure_count.saturating_sub(1).min(30);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }

    /// A pause after `failure_count` failures: between half the ceiling and all of it, so that those
    /// who failed together do not come again together.
    pub fn pause(&self, failure_count: u32, jitter: &mut Jitter) -> Duration {
        let ceiling = self.ceiling(failure_count);
        let half = ceiling / 2;
        half + jitter.up_to(ceiling - half)
    }
}

/// Reproducible random numbers as a value: one seed gives one stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Jitter {
    seed: u64,
    drawn_count: u64,
}

impl Jitter {
    /// The stream of `seed`, from its beginning.
    pub const fn new(seed: u64) -> Self {
        Self { seed, drawn_count: 0 }
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let parts = [self.seed.to_le_bytes(), self.drawn_count.to_le_bytes()];
        self.drawn_count += 1;
        let digest = Digest::of("weald jitter", &[&parts[0], &parts[1]]);
        u64::from_le_bytes(digest.prefix()).checked_rem(bound).unwrap_or(0)
    }

    /// A duration of whole milliseconds, at most `most`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.below(millis.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w139_pauses_double_with_jitter_up_to_the_cap() {
        let backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(3) };
        let ceilings = (0..8).map(|i| backoff.ceiling(i).as_millis()).collect::<Vec<_>>();
        assert_eq!(ceilings, [100, 100, 200, 400, 800, 1600, 3000, 3000]);
        assert_eq!(backoff.ceiling(u32::MAX), backoff.max);
        let mut jitter = Jitter::new(1);
        for failure_count in 1..=8 {
            let ceiling = backoff.ceiling(failure_count);
            let pauses: std::collections::BTreeSet<_> =
                (0..100).map(|_| backoff.pause(failure_count, &mut jitter)).collect();
            assert!(pauses.iter().all(|pause| ceiling / 2 <= *pause && *pause <= ceiling));
            assert!(pauses.len() > 20, "they differ: {}", pauses.len());
        }
    }

    #[test]
    fn one_seed_gives_one_stream() {
        let draw = |seed| -> Vec<_> {
            let mut jitter = Jitter::new(seed);
            (0..10).map(|_| jitter.below(1000)).collect()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(Jitter::new(1).below(0), 0);
    }
}
