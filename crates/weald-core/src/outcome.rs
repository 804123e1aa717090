//! Outcomes of transactions.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    CollectionName, Digest, FeatureLevel, LogIndex, PartitionId, Revision, Time, TransactionId,
    TypeName, TypeVersion,
};

/// A place in a partition's log. A read that names one answers from at least there.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Position {
    /// The partition.
    pub partition: PartitionId,
    /// The place.
    pub index: LogIndex,
}

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// All of it happened and is durable.
    Committed(Commit),
    /// None of it happened, and never will under this id.
    Rejected(Rejection),
    /// It may or may not have happened; resolve it by its id.
    Unknown(UnknownCause),
}

/// A committed transaction.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// Where it stands in the log.
    pub position: Position,
    /// The log time it was given.
    pub time: Time,
    /// The collections it changed and the revision that each has through it.
    pub revisions: Vec<(CollectionName, Revision)>,
    /// One answer for each action, in the encoding of its collection type.
    pub answers: Vec<Bytes>,
}

/// Why an outcome is not known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum UnknownCause {
    /// The deadline passed before an answer came.
    #[error("the deadline passed")]
    Deadline,
    /// The node stopped, or its log failed, while the write was under way.
    #[error("the node stopped while the write was under way")]
    Stopped,
    /// Another coordinator took over while the write was under way, and went on without it or with
    /// it.
    #[error("another coordinator took over while the write was under way")]
    TakenOver,
}

/// Why a transaction was refused. Definite: nothing of it was applied.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// The collection does not exist, which was proved.
    #[error("no such collection: name={collection}")]
    NoSuchCollection {
        /// The collection.
        collection: CollectionName,
    },
    /// `Create` of a collection that exists.
    #[error("the collection exists already: name={collection}")]
    AlreadyExists {
        /// The collection.
        collection: CollectionName,
    },
    /// The collection is of another type than the action says.
    #[error(
        "the collection is of another type: name={collection} expected={expected} found={found}"
    )]
    WrongType {
        /// The collection.
        collection: CollectionName,
        /// The type that the action names.
        expected: TypeName,
        /// The type that it has.
        found: TypeName,
    },
    /// No member has code for this type or version.
    #[error("the collection type is not registered: type={type_name} version={version}")]
    UnknownType {
        /// The type.
        type_name: TypeName,
        /// The version of its structure.
        version: TypeVersion,
    },
    /// Something that was read has changed since.
    #[error("lost to another transaction: collection={collection} winner={winner:?}")]
    Conflict {
        /// The collection that changed, by its name where that is known.
        collection: String,
        /// The transaction that changed it, where that is known.
        winner: Option<TransactionId>,
    },
    /// The expectation stated with the action does not hold.
    #[error(
        "the expectation does not hold: collection={collection} expected={expected} found={found}"
    )]
    Expectation {
        /// The collection.
        collection: CollectionName,
        /// What the caller expected, as text.
        expected: String,
        /// What is there, as text.
        found: String,
    },
    /// The id was used for another request.
    #[error("the transaction id was used for another request")]
    IdReused,
    /// The request's expiry has passed, or lies too far ahead.
    #[error("the request has expired: expiry={expiry} log_time={log_time}")]
    Expired {
        /// The request's expiry.
        expiry: Time,
        /// The log time when it was applied.
        log_time: Time,
    },
    /// The id's result is no longer kept, so a copy of it is never executed.
    #[error("the result of this id is no longer kept")]
    Forgotten,
    /// Somebody resolved the id before the request arrived; it never commits.
    #[error("the transaction id was fenced")]
    Fenced,
    /// The table of results or sessions is full; nothing was evicted.
    #[error("the partition is busy: {what} max={max}")]
    Busy {
        /// What is full.
        what: String,
        /// Its bound.
        max: u64,
    },
    /// The transaction is larger than allowed.
    #[error("too large: {what}={actual} max={max}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// How much there is.
        actual: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// The code of the collection type panicked; the message is kept out, so that it is the same
    /// everywhere.
    #[error("the collection type panicked: type={type_name}")]
    Panicked {
        /// The type.
        type_name: TypeName,
    },
    /// The operation does not parse or asks for something that the type does not do.
    #[error("invalid operation: {detail}")]
    Invalid {
        /// What is wrong.
        detail: String,
    },
    /// A refusal of a collection type's own.
    #[error("refused by the collection: {detail} code={code}")]
    Custom {
        /// The type's code, below [`Rejection::CODE_RESERVED`] unless the type is Weald's own.
        code: u32,
        /// The type's text.
        detail: String,
    },
    /// A transaction over several partitions holds what this one would write or read. It is
    /// resolved by its primary, the partition of `holder`'s home key.
    #[error("locked by another transaction: collection={collection} holder={holder} primary={}",
        .holder.home())]
    Locked {
        /// The collection, by its name where that is known.
        collection: String,
        /// The transaction that holds it.
        holder: TransactionId,
    },
    /// A partition that the transaction needs did not answer in time.
    #[error("a partition did not answer in time: partition={partition}")]
    Silent {
        /// The partition.
        partition: PartitionId,
    },
    /// The entry is of a kind that the partition's feature level does not allow yet.
    #[error("not at this feature level: needed={needed} level={level}")]
    Level {
        /// The level from which on it is allowed.
        needed: FeatureLevel,
        /// The partition's level.
        level: FeatureLevel,
    },
    /// The entry was decided on a state that has changed since.
    #[error("decided on another state: based_on={based_on} changed={changed}")]
    Superseded {
        /// What it was decided on.
        based_on: LogIndex,
        /// What is there.
        changed: LogIndex,
    },
    /// The network has joined another before it was used; ask again there.
    #[error("the network has joined another: into={into}")]
    Dissolved {
        /// The other network's identity.
        into: Digest,
    },
    /// The network has been used, or has more than one node: it joins no other.
    #[error("the network is in use")]
    InUse,
}

impl Rejection {
    /// The first code of [`Rejection::Custom`] that belongs to Weald's own collection types.
    pub const CODE_RESERVED: u32 = 1 << 31;

    /// Which refusal it is. Its details are left out: they may hold what users wrote.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoSuchCollection { .. } => "NoSuchCollection",
            Self::AlreadyExists { .. } => "AlreadyExists",
            Self::WrongType { .. } => "WrongType",
            Self::UnknownType { .. } => "UnknownType",
            Self::Conflict { .. } => "Conflict",
            Self::Expectation { .. } => "Expectation",
            Self::IdReused => "IdReused",
            Self::Expired { .. } => "Expired",
            Self::Forgotten => "Forgotten",
            Self::Fenced => "Fenced",
            Self::Busy { .. } => "Busy",
            Self::TooLarge { .. } => "TooLarge",
            Self::Panicked { .. } => "Panicked",
            Self::Invalid { .. } => "Invalid",
            Self::Custom { .. } => "Custom",
            Self::Locked { .. } => "Locked",
            Self::Silent { .. } => "Silent",
            Self::Level { .. } => "Level",
            Self::Superseded { .. } => "Superseded",
            Self::Dissolved { .. } => "Dissolved",
            Self::InUse => "InUse",
        }
    }

    /// Whether the same intent, under a fresh id, may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Conflict { .. }
                | Self::Busy { .. }
                | Self::Expired { .. }
                | Self::Locked { .. }
                | Self::Silent { .. }
                | Self::Dissolved { .. }
        )
    }
}
