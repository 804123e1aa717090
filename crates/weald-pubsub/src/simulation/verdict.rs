//! What must hold at the end of a run.

use std::collections::BTreeSet;

use weald_core::{Digest, DigestBuilder, Time};

use super::world::{LEASE, World};
use crate::{
    Event, Lease, MessageId, Standing, TopicPosition, TopicVersion,
    testing::{address, at, topic},
};

impl World {
    /// Each position was seen once and in order, as what was accepted there, or as gone where it is.
    pub(super) fn is_complete(&self) -> bool {
        let mut next = TopicPosition(1);
        for event in &self.seen {
            match event {
                Event::Message { position, message, .. } => {
                    let id = message.id(&address());
                    let is_it = self.truth.get(position).is_some_and(|(it, _)| *it == id);
                    if *position != next || !is_it {
                        return false;
                    }
                }
                Event::Gap { first, last } => {
                    let is_gone = |(_, expiry): &(MessageId, Time)| *expiry <= self.now;
                    let kept = self.site.head().next.0.saturating_sub(200);
                    let are_gone = self
                        .truth
                        .range(first..=last)
                        .all(|(position, accepted)| is_gone(accepted) || position.0 < kept);
                    if *first != next || !are_gone {
                        return false;
                    }
                }
                Event::CaughtUp { .. } | Event::Lagged { .. } => {}
                Event::Reset { .. } => return false,
            }
            next = last_of(event).map_or(next, TopicPosition::next);
        }
        next == self.site.head().next
    }

    pub(super) fn check(&self) {
        assert!(self.is_complete(), "{:?}", self.seen);
        assert!(self.seen.len() > 50, "something was seen");
        assert!(self.fetches > 0, "bodies were fetched");
        let count = self.truth.len() as u64;
        assert_eq!(count + 1, self.site.head().next.0, "every position was given to a message");
        let ids: BTreeSet<_> = self.truth.values().map(|(id, _)| *id).collect();
        assert_eq!(ids.len() as u64, count, "no message has two positions");
        for actor in &self.actors {
            assert_eq!(actor.settled.len() as u64, actor.publisher.outbox().last().0);
        }
    }

    /// The subscription has lasted for several times its lease, and lasts.
    pub(super) fn check_subscription(&self) {
        assert!(self.now.since(at(10)) > LEASE * 4, "{:?}", self.now);
        assert!(self.renewals > 4, "{} renewals", self.renewals);
        let leases = topic().subscribers(&mut self.site.reader(), TopicVersion::ZERO, 9).unwrap();
        let is_live =
            |lease: &Lease| lease.standing == Standing::Live && lease.expires_at > self.now;
        assert!(matches!(&leases[..], [lease] if is_live(lease)), "{leases:?}");
    }

    /// Loses one event, as a broken machine might.
    pub(super) fn forget_one_event(&mut self) {
        let nth = self.seen.iter().position(|event| matches!(event, Event::Message { .. }));
        self.seen.remove(nth.unwrap());
    }

    pub(super) fn digest(&self) -> Digest {
        let mut digest = DigestBuilder::new("run");
        digest.number(self.now.as_millis()).part(&self.site.head().encode());
        for event in &self.seen {
            digest.part(format!("{event:?}").as_bytes());
        }
        digest.finish()
    }
}

/// The last position that an event is about.
pub(super) fn last_of(event: &Event) -> Option<TopicPosition> {
    match event {
        Event::Message { position, .. } => Some(*position),
        Event::Gap { last, .. } => Some(*last),
        Event::CaughtUp { .. } | Event::Lagged { .. } | Event::Reset { .. } => None,
    }
}
