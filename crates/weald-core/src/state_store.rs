//! Where a partition's state lives: blocks with history and the state machine's rows.

use std::sync::Arc;

use bytes::Bytes;

use crate::{BlockId, BlockSource, Effects, Fault, LogIndex, PartitionId};

/// Which version of the state to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// Everything that was committed to the store when the view was made.
    Latest,
    /// The state right after this log index.
    Index(LogIndex),
}

/// Why the store could not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The index is ahead of what was committed.
    #[error("the state is behind: wanted={wanted} applied={applied}")]
    Behind {
        /// The wanted index.
        wanted: LogIndex,
        /// The last committed index.
        applied: LogIndex,
    },
    /// Effects came out of order.
    #[error("effects out of order: index={index} applied={applied}")]
    OutOfOrder {
        /// The index of the effects.
        index: LogIndex,
        /// The last committed index.
        applied: LogIndex,
    },
    /// The disk is full; what is durable stays, and writing goes on once space is freed.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// Stored bytes are damaged or could not be read or written.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The state of one partition. Effects are visible when committed and durable when a checkpoint
/// has covered them; until then the log holds what makes them.
pub trait StateStore: Send + Sync {
    /// The partition.
    fn partition(&self) -> PartitionId;

    /// A consistent view that later commits do not change. It holds its version until dropped.
    ///
    /// # Errors
    /// [`StateError::Behind`] for an index that was not committed yet;
    /// [`Fault::Pruned`] for one below what the history keeps.
    fn view(&self, at: At) -> Result<Arc<dyn StateView>, StateError>;

    /// Makes the effects of the entry at `index` visible, in memory.
    ///
    /// # Errors
    /// [`StateError::OutOfOrder`] unless `index` is above [`StateStore::applied`].
    fn commit(&self, index: LogIndex, effects: Effects) -> Result<(), StateError>;

    /// The state machine's rows whose keys begin with `prefix`, in order. May read the disk.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn rows(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StateError>;

    /// The last committed index.
    fn applied(&self) -> LogIndex;

    /// The last index that a durable checkpoint covers.
    fn checkpointed(&self) -> LogIndex;

    /// Bytes in memory that only a checkpoint can free.
    fn dirty_bytes(&self) -> usize;

    /// Writes what was committed up to `synced`, at most, to the engine, makes it durable and
    /// prunes history below the floors. Blocks on the disk; commits and views go on meanwhile.
    /// Returns the index that is covered now.
    ///
    /// # Errors
    /// [`StateError::DiskFull`] or a fault; nothing that was durable is lost.
    fn checkpoint(&self, synced: LogIndex) -> Result<LogIndex, StateError>;
}

/// A version of the state. Reading is synchronous and never waits: what is not in memory is
/// [`BlockRead::NotHere`](crate::BlockRead::NotHere) until [`StateView::load`] has brought it.
pub trait StateView: BlockSource + Send + Sync {
    /// The log index right after which this is the state.
    fn index(&self) -> LogIndex;

    /// Brings blocks into memory, where this view keeps them until it is dropped, whatever the
    /// cache's size. May block on the disk.
    ///
    /// # Errors
    /// A [`Fault`] when a block is damaged, pruned or cannot be read.
    fn load(&self, ids: &[BlockId]) -> Result<(), Fault>;
}
