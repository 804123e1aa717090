//! What a topic answers.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use weald_core::{
    Time,
    codec::{self, CodecError, Kind},
};

use crate::{MessageId, TopicPosition, TopicRefusal, TopicVersion, kind};

/// A message that is in the topic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Published {
    /// Its id.
    pub id: MessageId,
    /// Where it stands.
    pub position: TopicPosition,
    /// Whether this operation put it there; otherwise it was there before.
    pub is_new: bool,
}

/// The answer to a publish, a result for each message in order, and to skips, where a sequence that
/// was passed before is no error.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublishAnswer {
    /// The results; `None` for a skip.
    pub results: Vec<Result<Option<Published>, TopicRefusal>>,
    /// The version of the messages.
    pub version: TopicVersion,
}

/// The answer to a lease request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaseAnswer {
    /// The version of the subscriptions.
    pub version: TopicVersion,
    /// Until when the subscription lasts.
    pub expires_at: Time,
    /// The position that the next message gets: what is below it is history.
    pub next: TopicPosition,
}

/// A message given to a consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Given {
    /// The message.
    pub position: TopicPosition,
    /// How often it was given, this time among them.
    pub attempt: u32,
    /// Until when it is this consumer's.
    pub deadline: Time,
}

/// The answer to a group request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum GroupAnswer {
    /// These are the consumer's.
    Given(Vec<Given>),
    /// For each position whether it was the consumer's, or on the list.
    Settled(Vec<bool>),
}

/// The answer to a prune.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PruneAnswer {
    /// Entries that were removed.
    pub removed: u64,
    /// Whether more can be removed at this log time.
    pub has_more: bool,
}

/// The answer to a union.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnionAnswer {
    /// Messages that were taken in, with their positions.
    pub published: Vec<Published>,
    /// Subscriptions that were taken in.
    pub leases: u64,
}

fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, CodecError> {
    codec::decode(kind, bytes)
}

/// Gives an answer its encoding.
macro_rules! encoded {
    ($($name:ident: $kind:ident),*) => {$(
        impl $name {
            pub(crate) fn encode(&self) -> Bytes {
                codec::encode(kind::$kind, self)
            }

            /// Reads the answer.
            ///
            /// # Errors
            /// When the bytes are something else.
            pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
                decode(kind::$kind, bytes)
            }
        }
    )*};
}

encoded!(
    PublishAnswer: PUBLISH_ANSWER,
    LeaseAnswer: LEASE_ANSWER,
    GroupAnswer: GROUP_ANSWER,
    PruneAnswer: PRUNE_ANSWER,
    UnionAnswer: UNION_ANSWER
);
