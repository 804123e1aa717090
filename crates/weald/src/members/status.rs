//! How a member of a partition stands, for reports and for whoever routes to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weald_cluster::{
    configuration::{Configuration, Member},
    recovery::Act,
    replica::{Effect, Role},
};
use weald_core::{Epoch, LogIndex, PartitionId, Settings, Time};

use crate::backend::Plight;

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
    /// Bytes in memory that only a checkpoint can free.
    pub(crate) dirty_bytes: usize,
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
    /// At a coordinator, by the members' steady clock, when each other member was last heard.
    pub(crate) members_heard: BTreeMap<Member, Time>,
    /// By the members' steady clock, the moment at which what is applied was certainly the latest;
    /// `None` when this member cannot tell.
    pub(crate) fresh_as_of: Option<Time>,
    /// By the members' steady clock, when a coordinator was last heard here, or this member was it;
    /// `None` when neither was in this run.
    pub(crate) heard: Option<Time>,
    /// Since when members run, as far as that is known.
    pub(crate) runs: BTreeMap<Member, MemberRun>,
    /// Whether it could tell at some moment of this run; before that it shows nothing (G4).
    pub(crate) has_been_fresh: bool,
    /// Whether what is applied here may be shown: not while the member has lost what it promised, or has
    /// something else than others have.
    pub(crate) shows: bool,
    /// Whether this member coordinates and a change of the members may be begun.
    pub(crate) may_change: bool,
    /// At a coordinator, the other members whose logs are complete enough for a vote.
    pub(crate) caught_up: BTreeSet<Member>,
    /// What the partition's log says of types, limits and level.
    pub(crate) settings: Settings,
    /// The forced recovery that began the partition's generation, if one did.
    pub(crate) recovery: Option<Arc<Act>>,
    /// Transactions over several partitions that hold locks in what is applied here.
    pub(crate) waiting_count: usize,
}

/// What is known of a member's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberRun {
    /// Which run of its store it is.
    pub(crate) incarnation: Option<u64>,
    /// When it began, by its own clock.
    pub(crate) started: Option<Time>,
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

    /// What keeps the member from serving. After a forced recovery that is so until it has come to
    /// what the new generation has committed.
    pub(crate) fn plight(&self) -> Option<Plight> {
        match self.health {
            MemberHealth::Damaged | MemberHealth::Amnesiac => Some(Plight::Mending),
            MemberHealth::Stopped(_) => Some(Plight::Broken),
            MemberHealth::Well => {
                let is_behind = !self.has_been_fresh || self.applied < self.watermark;
                (self.recovery.is_some() && is_behind).then_some(Plight::Mending)
            }
        }
    }
}
