//! The log of a node: all partitions share one sequence of files and one sync.

use std::{collections::BTreeMap, ops::RangeInclusive};

use bytes::Bytes;

use crate::{Epoch, LogIndex, PartitionId};

/// One entry as its proposer encoded it; opaque to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Its place.
    pub index: LogIndex,
    /// The epoch of the coordinator that made it.
    pub epoch: Epoch,
    /// The encoded entry, at most [`ENTRY_BYTES_MAX`](crate::limits::ENTRY_BYTES_MAX).
    pub bytes: Bytes,
}

/// A place in a log and the epoch of the entry there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPoint {
    /// The place; zero stands before the first entry.
    pub index: LogIndex,
    /// The epoch of the entry at that place.
    pub epoch: Epoch,
}

/// What is written for one partition in one go, in the order of the fields. A batch that fits one
/// sync is durable as a whole or not at all. Of a larger one, what stands before the entries is
/// durable with the first of them or earlier, as a whole; then the entries in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// The partition.
    pub partition: PartitionId,
    /// All entries are forgotten first; the log goes on behind this point, which a snapshot covers
    /// (rule C15). What else belongs to the snapshot goes into `state`.
    pub restart_at: Option<LogPoint>,
    /// Entries from this index on are cut.
    pub cut_from: Option<LogIndex>,
    /// The member's promises and identity, replacing those before; opaque to the log.
    pub state: Option<Bytes>,
    /// Entries, without a gap, continuing the log.
    pub entries: Vec<LogRecord>,
    /// The entries may use the space that is kept for when the disk is full: configurations and what
    /// else gets a partition going again (rule C12). A batch without entries always may.
    pub is_urgent: bool,
}

/// Names a submitted batch. Tickets are ordered as batches were submitted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SyncTicket(pub u64);

/// How far the log is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Synced {
    /// Every batch up to this ticket is.
    UpTo(SyncTicket),
    /// A sync failed. Batches up to the ticket are durable; nothing after them is known, and
    /// nothing more is accepted until a restart (rule C12).
    Failed(SyncTicket),
}

/// What recovery found of one partition (rule C11).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartitionHealth {
    /// All that was synced is there.
    Intact,
    /// The last batch was not synced when power failed; it was dropped.
    Torn,
    /// Something before the end is damaged. Promises hold; entries are repaired from peers.
    Damaged {
        /// The last index known to have been synced.
        known_end: LogIndex,
    },
    /// The end of the synced log or the promises are missing: this member cannot vouch for
    /// anything it said.
    Amnesiac,
}

/// One partition after recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredPartition {
    /// What was found.
    pub health: PartitionHealth,
    /// The last synced state record.
    pub state: Option<Bytes>,
    /// The first index that is held; one above `last` when none is.
    pub first: LogIndex,
    /// The last index that is held, or known to have been synced; one below `first` when there is none.
    pub last: LogIndex,
    /// The epoch of the entry there. Where entries are missing it may be unknown; then it is the default.
    pub last_epoch: Epoch,
}

/// How the log of one partition stands, as far as it is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionStatus {
    /// What it is fit for. [`PartitionHealth::Torn`] is told by [`LogStore::recovered`] only: what was
    /// torn has been mended.
    pub health: PartitionHealth,
    /// The point before the first entry that is wanted.
    pub base: LogPoint,
    /// The last entry, held or known to have been synced. Its epoch is the default where it is unknown, which
    /// happens only while entries are missing.
    pub last: LogPoint,
    /// Every batch of the partition up to this ticket is durable, whatever others wait for.
    pub synced: SyncTicket,
}

/// Why the log refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// No space could be allocated. What is there is safe; it heals when space is freed.
    #[error("the disk is full; free some space, no restart is needed: {0}")]
    DiskFull(String),
    /// A sync failed; the node must restart to know what is durable.
    #[error("a sync of the log failed; restart the node: {0}")]
    SyncFailed(String),
    /// An entry does not continue the log of its partition.
    #[error(
        "entries do not continue the log: partition={partition} expected={expected} found={found}"
    )]
    NotContiguous {
        /// The partition.
        partition: PartitionId,
        /// The index that would continue it.
        expected: LogIndex,
        /// The index that came.
        found: LogIndex,
    },
    /// An entry is larger than allowed.
    #[error("entry too large: bytes={bytes} max={max}")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// Too much is waiting to be written.
    #[error("the log is busy; retry: queued_bytes={queued_bytes} max={max}")]
    Busy {
        /// Bytes that wait.
        queued_bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Entries from here were released or never written.
    #[error("the log does not hold this entry: partition={partition} index={index}")]
    NotHeld {
        /// The partition.
        partition: PartitionId,
        /// The index asked for.
        index: LogIndex,
    },
    /// Stored bytes do not match their checksum.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// The disk could not be read or written.
    #[error("the log cannot be used: {0}")]
    Io(String),
}

