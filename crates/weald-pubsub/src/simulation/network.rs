//! A network that delays, loses, repeats and reorders.

use std::{collections::BTreeMap, time::Duration};

use weald_core::{Entropy, SeededEntropy, Time};

/// Packets on their way, by when they arrive.
#[derive(Debug)]
pub(super) struct Network<P> {
    on_way: BTreeMap<(Time, u64), P>,
    sent: u64,
}

impl<P: Clone> Network<P> {
    pub(super) const fn new() -> Self {
        Self { on_way: BTreeMap::new(), sent: 0 }
    }

    /// Sends a packet; how often it arrives is drawn.
    pub(super) fn send(
        &mut self,
        (now, entropy): (Time, &mut SeededEntropy),
        (loss_percent, duplicate_percent): (u64, u64),
        packet: &P,
    ) {
        if below(entropy, 100) < loss_percent {
            return;
        }
        let copies = 1 + u64::from(below(entropy, 100) < duplicate_percent);
        for _ in 0..copies {
            let delay = Duration::from_millis(1 + below(entropy, 40));
            self.sent += 1;
            self.on_way.insert((now.after(delay), self.sent), packet.clone());
        }
    }

    /// The packet that arrives next, until `now`.
    pub(super) fn arrive(&mut self, now: Time) -> Option<P> {
        let first = self.on_way.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    pub(super) fn next_arrival(&self) -> Option<Time> {
        self.on_way.first_key_value().map(|((at, _), _)| *at)
    }
}

/// A number below `bound`.
pub(super) fn below(entropy: &mut SeededEntropy, bound: u64) -> u64 {
    u64::from_le_bytes(entropy.draw()) % bound
}
