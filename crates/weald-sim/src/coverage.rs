//! Rare branches: a batch of runs shows that each was reached, or the runs prove less than they
//! seem to.

use std::collections::BTreeMap;

/// A branch that runs take seldom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Rare {
    /// Somebody coordinates after somebody else did.
    Takeover,
    /// A pre-vote was refused.
    PreVoteRefused,
    /// A lower epoch was refused and the higher one named.
    LowerEpochRefused,
    /// A coordinator that heard no quorum stepped down.
    SteppedDown,
    /// Entries without a majority were cut.
    Cut,
    /// Entries came too early and waited.
    Buffered,
    /// Entries that waited were evicted.
    Evicted,
    /// Entries were read from the disk for a member that lagged.
    Fetched,
    /// A snapshot was installed.
    SnapshotInstalled,
    /// A member began with a snapshot that its log did not reach.
    SnapshotAhead,
    /// A joint configuration was committed.
    JointEntered,
    /// The one after a joint configuration was committed.
    JointLeft,
    /// A state was not kept: too few had said that it is theirs, too.
    CheckpointDropped,
    /// A configuration was certified.
    Certified,
    /// An unknown sender was asked for its configurations.
    NeedConfiguration,
    /// The answer came.
    ConfigurationsTold,
    /// A member has lost what it promised.
    Amnesiac,
    /// It was given a new life.
    Reborn,
    /// A copied disk was noticed.
    Outlived,
    /// A damaged log was repaired.
    Repaired,
    /// The coordination was handed over.
    Transferred,
    /// An entry was refused for its time.
    ClockRefused,
    /// A sync failed and the member stopped.
    SyncFailed,
    /// A member's state machine differed and it stopped.
    Diverged,
    /// What an earlier run said was refused.
    EarlierRun,
    /// A request was found to have been applied before.
    Retried,
    /// A request without an outcome was fenced.
    Fenced,
    /// A request in doubt turned out to be applied.
    Resolved,
    /// A read was answered by a member that does not coordinate.
    FollowerRead,
    /// A read could not be answered.
    ReadFailed,
    /// A member showed its state by itself.
    LocalRead,
    /// It could not tell how fresh its state was.
    Behind,
    /// A survivor went on alone, by an administrator's word.
    ForcedRecovery,
    /// A member left a generation that was over.
    LeftBehind,
}

impl Rare {
    /// All of them.
    pub(crate) const ALL: [Self; 34] = [
        Self::Takeover,
        Self::PreVoteRefused,
        Self::LowerEpochRefused,
        Self::SteppedDown,
        Self::Cut,
        Self::Buffered,
        Self::Evicted,
        Self::Fetched,
        Self::SnapshotInstalled,
        Self::SnapshotAhead,
        Self::JointEntered,
        Self::JointLeft,
        Self::CheckpointDropped,
        Self::Certified,
        Self::NeedConfiguration,
        Self::ConfigurationsTold,
        Self::Amnesiac,
        Self::Reborn,
        Self::Outlived,
        Self::Repaired,
        Self::Transferred,
        Self::ClockRefused,
        Self::SyncFailed,
        Self::Diverged,
        Self::EarlierRun,
        Self::Retried,
        Self::Fenced,
        Self::Resolved,
        Self::FollowerRead,
        Self::ReadFailed,
        Self::LocalRead,
        Self::Behind,
        Self::ForcedRecovery,
        Self::LeftBehind,
    ];
}

/// How often each branch was reached.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Coverage(BTreeMap<Rare, u64>);

impl Coverage {
    pub(crate) fn reach(&mut self, rare: Rare) {
        *self.0.entry(rare).or_default() += 1;
    }

    pub(crate) fn count(&self, rare: Rare) -> u64 {
        self.0.get(&rare).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (rare, count) in &other.0 {
            *self.0.entry(*rare).or_default() += count;
        }
    }

    /// The branches that were never reached, but for those that take a person: random runs promise to
    /// leave a majority.
    pub(crate) fn missing(&self) -> Vec<Rare> {
        let is_missing = |rare: &Rare| {
            let takes_a_person = matches!(rare, Rare::ForcedRecovery | Rare::LeftBehind);
            self.count(*rare) == 0 && !takes_a_person
        };
        Rare::ALL.into_iter().filter(is_missing).collect()
    }
}
