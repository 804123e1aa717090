//! One block of a chain: links, the hash before its first entry, entries.
//!
//! The entries stand last, so that an append is one splice at the end; their number is counted
//! when the block is read.

use bytes::Bytes;
use weald_core::{
    BlockId, BlockKind, Digest, DigestBuilder, Fault, Halt, LogIndex, Revision, Sequence, Splice,
    Time, TransactionId,
};

use super::CHAIN_BLOCK_ENTRIES_MAX;
use crate::{
    BlockReader,
    layout::{Fields, link_bytes},
};

/// The layout that this code writes.
const LAYOUT: u8 = 1;
/// Offset of the link to the block before.
const PREV_AT: usize = 1 + 8 + 8 + 32;
/// Offset of the link to the block after.
const NEXT_AT: usize = PREV_AT + BlockId::LEN;
/// Bytes before the first entry: both links, the skip pointer.
const ENTRIES_AT: usize = NEXT_AT + BlockId::LEN + BlockId::LEN + 8 + 8;
/// Bytes of an entry before its payload: length, revision, transaction, log index, time.
const ENTRY_HEAD: usize = 4 + 8 + TransactionId::LEN + 8 + 8;

/// One entry of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainEntry {
    /// Its place.
    pub sequence: Sequence,
    /// The revision that appended it.
    pub revision: Revision,
    /// The transaction that appended it.
    pub transaction: TransactionId,
    /// The transaction's place in the partition's log.
    pub index: LogIndex,
    /// Log time.
    pub time: Time,
    /// The content.
    pub payload: Bytes,
}

/// The pointer further back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skip {
    pub(super) id: BlockId,
    pub(super) first: Sequence,
    pub(super) revision: Revision,
}

/// What stands before the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHead {
    /// The sequence of the first entry.
    pub(super) first: Sequence,
    /// Blocks before this one since the chain was last empty.
    pub(super) depth: u64,
    /// The running hash before the first entry.
    pub(super) hash: Digest,
    pub(super) prev: Option<BlockId>,
    pub(super) next: Option<BlockId>,
    pub(super) skip: Option<Skip>,
}

/// A block as read.
#[derive(Clone, Debug)]
pub(super) struct ChainBlock {
    pub(super) id: BlockId,
    pub(super) head: BlockHead,
    payload: Bytes,
    /// Where each entry begins, and where the last ends.
    bounds: Vec<usize>,
}

impl BlockHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENTRIES_AT);
        out.push(LAYOUT);
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.extend_from_slice(&self.depth.to_le_bytes());
        out.extend_from_slice(self.hash.as_bytes());
        for link in [self.prev, self.next, self.skip.map(|skip| skip.id)] {
            out.extend_from_slice(&link_bytes(link));
        }
        let (first, revision) = self.skip.map_or((0, 0), |skip| (skip.first.0, skip.revision.0));
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&revision.to_le_bytes());
        out
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload);
        if fields.byte()? != LAYOUT {
            return None;
        }
        let (first, depth) = (Sequence(fields.number()?), fields.number()?);
        let hash = fields.digest()?;
        let (prev, next, skip) = (fields.link()?, fields.link()?, fields.link()?);
        let (skip_first, revision) = (Sequence(fields.number()?), Revision(fields.number()?));
        if skip.is_none() && (skip_first.0, revision.0) != (0, 0) {
            return None;
        }
        let skip = skip.map(|id| Skip { id, first: skip_first, revision });
        Some(Self { first, depth, hash, prev, next, skip })
    }
}

impl ChainBlock {
    /// Reads the chain block `id`, which something names.
    pub(super) fn read<R: BlockReader + ?Sized>(reader: &mut R, id: BlockId) -> Result<Self, Halt> {
        let payload = reader.expect(id, BlockKind::CHAIN)?.block.payload.clone();
        let parsed = BlockHead::parse(&payload).zip(bounds(&payload));
        let Some((head, bounds)) = parsed else {
            return Err(damaged(id, "malformed chain block"));
        };
        if bounds.len() < 2 || head.first.0.checked_add(bounds.len() as u64).is_none() {
            return Err(damaged(id, "a chain block without entries"));
        }
        Ok(Self { id, head, payload, bounds })
    }

    pub(super) fn count(&self) -> usize {
        self.bounds.len() - 1
    }

    /// The sequence after the last entry.
    pub(super) fn end(&self) -> Sequence {
        Sequence(self.head.first.0 + self.count() as u64)
    }

    pub(super) fn holds(&self, sequence: Sequence) -> bool {
        self.head.first <= sequence && sequence < self.end()
    }

