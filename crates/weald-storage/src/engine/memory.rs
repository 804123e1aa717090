//! An engine without files, for tests and for nodes that keep nothing.
//!
//! Keys map to their newest value and, while a snapshot may still look at them, to older ones. A
//! snapshot is a number: taking one copies nothing. What a write replaces is remembered in order
//! of replacement and freed once the oldest live snapshot has passed it.
//!
//! There is no disk, so nothing survives the engine and [`Engine::sync`] has nothing to do.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::{
    Batch, Direction, Durability, Engine, EngineError, EngineKind, KeyRange, Keyspace, Operation,
    Scan, Snapshot,
};

/// Entries read under one lock by a scan; it begins with few because most scans are seeks.
const SCAN_CHUNK_MIN: usize = 4;
const SCAN_CHUNK_MAX: usize = 256;

/// Keeps everything in ordered maps behind one lock.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    tables: Arc<RwLock<Tables>>,
}

impl MemoryEngine {
    /// An empty engine.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Engine for MemoryEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Memory
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let tables = self.tables.read();
        Ok(tables.map(keyspace).get(key).and_then(|versions| versions.newest.value.clone()))
    }

    fn write(&self, batch: Batch, _durability: Durability) -> Result<(), EngineError> {
        batch.check()?;
        self.tables.write().apply(&batch);
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        let sequence = self.tables.write().pin();
        Ok(Arc::new(MemorySnapshot { tables: Arc::clone(&self.tables), sequence }))
    }

    fn disk_bytes(&self) -> Result<u64, EngineError> {
        let tables = self.tables.read();
        let bytes: usize = Keyspace::ALL
            .iter()
            .flat_map(|keyspace| tables.map(*keyspace))
            .map(|(key, versions)| key.len() + versions.newest.byte_count())
            .sum();
        Ok(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    fn verify(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

/// What a key was from one batch on.
#[derive(Clone, Debug)]
struct Version {
    /// The batch that wrote it.
    sequence: u64,
    /// `None`: deleted.
    value: Option<Bytes>,
}

impl Version {
    fn byte_count(&self) -> usize {
        self.value.as_ref().map_or(0, Bytes::len)
    }
}

#[derive(Debug)]
struct Versions {
    newest: Version,
    /// Replaced ones some snapshot may read, oldest first.
    older: Vec<Version>,
}

impl Versions {
    /// The value at `sequence`.
    fn at(&self, sequence: u64) -> Option<&Bytes> {
        std::iter::once(&self.newest)
            .chain(self.older.iter().rev())
            .find(|version| version.sequence <= sequence)
            .and_then(|version| version.value.as_ref())
    }

    /// Frees what nobody at or after `oldest` can see. True if the key itself is gone.
    fn free_before(&mut self, oldest: u64) -> bool {
        if self.newest.sequence <= oldest {
            self.older.clear();
            return self.newest.value.is_none();
        }
        let visible = self.older.iter().rposition(|version| version.sequence <= oldest);
        self.older.drain(..visible.unwrap_or(0));
        false
    }
}

#[derive(Debug, Default)]
struct Tables {
    maps: [BTreeMap<Bytes, Versions>; Keyspace::ALL.len()],
    /// Number of the last batch.
    sequence: u64,
    /// Live snapshots: how many look at each sequence.
    pins: BTreeMap<u64, usize>,
    /// Keys with something to free, and the batch that replaced it. Ordered by that batch.
    replaced: VecDeque<(u64, Keyspace, Bytes)>,
}

impl Tables {
    fn map(&self, keyspace: Keyspace) -> &BTreeMap<Bytes, Versions> {
        &self.maps[keyspace.ordinal()]
    }

    fn apply(&mut self, batch: &Batch) {
        self.sequence += 1;
        for (keyspace, range) in batch.deleted_ranges() {
            let keys: Vec<Bytes> =
                self.map(keyspace).range::<[u8], _>(range.bounds()).map(|e| e.0.clone()).collect();
            for key in keys {
                self.set(keyspace, &key, None);
            }
        }
        for (keyspace, key, operation) in batch.operations() {
            let value = match operation {
                Operation::Put(value) => Some(value.clone()),
                Operation::Delete => None,
            };
            self.set(keyspace, key, value);
        }
        self.free();
    }

    fn set(&mut self, keyspace: Keyspace, key: &Bytes, value: Option<Bytes>) {
        let sequence = self.sequence;
        let newest_pin = self.pins.last_key_value().map(|(pin, _)| *pin);
        let map = &mut self.maps[keyspace.ordinal()];
        let Some(versions) = map.get_mut(key) else {
            if value.is_some() {
                let newest = Version { sequence, value };
                map.insert(key.clone(), Versions { newest, older: Vec::new() });
            }
            return;
        };
        let is_delete = value.is_none();
        let replaced = std::mem::replace(&mut versions.newest, Version { sequence, value });
        if newest_pin.is_some_and(|pin| pin >= replaced.sequence) {
            versions.older.push(replaced);
        }
        if !versions.older.is_empty() {
            self.replaced.push_back((sequence, keyspace, key.clone()));
        } else if is_delete {
            map.remove(key);
        }
    }

    fn pin(&mut self) -> u64 {
        *self.pins.entry(self.sequence).or_default() += 1;
        self.sequence
    }

    fn unpin(&mut self, sequence: u64) {
        if let Some(count) = self.pins.get_mut(&sequence) {
            *count -= 1;
            if *count == 0 {
                self.pins.remove(&sequence);
            }
        }
        self.free();
    }

    fn free(&mut self) {
        let oldest = self.pins.first_key_value().map_or(self.sequence, |(pin, _)| *pin);
        while self.replaced.front().is_some_and(|(replaced_at, ..)| *replaced_at <= oldest) {
            let Some((_, keyspace, key)) = self.replaced.pop_front() else { return };
            let map = &mut self.maps[keyspace.ordinal()];
            if map.get_mut(&key).is_some_and(|versions| versions.free_before(oldest)) {
                map.remove(&key);
            }
        }
    }
}

struct MemorySnapshot {
    tables: Arc<RwLock<Tables>>,
    sequence: u64,
}

impl fmt::Debug for MemorySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySnapshot").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Drop for MemorySnapshot {
    fn drop(&mut self) {
        self.tables.write().unpin(self.sequence);
    }
}

impl Snapshot for MemorySnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let tables = self.tables.read();
        Ok(tables.map(keyspace).get(key).and_then(|versions| versions.at(self.sequence)).cloned())
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        Box::new(MemoryScan {
            snapshot: self,
            keyspace,
            rest: Some(range.clone()),
            direction,
            chunk: SCAN_CHUNK_MIN,
            read: VecDeque::new(),
        })
    }
}

