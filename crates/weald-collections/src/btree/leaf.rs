//! Leaves: entries in key order, end to end.
//!
//! ```text
//! entry = key length (u16) | key | revision (u64) | value length (u32) | value     little-endian
//! ```
//!
//! There is no header and no directory: an insert is one splice, an overwrite is one splice from
//! the revision on. A search walks the lengths.

use std::{cmp::Ordering, ops::Range};

use bytes::{BufMut, Bytes, BytesMut};
use weald_core::{BlockId, Fault, Revision, StoredBlock, limits::KEY_BYTES_MAX};

use super::{ENTRY_VALUE_BYTES_MAX, Entry, damaged};

/// Bytes of an entry besides key and value.
pub(crate) const ENTRY_OVERHEAD: usize = 2 + 8 + 4;

/// A leaf's payload.
#[derive(Clone, Copy)]
pub(crate) struct Leaf<'a> {
    id: BlockId,
    payload: &'a Bytes,
}

/// Where an entry's parts are in the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) start: usize,
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
}

impl Slot {
    /// Where the revision begins: what an overwrite replaces.
    pub(crate) const fn tail(&self) -> usize {
        self.key.end
    }

    pub(crate) const fn end(&self) -> usize {
        self.value.end
    }
}

/// Where a key is in a leaf.
#[derive(Debug)]
pub(crate) enum Found {
    At(Slot),
    /// It is not there; its entry would begin at this offset.
    Missing(usize),
}

impl<'a> Leaf<'a> {
    pub(crate) fn of(stored: &'a StoredBlock) -> Self {
        Self { id: stored.block.id, payload: &stored.block.payload }
    }

    pub(crate) const fn new(id: BlockId, payload: &'a Bytes) -> Self {
        Self { id, payload }
    }

    pub(crate) fn len(&self) -> usize {
        self.payload.len()
    }

    /// The slot of the entry that begins at `start`.
    pub(crate) fn slot(&self, start: usize) -> Result<Slot, Fault> {
        slot(self.payload, start).ok_or_else(|| {
            damaged(self.id, format!("an entry of a leaf does not parse: offset={start}"))
        })
    }

    pub(crate) fn find(&self, key: &[u8]) -> Result<Found, Fault> {
        let mut start = 0;
        while start < self.payload.len() {
            let slot = self.slot(start)?;
            match self.payload[slot.key.clone()].cmp(key) {
                Ordering::Less => start = slot.end(),
                Ordering::Equal => return Ok(Found::At(slot)),
                Ordering::Greater => break,
            }
        }
        Ok(Found::Missing(start))
    }

    /// Writes where each entry begins into `starts`, whatever was in there.
    pub(crate) fn index(&self, starts: &mut Vec<usize>) -> Result<(), Fault> {
        starts.clear();
        let mut start = 0;
        while start < self.payload.len() {
            starts.push(start);
            start = self.slot(start)?.end();
        }
        Ok(())
    }

    pub(crate) fn key(&self, slot: &Slot) -> &'a [u8] {
        &self.payload[slot.key.clone()]
    }

    pub(crate) fn entry(&self, slot: &Slot) -> Entry {
        let revision = &self.payload[slot.tail()..slot.tail() + 8];
        let revision = u64::from_le_bytes(revision.try_into().expect("8 bytes were taken"));
        Entry {
            key: self.payload.slice(slot.key.clone()),
            value: self.payload.slice(slot.value.clone()),
            revision: Revision(revision),
        }
    }
}

fn slot(payload: &[u8], start: usize) -> Option<Slot> {
    let (key_len, _) = payload.get(start..)?.split_first_chunk::<2>()?;
    let key_len = usize::from(u16::from_le_bytes(*key_len));
    let key = start + 2..start + 2 + key_len;
    let (lengths, rest) = payload.get(key.end..)?.split_first_chunk::<12>()?;
    let value_len = lengths.last_chunk::<4>().expect("12 bytes hold 4");
    let value_len = usize::try_from(u32::from_le_bytes(*value_len)).ok()?;
    if key_len > KEY_BYTES_MAX || value_len > ENTRY_VALUE_BYTES_MAX.min(rest.len()) {
        return None;
    }
    let value = key.end + 12..key.end + 12 + value_len;
    Some(Slot { start, key, value })
}

/// A whole entry.
pub(crate) fn encode_entry(key: &[u8], revision: Revision, value: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(ENTRY_OVERHEAD + key.len() + value.len());
    bytes.put_u16_le(u16::try_from(key.len()).expect("the length of a key was checked"));
    bytes.put_slice(key);
    put_tail(&mut bytes, revision, value);
    bytes.freeze()
}

/// An entry from the revision on: what an overwrite writes.
pub(crate) fn encode_tail(revision: Revision, value: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(12 + value.len());
    put_tail(&mut bytes, revision, value);
    bytes.freeze()
}

fn put_tail(bytes: &mut BytesMut, revision: Revision, value: &[u8]) {
    bytes.put_u64_le(revision.0);
    bytes.put_u32_le(u32::try_from(value.len()).expect("the length of a value was checked"));
    bytes.put_slice(value);
}
