//! What routers and nodes say to each other.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{PartitionId, PeerId, PlacementKey, TransactionId};

use super::{
    error::Table,
    map::{Part, Reign, Version},
};

/// Names a request between a router and its driver. The driver counts; no number is used twice, so
/// that a late answer never meets another request.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Ticket(pub u64);

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Purpose {
    /// Executes this transaction.
    Write(TransactionId),
    /// Reads at this key.
    Read(PlacementKey),
    /// Finds out, or fences, this transaction (rule C10).
    Resolve(TransactionId),
}

impl Purpose {
    /// The key whose partition serves the request.
    pub const fn key(&self) -> PlacementKey {
        match self {
            Self::Write(id) | Self::Resolve(id) => id.home(),
            Self::Read(key) => *key,
        }
    }
}

/// `ExecuteTransaction`: one attempt of a request. Every attempt carries the same payload.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The request.
    pub ticket: Ticket,
    /// The attempt, from 1. An answer repeats it.
    pub attempt: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// The partition that the sender thinks has the key.
    pub partition: PartitionId,
    /// How new the sender's map is.
    pub version: Version,
    /// How often the request was forwarded. Whoever forwards it goes on from here.
    pub hops: u8,
    /// Who was asked before.
    pub tried: Vec<PeerId>,
    /// What is asked, encoded once.
    pub payload: Bytes,
}

/// The answer to one attempt.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The request.
    pub ticket: Ticket,
    /// The attempt.
    pub attempt: u32,
    /// What came of it.
    pub answer: Answer,
}

/// What a node answers. All but `Done` and `Unknown` say that the node did not take the request and
/// will not.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The final result, as the cluster encoded it: an outcome or what was read.
    Done {
        /// The partition.
        partition: PartitionId,
        /// Who coordinates, as far as the node has heard.
        reign: Reign,
        /// The result.
        bytes: Bytes,
    },
    /// Another member coordinates.
    Redirect {
        /// The partition.
        partition: PartitionId,
        /// Which, as far as the node has heard.
        reign: Reign,
    },
    /// The node is no member of the partition; this is what it knows.
    NotMine(Box<Part>),
    /// A table of the node is full.
    Busy {
        /// The table.
        what: Table,
        /// Its bound.
        max: u64,
        /// When to come again, milliseconds from now.
        retry_after_ms: u64,
    },
    /// The node is a member and cannot serve now: there is no coordinator or no quorum.
    Unavailable {
        /// When to come again, milliseconds from now.
        retry_after_ms: u64,
    },
    /// The node took the request and cannot tell what became of it.
    Unknown,
}
