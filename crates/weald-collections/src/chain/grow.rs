//! Appending: fill the tail block, then open the next.

use bytes::Bytes;
use weald_core::{
    BlockId, BlockKind, Context, Digest, Halt, LogIndex, Revision, Sequence, Splice, Time,
    TransactionId,
};

use super::{
    CHAIN_BLOCK_BYTES, CHAIN_BLOCK_ENTRIES_MAX,
    block::{BlockHead, ChainBlock, ChainEntry, Skip, encode_entry, next_hash, set_next},
};
use crate::{BlockWriter, ChainEnds, ChainState};

/// What the entries of one transaction have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryStamp {
    /// The revision through this transaction.
    pub revision: Revision,
    /// The transaction.
    pub transaction: TransactionId,
    /// Its place in the log.
    pub index: LogIndex,
    /// Log time.
    pub time: Time,
}

impl EntryStamp {
    /// The stamp of what `context` gives `revision`.
    pub fn new(context: &Context, revision: Revision) -> Self {
        let &Context { transaction, index, time, .. } = context;
        Self { revision, transaction, index, time }
    }

    fn entry(&self, sequence: Sequence, payload: &Bytes) -> ChainEntry {
        let &Self { revision, transaction, index, time } = self;
        ChainEntry { sequence, revision, transaction, index, time, payload: payload.clone() }
    }
}

/// Appends `payloads` in order and returns the sequence of the first.
///
/// # Errors
/// [`Halt`] when a block of the chain cannot be read; `chain` is then of no use.
pub fn append<W: BlockWriter + ?Sized>(
    writer: &mut W,
    chain: &mut ChainState,
    stamp: &EntryStamp,
    payloads: &[Bytes],
) -> Result<Sequence, Halt> {
    let first = chain.next;
    let mut rest = payloads;
    if let Some(ends) = chain.ends {
        rest = extend_tail(writer, chain, ends.tail, stamp, rest)?;
    }
    while !rest.is_empty() {
        rest = open_block(writer, chain, stamp, rest)?;
    }
    Ok(first)
}

/// Room left in a block.
struct Room {
    entries: usize,
    bytes: usize,
}

/// Encodes as many of `payloads` as `room` allows, moves `chain` on, and returns the bytes with what
/// is left.
fn take<'p>(
    chain: &mut ChainState,
    stamp: &EntryStamp,
    payloads: &'p [Bytes],
    mut room: Room,
) -> (Vec<u8>, &'p [Bytes]) {
    let mut out = Vec::new();
    let mut rest = payloads;
    while let Some((payload, after)) = rest.split_first() {
        let entry = encode_entry(&stamp.entry(chain.next, payload));
        if room.entries == 0 || entry.len() > room.bytes {
            break;
        }
        room = Room { entries: room.entries - 1, bytes: room.bytes - entry.len() };
        chain.hash = next_hash(&chain.hash, chain.next, &entry);
        chain.next = chain.next.next();
        chain.bytes += payload.len() as u64;
        out.extend_from_slice(&entry);
        rest = after;
    }
    (out, rest)
}

fn extend_tail<'p, W: BlockWriter + ?Sized>(
    writer: &mut W,
    chain: &mut ChainState,
    tail: BlockId,
    stamp: &EntryStamp,
    payloads: &'p [Bytes],
) -> Result<&'p [Bytes], Halt> {
    let block = ChainBlock::read(writer, tail)?;
    let room = Room {
        entries: CHAIN_BLOCK_ENTRIES_MAX - block.count().min(CHAIN_BLOCK_ENTRIES_MAX),
        bytes: CHAIN_BLOCK_BYTES.saturating_sub(block.len()),
    };
    let (bytes, rest) = take(chain, stamp, payloads, room);
    if !bytes.is_empty() {
        writer.splice(tail, vec![Splice::new(block.len(), 0, bytes)])?;
    }
    Ok(rest)
}

fn open_block<'p, W: BlockWriter + ?Sized>(
    writer: &mut W,
    chain: &mut ChainState,
    stamp: &EntryStamp,
    payloads: &'p [Bytes],
) -> Result<&'p [Bytes], Halt> {
    let head = next_head(writer, chain)?;
    let mut payload = head.encode();
    let bytes = CHAIN_BLOCK_BYTES.saturating_sub(payload.len());
    // The first entry gets in whatever its size.
    let (one, others) = payloads.split_at(1);
    let (bytes_of_one, _) = take(chain, stamp, one, Room { entries: 1, bytes: usize::MAX });
    let bytes = bytes.saturating_sub(bytes_of_one.len());
    payload.extend_from_slice(&bytes_of_one);
    let room = Room { entries: CHAIN_BLOCK_ENTRIES_MAX - 1, bytes };
    let (more, rest) = take(chain, stamp, others, room);
    payload.extend_from_slice(&more);
    let id = writer.insert(BlockKind::CHAIN, payload.into())?;
    chain.ends = Some(match chain.ends {
        Some(ends) => {
            writer.splice(ends.tail, vec![set_next(Some(id))])?;
            ChainEnds { tail: id, ..ends }
        }
        None => ChainEnds {
            head: id,
            tail: id,
            oldest_revision: stamp.revision,
            oldest_index: stamp.index,
            oldest_time: stamp.time,
        },
    });
    Ok(rest)
}

/// The head of the block that follows the tail.
fn next_head<W: BlockWriter + ?Sized>(
    writer: &mut W,
    chain: &ChainState,
) -> Result<BlockHead, Halt> {
    let (first, hash): (Sequence, Digest) = (chain.next, chain.hash);
    let empty = BlockHead { first, depth: 0, hash, prev: None, next: None, skip: None };
    let Some(ends) = chain.ends else { return Ok(empty) };
    let tail = ChainBlock::read(writer, ends.tail)?;
    let depth = tail.head.depth + 1;
    let skip = skip_of(writer, chain, &tail, depth)?;
    Ok(BlockHead { depth, prev: Some(tail.id), skip, ..empty })
}

/// The pointer of the block at `depth` behind `tail`: to `tail`, or as far back as the pointer of
/// the block that the tail's pointer names. Pointers to blocks that are gone stay unset.
fn skip_of<W: BlockWriter + ?Sized>(
    writer: &mut W,
    chain: &ChainState,
    tail: &ChainBlock,
    depth: u64,
) -> Result<Option<Skip>, Halt> {
    if skip_depth(depth) == tail.head.depth {
        let revision = tail.first_revision()?;
        return Ok(Some(Skip { id: tail.id, first: tail.head.first, revision }));
    }
    // A block that begins at or behind the oldest retained entry is retained.
    match tail.head.skip.filter(|skip| skip.first >= chain.first) {
        Some(skip) => Ok(ChainBlock::read(writer, skip.id)?.head.skip),
        None => Ok(None),
    }
}

/// How deep the pointer of a block at `depth` reaches: the depth without the smallest term of its
/// greedy sum of numbers `2^k - 1`.
pub(super) fn skip_depth(depth: u64) -> u64 {
    let mut rest = depth;
    let mut term = 0;
    while rest > 0 {
        let bits = 64 - rest.leading_zeros();
        let full = u64::MAX >> (64 - bits);
        term = if full == rest { full } else { full >> 1 };
        rest -= term;
    }
    depth - term
}
