//! A breaker for each pair of peer and partition: whoever keeps failing is left alone for a while,
//! then tried with one real request (rule C13).

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use weald_core::{PartitionId, PeerId, Time};

use super::{backoff::Backoff, limits::BREAKERS_MAX};

/// When breakers open and how long they stay open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct BreakerConfig {
    /// Failures in a row that open a breaker, default 5; at least 1. Of any kind: no answer, no
    /// connection, no quorum, an unknown outcome.
    pub failures_max: u32,
    /// How long it stays open, default 200 ms, doubled each time a probe fails, at most 10 s. Doubling
    /// makes the last pause about as long as the trouble was.
    pub open: Backoff,
    /// How long a probe may take before another may try, default 2 s.
    pub probe_timeout: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        let open = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(10) };
        Self { failures_max: 5, open, probe_timeout: Duration::from_secs(2) }
    }
}

/// What a breaker lets through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing before that time, then one request as a probe.
    Open {
        /// When it may be tried.
        until: Time,
    },
    /// Nothing: a probe is under way, and if nothing comes of it another may follow at that time.
    HalfOpen {
        /// When the probe counts as lost.
        until: Time,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Breaker {
    state: BreakerState,
    failure_count: u32,
    /// Times that it opened in a row.
    opening_count: u32,
}

type Key = (PeerId, PartitionId);

/// The breakers. One that is closed and has seen no failure has no entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Breakers {
    config: BreakerConfig,
    table: BTreeMap<Key, Breaker>,
}

impl Breakers {
    pub(super) fn new(config: BreakerConfig) -> Self {
        Self { config, table: BTreeMap::new() }
    }

    pub(super) fn state(&self, key: &Key) -> BreakerState {
        self.table.get(key).map_or(BreakerState::Closed, |breaker| breaker.state)
    }

    /// All breakers that are not closed.
    pub(super) fn tripped(&self) -> impl Iterator<Item = (&Key, BreakerState)> {
        let states = self.table.iter().map(|(key, breaker)| (key, breaker.state));
        states.filter(|(_, state)| *state != BreakerState::Closed)
    }

    /// When a request may go to the peer; `None` for at once.
    pub(super) fn blocked_until(&self, now: Time, key: &Key) -> Option<Time> {
        match self.state(key) {
            BreakerState::Closed => None,
            BreakerState::Open { until } | BreakerState::HalfOpen { until } => {
                (now < until).then_some(until)
            }
        }
    }

    /// A request goes to the peer. Returns the new state if this makes it the probe.
    pub(super) fn admit(&mut self, now: Time, key: Key) -> Option<BreakerState> {
        let breaker = self.table.get_mut(&key)?;
        if breaker.state == BreakerState::Closed {
            return None;
        }
        breaker.state = BreakerState::HalfOpen { until: now.after(self.config.probe_timeout) };
        Some(breaker.state)
    }

    /// The peer served. Returns the new state if that closes the breaker.
    pub(super) fn succeed(&mut self, key: &Key) -> Option<BreakerState> {
        let breaker = self.table.remove(key)?;
        (breaker.state != BreakerState::Closed).then_some(BreakerState::Closed)
    }

    /// The peer has become a coordinator: its failures as a follower say nothing about that, so it
    /// may be probed at once.
    pub(super) fn excuse(&mut self, now: Time, key: &Key) {
        let state = self.table.get_mut(key).map(|breaker| &mut breaker.state);
        if let Some(BreakerState::Open { until }) = state {
            *until = now.min(*until);
        }
    }

    /// The peer failed. Returns the new state if that opens the breaker, or opens it again.
    pub(super) fn fail(&mut self, now: Time, key: Key) -> Option<BreakerState> {
        if self.table.len() >= BREAKERS_MAX && !self.table.contains_key(&key) {
            return None;
        }
        let closed = Breaker { state: BreakerState::Closed, failure_count: 0, opening_count: 0 };
        let breaker = self.table.entry(key).or_insert(closed);
        breaker.failure_count = breaker.failure_count.saturating_add(1);
        let is_opened = match breaker.state {
            BreakerState::Closed => breaker.failure_count >= self.config.failures_max,
            BreakerState::HalfOpen { .. } => true,
            BreakerState::Open { .. } => false,
        };
        is_opened.then(|| {
            breaker.opening_count = breaker.opening_count.saturating_add(1);
            let until = now.after(self.config.open.ceiling(breaker.opening_count));
            breaker.state = BreakerState::Open { until };
            breaker.state
        })
    }
}

#[cfg(test)]
mod tests {
    use weald_core::Digest;

    use super::*;

    fn key(i: u64) -> Key {
        (PeerId::from_digest(Digest::of("peer", &[&i.to_le_bytes()])), PartitionId(0))
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn w9_a_breaker_opens_is_probed_and_closes() {
        let mut breakers = Breakers::new(BreakerConfig::default());
        for _ in 0..4 {
            assert_eq!(breakers.fail(at(0), key(1)), None);
        }
        assert_eq!(breakers.fail(at(0), key(1)), Some(BreakerState::Open { until: at(200) }));
        assert_eq!(breakers.blocked_until(at(199), &key(1)), Some(at(200)));
        assert_eq!(breakers.fail(at(199), key(1)), None, "a late failure changes nothing");
        assert_eq!(breakers.blocked_until(at(200), &key(1)), None);
        let half_open = BreakerState::HalfOpen { until: at(2200) };
        assert_eq!(breakers.admit(at(200), key(1)), Some(half_open));
        assert_eq!(breakers.blocked_until(at(201), &key(1)), Some(at(2200)), "one probe");
        let open = BreakerState::Open { until: at(700) };
        assert_eq!(breakers.fail(at(300), key(1)), Some(open), "twice as long");
        breakers.excuse(at(400), &key(1));
        assert_eq!(breakers.blocked_until(at(400), &key(1)), None, "a new coordinator");
        breakers.admit(at(400), key(1));
        breakers.excuse(at(401), &key(1));
        assert!(breakers.blocked_until(at(401), &key(1)).is_some(), "still one probe");
        assert_eq!(breakers.succeed(&key(1)), Some(BreakerState::Closed));
        assert_eq!(breakers.state(&key(1)), BreakerState::Closed);
        assert_eq!(breakers.tripped().count(), 0);
    }

    #[test]
    fn failures_count_in_a_row_and_for_one_pair() {
        let mut breakers = Breakers::new(BreakerConfig::default());
        for _ in 0..20 {
            (0..4).for_each(|_| assert_eq!(breakers.fail(at(0), key(1)), None));
            assert_eq!(breakers.succeed(&key(1)), None);
        }
        let changes = (0..5).filter_map(|_| breakers.fail(at(0), key(1)));
        assert_eq!(changes.count(), 1);
        let elsewhere = (key(1).0, PartitionId(1));
        assert_eq!(breakers.state(&elsewhere), BreakerState::Closed);
    }

    #[test]
    fn the_table_of_breakers_is_bounded() {
        let mut breakers = Breakers::new(BreakerConfig { failures_max: 1, ..Default::default() });
        let count = BREAKERS_MAX as u64;
        (0..count).for_each(|i| assert!(breakers.fail(at(0), key(i)).is_some()));
        assert_eq!(breakers.fail(at(0), key(count)), None);
        assert_eq!(breakers.tripped().count(), BREAKERS_MAX);
        breakers.succeed(&key(0));
        assert!(breakers.fail(at(0), key(count)).is_some());
    }
}
