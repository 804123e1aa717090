//! What one action may touch: the blocks of its own collection, through the transaction's overlay.

use std::sync::Arc;

use bytes::Bytes;
use weald_core::{
    Block, BlockId, BlockKind, Context, Halt, Overlay, Revision, Splice, StoredBlock, Time,
};

use crate::{BlockReader, BlockWriter};

/// A collection as one transaction sees and changes it.
///
/// Block ids come from the transaction's id and a counter that all its actions share, so that the
/// same transaction makes the same blocks everywhere.
#[derive(Debug)]
pub struct Scope<'a, 's> {
    overlay: &'a mut Overlay<'s>,
    ordinal: &'a mut u32,
    context: &'a Context,
    collection: BlockId,
    revision: Revision,
}

impl<'a, 's> Scope<'a, 's> {
    /// A scope over the collection whose header block is `collection`. `revision` is the one that
    /// this transaction gives it; `ordinal` counts the blocks that the transaction has made.
    pub fn new(
        overlay: &'a mut Overlay<'s>,
        ordinal: &'a mut u32,
        context: &'a Context,
        collection: BlockId,
        revision: Revision,
    ) -> Self {
        Self { overlay, ordinal, context, collection, revision }
    }

    /// The id of the collection: its header block's.
    pub fn collection(&self) -> BlockId {
        self.collection
    }

    /// Log time: the only clock here.
    pub fn time(&self) -> Time {
        self.context.time
    }

    /// What the execution knows besides blocks.
    pub fn context(&self) -> &Context {
        self.context
    }
}

impl BlockReader for Scope<'_, '_> {
    fn read(&mut self, id: BlockId) -> Result<Option<Arc<StoredBlock>>, Halt> {
        self.overlay.read(id)
    }
}

impl BlockWriter for Scope<'_, '_> {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn insert(&mut self, kind: BlockKind, payload: Bytes) -> Result<BlockId, Halt> {
        let key = self.collection.placement();
        let id = BlockId::derived(key, &self.context.transaction, *self.ordinal);
        *self.ordinal += 1;
        self.overlay.insert(Block { id, kind, collection: self.collection, payload })?;
        Ok(id)
    }

    fn splice(&mut self, id: BlockId, splices: Vec<Splice>) -> Result<(), Halt> {
        Ok(self.overlay.splice(id, splices)?)
    }

    fn replace(&mut self, id: BlockId, kind: BlockKind, payload: Bytes) -> Result<(), Halt> {
        Ok(self.overlay.replace(Block { id, kind, collection: self.collection, payload })?)
    }

    fn delete(&mut self, id: BlockId) -> Result<(), Halt> {
        Ok(self.overlay.delete(id)?)
    }
}
