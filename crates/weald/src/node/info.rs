//! What a node tells about itself.

use std::fmt;

use weald_core::{CollectionName, Commit, LogIndex, Rejection, Retention, Revision, TypeName};

/// A collection in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionInfo {
    /// Its name.
    pub name: CollectionName,
    /// Its type, such as `tree` or `diary`.
    pub type_name: TypeName,
    /// Its revision: how many transactions have written it.
    pub revision: Revision,
    /// How many entries it has; `None` for types that the node has no count for.
    pub entries: Option<u64>,
    /// How much of it is kept.
    pub retention: Retention,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// It was committed.
    Committed(Commit),
    /// It was refused, and never commits.
    Rejected(Rejection),
    /// It is on its way.
    Pending,
    /// No result is kept: it was settled long ago, or never came.
    Forgotten,
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct VerifyProgress {
    /// Parts checked so far: blocks, log records, collections.
    pub done: u64,
    /// Parts known so far; it may grow.
    pub total: u64,
}

/// One thing that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where: a file, a block or a collection.
    pub place: String,
    /// What does not hold.
    pub detail: String,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Collections checked.
    pub collections: u64,
    /// Blocks checked.
    pub blocks: u64,
    /// Batches of log entries checked.
    pub log_batches: u64,
    /// What is damaged; empty when all is well.
    pub damages: Vec<Damage>,
}

impl VerifyReport {
    /// Whether all is well.
    pub fn is_clean(&self) -> bool {
        self.damages.is_empty()
    }
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NodeStatus {
    /// Why writes are refused until a restart or a repair; `None` when they are not.
    pub read_only: Option<String>,
    /// The last log index that is applied and visible.
    pub applied: LogIndex,
    /// The last log index that a checkpoint covers.
    pub checkpointed: LogIndex,
    /// Bytes in memory that wait for a checkpoint.
    pub dirty_bytes: usize,
    /// Writes that wait in the node.
    pub writes_waiting: usize,
    /// Partitions that the node keeps.
    pub partitions: usize,
    /// Those of them for which nobody is known to give entries their places: fewer than a majority of
    /// their voters can be reached, or one is being chosen.
    pub leaderless: usize,
    /// How many voters the partitions that the node keeps have; `None` when it is alone, or does not
    /// know.
    pub voters: Option<Voters>,
    /// How peers get through to the node; `None` when it is alone.
    pub reachability: Option<Reachability>,
}

/// How peers get through to a node of a network.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Reachability {
    /// Whether they can dial it, as those say who were asked last; `None` while nobody has said, as where
    /// `probe` is off.
    pub direct: Option<bool>,
    /// The address where they get through.
    pub address: Option<String>,
    /// The addresses where it is reached through a relay.
    pub relayed: Vec<String>,
}

impl fmt::Display for Reachability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relayed = self.relayed.join(", ");
        match (self.direct, &self.address) {
            (Some(true), Some(address)) => write!(f, "directly, at {address}"),
            (Some(true), None) => f.write_str("directly"),
            (_, _) if !relayed.is_empty() => write!(f, "through a relay, at {relayed}"),
            (Some(false), _) => {
                f.write_str("not directly: forward a port and name it as external, or name relays")
            }
            (None, _) => f.write_str("not known: no peer was asked, or none has answered"),
        }
    }
}

/// How many nodes vote on the writes of a partition. A majority of them has to be up; data is as safe
/// as it is to be once `fewest` is `wanted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voters {
    /// Of the partition that has fewest.
    pub fewest: usize,
    /// How many there are to be: the network's `responsibility_k`.
    pub wanted: usize,
}

impl Voters {
    /// How many of the fewest have to be up for writes to go on.
    pub const fn majority(self) -> usize {
        self.fewest / 2 + 1
    }
}

impl fmt::Display for Voters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fewest, wanted } = self;
        write!(f, "{fewest} of {wanted}, of which {} must be up", self.majority())
    }
}
