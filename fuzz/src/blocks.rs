//! Blocks in memory that structures read and write, and that a target may damage.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use weald_collections::{BlockReader, BlockWriter};
use weald_core::{
    Base, Block, BlockId, BlockKind, Change, CollectionName, Fault, Halt, PlacementKey, Revision,
    Splice, StoredBlock, TransactionId, Transform,
};

/// Every block there is.
#[derive(Clone)]
pub(crate) struct Blocks {
    blocks: BTreeMap<BlockId, Arc<StoredBlock>>,
    collection: BlockId,
    place: PlacementKey,
    made: u32,
    pub(crate) revision: Revision,
}

impl Blocks {
    pub(crate) fn new() -> Self {
        let name: CollectionName = "fuzz".parse().expect("a valid name");
        let (collection, place) = (BlockId::header(&name), PlacementKey::of(&name));
        Self { blocks: BTreeMap::new(), collection, place, made: 0, revision: Revision(1) }
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Puts `payload` into the block that is `position`th by id.
    pub(crate) fn damage(&mut self, position: usize, payload: Vec<u8>) {
        let Some(stored) = self.blocks.values_mut().nth(position) else { return };
        Arc::make_mut(stored).block.payload = payload.into();
    }

    /// The payload of the block that is `position`th by id; empty when there is none.
    pub(crate) fn payload(&self, position: usize) -> Bytes {
        self.blocks
            .values()
            .nth(position)
            .map(|stored| stored.block.payload.clone())
            .unwrap_or_default()
    }

    fn put(&mut self, id: BlockId, kind: BlockKind, payload: Bytes) {
        let block = Block { id, kind, collection: self.collection, payload };
        self.blocks.insert(id, Arc::new(StoredBlock { block, revision: self.revision }));
    }
}

impl BlockReader for Blocks {
    fn read(&mut self, id: BlockId) -> Result<Option<Arc<StoredBlock>>, Halt> {
        Ok(self.blocks.get(&id).cloned())
    }
}

impl BlockWriter for Blocks {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn insert(&mut self, kind: BlockKind, payload: Bytes) -> Result<BlockId, Halt> {
        self.made += 1;
        let transaction = TransactionId::new(self.place, [0; 16]);
        let id = BlockId::derived(self.place, &transaction, self.made);
        self.put(id, kind, payload);
        Ok(id)
    }

    fn splice(&mut self, id: BlockId, splices: Vec<Splice>) -> Result<(), Halt> {
        let stored = self.read(id)?.ok_or(Fault::Missing { id })?;
        let transform =
            Transform { id, base: Base::At(stored.revision), change: Change::Update(splices) };
        if let Some(block) = transform.apply(Some(&stored))? {
            self.put(id, block.kind, block.payload);
        }
        Ok(())
    }

    fn replace(&mut self, id: BlockId, kind: BlockKind, payload: Bytes) -> Result<(), Halt> {
        self.read(id)?.ok_or(Fault::Missing { id })?;
        self.put(id, kind, payload);
        Ok(())
    }

    fn delete(&mut self, id: BlockId) -> Result<(), Halt> {
        self.blocks.remove(&id).map(|_| ()).ok_or(Halt::Fault(Fault::Missing { id }))
    }
}
