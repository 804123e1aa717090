//! Rows of the state machine that no checkpoint has covered yet.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, btree_map::Entry},
    ops::Bound,
};

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};
use weald_core::LogIndex;

/// Bytes that a row takes besides key and value: its place in the map and two allocations.
const ROW_OVERHEAD_BYTES: usize = 200;
/// Bytes of a value that a newer one has replaced, besides the value.
const OLDER_OVERHEAD_BYTES: usize = 80;

/// Bytes of a key that stand beside it: table, placement and enough of what is random.
const HEAD_BYTES: usize = 16;

/// Rows handled under one lock.
const CHUNK: usize = 512;

/// Rows in memory.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    table: RwLock<Table>,
}

/// The newest value of each row, `None` for a deleted one, and values that a checkpoint of a lower
/// index would write.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: BTreeMap<Key, Row>,
    bytes: usize,
}

/// A row's key, in the order of its bytes. The first of them stand beside it, which spares most
/// comparisons a look at memory elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    head: [u8; HEAD_BYTES],
    whole: Bytes,
}

#[derive(Debug)]
struct Row {
    index: LogIndex,
    value: Option<Bytes>,
    older: Vec<(LogIndex, Option<Bytes>)>,
}

impl Rows {
    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.table.read().bytes
    }

    /// Sets rows at `index`.
    pub(crate) fn commit(&self, index: LogIndex, rows: BTreeMap<Bytes, Option<Bytes>>) {
        if rows.is_empty() {
            return;
        }
        let mut table = self.table.write();
        for (key, value) in rows {
            table.set(index, key, value);
        }
    }

    /// Holds the rows as they are, to take a snapshot of the engine that fits them.
    pub(crate) fn hold(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read()
    }

    /// The values as they were at `cover`, of rows that changed. Commits go on between chunks;
    /// what they add is above `cover`.
    pub(crate) fn cut(&self, cover: LogIndex) -> Vec<(Bytes, Option<Bytes>)> {
        let (mut cut, mut after) = (Vec::new(), None::<Key>);
        loop {
            let table = self.table.read();
            let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let chunk = table.rows.range::<Key, _>((from, Bound::Unbounded)).take(CHUNK);
            let mut last = None;
            for (key, row) in chunk {
                cut.extend(row.at(cover).map(|value| (key.whole.clone(), value.clone())));
                last = Some(key);
            }
            let Some(last) = last else { return cut };
            after = Some(last.clone());
        }
    }

    /// Forgets values of `keys` that a checkpoint of `cover` has made durable.
    pub(crate) fn release(&self, cover: LogIndex, keys: &[Bytes]) {
        for chunk in keys.chunks(CHUNK) {
            let mut table = self.table.write();
            for key in chunk {
                table.release(cover, key);
            }
        }
    }
}

impl Table {
    /// Rows whose keys begin with `prefix`, in order; `None` for deleted ones.
    pub(crate) fn with_prefix(&self, prefix: &[u8]) -> BTreeMap<Bytes, Option<Bytes>> {
        self.rows
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.whole.starts_with(prefix))
            .map(|(key, row)| (key.whole.clone(), row.value.clone()))
            .collect()
    }

    fn release(&mut self, cover: LogIndex, key: &Bytes) {
        let Entry::Occupied(mut occupied) = self.rows.entry(Key::of(key.clone())) else { return };
        let row = occupied.get_mut();
        self.bytes -= row.bytes(key);
        if row.index <= cover {
            occupied.remove();
            return;
        }
        row.older.retain(|(index, _)| *index > cover);
        row.older.shrink_to_fit();
        self.bytes += row.bytes(key);
    }

    fn set(&mut self, index: LogIndex, key: Bytes, value: Option<Bytes>) {
        let value_bytes = value.as_ref().map_or(0, Bytes::len);
        match self.rows.entry(Key::of(key)) {
            Entry::Occupied(mut occupied) => {
                let row = occupied.get_mut();
                let older = std::mem::replace(&mut row.value, value);
                row.older.push((row.index, older));
                row.index = index;
                self.bytes += value_bytes + OLDER_OVERHEAD_BYTES;
            }
            Entry::Vacant(vacant) => {
                self.bytes += vacant.key().whole.len() + value_bytes + ROW_OVERHEAD_BYTES;
                vacant.insert(Row { index, value, older: Vec::new() });
            }
        }
    }
}

impl Key {
    fn of(whole: Bytes) -> Self {
        let mut head = [0; HEAD_BYTES];
        let len = whole.len().min(HEAD_BYTES);
        head[..len].copy_from_slice(&whole[..len]);
        Self { head, whole }
    }
}

/// A key that ends within its head is filled up with zeros, and then the whole decides: the order is
/// that of the bytes.
impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.whole
    }
}

impl Row {
    /// The value at `index`; `None`: it was set later only.
    fn at(&self, index: LogIndex) -> Option<&Option<Bytes>> {
        let newest = (self.index, &self.value);
        let older = self.older.iter().rev().map(|(at, value)| (*at, value));
        let mut versions = std::iter::once(newest).chain(older);
        versions.find(|(at, _)| *at <= index).map(|(_, value)| value)
    }

    fn bytes(&self, key: &Bytes) -> usize {
        let len = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        let older: usize =
            self.older.iter().map(|(_, value)| len(value) + OLDER_OVERHEAD_BYTES).sum();
        key.len() + len(&self.value) + ROW_OVERHEAD_BYTES + older
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_their_bytes() {
        let long = [7; HEAD_BYTES + 1];
        let keys: [&[u8]; 9] =
            [b"", b"\0", b"a", b"a\0", b"a\0\0", b"a\0b", b"b", &long[1..], &long];
        for a in keys {
            for b in keys {
                let (one, other) =
                    (Key::of(Bytes::copy_from_slice(a)), Key::of(Bytes::copy_from_slice(b)));
                assert_eq!(one.cmp(&other), a.cmp(b), "{a:?} {b:?}");
            }
        }
    }
}
