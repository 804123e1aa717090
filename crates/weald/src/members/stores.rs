//! The state stores of all partitions, on one engine.

use std::sync::Arc;

use weald_cluster::partition::Partition;
use weald_core::{Fault, PartitionId, StateError, StateStore};
use weald_storage::{
    engine::Engine,
    state::{BlockCache, InstallError, PartitionStore, StateConfig, StateInstall},
};

/// Opens state stores, with the state machines on them.
#[derive(Clone)]
pub(super) struct Stores {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) cache: Arc<BlockCache>,
    pub(super) config: StateConfig,
}

impl Stores {
    /// The state of a partition as its last checkpoint left it.
    ///
    /// # Errors
    /// When the engine cannot be read, or a row does not parse.
    pub(super) fn open(
        &self,
        partition: PartitionId,
    ) -> Result<(Arc<PartitionStore>, Partition), StateError> {
        let (engine, cache) = (Arc::clone(&self.engine), Arc::clone(&self.cache));
        let store = PartitionStore::open(partition, engine, cache, self.config)?;
        let machine = Partition::restore(partition, store.applied(), store.rows(&[])?);
        let machine = machine.map_err(|error| {
            StateError::Fault(Fault::Storage(format!("a row does not parse: {error}")))
        })?;
        Ok((Arc::new(store), machine))
    }

    /// Puts a fetched state in the place of `old`, which is of no use from then on. Blocks on the disk.
    ///
    /// # Errors
    /// When the engine refuses; what it has is not known then.
    pub(super) fn switch(
        &self,
        old: &PartitionStore,
        install: StateInstall,
    ) -> Result<(Arc<PartitionStore>, Partition), StateError> {
        let trouble = |error| match error {
            InstallError::State(error) => error,
            other => StateError::Fault(Fault::Storage(other.to_string())),
        };
        // Before the engine has another state, so that no view of this one loads from that.
        old.retire();
        install.switch(&*self.engine).map_err(trouble)?;
        self.cache.clear();
        self.open(old.partition())
    }
}
