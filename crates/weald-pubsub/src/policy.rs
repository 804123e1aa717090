//! A topic's policy: who may do what, and how much of it. Fixed when the topic is created.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use weald_core::{Digest, PeerId, Time, codec, identity::PublicKey};

use crate::{
    kind,
    limits::{ACCESS_PEERS_MAX, BODY_BYTES_MAX, WORK_BITS_MAX},
};

/// The rules of a topic. Its digest stands in the head; the rules themselves in the collection's
/// header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopicPolicy {
    /// Who may publish. Default: anyone.
    pub publishers: Access,
    /// Who may subscribe. Default: anyone.
    pub subscribers: Access,
    /// Whose signature deletes the topic or imports into it. Default: nobody's.
    pub owner: Option<PublicKey>,
    /// Bytes of a body. Default: 10 KiB.
    pub body_bytes_max: usize,
    /// What one publisher may publish. Default: bursts of 100,000, 50,000 a second.
    pub publish_rate: Rate,
    /// How often one subscription may be renewed. Default: bursts of 20, one in 10 s.
    pub renew_rate: Rate,
    /// Subscriptions at a time. Default: 1,000.
    pub subscribers_max: u64,
    /// How long a subscription lasts without renewal. Default: 30 min.
    pub lease_max: Duration,
    /// How long a message may last. Default: 7 days.
    pub ttl_max: Duration,
    /// Messages retained; the oldest go first. Default: 100,000.
    pub messages_max: u64,
    /// Bytes of bodies retained; the oldest go first. Default: 256 MiB.
    pub bytes_max: u64,
    /// Publishers' runs that the topic remembers. Default: 10,000.
    pub publishers_max: u64,
    /// How long a topic without messages and subscribers stays. Default: 7 days.
    pub inactivity: Duration,
    /// Work asked for large messages. Default: none.
    pub work: Option<WorkRule>,
    /// Whether each member verifies the signature of each message at apply. Default: no, the
    /// coordinator does before it proposes, and members in the background.
    pub is_strict: bool,
    /// What a publisher does that cannot reach the topic's home. Default: wait.
    pub availability: Availability,
    /// How often a message is given to a group before it is a dead letter. Default: 5.
    pub attempts_max: u32,
}

/// Who may do something.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Access {
    /// Everyone in the network.
    #[default]
    Anyone,
    /// These peers.
    Listed(BTreeSet<PeerId>),
}

impl Access {
    /// Whether `peer` may.
    pub fn allows(&self, peer: &PeerId) -> bool {
        match self {
            Self::Anyone => true,
            Self::Listed(peers) => peers.contains(peer),
        }
    }
}

/// A bound on how often something happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// How many at once.
    pub burst: u32,
    /// In what time one more is allowed, in microseconds.
    pub interval_micros: u32,
}

/// What large messages cost their publisher.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct WorkRule {
    /// Bodies above this many bytes need work.
    pub above_bytes: usize,
    /// Leading zeros of the digest.
    pub bits: u8,
}

/// What becomes of a publish while the topic's home cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Availability {
    /// It waits, and its outcome is unknown when its deadline passes.
    #[default]
    Consistent,
    /// It is kept in the node's outbox and answered `Queued`.
    Available,
}

