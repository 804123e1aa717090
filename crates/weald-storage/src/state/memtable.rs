//! Versions in memory, by block: committed and not covered by a checkpoint.
//!
//! Blocks are spread over shards with a lock each. A commit takes the locks of the blocks it
//! writes one after the other, a reader the one of the block it reads; a checkpoint copies what it
//! writes chain by chain. Nobody holds a lock for longer than it takes to handle one block, and
//! nobody needs two at once: a version is visible to a reader only by its index, which becomes
//! the applied index when all of the commit is in place.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::{RwLock, RwLockReadGuard};
use weald_core::{BlockEffect, BlockId, Fault, LogIndex, StoredBlock, TransformError};

use super::chain::{Chain, Stored};

const SHARD_COUNT: usize = 64;
/// Bytes that a table takes for a chain besides the chain's heap: slots are up to half empty.
const CHAIN_SLOT_BYTES: usize = (size_of::<(BlockId, Chain)>() + 1) * 2;

/// Block ids are digests: eight of their bytes are as good as any hash of them.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    fn write_usize(&mut self, _length: usize) {}
}

/// A map from block ids.
pub(crate) type BlockMap<V> = HashMap<BlockId, V, BuildHasherDefault<IdHasher>>;

/// All chains of a partition.
#[derive(Debug)]
pub(crate) struct Memtable {
    shards: Box<[RwLock<Shard>]>,
    bytes: AtomicUsize,
}

/// The chains of one shard.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    chains: BlockMap<Chain>,
}

impl Memtable {
    pub(crate) fn new() -> Self {
        let shards = (0..SHARD_COUNT).map(|_| RwLock::default()).collect();
        Self { shards, bytes: AtomicUsize::new(0) }
    }

    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Refuses an effect that does not follow the block's newest version here.
    pub(crate) fn check(&self, effect: &BlockEffect) -> Result<(), TransformError> {
        match self.shard(effect.id).read().chains.get(&effect.id) {
            Some(chain) => chain.check(effect),
            None => Ok(()),
        }
    }

    /// Adds the version that `effect` makes at `index`.
    pub(crate) fn push(&self, index: LogIndex, effect: BlockEffect) {
        let mut shard = self.shard(effect.id).write();
        let (chain, slot) = match shard.chains.entry(effect.id) {
            Entry::Occupied(occupied) => (occupied.into_mut(), 0),
            Entry::Vacant(vacant) => (vacant.insert(Chain::default()), CHAIN_SLOT_BYTES),
        };
        let before = chain.heap_bytes();
        chain.push(index, effect);
        // Chains only shrink at a checkpoint, but an image may give way to a smaller one.
        let after = chain.heap_bytes() + slot;
        self.account(before, after);
    }

    /// The block right after `index`; `None`: no version here is so old.
    pub(crate) fn at(
        &self,
        id: BlockId,
        index: LogIndex,
    ) -> Result<Option<Option<Arc<StoredBlock>>>, Fault> {
        match self.shard(id).read().chains.get(&id) {
            Some(chain) => chain.at(id, index),
            None => Ok(None),
        }
    }

    /// Holds the lock of a block's shard: while it is held, no version of the block is released.
    pub(crate) fn hold(&self, id: BlockId) -> RwLockReadGuard<'_, Shard> {
        self.shard(id).read()
    }

    /// Every block that has a chain, in the order of the ids.
    pub(crate) fn ids(&self) -> Vec<BlockId> {
        let mut ids: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| shard.read().chains.keys().copied().collect::<Vec<_>>())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// A copy of a block's versions up to `cover`.
    pub(crate) fn cut(&self, id: BlockId, cover: LogIndex) -> Option<Chain> {
        self.shard(id).read().chains.get(&id)?.cut(cover)
    }

    /// Forgets a block's versions up to `cover`. `keep` is called under the shard's lock, before
    /// anything is forgotten, with whether newer versions stay.
    pub(crate) fn release(
        &self,
        id: BlockId,
        cover: LogIndex,
        (base, stored): (Option<Arc<StoredBlock>>, Stored),
        keep: impl FnOnce(bool),
    ) {
        let mut shard = self.shard(id).write();
        let Entry::Occupied(mut occupied) = shard.chains.entry(id) else { return };
        let chain = occupied.get_mut();
        let before = chain.heap_bytes();
        let stays = chain.newest_index() > Some(cover);
        keep(stays);
        if stays {
            chain.release(cover, base, stored);
            let after = chain.heap_bytes();
            self.account(before, after);
        } else {
            occupied.remove();
            self.account(before + CHAIN_SLOT_BYTES, 0);
        }
    }

    fn shard(&self, id: BlockId) -> &RwLock<Shard> {
        let last = id.to_bytes()[BlockId::LEN - 1];
        &self.shards[usize::from(last) % SHARD_COUNT]
    }

    fn account(&self, before: usize, after: usize) {
        if after >= before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}