impl LogError {
    /// Whether the same call may succeed later in this run.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::DiskFull(_) | Self::Busy { .. })
    }
}

/// The durable log of a node, for all its partitions. Submitting returns at once; whoever opened
/// the log is notified when [`LogStore::poll_synced`] has moved.
pub trait LogStore: Send + Sync {
    /// Queues a batch. Batches of one partition become durable in the order of submission.
    ///
    /// # Errors
    /// When the batch does not fit the log or the log takes no more; nothing of it is queued.
    fn submit(&self, batch: LogBatch) -> Result<SyncTicket, LogError>;

    /// As [`LogStore::submit`], by somebody who calls [`LogStore::lead`], or [`LogStore::rouse`], right
    /// after: while nothing else waits, a log with a thread of its own does not wake it.
    ///
    /// # Errors
    /// Those of [`LogStore::submit`].
    fn submit_led(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        self.submit(batch)
    }

    /// Writes and syncs what waits in the caller's thread, if nobody is at it. Returns whether that
    /// was done; the log then tells nobody else of it.
    fn lead(&self) -> bool {
        false
    }

    /// Whether a sync takes so little time that a caller's thread may do it.
    fn is_prompt(&self) -> bool {
        false
    }

    /// Has the log's own thread see to what waits.
    fn rouse(&self) {}

    /// How far submitted batches are durable.
    fn poll_synced(&self) -> Synced;

    /// Entries from `from` on, as many as fit `max_bytes` but at least one if there is one.
    ///
    /// # Errors
    /// [`LogError::NotHeld`] when `from` was released; damage and I/O errors.
    fn read(
        &self,
        partition: PartitionId,
        from: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError>;

    /// What opening the log found, by partition.
    fn recovered(&self) -> BTreeMap<PartitionId, RecoveredPartition>;

    /// Entries below `below` are needed no more; their space is used again.
    ///
    /// # Errors
    /// When the log failed or cannot be written.
    fn release(&self, partition: PartitionId, below: LogIndex) -> Result<(), LogError>;

    /// How a partition stands now; `None` when nothing is known of it. An entry that many syncs are
    /// needed for holds back `synced` of its own partition only.
    fn status(&self, _partition: PartitionId) -> Option<PartitionStatus> {
        None
    }

    /// The entries of a damaged partition that are missing, as ranges in order (rule C11). Whatever
    /// else is between [`PartitionStatus::base`] and the end can be read. Nothing is ever missing
    /// where nothing can be damaged.
    fn missing(&self, _partition: PartitionId) -> Vec<RangeInclusive<LogIndex>> {
        Vec::new()
    }

    /// Fills missing places with entries from peers. That they belong there is the caller's business:
    /// it has checked their chain. Those that are held already are skipped. The partition is
    /// [`PartitionHealth::Intact`] once the last missing one is durable; half of them outlives a
    /// restart.
    ///
    /// # Errors
    /// [`LogError::NotHeld`] for a place that the log does not have; as for [`LogStore::submit`].
    fn repair(
        &self,
        partition: PartitionId,
        entries: Vec<LogRecord>,
    ) -> Result<SyncTicket, LogError> {
        match entries.first() {
            Some(entry) => Err(LogError::NotHeld { partition, index: entry.index }),
            None => Ok(SyncTicket::default()),
        }
    }

    /// Begins a new life of a partition: `batch` is all there is of it, behind the point at which it
    /// restarts, or before the first entry. Whatever was left of an old one is forgotten, also what it
    /// promised: the caller knows that nobody counts on it, since it was lost, or its member was removed,
    /// or a person has said so. Nothing else ends an amnesia.
    ///
    /// # Errors
    /// As for [`LogStore::submit`].
    fn begin_anew(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        let restart_at = Some(batch.restart_at.unwrap_or_default());
        self.submit(LogBatch { restart_at, ..batch })
    }
}
