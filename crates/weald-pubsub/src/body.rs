//! What a subscriber asks for of the body of a large message, and what it is answered.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::Digest;

use crate::{LargeMessage, TopicPosition, limits::BODY_CHUNKS_MAX};

/// Asks a member for some chunks of the body of a large message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct BodyRequest {
    /// Where the message stands.
    pub position: TopicPosition,
    /// The digest of the body: another message at the position is not the one that is meant.
    pub digest: Digest,
    /// The first chunk.
    pub first: u32,
    /// How many; at most [`BODY_CHUNKS_MAX`].
    pub count: u32,
}

impl BodyRequest {
    /// Whether it asks for something, and for no more than it may.
    pub fn is_bounded(&self) -> bool {
        (1..=BODY_CHUNKS_MAX).contains(&self.count)
    }

    /// The chunks that are asked for, as far as the body has them.
    pub(crate) fn range(&self, message: &LargeMessage) -> Range<u32> {
        let end = self.first.saturating_add(self.count).min(message.chunk_count());
        self.first..end
    }
}

/// What a member answers to a [`BodyRequest`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum BodyAnswer {
    /// The chunks, in order.
    Chunks(Vec<Bytes>),
    /// The message has expired or was pruned.
    Gone,
    /// The member does not have such a message: it has not come to the position, or has another
    /// message there. Another member may know better.
    NotHere,
}
