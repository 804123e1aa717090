//! The chain as a queue and a stack against a list, its links, seeks, retention and verifier.

mod format;
mod links;
mod model;
mod retention;
mod verifier;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use weald_core::{
    Block, BlockId, BlockKind, CollectionName, Halt, LogIndex, PlacementKey, Revision, Sequence,
    Splice, StoredBlock, Time, TransactionId,
};

use super::*;
use crate::{BlockReader, BlockWriter, ChainState};

/// Blocks that a test changes directly, and that count what is read.
#[derive(Clone, Debug, Default)]
struct Bench {
    blocks: BTreeMap<BlockId, Arc<StoredBlock>>,
    chain: ChainState,
    revision: u64,
    made: u32,
    reads: usize,
    now: u64,
}

impl Bench {
    fn name() -> CollectionName {
        "bench".parse().unwrap()
    }

    fn stamp(&self) -> EntryStamp {
        let mut unique = [0; 16];
        unique[..8].copy_from_slice(&self.revision.to_le_bytes());
        EntryStamp {
            revision: Revision(self.revision),
            transaction: TransactionId::new(PlacementKey::of(&Self::name()), unique),
            index: LogIndex(self.revision * 10),
            time: Time::from_millis(self.now),
        }
    }

    /// Appends in one revision.
    fn append(&mut self, payloads: &[Bytes]) -> Sequence {
        self.revision += 1;
        self.now += 1;
        let (stamp, mut chain) = (self.stamp(), self.chain);
        let first = append(self, &mut chain, &stamp, payloads).unwrap();
        self.chain = chain;
        first
    }

    fn append_numbers(&mut self, numbers: std::ops::Range<u64>) {
        let payloads: Vec<Bytes> = numbers.map(number).collect();
        self.append(&payloads);
    }

    fn dequeue(&mut self, count: usize) -> Vec<u64> {
        let mut chain = self.chain;
        let taken = dequeue(self, &mut chain, count).unwrap();
        self.chain = chain;
        taken.iter().map(value).collect()
    }

    fn pop(&mut self, count: usize) -> Vec<u64> {
        let mut chain = self.chain;
        let taken = pop(self, &mut chain, count).unwrap();
        self.chain = chain;
        taken.iter().map(value).collect()
    }

    fn forward(&mut self, from: u64, count: usize) -> Vec<u64> {
        let (chain, limit) = (self.chain, ReadLimit::entries(count));
        let read = read_forward(self, &chain, Sequence(from), limit).unwrap();
        read.iter().map(value).collect()
    }

    fn backward(&mut self, before: u64, count: usize) -> Vec<u64> {
        let (chain, limit) = (self.chain, ReadLimit::entries(count));
        let read = read_backward(self, &chain, Sequence(before), limit).unwrap();
        read.iter().map(value).collect()
    }

    fn verify(&mut self) -> Result<u64, ChainDamage> {
        ChainVerifier::new(&self.chain.clone()).run(self)
    }

    fn all(&mut self) -> Vec<u64> {
        self.forward(0, usize::MAX)
    }
}

fn number(n: u64) -> Bytes {
    Bytes::copy_from_slice(&n.to_le_bytes())
}

fn value(entry: &ChainEntry) -> u64 {
    u64::from_le_bytes(entry.payload[..8].try_into().unwrap())
}

impl BlockReader for Bench {
    fn read(&mut self, id: BlockId) -> Result<Option<Arc<StoredBlock>>, Halt> {
        self.reads += 1;
        Ok(self.blocks.get(&id).cloned())
    }
}

impl BlockWriter for Bench {
    fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    fn insert(&mut self, kind: BlockKind, payload: Bytes) -> Result<BlockId, Halt> {
        let collection = BlockId::header(&Self::name());
        let id = BlockId::derived(collection.placement(), &self.stamp().transaction, self.made);
        self.made += 1;
        let block = Block { id, kind, collection, payload };
        let revision = Revision(self.revision);
        assert!(self.blocks.insert(id, Arc::new(StoredBlock { block, revision })).is_none());
        Ok(id)
    }

    fn splice(&mut self, id: BlockId, splices: Vec<Splice>) -> Result<(), Halt> {
        let stored = self.blocks.get_mut(&id).expect("a spliced block exists");
        let mut payload = stored.block.payload.to_vec();
        for splice in splices {
            let start = usize::try_from(splice.offset).unwrap();
            let end = start + usize::try_from(splice.remove).unwrap();
            payload.splice(start..end, splice.insert.iter().copied());
        }
        Arc::make_mut(stored).block.payload = payload.into();
        Ok(())
    }

    fn replace(&mut self, _: BlockId, _: BlockKind, _: Bytes) -> Result<(), Halt> {
        unreachable!("a chain replaces no block")
    }

    fn delete(&mut self, id: BlockId) -> Result<(), Halt> {
        self.blocks.remove(&id).expect("a deleted block exists");
        Ok(())
    }
}
