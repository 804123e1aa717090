//! Log entries: what a partition's log carries.

use serde::{Deserialize, Serialize};

use crate::{
    Digest, FeatureLevel, PartId, Pend, PlacementKey, SessionStamp, SettingsEntry, SpanningAbort,
    SpanningCommit, SystemEntry, Time, TransactionId, TransactionRequest,
};

/// One entry: the coordinator's time, never below the previous entry's, and what it carries.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Log time (rule C14).
    pub time: Time,
    /// The content.
    pub payload: Payload,
}

/// What an entry carries.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing; begins an epoch.
    Noop,
    /// Lets log time go on where something is due on an idle partition.
    Tick,
    /// One transaction.
    Transaction(TransactionRequest),
    /// Settles an id: without a result it is fenced and never commits (rule C10).
    Resolve {
        /// The id.
        id: TransactionId,
        /// Until when the fence is kept: the id's own expiry where that is known.
        expiry: Time,
        /// The client's number for the id, where that is known: below its mark the answer is
        /// `Forgotten`, and no fence is recorded.
        session: Option<SessionStamp>,
    },
    /// Changes what apply looks at.
    Settings(SettingsEntry),
    /// Changes the network, in the system partition.
    System(SystemEntry),
    /// Executes a participant's part of a transaction and locks what it writes.
    Pend(Pend),
    /// The primary's decision to commit.
    Commit(SpanningCommit),
    /// The primary's decision not to.
    Abort(SpanningAbort),
    /// Carries out what the primary decided about a part that was pended here. Never refused.
    ResolvePart {
        /// The part.
        part: PartId,
        /// Whether it is carried out; otherwise it is dropped.
        is_committed: bool,
    },
    /// Notes at the primary that participants have carried out a commit.
    PartResolved {
        /// The part.
        part: PartId,
        /// The placement keys that are done.
        keys: Vec<PlacementKey>,
    },
    /// From here on the partition takes no user's entry, since its network joins another; `None`
    /// calls that off. Refused where a user's entry was taken, or a second node was let in.
    Dissolve {
        /// The other network's identity.
        into: Option<Digest>,
    },
}

impl Payload {
    /// The feature level from which on such entries are allowed.
    pub const fn level(&self) -> FeatureLevel {
        match self {
            Self::Noop
            | Self::Tick
            | Self::Transaction(_)
            | Self::Resolve { .. }
            | Self::Settings(_)
            | Self::System(_)
            | Self::Dissolve { .. } => FeatureLevel::FIRST,
            Self::Pend(_)
            | Self::Commit(_)
            | Self::Abort(_)
            | Self::ResolvePart { .. }
            | Self::PartResolved { .. } => FeatureLevel::SPANNING,
        }
    }

    /// Whether a user asked for it. A network whose logs hold none may still join another.
    pub const fn is_users(&self) -> bool {
        match self {
            Self::Noop
            | Self::Tick
            | Self::Settings(_)
            | Self::System(_)
            | Self::Dissolve { .. } => false,
            Self::Transaction(_)
            | Self::Resolve { .. }
            | Self::Pend(_)
            | Self::Commit(_)
            | Self::Abort(_)
            | Self::ResolvePart { .. }
            | Self::PartResolved { .. } => true,
        }
    }
}