/// Reads ahead in growing chunks, so that a seek is one short lock and a long scan locks rarely.
struct MemoryScan<'s> {
    snapshot: &'s MemorySnapshot,
    keyspace: Keyspace,
    /// What has not been read from the map yet.
    rest: Option<KeyRange>,
    direction: Direction,
    chunk: usize,
    read: VecDeque<(Bytes, Bytes)>,
}

impl MemoryScan<'_> {
    fn read_chunk(&mut self) {
        let Some(range) = self.rest.take().filter(|range| !range.is_empty()) else { return };
        let sequence = self.snapshot.sequence;
        let tables = self.snapshot.tables.read();
        let entries = tables.map(self.keyspace).range::<[u8], _>(range.bounds());
        let visible = |(key, versions): (&Bytes, &Versions)| {
            versions.at(sequence).map(|value| (key.clone(), value.clone()))
        };
        match self.direction {
            Direction::Forward => self.read.extend(entries.filter_map(visible).take(self.chunk)),
            Direction::Backward => {
                self.read.extend(entries.rev().filter_map(visible).take(self.chunk));
            }
        }
        drop(tables);
        if self.read.len() == self.chunk {
            self.rest = self.read.back().map(|(key, _)| beyond(&range, key, self.direction));
        }
        self.chunk = (self.chunk * 2).min(SCAN_CHUNK_MAX);
    }
}

/// What is left of `range` after `key` has been read.
fn beyond(range: &KeyRange, key: &Bytes, direction: Direction) -> KeyRange {
    match (direction, range.end()) {
        (Direction::Backward, _) => KeyRange::new(range.start().clone(), key.clone()),
        (Direction::Forward, end) => {
            let start = [key, &[0][..]].concat();
            match end {
                Some(end) => KeyRange::new(start, end.clone()),
                None => KeyRange::from(start),
            }
        }
    }
}

impl Iterator for MemoryScan<'_> {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty() {
            self.read_chunk();
        }
        self.read.pop_front().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(engine: &MemoryEngine, key: &'static [u8], value: &'static [u8]) {
        let mut batch = Batch::new();
        batch.put(Keyspace::Blocks, key, value);
        engine.write(batch, Durability::Unsynced).unwrap();
    }

    #[test]
    fn old_versions_are_freed_when_the_last_snapshot_that_sees_them_goes() {
        let engine = MemoryEngine::new();
        put(&engine, b"k", b"1");
        let first = engine.snapshot().unwrap();
        put(&engine, b"k", b"2");
        let second = engine.snapshot().unwrap();
        put(&engine, b"k", b"3");
        let older = |engine: &MemoryEngine| {
            engine.tables.read().map(Keyspace::Blocks).get(&b"k"[..]).map(|v| v.older.len())
        };
        assert_eq!(older(&engine), Some(2));
        drop(first);
        assert_eq!(older(&engine), Some(1));
        assert_eq!(second.get(Keyspace::Blocks, b"k").unwrap(), Some("2".into()));
        drop(second);
        assert_eq!(older(&engine), Some(0));
        assert!(engine.tables.read().replaced.is_empty());
    }

    #[test]
    fn a_deleted_key_leaves_nothing_behind() {
        let engine = MemoryEngine::new();
        put(&engine, b"k", b"1");
        let snapshot = engine.snapshot().unwrap();
        let mut batch = Batch::new();
        batch.delete(Keyspace::Blocks, &b"k"[..]);
        engine.write(batch, Durability::Unsynced).unwrap();
        assert_eq!(engine.tables.read().map(Keyspace::Blocks).len(), 1);
        drop(snapshot);
        assert_eq!(engine.tables.read().map(Keyspace::Blocks).len(), 0);
    }

    #[test]
    fn without_snapshots_no_version_is_kept() {
        let engine = MemoryEngine::new();
        for value in [&b"1"[..], b"2", b"3"] {
            put(&engine, b"k", value);
        }
        let tables = engine.tables.read();
        assert!(tables.map(Keyspace::Blocks).values().all(|versions| versions.older.is_empty()));
        assert!(tables.replaced.is_empty());
    }
}
