//! What a tree stores as the value of an entry: its index keys, then the user's value.
//!
//! ```text
//! record = count of index keys (u8) | count times: index (u8), length (u16), index key | value
//! ```

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use weald_core::{BlockId, Fault};

use crate::btree::Entry;

/// Index keys by the position of their index.
pub(super) type IndexKeys = BTreeSet<(u8, Bytes)>;

pub(super) fn encode(indexes: &IndexKeys, value: &[u8]) -> Bytes {
    let keys: usize = indexes.iter().map(|(_, key)| 3 + key.len()).sum();
    let mut bytes = BytesMut::with_capacity(1 + keys + value.len());
    bytes.put_u8(u8::try_from(indexes.len()).expect("the count of index keys was checked"));
    for (index, key) in indexes {
        bytes.put_u8(*index);
        bytes.put_u16_le(u16::try_from(key.len()).expect("the length of a key was checked"));
        bytes.put_slice(key);
    }
    bytes.put_slice(value);
    bytes.freeze()
}

/// The index keys of a stored entry. `root` is named when its bytes do not parse.
pub(super) fn index_keys(root: BlockId, entry: &Entry) -> Result<IndexKeys, Fault> {
    let mut keys = IndexKeys::new();
    walk(&entry.value, |index, at, len| {
        keys.insert((index, entry.value.slice(at..at + len)));
    })
    .ok_or_else(|| malformed(root))?;
    Ok(keys)
}

/// The entry with the user's value alone.
pub(super) fn user_entry(root: BlockId, entry: Entry) -> Result<Entry, Fault> {
    let start = walk(&entry.value, |_, _, _| {}).ok_or_else(|| malformed(root))?;
    Ok(Entry { value: entry.value.slice(start..), ..entry })
}

/// Calls `found` with index, offset and length of each index key; returns where the value begins.
fn walk(record: &[u8], mut found: impl FnMut(u8, usize, usize)) -> Option<usize> {
    let mut at = 1;
    for _ in 0..*record.first()? {
        let (&[index, low, high], _) = record.get(at..)?.split_first_chunk::<3>()?;
        let len = usize::from(u16::from_le_bytes([low, high]));
        at += 3;
        record.get(at..at + len)?;
        found(index, at, len);
        at += len;
    }
    Some(at)
}

fn malformed(root: BlockId) -> Fault {
    Fault::Damaged { id: root, detail: "an entry of the tree does not parse".to_owned() }
}

#[cfg(test)]
mod tests {
    use weald_core::Revision;

    use super::*;

    fn id() -> BlockId {
        BlockId::header(&"c".parse().unwrap())
    }

    fn entry(value: &[u8]) -> Entry {
        let value = Bytes::copy_from_slice(value);
        Entry { key: Bytes::new(), value, revision: Revision(1) }
    }

    /// Records stand in trees: their bytes may not change.
    #[test]
    fn golden_records_hold() {
        assert_eq!(&encode(&IndexKeys::new(), b"v")[..], b"\0v");
        let keys = IndexKeys::from([(0, Bytes::from_static(b"ab")), (3, Bytes::new())]);
        let record = encode(&keys, b"v");
        assert_eq!(&record[..], b"\x02\0\x02\0ab\x03\0\0v");
        assert_eq!(index_keys(id(), &entry(&record)), Ok(keys));
        assert_eq!(&user_entry(id(), entry(&record)).unwrap().value[..], b"v");
    }

    #[test]
    fn a_record_cut_short_is_damage() {
        let record = b"\x02\0\x02\0ab\x03\0\0";
        for len in 0..record.len() {
            assert!(user_entry(id(), entry(&record[..len])).is_err(), "{len}");
            assert!(index_keys(id(), &entry(&record[..len])).is_err(), "{len}");
        }
    }
}
