//! Ids and counters of topics.

use std::fmt;

use serde::{Deserialize, Serialize};
use weald_core::{CollectionName, Digest, PeerId};

/// Declares a counter: an ordered `u64` with a successor.
macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl $name {
            /// The value before the first.
            pub const ZERO: Self = Self(0);

            /// The value after this one; the last stays.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// The place of a message in its topic: dense, from 1, given at apply. 0 is "nothing seen".
    TopicPosition
}
counter! {
    /// A publisher's own count of its messages, contiguous from 1 in each incarnation.
    PublisherSequence
}
counter! {
    /// One run of a publisher that remembers its sequences; a publisher that lost them begins a
    /// higher one.
    Incarnation
}
counter! {
    /// Counts the changes of one side of a topic: of its messages or of its subscribers.
    TopicVersion
}

/// Names a topic without telling its name: a digest under which the topic's collection is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicId(Digest);

impl TopicId {
    /// The id of the topic `name`, as the client computes it.
    pub fn of(name: &str) -> Self {
        Self(Digest::of("weald topic", &[name.as_bytes()]))
    }

    /// The digest behind the id.
    pub const fn digest(&self) -> &Digest {
        &self.0
    }

    /// The topic whose collection has this name; `None` where it is no topic's.
    pub fn of_collection(name: &CollectionName) -> Option<Self> {
        name.as_str().strip_prefix("topic-")?.parse().ok().map(Self)
    }

    /// The name of the collection: nodes store and send this and never the topic's name.
    pub fn collection(&self) -> CollectionName {
        format!("topic-{}", self.0).parse().expect("hexadecimal digits are a name")
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a topic lives: its network and itself. Ids and signatures cover both, so that nothing
/// signed for one serves in another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TopicAddress {
    /// The network's identity: its genesis hash.
    pub network: Digest,
    /// The topic.
    pub topic: TopicId,
}

/// Names a message: a digest of what makes it this message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub(crate) Digest);

impl MessageId {
    /// The digest behind the id.
    pub const fn digest(&self) -> &Digest {
        &self.0
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One subscription: a peer may have several, told apart by a number of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SubscriberId {
    /// The peer that signs for it.
    pub peer: PeerId,
    /// The peer's number for the stream.
    pub stream: u64,
}

impl SubscriberId {
    /// The 40 bytes that place the subscription in its collection: the peer's digest, then the
    /// number big-endian. Their order is the ids'.
    pub fn key(&self) -> [u8; 40] {
        let mut key = [0; 40];
        key[..32].copy_from_slice(self.peer.digest().as_bytes());
        key[32..].copy_from_slice(&self.stream.to_be_bytes());
        key
    }
}
