//! The head of a topic: small, and the only part of it that changes in place.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    Digest, Time,
    codec::{self, CodecError},
};

use crate::{
    Cid, TopicId, TopicPosition, TopicVersion, kind,
    limits::{HISTORY_KEPT, HISTORY_MAX},
};

/// How a topic is. Nobody sets it from outside: it follows from the topic's blocks and log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ChannelState {
    /// All is there.
    Active,
    /// Blocks of it are under repair here; publishes and reads wait.
    Recovering,
    /// A page is lost on all members; an administrator recovers what is left.
    Failed,
    /// The topic was deleted, or ended because nobody used it.
    Deleted,
}

/// A topic's head, at most [`HEAD_BYTES_MAX`](crate::limits::HEAD_BYTES_MAX) bytes. Anyone may read
/// it: how many messages and subscribers there are is public.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CoordinatorObject {
    /// The topic.
    pub topic: TopicId,
    /// The digest of the policy, which stands in the collection's header.
    pub policy: Digest,
    /// When the topic was created, log time.
    pub created_at: Time,
    /// Raised when a topic that was deleted is created again.
    pub generation: u64,
    /// How the topic is.
    pub state: ChannelState,
    /// The subscriptions.
    pub subscribers: Side,
    /// Their last versions, oldest first.
    pub subscriber_history: Vec<HistoryEntry>,
    /// The snapshot that holds what the histories no longer do.
    pub previous: Option<Cid>,
    /// The last change, log time.
    pub modified_at: Time,
    /// When the topic ends if nobody uses it, log time.
    pub expires_at: Time,
    /// The position that the next message gets.
    pub next: TopicPosition,
    /// The messages.
    pub messages: Side,
    /// Their last versions, oldest first.
    pub message_history: Vec<HistoryEntry>,
}

/// One of the two collections of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Side {
    /// How often it was changed: once for each action that did.
    pub version: TopicVersion,
    /// The root of its pages.
    pub root: Cid,
    /// Its entries.
    pub count: u64,
}

/// A version of a collection, as a head remembers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The version.
    pub version: TopicVersion,
    /// The first 16 bytes of its root.
    #[serde(with = "weald_core::codec::raw")]
    pub root: [u8; 16],
}

impl HistoryEntry {
    fn of(side: &Side) -> Self {
        Self { version: side.version, root: side.root.digest().prefix() }
    }
}

impl Side {
    /// A collection that was never changed.
    pub const EMPTY: Self = Self { version: TopicVersion::ZERO, root: Cid::EMPTY, count: 0 };

    /// Moves on to a version with this root; tells how many entries have left `history`.
    fn advance(&mut self, history: &mut Vec<HistoryEntry>, root: Cid, count: u64) -> usize {
        *self = Self { version: self.version.next(), root, count };
        history.push(HistoryEntry::of(self));
        if history.len() <= HISTORY_MAX {
            return 0;
        }
        let left = history.len() - HISTORY_KEPT;
        history.drain(..left);
        left
    }

    fn check(&self, history: &[HistoryEntry]) -> Result<(), HeadError> {
        let rules = [
            (history.len() <= HISTORY_MAX, "a history is too long"),
            (history.is_sorted_by(|a, b| a.version < b.version), "a history is out of order"),
            ((self.root == Cid::EMPTY) == (self.count == 0), "a count and its root disagree"),
            (
                history.last().copied() == (self.version.0 > 0).then(|| HistoryEntry::of(self)),
                "a history does not end with its root",
            ),
        ];
        first_broken(&rules)
    }
}

/// Why bytes are no head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// They do not parse.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// They contradict themselves.
    #[error("not a head: {0}")]
    Invalid(&'static str),
}

impl CoordinatorObject {
    /// The head of a new topic.
    pub fn new(topic: TopicId, policy: Digest, created_at: Time) -> Self {
        Self {
            topic,
            policy,
            created_at,
            generation: 1,
            state: ChannelState::Active,
            subscribers: Side::EMPTY,
            subscriber_history: Vec::new(),
            previous: None,
            modified_at: created_at,
            expires_at: Time::MAX,
            next: TopicPosition(1),
            messages: Side::EMPTY,
            message_history: Vec::new(),
        }
    }

    /// Moves the messages on by one version; tells how many entries have left their history, which a
    /// snapshot then takes.
    pub fn advance_messages(&mut self, root: Cid, count: u64) -> usize {
        self.messages.advance(&mut self.message_history, root, count)
    }

    /// As [`CoordinatorObject::advance_messages`], for the subscriptions.
    pub fn advance_subscribers(&mut self, root: Cid, count: u64) -> usize {
        self.subscribers.advance(&mut self.subscriber_history, root, count)
    }

    /// Whether the head agrees with itself.
    ///
    /// # Errors
    /// [`HeadError::Invalid`] names what does not.
    pub fn check(&self) -> Result<(), HeadError> {
        self.messages.check(&self.message_history)?;
        self.subscribers.check(&self.subscriber_history)?;
        let rules = [
            (self.next > TopicPosition::ZERO, "positions begin with 1"),
            (self.messages.count < self.next.0, "more messages than positions"),
            (self.created_at <= self.modified_at, "it was changed before it was made"),
            (self.generation > 0, "generations begin with 1"),
        ];
        first_broken(&rules)
    }

    /// The bytes that are stored and sent.
    pub fn encode(&self) -> Bytes {
        codec::encode(kind::HEAD, self)
    }

    /// Reads what [`CoordinatorObject::encode`] made and checks it.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let head: Self = codec::decode(kind::HEAD, bytes)?;
        head.check().map(|()| head)
    }
}

fn first_broken(rules: &[(bool, &'static str)]) -> Result<(), HeadError> {
    let broken = rules.iter().find(|(holds, _)| !holds);
    broken.map_or(Ok(()), |(_, what)| Err(HeadError::Invalid(what)))
}

#[cfg(test)]
mod tests;
