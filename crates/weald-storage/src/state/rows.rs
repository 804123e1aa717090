//! Rows of the state machine that no checkpoint has covered yet.
//!
//! A commit's rows are kept as they came, one set of changes after the other: whoever commits is in
//! a hurry, and most rows are replaced or deleted before anybody asks for them. What a row is at an
//! index follows from the sets up to there; a checkpoint and the few who read rows work it out.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};
use weald_core::LogIndex;

/// Bytes that a set of changes takes besides its rows: its place in the queue and its counters, and
/// what the allocator adds.
const CHANGES_OVERHEAD_BYTES: usize = 80;
/// Bytes that the allocator adds for a row's key and value.
const ROW_OVERHEAD_BYTES: usize = 32;

/// A row and its new value; `None` for a deleted one.
type Change = (Bytes, Option<Bytes>);

/// Rows in memory.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    table: RwLock<Table>,
}

/// What commits have changed, in the order of their indexes.
#[derive(Debug, Default)]
pub(crate) struct Table {
    queue: VecDeque<Arc<Changes>>,
    bytes: usize,
}

/// What one commit changed.
#[derive(Debug)]
struct Changes {
    index: LogIndex,
    /// By key, each once.
    rows: Box<[Change]>,
    /// The first bytes of the keys, each as a bit at its last six: whoever asks for keys that begin
    /// otherwise passes by.
    beginnings: u64,
}

/// The changes that a checkpoint covers.
#[derive(Debug)]
pub(crate) struct Cut(Vec<Arc<Changes>>);

impl Rows {
    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.table.read().bytes
    }

    /// Sets rows at `index`, which is above those before.
    pub(crate) fn commit(&self, index: LogIndex, rows: BTreeMap<Bytes, Option<Bytes>>) {
        if rows.is_empty() {
            return;
        }
        let changes = Arc::new(Changes::new(index, rows));
        let mut table = self.table.write();
        table.bytes += changes.bytes();
        table.queue.push_back(changes);
    }

    /// Holds the rows as they are, to take a snapshot of the engine that fits them.
    pub(crate) fn hold(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read()
    }

    /// What was changed up to `cover`.
    pub(crate) fn cut(&self, cover: LogIndex) -> Cut {
        let table = self.table.read();
        let covered = table.queue.iter().take_while(|changes| changes.index <= cover);
        Cut(covered.map(Arc::clone).collect())
    }

    /// Forgets the changes that a checkpoint of `cover` has made durable.
    pub(crate) fn release(&self, cover: LogIndex) {
        let mut released = Vec::new();
        let mut table = self.table.write();
        while let Some(changes) = table.queue.pop_front_if(|changes| changes.index <= cover) {
            table.bytes -= changes.bytes();
            released.push(changes);
        }
        if table.queue.capacity() > 2 * table.queue.len() {
            table.queue.shrink_to_fit();
        }
        // What commits wait for is let go before the memory is.
        drop(table);
    }
}

impl Cut {
    /// The rows that changed, in the order of their keys, each with its last value; `None` for a
    /// deleted one.
    pub(crate) fn rows(&self) -> Vec<(&Bytes, Option<&Bytes>)> {
        let mut rows: Vec<&Change> = self.0.iter().flat_map(|changes| &changes.rows).collect();
        // Of equal keys the last was changed last.
        rows.reverse();
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        rows.dedup_by(|(later, _), (kept, _)| later == kept);
        rows.into_iter().map(|(key, value)| (key, value.as_ref())).collect()
    }
}

impl Table {
    /// Rows whose keys begin with `prefix`, in order; `None` for deleted ones.
    pub(crate) fn with_prefix(&self, prefix: &[u8]) -> BTreeMap<Bytes, Option<Bytes>> {
        let wanted = prefix.first().map_or(u64::MAX, |first| beginning(*first));
        let touched = self.queue.iter().filter(|changes| changes.beginnings & wanted != 0);
        touched
            .flat_map(|changes| &changes.rows)
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

impl Changes {
    fn new(index: LogIndex, rows: BTreeMap<Bytes, Option<Bytes>>) -> Self {
        let rows: Box<[Change]> = rows.into_iter().collect();
        let firsts = rows.iter().map(|(key, _)| key.first().map_or(u64::MAX, |b| beginning(*b)));
        let beginnings = firsts.fold(0, |all, one| all | one);
        Self { index, rows, beginnings }
    }

    /// Bytes on the heap.
    fn bytes(&self) -> usize {
        let of = |(key, value): &Change| {
            key.len() + value.as_ref().map_or(0, Bytes::len) + ROW_OVERHEAD_BYTES
        };
        let content: usize = self.rows.iter().map(of).sum();
        CHANGES_OVERHEAD_BYTES + self.rows.len() * size_of::<Change>() + content
    }
}

fn beginning(first: u8) -> u64 {
    1 << (first & 63)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changes(rows: &[(u8, Option<u8>)]) -> BTreeMap<Bytes, Option<Bytes>> {
        let bytes = |byte: u8| Bytes::copy_from_slice(&[byte]);
        rows.iter().map(|(key, value)| (bytes(*key), value.map(bytes))).collect()
    }

    #[test]
    fn what_is_released_takes_no_memory() {
        let rows = Rows::default();
        for index in 1..=10 {
            rows.commit(LogIndex(index), changes(&[(1, Some(1)), (2, None)]));
        }
        let of_ten = rows.bytes();
        rows.release(LogIndex(5));
        assert_eq!(rows.bytes() * 2, of_ten);
        rows.release(LogIndex(10));
        assert_eq!(rows.bytes(), 0);
    }

    proptest! {
        #[test]
        fn a_cut_and_a_read_give_what_a_map_does(
            commits in proptest::collection::vec(
                proptest::collection::vec((0u8..80, any::<Option<u8>>()), 0..5), 0..20),
            cover in 0usize..20,
        ) {
            let rows = Rows::default();
            let (mut covered, mut all) = (BTreeMap::new(), BTreeMap::new());
            for (at, commit) in commits.iter().enumerate() {
                let commit = changes(commit);
                rows.commit(LogIndex(at as u64 + 1), commit.clone());
                if at < cover {
                    covered.extend(commit.clone());
                }
                all.extend(commit);
            }
            let cover = LogIndex(cover as u64);
            let cut = rows.cut(cover);
            let expected: Vec<_> = covered.iter().map(|(key, value)| (key, value.as_ref())).collect();
            prop_assert_eq!(cut.rows(), expected);
            prop_assert_eq!(rows.hold().with_prefix(&[]), all.clone());
            for key in [0, 1, 64, 65] {
                let mut of_key = all.clone();
                of_key.retain(|found, _| found[0] == key);
                prop_assert_eq!(rows.hold().with_prefix(&[key]), of_key);
            }
            rows.release(cover);
            let left = commits.len().saturating_sub(usize::try_from(cover.0).unwrap());
            let is_empty = commits[commits.len() - left..].iter().all(Vec::is_empty);
            prop_assert_eq!(rows.bytes() == 0, is_empty);
        }
    }
}
