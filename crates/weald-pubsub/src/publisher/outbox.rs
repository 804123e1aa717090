//! The messages of a publisher whose fate is not certain.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weald_core::Time;

use crate::{Incarnation, Message, PublisherSequence, limits::OUTBOX_BATCH_BYTES_MAX};

/// What a publisher keeps durably: applied in order, records give its [`Outbox`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum PublisherRecord {
    /// A message has been taken, as it was signed.
    Taken(Message),
    /// The fate of a message is certain.
    Done(PublisherSequence),
}

/// How a message stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Standing {
    /// It is to be published.
    Waiting,
    /// It never will be; its sequence is to be skipped.
    Passed,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Kept {
    message: Message,
    standing: Standing,
    /// Whether a record of it was made.
    is_kept: bool,
    /// Whether the application knows that it waits.
    is_told: bool,
    /// Whether it was sent and not answered: the topic may have it.
    is_doubtful: bool,
}

/// Messages in the order of their sequences.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Outbox {
    incarnation: Incarnation,
    last: PublisherSequence,
    bytes: usize,
    kept: BTreeMap<PublisherSequence, Kept>,
}

impl Outbox {
    /// An empty outbox of a new incarnation.
    pub const fn new(incarnation: Incarnation) -> Self {
        let last = PublisherSequence::ZERO;
        Self { incarnation, last, bytes: 0, kept: BTreeMap::new() }
    }

    /// Applies a record that was kept.
    pub fn apply(&mut self, record: &PublisherRecord) {
        match record {
            PublisherRecord::Taken(message) => {
                self.last = self.last.max(message.sequence);
                self.bytes += message.body.len();
                let (message, standing) = (message.clone(), Standing::Waiting);
                let (is_kept, is_told, is_doubtful) = (false, false, false);
                let kept = Kept { message, standing, is_kept, is_told, is_doubtful };
                if let Some(same) = self.kept.insert(kept.message.sequence, kept) {
                    self.bytes -= same.message.body.len();
                }
            }
            PublisherRecord::Done(sequence) => {
                if let Some(kept) = self.kept.remove(sequence) {
                    self.bytes -= kept.message.body.len();
                }
            }
        }
    }

    /// The publisher's run.
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The last sequence that was given.
    pub const fn last(&self) -> PublisherSequence {
        self.last
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Bytes of the bodies that wait.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the message of a sequence waits.
    pub fn contains(&self, sequence: PublisherSequence) -> bool {
        self.kept.contains_key(&sequence)
    }

    /// All that wait, in order.
    pub(super) fn sequences(&self) -> Vec<PublisherSequence> {
        self.kept.keys().copied().collect()
    }

    /// How the message of a sequence stands; `None` when it does not wait.
    pub(super) fn standing(&self, sequence: PublisherSequence) -> Option<Standing> {
        self.kept.get(&sequence).map(|kept| kept.standing)
    }

    pub(super) fn first(&self) -> Option<(PublisherSequence, Standing)> {
        self.kept.first_key_value().map(|(sequence, kept)| (*sequence, kept.standing))
    }

    /// Messages from the front that are to be published, up to and with `until`: up to `max` of
    /// them, and as many bytes as go at once.
    pub(super) fn batch(&self, until: PublisherSequence, max: usize) -> Vec<Message> {
        let mut bytes = 0;
        let front = self.kept.range(..=until).take(max);
        let waiting = front.take_while(|(_, kept)| {
            let is_first = bytes == 0;
            bytes += kept.message.body.len() + 1;
            kept.standing == Standing::Waiting && (is_first || bytes <= OUTBOX_BATCH_BYTES_MAX)
        });
        waiting.map(|(_, kept)| kept.message.clone()).collect()
    }

    /// Notes that the topic may have these.
    pub(super) fn doubt(&mut self, sequences: &[PublisherSequence]) {
        for sequence in sequences {
            if let Some(kept) = self.kept.get_mut(sequence) {
                kept.is_doubtful = true;
            }
        }
    }

    /// Whether the topic may have the message of a sequence.
    pub(super) fn is_doubtful(&self, sequence: PublisherSequence) -> bool {
        self.kept.get(&sequence).is_some_and(|kept| kept.is_doubtful)
    }

    /// Messages at the front that have expired at `now`, without those that the topic may have.
    pub(super) fn expired(&self, now: Time) -> Vec<(PublisherSequence, Time)> {
        let may_expire = |kept: &Kept| kept.standing == Standing::Waiting && !kept.is_doubtful;
        let waiting = self.kept.iter().filter(|(_, kept)| may_expire(kept));
        let expired = waiting.take_while(|(_, kept)| kept.message.expires_at <= now);
        expired.map(|(sequence, kept)| (*sequence, kept.message.expires_at)).collect()
    }

    pub(super) fn pass(&mut self, sequence: PublisherSequence) {
        if let Some(kept) = self.kept.get_mut(&sequence) {
            kept.standing = Standing::Passed;
        }
    }

    /// Notes that all that waits is kept, and gives what was not before. What is kept comes before
    /// what is not: once one is kept, all are that follow while the topic is not reached.
    pub(super) fn keep(&mut self) -> Vec<Message> {
        let new = self.kept.values_mut().rev().take_while(|kept| !kept.is_kept);
        let mut messages: Vec<_> = new
            .map(|kept| {
                kept.is_kept = true;
                kept.message.clone()
            })
            .collect();
        messages.reverse();
        messages
    }

    /// Whether a record of a message was made.
    pub(super) fn is_kept(&self, sequence: PublisherSequence) -> bool {
        self.kept.get(&sequence).is_some_and(|kept| kept.is_kept)
    }

    /// Notes that the application is told of all that wait up to and with `until`, and gives those of
    /// which it was not before.
    pub(super) fn tell(&mut self, until: PublisherSequence) -> Vec<PublisherSequence> {
        let new = self.kept.range_mut(..=until).rev().take_while(|(_, kept)| !kept.is_told);
        let mut sequences: Vec<_> = new
            .filter_map(|(sequence, kept)| {
                kept.is_told = true;
                (kept.standing == Standing::Waiting).then_some(*sequence)
            })
            .collect();
        sequences.reverse();
        sequences
    }

    /// What is kept durably, as records that give this outbox again.
    pub fn records(&self) -> Vec<PublisherRecord> {
        let kept = self.kept.values().filter(|kept| kept.is_kept);
        kept.map(|kept| PublisherRecord::Taken(kept.message.clone())).collect()
    }
}
