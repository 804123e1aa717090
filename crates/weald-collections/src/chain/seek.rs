//! Finding an entry from the tail over skip pointers, in O(log n) blocks.

use weald_core::{Halt, Revision, Sequence};

use super::block::ChainBlock;
use crate::{BlockReader, ChainState};

/// The block that holds `sequence`, which must be retained.
pub(super) fn block_of<R: BlockReader + ?Sized>(
    reader: &mut R,
    chain: &ChainState,
    sequence: Sequence,
) -> Result<Option<ChainBlock>, Halt> {
    if sequence < chain.first || sequence >= chain.next {
        return Ok(None);
    }
    walk(reader, chain, |first, _| first <= sequence)
}

/// The sequence of the oldest retained entry of revision `from` or a later one; the end of the
/// chain when there is none.
///
/// # Errors
/// [`Halt`] when a block of the chain cannot be read.
pub fn seek_revision<R: BlockReader + ?Sized>(
    reader: &mut R,
    chain: &ChainState,
    from: Revision,
) -> Result<Sequence, Halt> {
    // A revision may span blocks, so the wanted entry may be in a block that begins with an
    // earlier one, or be the first of the block after it.
    let Some(block) = walk(reader, chain, |_, revision| revision < from)? else {
        return Ok(chain.next);
    };
    let mut sequence = block.head.first.max(chain.first);
    while let Some(entry) = block.entry(sequence) {
        if entry.revision >= from {
            break;
        }
        sequence = sequence.next();
    }
    Ok(sequence)
}

/// Walks back from the tail to the newest block for which `found(first sequence, first revision)`
/// holds, or to the head. `found` holds for every block before one for which it holds.
fn walk<R: BlockReader + ?Sized>(
    reader: &mut R,
    chain: &ChainState,
    found: impl Fn(Sequence, Revision) -> bool,
) -> Result<Option<ChainBlock>, Halt> {
    let Some(ends) = chain.ends else { return Ok(None) };
    let mut block = ChainBlock::read(reader, ends.tail)?;
    while block.id != ends.head && !found(block.head.first, block.first_revision()?) {
        // What begins before the oldest retained entry is the head or gone.
        let skip = block.head.skip.filter(|skip| skip.first >= chain.first);
        let skip = skip.filter(|skip| !found(skip.first, skip.revision)).map(|skip| skip.id);
        let Some(to) = skip.or(block.head.prev) else { break };
        let before = ChainBlock::read(reader, to)?;
        if before.head.first >= block.head.first {
            return Err(super::block::damaged(to, "chain links do not lead back"));
        }
        block = before;
    }
    Ok(Some(block))
}
