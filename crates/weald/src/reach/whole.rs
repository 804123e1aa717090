//! A view over all partitions: each is looked at when a block of it is first needed.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use weald_core::{BlockId, BlockRead, BlockSource, Fault, LogIndex, PartitionId, StateView};

use super::Core;
use crate::{
    backend::{Fetching, Reading, Remote, Version},
    node::fetch,
};

/// The newest state of everything. What it shows of different partitions may be of different
/// moments; whoever writes by it says what was read, and it is checked again.
pub(super) struct Whole {
    core: Arc<Core>,
    runtime: Handle,
    views: Mutex<BTreeMap<PartitionId, Version>>,
}

impl Whole {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let runtime = core.runtime().clone();
        Self { core, runtime, views: Mutex::default() }
    }

    fn seen(&self, id: BlockId) -> Option<Version> {
        let partition = self.core.partition(id.placement());
        self.views.lock().get(&partition).cloned()
    }

    /// The view of the partition of `id`.
    async fn look(&self, id: BlockId) -> Result<Version, Fault> {
        if let Some(version) = self.seen(id) {
            return Ok(version);
        }
        let view = self.core.view(id, Reading::default(), &mut |_| ());
        let version = view.wait().await.map_err(|error| Fault::Unreachable(error.to_string()))?;
        let partition = version.position().partition;
        Ok(self.views.lock().entry(partition).or_insert(version).clone())
    }

    /// The views that `ids` are in, with those of each.
    async fn spread(&self, ids: &[BlockId]) -> Result<Vec<(Version, Vec<BlockId>)>, Fault> {
        let mut by_partition: BTreeMap<PartitionId, (Version, Vec<BlockId>)> = BTreeMap::new();
        for id in ids {
            let version = self.look(*id).await?;
            let partition = version.position().partition;
            by_partition.entry(partition).or_insert((version, Vec::new())).1.push(*id);
        }
        Ok(by_partition.into_values().collect())
    }
}

impl BlockSource for Whole {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        match self.seen(id) {
            Some(version) => version.block(id),
            None => Ok(BlockRead::NotHere),
        }
    }
}

impl StateView for Whole {
    fn index(&self) -> LogIndex {
        LogIndex::ZERO
    }

    fn load(&self, ids: &[BlockId]) -> Result<(), Fault> {
        let spread = self.runtime.block_on(self.spread(ids))?;
        spread.into_iter().try_for_each(|(version, ids)| version.load(&ids))
    }
}

impl Remote for Whole {
    fn fetch(self: Arc<Self>, ids: Vec<BlockId>) -> Fetching {
        Box::pin(async move {
            for (version, ids) in self.spread(&ids).await? {
                fetch(&version, ids).await?;
            }
            Ok(())
        })
    }
}
