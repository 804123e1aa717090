//! The machine's clock and randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use weald_core::{Clock, Entropy, Time};

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The operating system's random bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system has random bytes");
    }
}

/// Random bytes behind a pointer, where a concrete source is wanted.
pub(crate) struct Drawn<'a>(pub(crate) &'a mut (dyn Entropy + Send));

impl Entropy for Drawn<'_> {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}
