//! Checking a chain: every hash recomputed, every link followed.

use std::collections::BTreeMap;

use weald_core::{BlockId, Digest, Halt, LogIndex, Revision, Sequence, Time};

use super::{
    block::{ChainBlock, Skip},
    grow::skip_depth,
};
use crate::{BlockReader, ChainState};

/// What does not hold in a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainDamage {
    /// A block could not be read; after [`Halt::Need`] load it and go on.
    #[error(transparent)]
    Halt(#[from] Halt),
    /// A block says something else than its neighbours or the state block.
    #[error("the chain is broken: {what} block={id} sequence={sequence}")]
    Broken {
        /// The block.
        id: BlockId,
        /// Its first entry.
        sequence: Sequence,
        /// What differs.
        what: &'static str,
    },
}

/// Verifies one version of a chain block by block, from the oldest retained on.
#[derive(Clone, Debug)]
pub struct ChainVerifier {
    chain: ChainState,
    place: Option<Place>,
    verified: u64,
    bytes: u64,
    /// Retained blocks by depth, as skip pointers should name them.
    seen: BTreeMap<u64, Skip>,
}

/// Where verification stands: what the next block must say.
#[derive(Clone, Copy, Debug)]
struct Place {
    id: BlockId,
    prev: Option<BlockId>,
    /// First sequence, depth and hash; unknown before the oldest block.
    expected: Option<(Sequence, u64, Digest)>,
    latest: (Revision, LogIndex, Time),
}

impl ChainVerifier {
    /// Stands before the oldest retained block of `chain`.
    pub fn new(chain: &ChainState) -> Self {
        let place = chain.ends.map(|ends| Place {
            id: ends.head,
            prev: None,
            expected: None,
            latest: (ends.oldest_revision, ends.oldest_index, ends.oldest_time),
        });
        Self { chain: *chain, place, verified: 0, bytes: 0, seen: BTreeMap::new() }
    }

    /// Entries verified.
    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// Verifies one block. `false` when the end was reached and everything holds.
    ///
    /// # Errors
    /// See [`ChainDamage`]; after [`Halt::Need`] the place is unchanged.
    pub fn step<R: BlockReader + ?Sized>(&mut self, reader: &mut R) -> Result<bool, ChainDamage> {
        let Some(place) = self.place else { return Ok(false) };
        let block = ChainBlock::read(reader, place.id)?;
        let hash = self.check_block(&place, &block)?;
        let revision = block.first_revision()?;
        let first = block.head.first;
        self.seen.insert(block.head.depth, Skip { id: block.id, first, revision });
        match block.head.next {
            Some(next) => {
                self.place = Some(Place {
                    id: next,
                    prev: Some(block.id),
                    expected: Some((block.end(), block.head.depth + 1, hash)),
                    latest: self.place.map_or(place.latest, |place| place.latest),
                });
            }
            None => {
                self.check_end(&block, &hash)?;
                self.place = None;
            }
        }
        Ok(self.place.is_some())
    }

    /// Verifies all that is left.
    ///
    /// # Errors
    /// As [`ChainVerifier::step`].
    pub fn run<R: BlockReader + ?Sized>(&mut self, reader: &mut R) -> Result<u64, ChainDamage> {
        while self.step(reader)? {}
        Ok(self.verified)
    }

    fn check_block(&mut self, place: &Place, block: &ChainBlock) -> Result<Digest, ChainDamage> {
        let head = &block.head;
        check(block, head.prev == place.prev, "the link back differs")?;
        if let Some((first, depth, hash)) = place.expected {
            check(block, head.first == first, "the first sequence differs")?;
            check(block, head.depth == depth, "the depth differs")?;
            check(block, head.hash == hash, "the hash differs")?;
        } else {
            check(block, block.holds(self.chain.first), "the oldest entry is not in the head")?;
        }
        self.check_skip(block)?;
        let latest = self.check_entries(place, block)?;
        self.place = Some(Place { latest, ..*place });
        Ok(block.hash_after(block.count()))
    }

    fn check_skip(&self, block: &ChainBlock) -> Result<(), ChainDamage> {
        let is_retained = |skip: &Skip| skip.first >= self.chain.first;
        let target = (block.head.depth > 0).then(|| skip_depth(block.head.depth));
        let expected = target.and_then(|depth| self.seen.get(&depth)).copied();
        let found = block.head.skip.filter(is_retained);
        check(block, found == expected.filter(is_retained), "the skip pointer differs")
    }

    fn check_entries(
        &mut self,
        place: &Place,
        block: &ChainBlock,
    ) -> Result<(Revision, LogIndex, Time), ChainDamage> {
        let oldest = self.chain.first.max(block.head.first);
        let mut latest = place.latest;
        for sequence in oldest.0..block.end().0 {
            let entry = block.expect_entry(Sequence(sequence))?;
            let now = (entry.revision, entry.index, entry.time);
            check(block, now.0 >= latest.0, "a revision goes back")?;
            let is_oldest = Sequence(sequence) == self.chain.first;
            check(block, !is_oldest || now == place.latest, "the oldest entry differs")?;
            latest = now;
            self.verified += 1;
            self.bytes += entry.payload.len() as u64;
        }
        Ok(latest)
    }

    fn check_end(&self, block: &ChainBlock, hash: &Digest) -> Result<(), ChainDamage> {
        let tail = self.chain.ends.map(|ends| ends.tail);
        check(block, tail == Some(block.id), "the chain does not end at its tail")?;
        check(block, block.end() == self.chain.next, "the number of entries differs")?;
        check(block, *hash == self.chain.hash, "the hash through the newest entry differs")?;
        check(block, self.bytes == self.chain.bytes, "the byte count differs")
    }
}

fn check(block: &ChainBlock, holds: bool, what: &'static str) -> Result<(), ChainDamage> {
    if holds {
        return Ok(());
    }
    Err(ChainDamage::Broken { id: block.id, sequence: block.head.first, what })
}
