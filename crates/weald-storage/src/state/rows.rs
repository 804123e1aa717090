//! Rows of the state machine that no checkpoint has covered yet.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};
use weald_core::LogIndex;

/// Bytes that a row takes besides key and value: its place in the map and two allocations.
const ROW_OVERHEAD_BYTES: usize = 200;
/// Bytes of a value that a newer one has replaced, besides the value.
const OLDER_OVERHEAD_BYTES: usize = 80;

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

    /// The values as they were at `cover`, of rows that changed.
    pub(crate) fn cut(&self, cover: LogIndex) -> Vec<(Bytes, Option<Bytes>)> {
        let table = self.table.read();
        let at_cover = |(key, row): (&Bytes, &Row)| {
            let newest = (row.index, &row.value);
            let older = row.older.iter().rev().map(|(index, value)| (*index, value));
            let (_, value) =
                std::iter::once(newest).chain(older).find(|(index, _)| *index <= cover)?;
            Some((key.clone(), value.clone()))
        };
        table.rows.iter().filter_map(at_cover).collect()
    }

    /// Forgets what a checkpoint of `cover` has made durable.
    pub(crate) fn release(&self, cover: LogIndex) {
        let mut table = self.table.write();
        let mut bytes = 0;
        table.rows.retain(|key, row| {
            row.older.retain(|(index, _)| *index > cover);
            row.older.shrink_to_fit();
            let stays = row.index > cover;
            bytes += if stays { row.bytes(key) } else { 0 };
            stays
        });
        table.bytes = bytes;
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
    fn bytes(&self, key: &Bytes) -> usize {
        let len = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        let older: usize =
            self.older.iter().map(|(_, value)| len(value) + OLDER_OVERHEAD_BYTES).sum();
        key.len() + len(&self.value) + ROW_OVERHEAD_BYTES + older
    }
}
