//! One partition with its log and whoever coordinates it.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use weald_cluster::partition::{
    Partition,
    coordination::{Config, Coordinator},
};
use weald_collections::{CollectionExecutor, RawTree, Registry, SourceReader, TreeType};
use weald_core::{
    BlockId, BlockRead, BlockSource, Entry, Fault, Outcome, PartitionId, Payload, StoredBlock,
    Time, TransactionId,
};

/// The code of trees.
static EXECUTOR: LazyLock<CollectionExecutor> = LazyLock::new(|| {
    let mut registry = Registry::new();
    registry.register(Arc::new(TreeType)).expect("registered once");
    CollectionExecutor::new(registry)
});

/// A partition as its members agree on it, and its coordinator.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) partition: Partition,
    pub(super) coordinator: Coordinator,
    /// Proposed and not yet committed, in order.
    pub(super) log: Vec<Payload>,
    blocks: Blocks,
    rows: BTreeMap<Bytes, Bytes>,
}

#[derive(Clone, Debug, Default)]
struct Blocks(BTreeMap<BlockId, Arc<StoredBlock>>);

impl BlockSource for Blocks {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        Ok(self.0.get(&id).cloned().map_or(BlockRead::Absent, BlockRead::Present))
    }
}

/// Blocks and rows follow from the log, over all of which goes the partition's hash.
impl Hash for Side {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.partition, &self.coordinator, &self.log).hash(state);
    }
}

impl PartialEq for Side {
    fn eq(&self, other: &Self) -> bool {
        self.partition == other.partition
            && self.coordinator == other.coordinator
            && self.log == other.log
    }
}

impl Eq for Side {}

impl Side {
    /// A partition whose log holds these entries.
    pub(super) fn founded(number: u32, config: Config, now: Time, entries: Vec<Payload>) -> Self {
        let partition = Partition::new(PartitionId(number));
        let coordinator = Coordinator::new(now, &partition, config);
        let (blocks, rows) = (Blocks::default(), BTreeMap::new());
        let mut side = Self { partition, coordinator, log: Vec::new(), blocks, rows };
        for payload in entries {
            side.apply(now, payload);
        }
        side
    }

    /// Commits `payload`, which the coordinator learns.
    pub(super) fn commit(&mut self, now: Time, payload: Payload) {
        let applied = self.apply(now, payload);
        self.coordinator.applied(now, &applied, &self.partition);
    }

    fn apply(&mut self, now: Time, payload: Payload) -> weald_cluster::partition::Applied {
        let (index, entry) = (self.partition.applied().next(), Entry { time: now, payload });
        let applied = self.partition.apply(index, &entry, &self.blocks, &*EXECUTOR);
        let applied = applied.expect("all blocks are here");
        for effect in &applied.effects.blocks {
            match effect.after.clone() {
                Some(stored) => drop(self.blocks.0.insert(effect.id, stored)),
                None => drop(self.blocks.0.remove(&effect.id)),
            }
        }
        for (key, value) in applied.effects.rows.clone() {
            match value {
                Some(value) => drop(self.rows.insert(key, value)),
                None => drop(self.rows.remove(&key)),
            }
        }
        applied
    }

    /// The coordination ends; its successor commits the first `kept` of its entries, and knows what the
    /// rows say and nothing else.
    pub(super) fn end(&mut self, now: Time, kept: usize, config: Config) {
        for payload in std::mem::take(&mut self.log).into_iter().take(kept) {
            self.apply(now, payload);
        }
        let rows = self.rows.iter().map(|(key, value)| (key.clone(), value.clone()));
        let restored = Partition::restore(self.partition.id(), self.partition.applied(), rows);
        self.partition = restored.expect("what was kept parses");
        self.coordinator = Coordinator::new(now, &self.partition, config);
    }

    /// What the tree holds under `key`.
    pub(super) fn value(&self, tree: &RawTree, key: &[u8]) -> Option<Bytes> {
        let found = tree.get(&mut SourceReader(&self.blocks), key);
        found.expect("all blocks are here").map(|entry| entry.value)
    }

    /// Whether the transaction holds anything here.
    pub(super) fn waits(&self, id: &TransactionId) -> bool {
        self.partition.waiting(id).is_some()
    }

    /// Whether no transaction holds anything, and no decision waits for anybody.
    pub(super) fn is_settled(&self) -> bool {
        self.partition.waiting_count() == 0 && self.partition.decision_count() == 0
    }

    pub(super) fn outcome(&self, id: &TransactionId) -> Option<&Outcome> {
        self.partition.outcome(id)
    }
}
