//! Snapshots: what the histories of a head no longer hold, linked back to the beginning as far as it
//! is kept.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    Time,
    codec::{self, CodecError},
};

use crate::{
    Cid, TopicId, TopicVersion, kind,
    limits::{SNAPSHOT_ENTRIES_MAX, SNAPSHOT_TTL},
};

/// A version of a collection with its whole root.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LineageEntry {
    /// The version.
    pub version: TopicVersion,
    /// The root of its pages.
    pub root: Cid,
}

/// Versions that have left the histories of a head, at most
/// [`PAGE_BYTES_MAX`](crate::limits::PAGE_BYTES_MAX) bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CoordinatorSnapshot {
    /// The topic.
    pub topic: TopicId,
    /// Versions of the messages, oldest first.
    pub message_history: Vec<LineageEntry>,
    /// Versions of the subscriptions, oldest first.
    pub subscriber_history: Vec<LineageEntry>,
    /// The snapshot before this one.
    pub previous: Option<Cid>,
    /// When it was made, log time.
    pub created_at: Time,
    /// Until when it is kept, log time.
    pub expires_at: Time,
}

/// The versions that leave a head at once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Leaving {
    /// Versions of the messages, oldest first.
    pub messages: Vec<LineageEntry>,
    /// Versions of the subscriptions, oldest first.
    pub subscribers: Vec<LineageEntry>,
}

impl Leaving {
    fn len(&self) -> usize {
        self.messages.len() + self.subscribers.len()
    }

    /// Whether nothing leaves.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl CoordinatorSnapshot {
    /// A snapshot of what leaves first, behind `previous`.
    pub fn new(topic: TopicId, previous: Option<Cid>, leaving: Leaving, now: Time) -> Self {
        let Leaving { messages, subscribers } = leaving;
        Self {
            topic,
            message_history: messages,
            subscriber_history: subscribers,
            previous,
            created_at: now,
            expires_at: now.after(SNAPSHOT_TTL),
        }
    }

    /// Whether this snapshot has room for what leaves next.
    pub fn has_room_for(&self, leaving: &Leaving) -> bool {
        let held = self.message_history.len() + self.subscriber_history.len();
        held + leaving.len() <= SNAPSHOT_ENTRIES_MAX
    }

    /// The snapshot with what leaves next, too. It takes this one's place, and with it its link.
    #[must_use]
    pub fn with(mut self, leaving: Leaving, now: Time) -> Self {
        self.message_history.extend(leaving.messages);
        self.subscriber_history.extend(leaving.subscribers);
        self.expires_at = now.after(SNAPSHOT_TTL);
        self
    }

    /// The content id, under which it is linked.
    pub fn cid(&self) -> Cid {
        Cid::of(&self.encode())
    }

    /// The bytes that the content id covers.
    pub fn encode(&self) -> Bytes {
        codec::encode(kind::SNAPSHOT, self)
    }

    /// Reads what [`CoordinatorSnapshot::encode`] made and checks it.
    ///
    /// # Errors
    /// When the bytes are something else or contradict themselves.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let snapshot: Self = codec::decode(kind::SNAPSHOT, bytes)?;
        if snapshot.is_valid() {
            return Ok(snapshot);
        }
        Err(CodecError::Malformed("not a snapshot".to_owned()))
    }

    fn is_valid(&self) -> bool {
        let is_ordered =
            |history: &[LineageEntry]| history.is_sorted_by(|a, b| a.version < b.version);
        is_ordered(&self.message_history)
            && is_ordered(&self.subscriber_history)
            && self.has_room_for(&Leaving::default())
            && self.created_at < self.expires_at
    }
}

#[cfg(test)]
mod tests;
