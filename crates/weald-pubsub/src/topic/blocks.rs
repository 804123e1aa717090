//! Pages as blocks.

use bytes::Bytes;
use weald_collections::{
    BlockReader, BlockWriter, Stop,
    btree::{BTree, BTreeError, NodeCapacity},
};
use weald_core::{BlockId, BlockKind, Fault, Halt, Splice, codec::CodecError};

use super::invalid;
use crate::{
    kind,
    page::{Page, PageEntry, PageRef, Pages, PagesMut},
};

/// The pages of a topic in its blocks. A page is rewritten in its block; what it was before is the
/// block's older version.
pub(crate) struct BlockPages<'b, B: ?Sized>(pub(crate) &'b mut B);

impl<E: PageEntry, B: BlockReader + ?Sized> Pages<E> for BlockPages<'_, B> {
    type Link = BlockId;
    type Error = Halt;

    fn load(&mut self, at: &PageRef<BlockId>) -> Result<Page<E, BlockId>, Halt> {
        let stored = self.0.expect(at.link, E::BLOCK)?;
        Page::decode_as(kind::STORED_PAGE, &stored.block.payload)
            .map_err(|error| unreadable(at.link, &error))
    }

    fn malformed(&self, at: &PageRef<BlockId>, what: &'static str) -> Halt {
        Fault::Damaged { id: at.link, detail: what.to_owned() }.into()
    }
}

impl<E: PageEntry, B: BlockWriter + ?Sized> PagesMut<E> for BlockPages<'_, B> {
    fn save(
        &mut self,
        before: Option<&PageRef<BlockId>>,
        page: &Page<E, BlockId>,
    ) -> Result<PageRef<BlockId>, Halt> {
        let (payload, PageRef { cid, summary, .. }) = page.stored();
        let link = match before {
            Some(before) => {
                rewrite(self.0, before.link, E::BLOCK, payload)?;
                before.link
            }
            None => self.0.insert(E::BLOCK, payload)?,
        };
        Ok(PageRef { cid, summary, link })
    }

    fn release(&mut self, at: &PageRef<BlockId>) -> Result<(), Halt> {
        self.0.delete(at.link)
    }
}

/// What a block says that does not parse.
pub(crate) fn unreadable(id: BlockId, error: &CodecError) -> Halt {
    Fault::Damaged { id, detail: error.to_string() }.into()
}

/// Gives a block another payload, by splices where these are smaller.
pub(crate) fn rewrite<W: BlockWriter + ?Sized>(
    writer: &mut W,
    id: BlockId,
    kind: BlockKind,
    payload: Bytes,
) -> Result<(), Halt> {
    let stored = writer.expect(id, kind)?;
    let splices = splices(&stored.block.payload, &payload);
    if splices.is_empty() {
        return Ok(());
    }
    let inserted: usize = splices.iter().map(|splice| splice.insert.len()).sum();
    if inserted * 2 > payload.len() {
        return writer.replace(id, kind, payload);
    }
    writer.splice(id, splices)
}

/// Equal bytes between two differences that are not worth a splice of their own.
const SPLICE_GAP: usize = 12;

/// Splices that turn `old` into `new`: the runs that differ, then what is longer or shorter at the
/// end. Bytes that are appended, and numbers that change in their places, cost what they are.
pub(crate) fn splices(old: &[u8], new: &[u8]) -> Vec<Splice> {
    let common = old.len().min(new.len());
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for at in (0..common).filter(|&at| old[at] != new[at]) {
        match runs.last_mut() {
            Some(run) if at - run.end < SPLICE_GAP => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    let changed = |run: std::ops::Range<usize>| {
        Splice::new(run.start, run.len(), Bytes::copy_from_slice(&new[run]))
    };
    let mut splices: Vec<Splice> = runs.into_iter().map(changed).collect();
    if old.len() != new.len() {
        let tail = Bytes::copy_from_slice(&new[common..]);
        splices.push(Splice::new(common, old.len() - common, tail));
    }
    splices
}

/// Bytes of a node of the tree of bodies.
const BODIES_CAPACITY: u32 = 16 * 1024;
/// Bytes of a node of the trees of publishers and of groups.
const RECORDS_CAPACITY: u32 = 4 * 1024;

pub(crate) fn bodies_capacity() -> NodeCapacity {
    NodeCapacity::new(BODIES_CAPACITY).expect("within what nodes may have")
}

pub(crate) fn records_capacity() -> NodeCapacity {
    NodeCapacity::new(RECORDS_CAPACITY).expect("within what nodes may have")
}

pub(crate) fn bodies(root: BlockId) -> BTree {
    BTree::open(root, bodies_capacity())
}

pub(crate) fn records(root: BlockId) -> BTree {
    BTree::open(root, records_capacity())
}

/// A tree's error: keys and values of a topic are never too large, so it is a halt.
pub(crate) fn tree_error(error: BTreeError) -> Stop {
    match error {
        BTreeError::Halt(halt) => halt.into(),
        other => invalid(&other.to_string()),
    }
}
