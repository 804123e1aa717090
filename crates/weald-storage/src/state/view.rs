//! Views: the state right after one log index.
//!
//! What a block is at that index never changes, so wherever it is found the answer is right: in
//! the memtable; else, because a checkpoint makes a version durable before the memtable forgets
//! it, in the engine or the cache. The order matters: memtable first, then cache or engine. A
//! version that leaves the memtable in between is found by the second look, never by neither.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::RwLock;
use weald_core::{
    BlockId, BlockRead, BlockSource, Fault, LogIndex, StateError, StateView, StoredBlock,
};

use super::{
    Shared,
    cache::Clean,
    memtable::BlockMap,
    record::RecordKey,
    replay::{self, Found},
};
use crate::engine::Snapshot;

/// A view of a partition. Holds the versions it may need until it is dropped.
pub(crate) struct View {
    shared: Arc<Shared>,
    index: LogIndex,
    /// Blocks that were loaded for this view, `None` for absent ones.
    loaded: RwLock<BlockMap<Option<Arc<StoredBlock>>>>,
    has_loaded: AtomicBool,
}

/// Why a block is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Read,
    Load,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.shared.horizon.unpin(self.index);
    }
}

impl View {
    /// A view at what `index` answers once the horizon cannot move.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        index: impl FnOnce() -> LogIndex,
    ) -> Result<Self, StateError> {
        let index = shared.horizon.pin(index).map_err(|lowest| {
            Fault::Pruned(format!("partition={} lowest={lowest}", shared.partition))
        })?;
        Ok(Self {
            shared: Arc::clone(shared),
            index,
            loaded: RwLock::default(),
            has_loaded: AtomicBool::new(false),
        })
    }

    /// The block as far as memory knows; outer `None`: it must be loaded.
    fn resident(
        &self,
        id: BlockId,
        purpose: Purpose,
    ) -> Result<Option<Option<Arc<StoredBlock>>>, Fault> {
        if self.has_loaded.load(Ordering::Acquire)
            && let Some(loaded) = self.loaded.read().get(&id)
        {
            return Ok(Some(loaded.clone()));
        }
        if let Some(version) = self.shared.memtable.at(id, self.index)? {
            return Ok(Some(version));
        }
        if !self.shared.has_blocks.load(Ordering::Acquire) {
            return Ok(Some(None));
        }
        let key = (self.shared.partition, id);
        // A load comes after a read that was counted.
        let clean = match purpose {
            Purpose::Read => self.shared.cache.at(key, self.index),
            Purpose::Load => self.shared.cache.peek(key).filter(|clean| clean.index <= self.index),
        };
        Ok(clean.filter(|_| !self.shared.is_retired()).map(|clean| Some(clean.stored)))
    }

    fn keep(&self, id: BlockId, block: Option<Arc<StoredBlock>>) {
        self.loaded.write().insert(id, block);
        self.has_loaded.store(true, Ordering::Release);
    }

    fn load_stored(&self, id: BlockId, snapshot: &dyn Snapshot, turn: u64) -> Result<(), Fault> {
        let shared = &self.shared;
        let key = RecordKey { partition: shared.partition, block: id, last: self.index };
        let pruned = || Fault::Pruned(format!("block={id} index={}", self.index));
        let found = match replay::find(snapshot, key) {
            // Below the floor records may miss their base: that is no damage.
            Err(fault) => match replay::newest(snapshot, key)? {
                Some(newest) if self.index < shared.horizon.floor_of(newest.collection()) => {
                    return Err(pruned());
                }
                _ => return Err(fault),
            },
            Ok(found) => found,
        };
        let Some(Found { collection, version, newest }) = found else {
            if self.index < shared.horizon.forgotten() {
                return Err(pruned());
            }
            self.keep(id, None);
            return Ok(());
        };
        if self.index < shared.horizon.floor_of(collection) {
            return Err(pruned());
        }
        let (index, stored) = version.map_or((LogIndex::ZERO, None), |version| version);
        if let (Some(debt), Some(stored)) = (newest, &stored) {
            shared.offer(id, turn, Clean { index, debt, stored: Arc::clone(stored) });
        }
        self.keep(id, stored);
        Ok(())
    }
}

impl BlockSource for View {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        Ok(match self.resident(id, Purpose::Read)? {
            Some(Some(stored)) => BlockRead::Present(stored),
            Some(None) => BlockRead::Absent,
            None => BlockRead::NotHere,
        })
    }
}

impl StateView for View {
    fn index(&self) -> LogIndex {
        self.index
    }

    fn load(&self, ids: &[BlockId]) -> Result<(), Fault> {
        let mut missing = Vec::new();
        for &id in ids {
            match self.resident(id, Purpose::Load)? {
                Some(block) => self.keep(id, block),
                None => missing.push(id),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        let shared = &self.shared;
        let turn = shared.turn.load(Ordering::Acquire);
        let snapshot = shared.engine.snapshot();
        let snapshot = snapshot.map_err(|error| Fault::Storage(error.to_string()))?;
        if shared.is_retired() {
            return Err(Fault::Storage("another state has taken the place of this one".to_owned()));
        }
        missing.into_iter().try_for_each(|id| self.load_stored(id, &*snapshot, turn))
    }
}
