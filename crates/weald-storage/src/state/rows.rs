//! Rows of the state machine that no checkpoint has covered yet.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};
use weald_core::LogIndex;

/// Bytes that a row takes besides key and value: its place in the map and two allocations.
const ROW_OVERHEAD_BYTES: usize = 200;
/// Bytes of a value that a newer one has replaced, besides the value.
const OLDER_OVERHEAD_BYTES: usize = 80;

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
    rows: BTreeMap<Bytes, Row>,
    bytes: usize,
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
        let (mut cut, mut after) = (Vec::new(), None::<Bytes>);
        loop {
            let table = self.table.read();
            let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let chunk = table.rows.range::<Bytes, _>((from, Bound::Unbounded)).take(CHUNK);
            let mut last = None;
            for (key, row) in chunk {
                cut.extend(row.at(cover).map(|value| (key.clone(), value.clone())));
                last = Some(key.clone());
            }
            if last.is_none() {
                return cut;
            }
            after = last;
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
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, row)| (key.clone(), row.value.clone()))
            .collect()
    }

    fn release(&mut self, cover: LogIndex, key: &Bytes) {
        let Some(row) = self.rows.get_mut(key) else { return };
        self.bytes -= row.bytes(key);
        if row.index <= cover {
            self.rows.remove(key);
            return;
        }
        row.older.retain(|(index, _)| *index > cover);
        row.older.shrink_to_fit();
        self.bytes += row.bytes(key);
    }

    fn set(&mut self, index: LogIndex, key: Bytes, value: Option<Bytes>) {
        let value_bytes = value.as_ref().map_or(0, Bytes::len);
        if let Some(row) = self.rows.get_mut(&key) {
            let older = std::mem::replace(&mut row.value, value);
            row.older.push((row.index, older));
            row.index = index;
            self.bytes += value_bytes + OLDER_OVERHEAD_BYTES;
        } else {
            self.bytes += key.len() + value_bytes + ROW_OVERHEAD_BYTES;
            self.rows.insert(key, Row { index, value, older: Vec::new() });
        }
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
