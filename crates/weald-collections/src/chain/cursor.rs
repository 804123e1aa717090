//! Reading a chain in both directions.

use weald_core::{Halt, Sequence};

use super::{
    block::{ChainBlock, ChainEntry, damaged},
    seek::block_of,
};
use crate::{BlockReader, ChainState};

/// How much one call reads. At least one entry, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Entries.
    pub entries_max: usize,
    /// Payload bytes.
    pub bytes_max: usize,
}

impl ReadLimit {
    /// At most this many entries, of any size.
    pub const fn entries(entries_max: usize) -> Self {
        Self { entries_max, bytes_max: usize::MAX }
    }
}

impl Default for ReadLimit {
    /// 1,024 entries, 1 MiB.
    fn default() -> Self {
        Self { entries_max: 1024, bytes_max: 1024 * 1024 }
    }
}

/// A place between two entries of one version of a chain; moves both ways.
///
/// After [`Halt::Need`] the place is unchanged: load the blocks and call again.
#[derive(Clone, Debug)]
pub struct ChainCursor {
    chain: ChainState,
    /// The entry that [`ChainCursor::next`] returns.
    at: Sequence,
    block: Option<ChainBlock>,
}

impl ChainCursor {
    /// Before the entry at `sequence`, or at the nearest end of what is retained.
    pub fn new(chain: &ChainState, sequence: Sequence) -> Self {
        let at = sequence.clamp(chain.first, chain.next);
        Self { chain: *chain, at, block: None }
    }

    /// The sequence of the entry that [`ChainCursor::next`] returns.
    pub fn position(&self) -> Sequence {
        self.at
    }

    /// The entry after the place, moving past it; `None` at the end.
    ///
    /// # Errors
    /// [`Halt`] when a block of the chain cannot be read.
    pub fn next<R: BlockReader + ?Sized>(
        &mut self,
        reader: &mut R,
    ) -> Result<Option<ChainEntry>, Halt> {
        if self.at >= self.chain.next {
            return Ok(None);
        }
        let entry = self.entry(reader, self.at)?;
        self.at = self.at.next();
        Ok(Some(entry))
    }

    /// The entry before the place, moving in front of it; `None` at the beginning.
    ///
    /// # Errors
    /// [`Halt`] when a block of the chain cannot be read.
    pub fn prev<R: BlockReader + ?Sized>(
        &mut self,
        reader: &mut R,
    ) -> Result<Option<ChainEntry>, Halt> {
        if self.at <= self.chain.first {
            return Ok(None);
        }
        let before = Sequence(self.at.0 - 1);
        let entry = self.entry(reader, before)?;
        self.at = before;
        Ok(Some(entry))
    }

    fn entry<R: BlockReader + ?Sized>(
        &mut self,
        reader: &mut R,
        sequence: Sequence,
    ) -> Result<ChainEntry, Halt> {
        if !self.block.as_ref().is_some_and(|block| block.holds(sequence)) {
            self.block = self.neighbour(reader, sequence)?;
        }
        let block = self.block.as_ref().filter(|block| block.holds(sequence));
        match block {
            Some(block) => block.expect_entry(sequence),
            None => Err(self.lost()),
        }
    }

    /// The block of `sequence`: a neighbour of the current one, or found from the tail.
    fn neighbour<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        sequence: Sequence,
    ) -> Result<Option<ChainBlock>, Halt> {
        let Some(block) = &self.block else { return block_of(reader, &self.chain, sequence) };
        let link = if sequence < block.head.first { block.head.prev } else { block.head.next };
        link.map(|id| ChainBlock::read(reader, id)).transpose()
    }

    fn lost(&self) -> Halt {
        match (&self.block, self.chain.ends) {
            (Some(block), _) => damaged(block.id, "chain links do not lead to the next entry"),
            (None, Some(ends)) => damaged(ends.tail, "the chain does not hold its entries"),
            (None, None) => unreachable!("an empty chain is never asked for an entry"),
        }
    }
}

/// Entries from `from` on, oldest first.
///
/// # Errors
/// [`Halt`] when a block of the chain cannot be read.
pub fn read_forward<R: BlockReader + ?Sized>(
    reader: &mut R,
    chain: &ChainState,
    from: Sequence,
    limit: ReadLimit,
) -> Result<Vec<ChainEntry>, Halt> {
    let mut cursor = ChainCursor::new(chain, from);
    gather(limit, || cursor.next(reader))
}

/// Entries before `before`, newest first.
///
/// # Errors
/// [`Halt`] when a block of the chain cannot be read.
pub fn read_backward<R: BlockReader + ?Sized>(
    reader: &mut R,
    chain: &ChainState,
    before: Sequence,
    limit: ReadLimit,
) -> Result<Vec<ChainEntry>, Halt> {
    let mut cursor = ChainCursor::new(chain, before);
    gather(limit, || cursor.prev(reader))
}

fn gather(
    limit: ReadLimit,
    mut step: impl FnMut() -> Result<Option<ChainEntry>, Halt>,
) -> Result<Vec<ChainEntry>, Halt> {
    let mut entries = Vec::new();
    let mut bytes = 0_usize;
    while entries.len() < limit.entries_max {
        let Some(entry) = step()? else { break };
        bytes = bytes.saturating_add(entry.payload.len());
        if bytes > limit.bytes_max && !entries.is_empty() {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}
