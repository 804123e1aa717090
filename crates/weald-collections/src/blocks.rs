//! How structures reach blocks: reading, and writing within one collection.

use std::sync::Arc;

use bytes::Bytes;
use weald_core::{
    BlockId, BlockKind, BlockRead, BlockSource, Fault, Halt, Overlay, Revision, Splice, StoredBlock,
};

/// Reads blocks.
pub trait BlockReader {
    /// The block named `id`; `None` when it is proved absent.
    ///
    /// # Errors
    /// [`Halt::Need`] when it is not in memory, [`Halt::Fault`] when it cannot be read.
    fn read(&mut self, id: BlockId) -> Result<Option<Arc<StoredBlock>>, Halt>;

    /// The block named `id`, which another block names: absence is a fault.
    ///
    /// # Errors
    /// As [`BlockReader::read`]; [`Fault::Missing`] when it is absent, [`Fault::Damaged`] when it is
    /// of another kind.
    fn expect(&mut self, id: BlockId, kind: BlockKind) -> Result<Arc<StoredBlock>, Halt> {
        expect(self, id, kind)
    }
}

/// What [`BlockReader::expect`] does, for readers that add to it.
pub(crate) fn expect<R: BlockReader + ?Sized>(
    reader: &mut R,
    id: BlockId,
    kind: BlockKind,
) -> Result<Arc<StoredBlock>, Halt> {
    let stored = reader.read(id)?.ok_or(Fault::Missing { id })?;
    if stored.block.kind != kind {
        let detail = format!("expected_kind={} found_kind={}", kind.0, stored.block.kind.0);
        return Err(Fault::Damaged { id, detail }.into());
    }
    Ok(stored)
}

/// Changes blocks of one collection on behalf of one transaction.
pub trait BlockWriter: BlockReader {
    /// The revision that the collection has through this transaction; tree entries store it.
    fn revision(&self) -> Revision;

    /// Makes a block and returns its id.
    ///
    /// # Errors
    /// [`Halt`] when the place of the new block cannot be looked at.
    fn insert(&mut self, kind: BlockKind, payload: Bytes) -> Result<BlockId, Halt>;

    /// Splices a block's payload.
    ///
    /// # Errors
    /// [`Halt`] when the block is missing or a splice does not fit: blocks do not fit together.
    fn splice(&mut self, id: BlockId, splices: Vec<Splice>) -> Result<(), Halt>;

    /// Replaces a block's kind and payload as a whole.
    ///
    /// # Errors
    /// As [`BlockWriter::splice`].
    fn replace(&mut self, id: BlockId, kind: BlockKind, payload: Bytes) -> Result<(), Halt>;

    /// Removes a block.
    ///
    /// # Errors
    /// As [`BlockWriter::splice`].
    fn delete(&mut self, id: BlockId) -> Result<(), Halt>;
}

/// Reads straight from a source.
#[derive(Clone, Copy)]
pub struct SourceReader<'s>(pub &'s dyn BlockSource);

impl BlockReader for SourceReader<'_> {
    fn read(&mut self, id: BlockId) -> Result<Option<Arc<StoredBlock>>, Halt> {
        match self.0.block(id)? {
            BlockRead::Present(stored) => Ok(Some(stored)),
            BlockRead::Absent => Ok(None),
            BlockRead::NotHere => Err(Halt::Need(vec![id])),
        }
    }
}

impl std::fmt::Debug for SourceReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SourceReader")
    }
}

/// Reads through an overlay and notes what is read, for optimistic transactions.
#[derive(Debug)]
pub struct NotedReads<'a, 's>(pub &'a mut Overlay<'s>);

impl BlockReader for NotedReads<'_, '_> {
    fn read(&mut self, id: BlockId) -> Result<Option<Arc<StoredBlock>>, Halt> {
        self.0.read_noted(id)
    }
}
