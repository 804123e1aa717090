//! Blocks of others, kept for the next reader.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use weald_core::{BlockId, StoredBlock};

/// Bytes that a block counts for besides its content.
const BLOCK_OVERHEAD: usize = 128;

/// The newest known revisions of blocks, up to a number of bytes; the oldest go first. Whoever takes
/// one asks whether it is still that.
#[derive(Debug)]
pub(super) struct Cache {
    inner: Mutex<Inner>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    blocks: BTreeMap<BlockId, Arc<StoredBlock>>,
    /// In the order in which they came. One that was replaced keeps its place.
    order: VecDeque<BlockId>,
    bytes: usize,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), bytes_max }
    }

    /// A block, as it was some time ago.
    pub(super) fn find(&self, id: BlockId) -> Option<Arc<StoredBlock>> {
        self.inner.lock().blocks.get(&id).cloned()
    }

    /// Keeps a block.
    pub(super) fn insert(&self, block: Arc<StoredBlock>) {
        let mut inner = self.inner.lock();
        let id = block.block.id;
        inner.bytes += bytes_of(&block);
        match inner.blocks.insert(id, block) {
            Some(before) => inner.bytes -= bytes_of(&before),
            None => inner.order.push_back(id),
        }
        while inner.bytes > self.bytes_max {
            let oldest = inner.order.pop_front().expect("bytes belong to blocks");
            let gone = inner.blocks.remove(&oldest).expect("what has a place is there");
            inner.bytes -= bytes_of(&gone);
        }
    }
}

fn bytes_of(block: &StoredBlock) -> usize {
    block.block.payload.len() + BLOCK_OVERHEAD
}

#[cfg(test)]
mod tests {
    use weald_core::{Block, BlockKind, Revision};

    use super::*;

    fn block(name: &str, bytes: usize) -> Arc<StoredBlock> {
        let id = BlockId::header(&name.parse().unwrap());
        let payload = vec![0; bytes].into();
        let block = Block { id, kind: BlockKind::HEADER, collection: id, payload };
        Arc::new(StoredBlock { block, revision: Revision(1) })
    }

    #[test]
    fn the_oldest_go_when_the_bytes_are_too_many() {
        let cache = Cache::new(3 * (1000 + BLOCK_OVERHEAD));
        for name in ["a", "b", "c", "d"] {
            cache.insert(block(name, 1000));
        }
        let is_there = |name: &str| cache.find(block(name, 0).block.id).is_some();
        assert_eq!(["a", "b", "c", "d"].map(is_there), [false, true, true, true]);
        cache.insert(block("big", 10_000));
        assert_eq!(["b", "c", "d", "big"].map(is_there), [false; 4], "larger than the cache");
    }

    #[test]
    fn a_newer_revision_takes_the_place_of_the_older() {
        let cache = Cache::new(2000);
        cache.insert(block("a", 1000));
        cache.insert(block("a", 500));
        cache.insert(block("b", 500));
        assert_eq!(cache.find(block("a", 0).block.id).unwrap().block.payload.len(), 500);
        assert!(cache.find(block("b", 0).block.id).is_some());
    }
}
