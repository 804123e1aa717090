//! The state block of a collection: its revision counter, item count and the ends of its chain.
//! Fields lie at fixed places, the ones that change most side by side, so that an update is one
//! small splice. Reads of a tree's keys never look here.

use bytes::Bytes;
use weald_core::{
    BlockId, BlockKind, CollectionName, Digest, Fault, Halt, LogIndex, Revision, Sequence, Splice,
    StoredBlock, Time,
};

use crate::{
    BlockReader,
    layout::{Fields, link_bytes},
};

/// The layout that this code writes.
const LAYOUT: u8 = 1;
/// Bytes of a state block.
const LEN: usize = 153;

/// What changes with every transaction on a collection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CollectionState {
    /// The last accepted transaction's revision.
    pub revision: Revision,
    /// Items as the collection type counts them.
    pub items: u64,
    /// The chain.
    pub chain: ChainState,
}

/// Where a chain begins and ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainState {
    /// The oldest retained entry, or `next` when there is none.
    pub first: Sequence,
    /// What the next appended entry gets.
    pub next: Sequence,
    /// Payload bytes of the retained entries.
    pub bytes: u64,
    /// The running hash through the newest entry.
    pub hash: Digest,
    /// The revision of the newest entry that was taken from the front; zero before the first.
    pub pruned: Revision,
    /// The blocks; `None` while no entry is retained.
    pub ends: Option<ChainEnds>,
}

/// The blocks of a chain that has entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainEnds {
    /// The block of the oldest retained entry.
    pub head: BlockId,
    /// The block of the newest entry.
    pub tail: BlockId,
    /// The revision of the oldest retained entry.
    pub oldest_revision: Revision,
    /// The log index of the oldest retained entry.
    pub oldest_index: LogIndex,
    /// The log time of the oldest retained entry.
    pub oldest_time: Time,
}

impl ChainState {
    /// Retained entries.
    pub fn len(&self) -> u64 {
        self.next.0.saturating_sub(self.first.0)
    }

    /// Whether no entry is retained.
    pub fn is_empty(&self) -> bool {
        self.ends.is_none()
    }
}

impl CollectionState {
    /// The payload of the state block.
    pub fn encode(&self) -> Bytes {
        Bytes::copy_from_slice(&self.to_bytes())
    }

    fn to_bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let mut rest = &mut bytes[..];
        let mut put = |field: &[u8]| {
            let (place, after) = std::mem::take(&mut rest).split_at_mut(field.len());
            place.copy_from_slice(field);
            rest = after;
        };
        let chain = &self.chain;
        let oldest = chain.ends.map(|e| (e.oldest_revision.0, e.oldest_index.0, e.oldest_time));
        let (revision, index, time) = oldest.unwrap_or_default();
        put(&[LAYOUT]);
        for number in [self.revision.0, self.items, chain.next.0, chain.bytes] {
            put(&number.to_le_bytes());
        }
        put(chain.hash.as_bytes());
        put(&link_bytes(chain.ends.map(|ends| ends.tail)));
        for number in [chain.first.0, chain.pruned.0, revision, index, time.as_millis()] {
            put(&number.to_le_bytes());
        }
        put(&link_bytes(chain.ends.map(|ends| ends.head)));
        assert!(rest.is_empty(), "a state block has one length");
        bytes
    }

    /// Reads a state block.
    ///
    /// # Errors
    /// [`Fault::Damaged`] when it is of another kind or does not parse.
    pub fn decode(stored: &StoredBlock) -> Result<Self, Fault> {
        let id = stored.block.id;
        if stored.block.kind != BlockKind::STATE {
            return Err(Fault::Damaged { id, detail: "not a state block".to_owned() });
        }
        parse(&stored.block.payload)
            .ok_or_else(|| Fault::Damaged { id, detail: "malformed state block".to_owned() })
    }

    /// The state of a collection whose header was found.
    ///
    /// # Errors
    /// [`Fault::Missing`] when it is absent: a header is never without it.
    pub fn read<R: BlockReader + ?Sized>(
        reader: &mut R,
        name: &CollectionName,
    ) -> Result<Self, Halt> {
        Self::read_at(reader, BlockId::state(name))
    }

    /// As [`CollectionState::read`], by the block's id.
    pub(crate) fn read_at<R: BlockReader + ?Sized>(
        reader: &mut R,
        id: BlockId,
    ) -> Result<Self, Halt> {
        let stored = reader.expect(id, BlockKind::STATE)?;
        Ok(Self::decode(&stored)?)
    }

    /// The one splice that turns the payload of `before` into this one's; `None` when they are
    /// equal.
    pub fn splice_from(&self, before: &Self) -> Option<Splice> {
        if self == before {
            return None;
        }
        let (old, new) = (before.to_bytes(), self.to_bytes());
        let differs = |&i: &usize| old[i] != new[i];
        let start = (0..LEN).find(differs)?;
        let end = (0..LEN).rfind(differs)? + 1;
        Some(Splice::new(start, end - start, Bytes::copy_from_slice(&new[start..end])))
    }
}

fn parse(payload: &[u8]) -> Option<CollectionState> {
    let mut fields = Fields(payload);
    if payload.len() != LEN || fields.byte()? != LAYOUT {
        return None;
    }
    let (revision, items) = (Revision(fields.number()?), fields.number()?);
    let (next, bytes) = (Sequence(fields.number()?), fields.number()?);
    let (hash, tail) = (fields.digest()?, fields.link()?);
    let (first, pruned) = (Sequence(fields.number()?), Revision(fields.number()?));
    let oldest_revision = Revision(fields.number()?);
    let oldest_index = LogIndex(fields.number()?);
    let oldest_time = Time::from_millis(fields.number()?);
    let ends = match (fields.link()?, tail) {
        (Some(head), Some(tail)) => {
            Some(ChainEnds { head, tail, oldest_revision, oldest_index, oldest_time })
        }
        (None, None) => None,
        _ => return None,
    };
    if first > next || ends.is_some() != (first < next) {
        return None;
    }
    let chain = ChainState { first, next, bytes, hash, pruned, ends };
    Some(CollectionState { revision, items, chain })
}

#[cfg(test)]
mod tests;
