//! How a member of a partition stands, for reports and for whoever routes to it.

use std::collections::BTreeMap;

use weald_cluster::{
    configuration::{Configuration, Member},
    replica::{Effect, Role},
};
use weald_core::{Epoch, LogIndex, PartitionId, Time};

/// How the member of one partition stands that lives here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionStatus {
    /// The partition.
    pub(crate) partition: PartitionId,
    /// The member.
    pub(crate) member: Member,
    /// What it is.
    pub(crate) role: Role,
    /// The highest epoch promised.
    pub(crate) epoch: Epoch,
    /// Who coordinates, as far as this member knows.
    pub(crate) coordinator: Option<Member>,
    /// Everything up to here is committed.
    pub(crate) watermark: LogIndex,
    /// The end of its log.
    pub(crate) last: LogIndex,
    /// All up to here is durable here.
    pub(crate) synced: LogIndex,
    /// All up to here is applied here and visible.
    pub(crate) applied: LogIndex,
    /// All up to here is in a durable checkpoint here.
    pub(crate) checkpointed: LogIndex,
    /// The configuration that counts: the last one in the log, committed or not.
    pub(crate) configuration: Configuration,
    /// What it is fit for.
    pub(crate) health: MemberHealth,
    /// The digest of everything applied, and up to where. Members that differ at one index have
    /// diverged.
    pub(crate) effect: Effect,
    /// Log time: the only clock of the state machine.
    pub(crate) log_time: Time,
    /// At a coordinator, what each other member is known to have on disk.
    pub(crate) matched: BTreeMap<Member, LogIndex>,
    /// By the members' steady clock, the moment at which what is applied was certainly the latest;
    /// `None` when this member cannot tell.
    pub(crate) fresh_as_of: Option<Time>,
}

/// What a member is fit for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemberHealth {
    /// It takes part.
    Well,
    /// Something of its log is damaged and being repaired from peers; it neither campaigns nor
    /// acknowledges.
    Damaged,
    /// What it promised is lost: it waits for a new life.
    Amnesiac,
    /// It takes no more part until it is repaired; why.
    Stopped(String),
}

impl PartitionStatus {
    /// Whether this member coordinates.
    pub(crate) fn is_coordinator(&self) -> bool {
        self.role == Role::Coordinator
    }

    /// Committed entries that are not applied here yet.
    pub(crate) fn apply_lag(&self) -> u64 {
        self.watermark.0.saturating_sub(self.applied.0)
    }

    /// Entries that are in the log here and not committed (row 183).
    pub(crate) fn commit_gap(&self) -> u64 {
        self.last.0.saturating_sub(self.watermark.0)
    }
}
