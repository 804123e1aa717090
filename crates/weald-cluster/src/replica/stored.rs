//! What a member keeps beside its entries, replaced as a whole (rule C1).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    Epoch, LogIndex, LogPoint, PartitionId,
    codec::{self, CodecError},
};

use super::{CertifiedConfiguration, LogEnd, LogEntry, Point, Run};
use crate::{
    configuration::{Member, Placed},
    kinds,
    recovery::{Authority, Recovery, RecoveryError},
};

/// A member's promises and identity.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// Who this member is.
    pub member: Member,
    /// The generation of the partition.
    pub generation: u32,
    /// Nobody of a lower epoch is followed.
    pub promised: Epoch,
    /// Everything up to here was known to be committed.
    pub watermark: LogIndex,
    /// Where the log begins: the point right before its first entry. Of use when no entry is left.
    pub base: Point,
    /// The configurations.
    pub configurations: StoredConfigurations,
    /// The last run heard of each member: an earlier one is a disk that was rolled back, also for
    /// who has begun anew since (rule C11).
    pub runs: BTreeMap<Member, Run>,
    /// The forced recoveries by which the generation was reached, oldest first, at most
    /// [`GENERATIONS_MAX`](crate::recovery::GENERATIONS_MAX) (rule C16).
    pub recoveries: Vec<Recovery>,
    /// Another member began the last of them, and this one has no life in it yet: what it keeps is
    /// of a generation that is over.
    pub is_left_behind: bool,
}

/// The configurations that a member knows to be committed.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct StoredConfigurations {
    /// What this member was founded or joined with.
    pub root: Placed,
    /// The last committed one.
    pub committed: Placed,
    /// The certified ones after the root, oldest first.
    pub chain: Vec<CertifiedConfiguration>,
    /// The entries of committed ones that have no certificate yet.
    pub uncertified: Vec<LogEntry>,
}

/// What recovery found of a member, beside its entries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Health {
    /// All that was synced is there.
    Whole,
    /// Entries before this one are damaged; promises hold (rule C11).
    Damaged {
        /// The last entry known to have been synced, or one above it: see [`Health::damaged`].
        known_end: LogEnd,
    },
    /// What was synced or promised is missing.
    Amnesiac,
}

impl Health {
    /// That of a member whose log is known to have ended at `last`, with entries missing before. Where the
    /// log does not know the epoch there, it is taken to be the highest that an entry can have had: the
    /// promised one.
    pub fn damaged(last: LogPoint, stored: &Stored) -> Self {
        let LogPoint { index, epoch } = last;
        let is_known = epoch != Epoch::default();
        let epoch = if is_known { epoch } else { stored.promised };
        Self::Damaged { known_end: LogEnd { epoch, index } }
    }
}

/// What a run begins with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Restart {
    /// Who this member is; the life of an amnesiac does not matter.
    pub member: Member,
    /// The run: above every earlier one of this store.
    pub incarnation: u64,
    /// When the run began, by this member's clock.
    pub started: weald_core::Time,
    /// What recovery found.
    pub health: Health,
    /// What was kept; for a new member, [`Stored::founding`].
    pub stored: Stored,
    /// The last applied entry: what is in the state machine's durable state.
    pub applied: LogIndex,
    /// Log time at that entry, zero before the first: a log that is empty after it goes on from there
    /// (rule C14).
    pub applied_time: weald_core::Time,
    /// The point right before the first of `entries`, at or below `applied`.
    pub before: Point,
    /// Everything in the log after that point.
    pub entries: Vec<LogEntry>,
}

impl StoredConfigurations {
    /// Those of a log that begins with `root`.
    pub(super) fn begun(root: Placed) -> Self {
        Self { committed: root.clone(), root, chain: Vec::new(), uncertified: Vec::new() }
    }
}

impl Stored {
    /// What a member keeps before its first entry: one that founds, or one that joins and was told
    /// this configuration.
    pub fn founding(member: Member, configuration: crate::configuration::Configuration) -> Self {
        Self {
            member,
            generation: 0,
            promised: Epoch::default(),
            watermark: LogIndex::ZERO,
            base: Point::default(),
            configurations: StoredConfigurations::begun(Placed {
                index: LogIndex::ZERO,
                configuration,
            }),
            runs: BTreeMap::new(),
            recoveries: Vec::new(),
            is_left_behind: false,
        }
    }

    /// What the member keeps that begins a new generation, in place of this. Its log is kept up to
    /// where the act says; nothing is to be after that.
    ///
    /// # Errors
    /// When the recovery is not to be believed, or another member begins; then nothing has changed.
    pub fn recovered(
        &self,
        (authority, partition): (&Authority, PartitionId),
        recovery: Recovery,
    ) -> Result<Self, RecoveryError> {
        recovery.check(authority, partition, &self.recoveries)?;
        if recovery.act.beginner != self.member {
            return Err(RecoveryError::OtherMember(recovery.act.beginner));
        }
        let mut next = self.clone();
        next.generation = recovery.act.generation;
        next.watermark = recovery.act.kept.index;
        next.configurations = StoredConfigurations::begun(recovery.act.root());
        next.recoveries.push(recovery);
        next.is_left_behind = false;
        Ok(next)
    }

    /// The bytes that the log keeps.
    pub fn encode(&self) -> Bytes {
        codec::encode(kinds::STORED, self)
    }

    /// Reads them back.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kinds::STORED, bytes)
    }
}
