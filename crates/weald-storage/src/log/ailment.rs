//! What keeps a partition from taking entries, and what it takes nevertheless (rule C11).

use weald_core::{LogBatch, LogError, LogIndex, PartitionHealth, PartitionId};

use super::partition::{LogEnd, PartitionLog};

/// Why a partition does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ailment {
    /// Entries are missing, the first of them here.
    Damaged { first_missing: LogIndex },
    /// Promises or the end are missing.
    Amnesiac,
}

impl Ailment {
    /// What ails a partition as it is found.
    pub(crate) fn of(known: &PartitionLog) -> Option<Self> {
        match known.health(LogEnd::Whole) {
            PartitionHealth::Intact | PartitionHealth::Torn => None,
            PartitionHealth::Amnesiac => Some(Self::Amnesiac),
            PartitionHealth::Damaged { .. } => {
                let first_missing = known.missing().first().map(|range| *range.start())?;
                Some(Self::Damaged { first_missing })
            }
        }
    }

    /// Lets in what an ailing partition may still write: promises, cuts, and entries where a cut or a
    /// snapshot at its known end or later takes away all that is missing.
    pub(crate) fn check(self, batch: &LogBatch, last: LogIndex) -> Result<(), LogError> {
        let partition = batch.partition;
        let Self::Damaged { first_missing } = self else { return Err(amnesiac(partition)) };
        let is_replaced = batch.restart_at.is_some_and(|base| base.index >= last);
        let is_cut = batch.cut_from.is_some_and(|from| from <= first_missing);
        let may_be = batch.restart_at.is_none() && batch.entries.is_empty();
        if is_replaced || may_be || (is_cut && batch.restart_at.is_none()) {
            return Ok(());
        }
        Err(LogError::Damaged(format!(
            "entries before the end are missing: partition={partition} known_end={last}"
        )))
    }

    /// What is left of it once entries from `from` on are cut.
    pub(crate) fn after_cut(self, from: LogIndex) -> Option<Self> {
        match self {
            Self::Damaged { first_missing } if from <= first_missing => None,
            ailment => Some(ailment),
        }
    }
}

/// The refusal of an amnesiac partition.
pub(crate) fn amnesiac(partition: PartitionId) -> LogError {
    LogError::Damaged(format!("promises are missing: partition={partition}"))
}
