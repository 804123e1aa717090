//! Applying committed entries: load what is missing, commit the effects.

use std::sync::Arc;

use weald_cluster::partition::{Applied, Partition};
use weald_core::{
    At, BlockId, BlockRead, BlockSource, Entry, Executor, Fault, Halt, LogIndex, StateError,
    StateStore, StateView,
};

use crate::telling;

/// A partition with its store and the code of its collections.
pub(crate) struct Applier {
    pub(crate) partition: Partition,
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) executor: Arc<dyn Executor>,
}

/// Where the blocks that an entry needs may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From memory only: applying never waits.
    Memory,
    /// From the disk, too.
    Disk,
}

/// A view that has a block brought into memory when it is asked for. An execution that halts for it
/// would begin anew; each new block is one, because only the disk can prove that its id is free.
struct Loading<'v>(&'v dyn StateView);

impl BlockSource for Loading<'_> {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        match self.0.block(id)? {
            BlockRead::NotHere => {
                self.0.load(&[id])?;
                self.0.block(id)
            }
            found => Ok(found),
        }
    }
}

impl Applier {
    /// Applies the entry at `index` and makes its effects visible.
    ///
    /// # Errors
    /// This member's own trouble: the partition stops here until it is repaired. And, within
    /// [`Reach::Memory`] only, [`Halt::Need`]: then nothing has happened.
    pub(crate) fn apply(
        &mut self,
        index: LogIndex,
        entry: &Entry,
        reach: Reach,
    ) -> Result<Applied, Halt> {
        let view = self.store.view(At::Latest).map_err(fault)?;
        let loading = Loading(&*view);
        let source: &dyn BlockSource = match reach {
            Reach::Memory => &*view,
            Reach::Disk => &loading,
        };
        let mut applied = loop {
            match self.partition.apply(index, entry, source, &*self.executor) {
                Err(Halt::Need(ids)) if reach == Reach::Disk => view.load(&ids)?,
                done => break done?,
            }
        };
        drop(view);
        let effects = std::mem::take(&mut applied.effects);
        self.store.commit(index, effects).map_err(fault)?;
        telling::tell(self.partition.id(), index, &entry.payload, &applied);
        Ok(applied)
    }
}

fn fault(error: StateError) -> Fault {
    match error {
        StateError::Fault(fault) => fault,
        other => Fault::Storage(other.to_string()),
    }
}
