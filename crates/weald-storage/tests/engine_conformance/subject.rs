//! Opens engines for the suite.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use weald_storage::engine::{
    self, Batch, Direction, Durability, Engine, EngineConfig, EngineError, EngineKind, KeyRange,
    Keyspace, Snapshot,
};

pub(crate) type Entries = Vec<(Bytes, Bytes)>;

/// An engine in a folder of its own.
pub(crate) struct Subject {
    pub(crate) kind: EngineKind,
    pub(crate) folder: TempDir,
    pub(crate) engine: Arc<dyn Engine>,
}

impl Subject {
    pub(crate) fn new(kind: EngineKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(kind, folder.path()).unwrap();
        Self { kind, folder, engine }
    }

    /// Closes it and opens it again.
    pub(crate) fn reopen(self) -> Self {
        let Self { kind, folder, engine } = self;
        drop(engine);
        let engine = open(kind, folder.path()).unwrap();
        Self { kind, folder, engine }
    }

    pub(crate) fn write(&self, fill: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::new();
        fill(&mut batch);
        self.engine.write(batch, Durability::Unsynced).unwrap();
    }

    pub(crate) fn value(&self, keyspace: Keyspace, key: &[u8]) -> Option<Bytes> {
        self.engine.get(keyspace, key).unwrap()
    }

    pub(crate) fn entries(&self, keyspace: Keyspace) -> Entries {
        let snapshot = self.engine.snapshot().unwrap();
        entries(&*snapshot, keyspace, &KeyRange::all(), Direction::Forward)
    }
}

/// Small caches, so that the suite reaches the files; no reserve, so that it runs on small disks.
pub(crate) fn config() -> EngineConfig {
    EngineConfig { cache_bytes: 1 << 20, write_buffer_bytes: 1 << 20, disk_reserve_bytes: 0 }
}

pub(crate) fn open(kind: EngineKind, folder: &Path) -> Result<Arc<dyn Engine>, EngineError> {
    engine::open(kind, folder, &config())
}

pub(crate) fn entries(
    snapshot: &dyn Snapshot,
    keyspace: Keyspace,
    range: &KeyRange,
    direction: Direction,
) -> Entries {
    snapshot.scan(keyspace, range, direction).map(Result::unwrap).collect()
}

/// Key of a version of a block, as the state store lays it out: newest versions sort first.
pub(crate) fn version_key(partition: u32, block: u64, index: u64) -> Vec<u8> {
    let mut key = partition.to_be_bytes().to_vec();
    key.extend_from_slice(&[0; 16]);
    key.extend_from_slice(&block.to_be_bytes());
    key.extend_from_slice(&(!index).to_be_bytes());
    key
}
