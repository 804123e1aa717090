//! Inner nodes: children with the least key that each may hold.
//!
//! ```text
//! node  = child count (u16) | end of each child's record, from the first record on (u16 each) | records
//! record = id of the child without its placement key (16 bytes) | least key          little-endian
//! ```
//!
//! The first child's key is empty: it takes everything below the second's. A search is binary over
//! the directory.

use bytes::{BufMut, Bytes, BytesMut};
use weald_core::{BlockId, Fault, StoredBlock, limits::KEY_BYTES_MAX};

use super::damaged;

/// Bytes of a child besides its key.
pub(crate) const CHILD_OVERHEAD: usize = 2 + CHILD_ID_LEN;
/// Bytes of an inner node besides its children.
pub(crate) const INNER_OVERHEAD: usize = 2;
const CHILD_ID_LEN: usize = 16;

/// A child of an inner node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    /// Keys from this one on; empty for the first child.
    pub(crate) key: Bytes,
    pub(crate) id: BlockId,
}

/// An inner node's payload, whose directory fits.
#[derive(Clone, Copy)]
pub(crate) struct Inner<'a> {
    id: BlockId,
    payload: &'a Bytes,
    count: usize,
}

impl<'a> Inner<'a> {
    pub(crate) fn of(stored: &'a StoredBlock) -> Result<Self, Fault> {
        Self::parse(stored.block.id, &stored.block.payload)
    }

    pub(crate) fn parse(id: BlockId, payload: &'a Bytes) -> Result<Self, Fault> {
        let short = || damaged(id, "an inner node is shorter than its directory");
        let (count, _) = payload.split_first_chunk::<2>().ok_or_else(short)?;
        let count = usize::from(u16::from_le_bytes(*count));
        if payload.len() < directory_len(count) {
            return Err(short());
        }
        if count == 0 {
            return Err(damaged(id, "an inner node has no child"));
        }
        Ok(Self { id, payload, count })
    }

    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// The position of the child that holds `key`.
    pub(crate) fn find(&self, key: &[u8]) -> Result<usize, Fault> {
        let (mut low, mut high) = (0, self.count);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if &self.record(middle)?[CHILD_ID_LEN..] <= key {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The id of the child at `position`, below [`Inner::count`].
    pub(crate) fn child(&self, position: usize) -> Result<BlockId, Fault> {
        let record = self.record(position)?;
        let mut id = [0; BlockId::LEN];
        id[..8].copy_from_slice(&self.id.placement().as_u64().to_be_bytes());
        id[8..].copy_from_slice(&record[..CHILD_ID_LEN]);
        Ok(BlockId::from_bytes(id))
    }

    pub(crate) fn key(&self, position: usize) -> Result<&'a [u8], Fault> {
        Ok(&self.record(position)?[CHILD_ID_LEN..])
    }

    pub(crate) fn children(&self) -> Result<Vec<Child>, Fault> {
        let child = |position| {
            let key = self.payload.slice_ref(self.key(position)?);
            Ok(Child { key, id: self.child(position)? })
        };
        (0..self.count).map(child).collect()
    }

    fn record(&self, position: usize) -> Result<&'a [u8], Fault> {
        let first = directory_len(self.count);
        let start = if position == 0 { 0 } else { self.end(position - 1) };
        let record = self.payload.get(first + start..first + self.end(position));
        record
            .filter(|record| (CHILD_ID_LEN..=CHILD_ID_LEN + KEY_BYTES_MAX).contains(&record.len()))
            .ok_or_else(|| damaged(self.id, format!("a child does not parse: position={position}")))
    }

    fn end(&self, position: usize) -> usize {
        let at = INNER_OVERHEAD + 2 * position;
        usize::from(u16::from_le_bytes([self.payload[at], self.payload[at + 1]]))
    }
}

/// Bytes of count and directory: where the records begin.
pub(crate) const fn directory_len(count: usize) -> usize {
    INNER_OVERHEAD + 2 * count
}

/// An inner node of `children`; the first one's key is left out.
pub(crate) fn encode(children: &[Child]) -> Bytes {
    let narrow = |n: usize| u16::try_from(n).expect("an inner node is smaller than 64 KiB");
    let key = |position: usize| if position == 0 { &[][..] } else { &children[position].key[..] };
    let records: usize = (0..children.len()).map(|at| CHILD_ID_LEN + key(at).len()).sum();
    let mut bytes = BytesMut::with_capacity(directory_len(children.len()) + records);
    bytes.put_u16_le(narrow(children.len()));
    let mut end = 0;
    for position in 0..children.len() {
        end += CHILD_ID_LEN + key(position).len();
        bytes.put_u16_le(narrow(end));
    }
    for (position, child) in children.iter().enumerate() {
        bytes.put_slice(&child.id.to_bytes()[BlockId::LEN - CHILD_ID_LEN..]);
        bytes.put_slice(key(position));
    }
    bytes.freeze()
}