/// Why a policy was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a policy: {0}")]
pub struct PolicyError(pub &'static str);

impl Default for TopicPolicy {
    fn default() -> Self {
        let week = Duration::from_secs(7 * 24 * 60 * 60);
        Self {
            publishers: Access::Anyone,
            subscribers: Access::Anyone,
            owner: None,
            body_bytes_max: 10 * 1024,
            publish_rate: Rate { burst: 100_000, interval_micros: 20 },
            renew_rate: Rate { burst: 20, interval_micros: 10_000_000 },
            subscribers_max: 1000,
            lease_max: Duration::from_secs(30 * 60),
            ttl_max: week,
            messages_max: 100_000,
            bytes_max: 256 * 1024 * 1024,
            publishers_max: 10_000,
            inactivity: week,
            work: None,
            is_strict: false,
            availability: Availability::Consistent,
            attempts_max: 5,
        }
    }
}

impl TopicPolicy {
    /// Checks the relations between the rules.
    ///
    /// # Errors
    /// [`PolicyError`] names the first that does not hold.
    pub fn check(&self) -> Result<(), PolicyError> {
        let is_short = |access: &Access| match access {
            Access::Anyone => true,
            Access::Listed(peers) => peers.len() <= ACCESS_PEERS_MAX,
        };
        let rules = [
            (is_short(&self.publishers) && is_short(&self.subscribers), "an access list is long"),
            (self.body_bytes_max <= BODY_BYTES_MAX, "bodies are larger than any may be"),
            (self.publish_rate.burst > 0 && self.renew_rate.burst > 0, "a rate allows nothing"),
            (!self.lease_max.is_zero() && !self.ttl_max.is_zero(), "nothing would last"),
            (self.messages_max > 0 && self.bytes_max > 0, "nothing would be retained"),
            (self.publishers_max > 0 && self.attempts_max > 0, "nobody could publish or consume"),
            (self.work.is_none_or(|rule| rule.bits <= WORK_BITS_MAX), "too much work is asked"),
        ];
        let broken = rules.into_iter().find(|(holds, _)| !holds);
        broken.map_or(Ok(()), |(_, what)| Err(PolicyError(what)))
    }

    /// What the head says of the policy.
    pub fn digest(&self) -> Digest {
        Digest::of("weald topic policy", &[&codec::encode(kind::POLICY, self)])
    }
}

/// What is left of a [`Rate`]: a point in time that each use moves on by the interval. Saves a count
/// and a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Bucket {
    /// When the bucket is full again, in microseconds of log time.
    full_at: u64,
}

impl Bucket {
    /// One that is full again at this time, in microseconds of log time.
    pub(crate) const fn full(at_micros: u64) -> Self {
        Self { full_at: at_micros }
    }

    /// When it is full again, in microseconds of log time.
    pub(crate) const fn full_at(&self) -> u64 {
        self.full_at
    }

    /// Takes one at `now` if the rate allows it.
    #[must_use]
    pub fn take(&mut self, rate: Rate, now: Time) -> bool {
        let now = now.as_millis().saturating_mul(1000);
        let interval = u64::from(rate.interval_micros);
        let after = self.full_at.max(now).saturating_add(interval);
        let is_allowed = after - now <= interval.saturating_mul(u64::from(rate.burst));
        if is_allowed {
            self.full_at = after;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ps1661_a_bucket_allows_its_burst_and_then_its_rate() {
        let rate = Rate { burst: 10, interval_micros: 1_000_000 };
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        let mut bucket = Bucket::default();
        let taken = (0..100).filter(|_| bucket.take(rate, at(50))).count();
        assert_eq!(taken, 10);
        assert!(bucket.take(rate, at(51)) && !bucket.take(rate, at(51)));
        assert_eq!((0..100).filter(|_| bucket.take(rate, at(1000))).count(), 10);
    }

    #[test]
    fn a_policy_that_allows_nothing_or_too_much_is_refused() {
        assert_eq!(TopicPolicy::default().check(), Ok(()));
        let broken = [
            TopicPolicy { body_bytes_max: BODY_BYTES_MAX + 1, ..TopicPolicy::default() },
            TopicPolicy { lease_max: Duration::ZERO, ..TopicPolicy::default() },
            TopicPolicy { messages_max: 0, ..TopicPolicy::default() },
            TopicPolicy { attempts_max: 0, ..TopicPolicy::default() },
            TopicPolicy {
                work: Some(WorkRule { above_bytes: 0, bits: WORK_BITS_MAX + 1 }),
                ..TopicPolicy::default()
            },
            TopicPolicy {
                publish_rate: Rate { burst: 0, interval_micros: 1 },
                ..TopicPolicy::default()
            },
        ];
        for policy in broken {
            assert!(policy.check().is_err(), "{policy:?}");
        }
    }

    #[test]
    fn an_access_list_allows_whom_it_names() {
        let peer = |byte| PeerId::from_digest(Digest::from_bytes([byte; 32]));
        let access = Access::Listed([peer(1)].into());
        assert!(access.allows(&peer(1)) && !access.allows(&peer(2)));
        let many = (0..=u8::MAX).map(peer).chain([PeerId::from_digest(Digest::ZERO)]);
        assert_eq!(many.collect::<BTreeSet<_>>().len(), ACCESS_PEERS_MAX);
        let long = (0..300_u64)
            .map(|n| PeerId::from_digest(Digest::of("peer", &[&n.to_le_bytes()])))
            .collect();
        let policy = TopicPolicy { publishers: Access::Listed(long), ..TopicPolicy::default() };
        assert!(policy.check().is_err());
    }
}
