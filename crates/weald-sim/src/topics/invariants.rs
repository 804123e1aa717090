//! What must hold of a topic in every run, whatever happens: one file for each invariant, and the truth
//! that they agree on, which is what members have applied.

mod bounded;
mod delivered;
mod merged;
mod verified;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{Hash, Hasher},
};

use weald_core::{PeerId, Time};
use weald_pubsub::{
    CoordinatorObject, Event, Message, MessageId, Published, PublisherSequence, TopicPosition,
    merge::Merge,
};

use super::address;
use crate::{invariants::Violation, schedule::Instant};

/// Something that was seen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen<'a> {
    /// Somebody who may has made a message.
    Made { id: MessageId },
    /// Members have applied a message, at this position.
    Accepted { position: TopicPosition, message: &'a Message },
    /// A publisher was told that its message is in the topic.
    Acknowledged { publisher: PeerId, sequence: PublisherSequence, published: Published },
    /// A subscriber's application begins, having kept this cursor.
    Began { subscriber: u8, cursor: TopicPosition },
    /// An application is shown an event; log time is not later anywhere.
    Shown { subscriber: u8, event: &'a Event, log_time: Time },
    /// All is over: this subscriber has seen whatever there was.
    Ended { subscriber: u8 },
    /// A part has come up to before a position, where the application has taken this much.
    Sent { until: TopicPosition, taken: TopicPosition, window: u64 },
    /// A member has applied something: this is the topic's head.
    Head { head: &'a CoordinatorObject },
    /// Two heads were compared; all that each of them has, with expiries.
    Compared {
        sides: [&'a BTreeMap<MessageId, Time>; 2],
        merged: &'a Merge,
        swapped: &'a Merge,
        now: Time,
    },
    /// What a stranger has forged was applied; whether it was taken.
    Forged { what: &'static str, is_taken: bool },
}

/// One invariant.
trait Invariant {
    /// Its id and what it says.
    fn name(&self) -> &'static str;

    /// Takes in what was seen.
    ///
    /// # Errors
    /// What contradicts the invariant.
    fn see(&mut self, seen: &Seen<'_>, truth: &Truth) -> Result<(), String>;
}

/// A message of the topic.
#[derive(Clone, Debug)]
struct Accepted {
    id: MessageId,
    source: (PeerId, PublisherSequence),
    expires_at: Time,
}

/// What the topic has, by position. It is told once, by the first member that applies it; that others
/// have the same is for the invariants of the log.
#[derive(Debug)]
struct Truth {
    messages: Vec<Accepted>,
    /// Contents, each of which an application has said once.
    bodies: BTreeSet<Vec<u8>>,
    /// Messages that the topic retains.
    retained_max: u64,
}

impl Truth {
    /// What the truth itself has to be like.
    const NAME: &'static str = "INV9 topic complete and exactly once";

    /// Positions are dense, and nothing is said twice.
    fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Accepted { position, message } = seen else { return Ok(()) };
        if *position != self.next() {
            return Err(format!("position {position} is given, {} comes next", self.next()));
        }
        if !self.bodies.insert(message.body.to_vec()) {
            return Err(format!("`{}` is there twice", String::from_utf8_lossy(&message.body)));
        }
        let source = (message.publisher.peer_id(), message.sequence);
        let (id, expires_at) = (message.id(&address()), message.expires_at);
        self.messages.push(Accepted { id, source, expires_at });
        Ok(())
    }

    /// The position that comes next.
    fn next(&self) -> TopicPosition {
        TopicPosition(u64::try_from(self.messages.len()).unwrap_or(u64::MAX)).next()
    }

    fn at(&self, position: TopicPosition) -> Option<&Accepted> {
        let place = position.0.checked_sub(1)?;
        self.messages.get(usize::try_from(place).ok()?)
    }

    /// Whether the message at a position may be gone at a log time.
    fn may_be_gone(&self, position: TopicPosition, log_time: Time) -> bool {
        let is_over = self.next().0.saturating_sub(position.next().0) >= self.retained_max;
        self.at(position).is_some_and(|accepted| is_over || accepted.expires_at <= log_time)
    }
}

/// All invariants of a topic.
pub(super) struct Oracle {
    truth: Truth,
    invariants: Vec<Box<dyn Invariant>>,
    hash: std::hash::DefaultHasher,
}

impl Oracle {
    /// All of them, for a topic that retains so many messages.
    pub(super) fn new(retained_max: u64) -> Self {
        let truth = Truth { messages: Vec::new(), bodies: BTreeSet::new(), retained_max };
        let invariants: Vec<Box<dyn Invariant>> = vec![
            Box::<delivered::Delivered>::default(),
            Box::new(merged::Merged),
            Box::new(bounded::Bounded),
            Box::<verified::Verified>::default(),
        ];
        Self { truth, invariants, hash: std::hash::DefaultHasher::new() }
    }

    /// The position that comes next.
    pub(super) fn next(&self) -> TopicPosition {
        self.truth.next()
    }

    /// A hash over all that applications were shown.
    pub(super) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// Shows `seen` to every invariant; the first that does not hold.
    pub(super) fn see(&mut self, at: Instant, seen: &Seen<'_>) -> Result<(), Violation> {
        if let Seen::Shown { subscriber, event, .. } = seen {
            (at, subscriber, event).hash(&mut self.hash);
        }
        let violation = |invariant, detail| Violation { invariant, at, detail };
        self.truth.see(seen).map_err(|detail| violation(Truth::NAME, detail))?;
        for invariant in &mut self.invariants {
            let seen = invariant.see(seen, &self.truth);
            seen.map_err(|detail| violation(invariant.name(), detail))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oracle(next position {})", self.truth.next())
    }
}
