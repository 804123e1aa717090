//! Transactions over several partitions: what their entries carry (`docs/protocol.md`,
//! "Transactions over several partitions").

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    BlockId, CollectionName, Digest, PlacementKey, Position, Rejection, Revision, SessionStamp,
    Time, TransactionBody, TransactionId,
};

/// One partition's part of a transaction, to be executed and kept until the primary has decided.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Pend {
    /// The transaction. The partition of its home key is its primary.
    pub id: TransactionId,
    /// After this log time it is refused.
    pub expiry: Time,
    /// The client's number for it.
    pub session: Option<SessionStamp>,
    /// The digest of the whole request, which names the attempt together with the id.
    pub digest: Digest,
    /// Whether this partition is the primary, whose own entries decide.
    pub is_primary: bool,
    /// This partition's part.
    pub body: TransactionBody,
    /// Blocks to be held as they are, whatever that is: for readers.
    pub marks: Vec<BlockId>,
}

/// A part that was executed and waits. Nothing of it is visible.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Pended {
    /// Where it was executed and on which terms. A decision names this place, so that it never
    /// decides another, and holds to these terms.
    pub lock: Lock,
    /// The placement keys of the collections that are locked.
    pub keys: Vec<PlacementKey>,
    /// One answer for each action of the part.
    pub answers: Vec<Bytes>,
    /// The revisions that the part's collections will have.
    pub revisions: Vec<(CollectionName, Revision)>,
}

/// What a [`Pend`] came to.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum PendAnswer {
    /// It waits for the decision.
    Pended(Pended),
    /// It was refused, and nothing is kept of it.
    Refused(Rejection),
    /// The transaction was resolved here before; its primary knows the outcome.
    Resolved,
}

/// One partition that a committed transaction pended in.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Participant {
    /// What it pended.
    pub pended: Pended,
    /// For each of its answers, the place of the action in the whole transaction.
    pub actions: Vec<u32>,
}

/// The primary's own part.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum OwnPart {
    /// Executed by the entry that decides.
    Execute(TransactionBody),
    /// Pended before, at this place.
    Pended(Position),
}

/// The decision to commit, if the primary's own part can.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SpanningCommit {
    /// The transaction.
    pub id: TransactionId,
    /// As in a request.
    pub expiry: Time,
    /// As in a request.
    pub session: Option<SessionStamp>,
    /// The digest of the whole request.
    pub digest: Digest,
    /// The primary's part.
    pub own: OwnPart,
    /// For each action of the primary's part, its place in the whole transaction.
    pub actions: Vec<u32>,
    /// Everybody else.
    pub participants: Vec<Participant>,
}

/// The decision not to commit.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SpanningAbort {
    /// The transaction.
    pub id: TransactionId,
    /// As in a request.
    pub expiry: Time,
    /// As in a request.
    pub session: Option<SessionStamp>,
    /// The digest of the whole request.
    pub digest: Digest,
    /// Why.
    pub rejection: Rejection,
}

/// The place of a part in a transaction: enough to ask the primary what became of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PartId {
    /// The transaction.
    pub id: TransactionId,
    /// Where its part was pended.
    pub pend: Position,
}

/// What the primary has decided about one part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// The part is carried out.
    Committed,
    /// It is dropped.
    Aborted,
    /// There is no decision yet; the id may be resolved.
    Undecided,
}

/// A part that waits, as who meets its locks needs to know it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Lock {
    /// The transaction and the place of its part. The partition of the id's home key decides.
    pub holder: PartId,
    /// The log time after which it may be resolved by others.
    pub deadline: Time,
    /// The transaction's expiry.
    pub expiry: Time,
    /// The client's number for it.
    pub session: Option<SessionStamp>,
}

impl Lock {
    /// The placement key of the primary.
    pub const fn primary(&self) -> PlacementKey {
        self.holder.id.home()
    }
}
