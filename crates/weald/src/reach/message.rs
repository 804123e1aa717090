//! What nodes ask each other about partitions, and what they are answered.
//!
//! Every question is the payload of a routed [`Request`](weald_cluster::routing::Request), so that a
//! wrong address costs a hop; `SUBMIT` carries the bytes that are logged. [`Follow`] waits long and
//! is not routed.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use weald_cluster::{
    partition::coordination::Message,
    routing::{Map, Reply, Request},
};
use weald_core::{
    BlockId, CollectionName, Digest, LogIndex, Outcome, Revision, Service, StoredBlock, Time,
    TransactionId,
    codec::{self, CodecError},
};
use weald_pubsub::{BodyAnswer, BodyRequest, Part, StreamRequest, TopicAddress};

use crate::{Consistency, kinds};

/// Writes: a payload is logged by the coordinator of its partition.
pub(crate) const SUBMIT: Service = Service(2);
/// Which state a read may see.
pub(crate) const VIEW: Service = Service(3);
/// Blocks of such a state, and what else is kept of a partition.
pub(crate) const BLOCKS: Service = Service(4);
/// Waits for a collection to change.
pub(crate) const FOLLOW: Service = Service(5);
/// Where partitions are.
pub(crate) const STATUS: Service = Service(6);

/// What the coordinator of one partition says to that of another.
pub(crate) const TELL: Service = Service(8);

/// Delivers topics.
pub(crate) const TOPIC: Service = Service(9);

/// A question about a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Question {
    /// What is known of this transaction?
    Standing(TransactionId),
    /// Which state is this fresh, and shows at least this place?
    View {
        /// How fresh.
        fresh: Fresh,
        /// The place; zero for anything.
        at_least: LogIndex,
        /// Blocks of it that will probably be asked for next.
        wanted: Vec<Wanted>,
    },
    /// Blocks of the state right after this place.
    Blocks {
        /// The place.
        index: LogIndex,
        /// Which.
        wanted: Vec<Wanted>,
    },
    /// The ids of collections, in order, from the one after this on.
    Collections {
        /// The last one known; `None` for the first.
        after: Option<BlockId>,
    },
}

/// [`Consistency`] as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fresh {
    /// [`Consistency::Linearizable`].
    Linearizable,
    /// [`Consistency::Stale`], in milliseconds.
    Stale(u64),
    /// [`Consistency::Local`].
    Local,
}

/// A block that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// The block.
    pub(crate) id: BlockId,
    /// The revision in which the asker has it already.
    pub(crate) known: Option<Revision>,
}

/// What a member answers to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answered {
    /// The transaction is on its way.
    Pending,
    /// Its outcome.
    Settled(Outcome),
    /// No outcome is kept.
    Unheard,
    /// A state that may be read.
    View {
        /// The place that it is right after.
        index: LogIndex,
        /// Log time there, or later: what has expired by then is not shown.
        log_time: Time,
        /// As many of the first blocks wanted of it as are at hand.
        found: Vec<Found>,
    },
    /// As many of the first blocks asked for as one answer holds, at least one.
    Blocks(Vec<Found>),
    /// The state is no longer kept.
    Gone,
    /// Ids of collections.
    Collections {
        /// The ids.
        ids: Vec<BlockId>,
        /// Whether there are more.
        has_more: bool,
    },
}

/// A block as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Found {
    /// The block.
    Present(StoredBlock),
    /// The asker has it.
    Known,
    /// There is none: the member knows.
    Absent,
}

/// What comes of a submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Submitted {
    /// The outcome. Never unknown: that is an answer of its own between nodes.
    Outcome(Outcome),
    /// Nothing was logged: the disk is full.
    DiskFull,
    /// Nothing was logged: the request is larger than an entry may be.
    TooLarge {
        /// Its bytes.
        bytes: u64,
        /// The most that is allowed.
        max: u64,
    },
}

/// Waits for a collection to have another revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Follow {
    /// The collection.
    pub(crate) collection: CollectionName,
    /// The newest revision that the follower has heard of.
    pub(crate) seen: Revision,
}

/// What a follower is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Followed {
    /// The newest revision; the one that was seen when nothing came in time.
    Revision(Revision),
    /// The node is no member of the collection's partition.
    NotMine,
}

/// What a subscriber asks of a member that serves its topic. It names its streams itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TopicAsk {
    /// Which network is this?
    Network,
    /// Begin a stream of this topic.
    Begin {
        /// The stream.
        stream: u64,
        /// The topic.
        topic: TopicAddress,
    },
    /// Deliver on the stream.
    Deliver {
        /// The stream.
        stream: u64,
        /// What.
        request: StreamRequest,
    },
    /// What comes next on the stream? Waits for it.
    Next {
        /// The stream.
        stream: u64,
    },
    /// End the stream.
    End {
        /// The stream.
        stream: u64,
    },
    /// A part of the body of a large message of this topic. It needs no stream.
    Body {
        /// The topic.
        topic: TopicAddress,
        /// Which part.
        request: BodyRequest,
    },
}

/// What a subscriber is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TopicTold {
    /// The network's genesis.
    Network(Digest),
    /// It is done.
    Done,
    /// These encoded [`Part`]s come next, in order; none when none came in time. Each was encoded once
    /// for all that it goes to.
    Parts(Vec<Bytes>),
    /// The stream is not, or not any more, served here.
    NotHere,
    /// The topic's policy does not let this peer subscribe.
    Denied,
    /// There is no such topic, or it has ended: this was proved.
    NoTopic,
    /// What the stream begins with: the generation of the topic's partition.
    Generation(u32),
    /// What there is of a body.
    Body(BodyAnswer),
}

/// What a node tells of itself and of what it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Where it believes partitions to be.
    pub(crate) map: Map,
}

impl From<Consistency> for Fresh {
    fn from(consistency: Consistency) -> Self {
        match consistency {
            Consistency::Linearizable => Self::Linearizable,
            Consistency::Stale(age) => {
                Self::Stale(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
            }
            Consistency::Local => Self::Local,
        }
    }
}

impl From<Fresh> for Consistency {
    fn from(fresh: Fresh) -> Self {
        match fresh {
            Fresh::Linearizable => Self::Linearizable,
            Fresh::Stale(millis) => Self::Stale(std::time::Duration::from_millis(millis)),
            Fresh::Local => Self::Local,
        }
    }
}

/// A type that travels, with the kind of its envelope.
pub(crate) trait Wire: Serialize + DeserializeOwned {
    /// The kind.
    const KIND: codec::Kind;

    /// The bytes.
    fn to_wire(&self) -> Bytes {
        codec::encode(Self::KIND, self)
    }

    /// Reads them back.
    fn from_wire(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(Self::KIND, bytes)
    }
}

macro_rules! wire {
    ($($type:ty => $kind:ident),* $(,)?) => {
        $(impl Wire for $type {
            const KIND: codec::Kind = kinds::$kind;
        })*
    };
}

wire! {
    Request => ROUTED_REQUEST,
    Reply => ROUTED_REPLY,
    Question => QUESTION,
    Answered => ANSWERED,
    Submitted => SUBMITTED,
    Follow => FOLLOW,
    Followed => FOLLOWED,
    Status => STATUS,
    Message => MESSAGE,
    TopicAsk => TOPIC_ASK,
    TopicTold => TOPIC_TOLD,
    Part => PART,
}

#[cfg(test)]
mod tests;
