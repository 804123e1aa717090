//! The cache of clean blocks: what is in the engine and was read or written of late.
//!
//! One cache serves all partitions of a node, bounded in bytes. An entry is the newest version of
//! its block that the engine has, with the index that wrote it: a view uses it if that index is
//! not above its own, and asks the memtable first for anything newer. Absence is not cached.
//!
//! Eviction is `quick_cache`'s (Clock-PRO, close to S3-FIFO): a block must be read again before it
//! can push out one that is read often, so a long scan leaves the hot blocks in place. It was
//! chosen over `moka`, which needs background upkeep and several more crates for the same.

use std::sync::Arc;

use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync::Cache};
use weald_core::{BlockId, LogIndex, PartitionId, StoredBlock};

use super::{chain::IMAGE_OVERHEAD_BYTES, record::Debt};

/// Bytes that an entry takes besides the block: its slot in the table.
const ENTRY_OVERHEAD_BYTES: usize = 128;
/// Typical bytes of a block, by which the table's first size is guessed.
const BLOCK_BYTES_TYPICAL: usize = 4096;

type Key = (PartitionId, BlockId);

/// A block as the engine has it.
#[derive(Clone, Debug)]
pub(crate) struct Clean {
    /// The index that wrote it.
    pub(crate) index: LogIndex,
    /// What reading it again costs.
    pub(crate) debt: Debt,
    pub(crate) stored: Arc<StoredBlock>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Key, Clean> for ByBytes {
    fn weight(&self, _key: &Key, clean: &Clean) -> u64 {
        let bytes = clean.stored.block.payload.len() + IMAGE_OVERHEAD_BYTES + ENTRY_OVERHEAD_BYTES;
        bytes.try_into().unwrap_or(u64::MAX)
    }
}

/// A cache of blocks for all partitions of a node.
#[derive(Debug)]
pub struct BlockCache {
    clean: Cache<Key, Clean, ByBytes>,
}

/// What a cache has done and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheFigures {
    /// Reads that found their block.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Blocks held.
    pub blocks: usize,
    /// Bytes held, with what the cache needs to hold them.
    pub bytes: u64,
}

impl BlockCache {
    /// A cache of at most `bytes`. A block larger than what the cache would give to one is not
    /// kept, and works.
    pub fn new(bytes: usize) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity((bytes / BLOCK_BYTES_TYPICAL).max(1))
            .weight_capacity(bytes.try_into().unwrap_or(u64::MAX))
            .build()
            .expect("both capacities are given");
        let clean = Cache::with_options(
            options,
            ByBytes,
            DefaultHashBuilder::default(),
            Default::default(),
        );
        Self { clean }
    }

    /// What the cache has done and holds.
    pub fn figures(&self) -> CacheFigures {
        CacheFigures {
            hits: self.clean.hits(),
            misses: self.clean.misses(),
            blocks: self.clean.len(),
            bytes: self.clean.weight(),
        }
    }

    /// Drops every block. Reads go on from the engine.
    pub fn clear(&self) {
        self.clean.clear();
    }

    /// The block, if its newest stored version is not above `index`.
    pub(crate) fn at(&self, key: Key, index: LogIndex) -> Option<Clean> {
        self.clean.get(&key).filter(|clean| clean.index <= index)
    }

    /// What is known of a block, without counting it as a read.
    pub(crate) fn peek(&self, key: Key) -> Option<Clean> {
        self.clean.peek(&key)
    }

    /// Puts the newest stored version in place of whatever is there.
    pub(crate) fn put(&self, key: Key, clean: Clean) {
        // Removed first: a block that the cache does not admit must not leave an older one behind.
        self.clean.remove(&key);
        self.clean.insert(key, clean);
    }

    pub(crate) fn remove(&self, key: Key) {
        self.clean.remove(&key);
    }
}
