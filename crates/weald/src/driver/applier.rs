//! Applying committed entries: load what is missing, commit the effects.

use std::sync::Arc;

use weald_cluster::partition::{Applied, Partition};
use weald_core::{At, Entry, Executor, Fault, Halt, LogIndex, StateError, StateStore};

/// A partition with its store and the code of its collections.
pub(crate) struct Applier {
    pub(crate) partition: Partition,
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) executor: Arc<dyn Executor>,
}

impl Applier {
    /// Applies the entry at `index` and makes its effects visible.
    ///
    /// # Errors
    /// This member's own trouble: the partition stops here until it is repaired.
    pub(crate) fn apply(&mut self, index: LogIndex, entry: &Entry) -> Result<Applied, Fault> {
        let view = self.store.view(At::Latest).map_err(fault)?;
        let mut applied = loop {
            match self.partition.apply(index, entry, &*view, &*self.executor) {
                Ok(applied) => break applied,
                Err(Halt::Need(ids)) => view.load(&ids)?,
                Err(Halt::Fault(fault)) => return Err(fault),
            }
        };
        drop(view);
        let effects = std::mem::take(&mut applied.effects);
        self.store.commit(index, effects).map_err(fault)?;
        Ok(applied)
    }
}

fn fault(error: StateError) -> Fault {
    match error {
        StateError::Fault(fault) => fault,
        other => Fault::Storage(other.to_string()),
    }
}
