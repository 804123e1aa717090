//! Blocks in memory, a writer that can be told to fail, and short forms for tests.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;
use weald_core::{
    Block, BlockId, BlockKind, BlockRead, BlockSource, Fault, Halt, Overlay, Revision, Savepoint,
    Splice, StoredBlock, TransactionId,
};

use crate::{
    BlockReader, BlockWriter, SourceReader,
    btree::{BTree, Direction, EVERYTHING, Entry, NodeCapacity, Survey},
};

/// Blocks by id; a clone is a snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks(pub(super) BTreeMap<BlockId, Arc<StoredBlock>>);

impl BlockSource for Blocks {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        Ok(self.0.get(&id).map_or(BlockRead::Absent, |stored| BlockRead::Present(stored.clone())))
    }
}

/// One transaction on the blocks of one collection.
pub(super) struct Writer<'s> {
    overlay: Overlay<'s>,
    revision: Revision,
    made: u32,
    /// Block operations so far.
    pub(super) operations: usize,
    /// The operation, counted from 0, that fails.
    pub(super) fails_at: Option<usize>,
}

pub(super) fn collection() -> BlockId {
    BlockId::header(&"shop/orders".parse().unwrap())
}

impl<'s> Writer<'s> {
    pub(super) fn new(blocks: &'s dyn BlockSource, revision: Revision) -> Self {
        let overlay = Overlay::new(blocks);
        Self { overlay, revision, made: 0, operations: 0, fails_at: None }
    }

    pub(super) fn savepoint(&self) -> Savepoint {
        self.overlay.savepoint()
    }

    pub(super) fn rollback(&mut self, savepoint: Savepoint) {
        self.overlay.rollback(savepoint);
    }

    pub(super) fn changed_count(&self) -> usize {
        self.overlay.changed_count()
    }

    pub(super) fn overlay(self) -> Overlay<'s> {
        self.overlay
    }

    fn count(&mut self) -> Result<(), Halt> {
        let fails = self.fails_at == Some(self.operations);
        self.operations += 1;
        if fails { Err(Fault::Storage("injected".into()).into()) } else { Ok(()) }
    }

    fn block(&self, id: BlockId, kind: BlockKind, payload: Bytes) -> Block {
        Block { id, kind, collection: collection(), payload }
    }
}

impl BlockReader for Writer<'_> {
    fn read(&mut self, id: BlockId) -> Result<Option<Arc<StoredBlock>>, Halt> {
        self.count()?;
        self.overlay.read(id)
    }
}

impl BlockWriter for Writer<'_> {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn insert(&mut self, kind: BlockKind, payload: Bytes) -> Result<BlockId, Halt> {
        self.count()?;
        let home = collection().placement();
        let unique = u128::from(self.revision.0).to_le_bytes();
        let id = BlockId::derived(home, &TransactionId::new(home, unique), self.made);
        self.made += 1;
        self.overlay.insert(self.block(id, kind, payload))?;
        Ok(id)
    }

    fn splice(&mut self, id: BlockId, splices: Vec<Splice>) -> Result<(), Halt> {
        self.count()?;
        Ok(self.overlay.splice(id, splices)?)
    }

    fn replace(&mut self, id: BlockId, kind: BlockKind, payload: Bytes) -> Result<(), Halt> {
        self.count()?;
        Ok(self.overlay.replace(self.block(id, kind, payload))?)
    }

    fn delete(&mut self, id: BlockId) -> Result<(), Halt> {
        self.count()?;
        Ok(self.overlay.delete(id)?)
    }
}

/// A tree with its blocks.
#[derive(Clone, Debug)]
pub(super) struct Grove {
    pub(super) blocks: Blocks,
    pub(super) tree: BTree,
    pub(super) revision: Revision,
}

pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

impl Grove {
    pub(super) fn new(capacity: u32) -> Self {
        let mut blocks = Blocks::default();
        let mut writer = Writer::new(&blocks, Revision(1));
        let capacity = NodeCapacity::new(capacity).unwrap();
        let tree = BTree::create(&mut writer, capacity).unwrap();
        let overlay = writer.overlay();
        blocks = commit(&blocks, overlay, Revision(1));
        Self { blocks, tree, revision: Revision(1) }
    }

    /// Runs a transaction and commits it.
    pub(super) fn write<T>(&mut self, change: impl FnOnce(&mut BTree, &mut Writer<'_>) -> T) -> T {
        self.revision = self.revision.next();
        let mut writer = Writer::new(&self.blocks, self.revision);
        let result = change(&mut self.tree, &mut writer);
        let overlay = writer.overlay();
        let effects = overlay.into_effects(|_| self.revision);
        for effect in effects {
            match effect.after {
                Some(stored) => self.blocks.0.insert(effect.id, stored),
                None => self.blocks.0.remove(&effect.id),
            };
        }
        result
    }

    pub(super) fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Option<Entry> {
        self.write(|tree, writer| tree.put(writer, key.as_ref(), value.as_ref()).unwrap())
    }

    pub(super) fn delete(&mut self, key: impl AsRef<[u8]>) -> Option<Entry> {
        self.write(|tree, writer| tree.delete(writer, key.as_ref()).unwrap())
    }

    pub(super) fn get(&self, key: impl AsRef<[u8]>) -> Option<Entry> {
        self.tree.get(&mut SourceReader(&self.blocks), key.as_ref()).unwrap()
    }

    pub(super) fn range(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> Pairs {
        let mut reader = SourceReader(&self.blocks);
        let scan = self.tree.range(&mut reader, bounds, direction);
        scan.map(|entry| entry.map(|entry| (entry.key.to_vec(), entry.value.to_vec())).unwrap())
            .collect()
    }

    pub(super) fn all(&self) -> Pairs {
        self.range(EVERYTHING, Direction::Forward)
    }

    pub(super) fn keys(&self) -> Vec<Vec<u8>> {
        self.all().into_iter().map(|(key, _)| key).collect()
    }

    pub(super) fn verify(&self) -> Survey {
        let survey = self.tree.verify(&mut SourceReader(&self.blocks)).unwrap();
        assert_eq!(survey.leaves + survey.inners, self.blocks.0.len() as u64, "lost blocks");
        survey
    }

    /// Another handle, as after a restart.
    pub(super) fn reopen(&mut self) {
        self.tree = BTree::open(self.tree.root(), self.tree.capacity());
    }
}

fn commit(blocks: &Blocks, overlay: Overlay<'_>, revision: Revision) -> Blocks {
    let mut after = blocks.clone();
    for effect in overlay.into_effects(|_| revision) {
        after.0.insert(effect.id, effect.after.unwrap());
    }
    after
}

/// The key of a number: four bytes, so that its order is the number's.
pub(super) fn key(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// Numbers below `count`, shuffled by `seed`.
pub(super) fn shuffled(count: u32, seed: u64) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count).collect();
    let mut state = seed | 1;
    for last in (1..numbers.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let at = usize::try_from(state % (last as u64 + 1)).unwrap();
        numbers.swap(last, at);
    }
    numbers
}