    pub(super) fn len(&self) -> usize {
        self.payload.len()
    }

    /// The entry at `sequence`; `None` when it is in another block.
    pub(super) fn entry(&self, sequence: Sequence) -> Option<ChainEntry> {
        let at = usize::try_from(sequence.0.checked_sub(self.head.first.0)?).ok()?;
        let (start, end) = (*self.bounds.get(at)?, *self.bounds.get(at + 1)?);
        let mut fields = Fields(self.payload.get(start + 4..end)?);
        Some(ChainEntry {
            sequence,
            revision: Revision(fields.number()?),
            transaction: TransactionId::from_bytes(fields.array()?),
            index: LogIndex(fields.number()?),
            time: Time::from_millis(fields.number()?),
            payload: self.payload.slice(start + ENTRY_HEAD..end),
        })
    }

    /// The entry at `sequence`, which the chain's state says is here.
    ///
    /// # Errors
    /// [`Fault::Damaged`] when it is not.
    pub(super) fn expect_entry(&self, sequence: Sequence) -> Result<ChainEntry, Halt> {
        self.entry(sequence).ok_or_else(|| damaged(self.id, "an entry is not where it should be"))
    }

    pub(super) fn first_revision(&self) -> Result<Revision, Halt> {
        self.expect_entry(self.head.first).map(|entry| entry.revision)
    }

    /// The running hash after the first `count` entries.
    pub(super) fn hash_after(&self, count: usize) -> Digest {
        let entries = self.bounds.windows(2).take(count);
        let numbered = (self.head.first.0..).zip(entries);
        numbered.fold(self.head.hash, |hash, (sequence, bounds)| {
            next_hash(&hash, Sequence(sequence), &self.payload[bounds[0]..bounds[1]])
        })
    }

    /// The splice that removes all entries from `sequence` on.
    pub(super) fn cut_from(&self, sequence: Sequence) -> Result<Splice, Halt> {
        let at = usize::try_from(sequence.0.saturating_sub(self.head.first.0)).ok();
        let start = at.and_then(|at| self.bounds.get(at));
        let start = *start.ok_or_else(|| damaged(self.id, "a cut outside the block"))?;
        Ok(Splice::new(start, self.payload.len() - start, Bytes::new()))
    }
}

/// The splice that sets the link to the block after.
pub(super) fn set_next(next: Option<BlockId>) -> Splice {
    Splice::new(NEXT_AT, BlockId::LEN, link_bytes(next).to_vec())
}

/// The splice that sets the link to the block before.
pub(super) fn set_prev(prev: Option<BlockId>) -> Splice {
    Splice::new(PREV_AT, BlockId::LEN, link_bytes(prev).to_vec())
}

/// The bytes of an entry: they are what the running hash covers.
pub(super) fn encode_entry(entry: &ChainEntry) -> Vec<u8> {
    let len =
        u32::try_from(entry.payload.len()).expect("an entry fits a block, which fits 32 bits");
    let mut out = Vec::with_capacity(ENTRY_HEAD + entry.payload.len());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&entry.revision.0.to_le_bytes());
    out.extend_from_slice(&entry.transaction.to_bytes());
    out.extend_from_slice(&entry.index.0.to_le_bytes());
    out.extend_from_slice(&entry.time.as_millis().to_le_bytes());
    out.extend_from_slice(&entry.payload);
    out
}

/// The running hash through the entry at `sequence`.
pub(super) fn next_hash(before: &Digest, sequence: Sequence, entry: &[u8]) -> Digest {
    let mut digest = DigestBuilder::new("weald chain entry");
    digest.part(before.as_bytes()).number(sequence.0).part(entry);
    digest.finish()
}

pub(super) fn damaged(id: BlockId, detail: &str) -> Halt {
    Fault::Damaged { id, detail: detail.to_owned() }.into()
}

/// Where entries begin; `None` when they do not fill the payload exactly or are too many.
fn bounds(payload: &[u8]) -> Option<Vec<usize>> {
    let count_max = payload.len().saturating_sub(ENTRIES_AT) / ENTRY_HEAD;
    let mut bounds = Vec::with_capacity(count_max.min(CHAIN_BLOCK_ENTRIES_MAX) + 1);
    bounds.push(ENTRIES_AT);
    let mut at = ENTRIES_AT;
    while at < payload.len() {
        let len = Fields(payload.get(at..)?).length()?;
        at = at.checked_add(ENTRY_HEAD)?.checked_add(len)?;
        if at > payload.len() || bounds.len() > CHAIN_BLOCK_ENTRIES_MAX {
            return None;
        }
        bounds.push(at);
    }
    Some(bounds)
}
