//! An engine whose power can be cut and whose disk can fill up.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;
use weald_storage::engine::{
    Batch, Durability, Engine, EngineError, EngineKind, Keyspace, MemoryEngine, Snapshot,
};

/// Something that happens once, in the middle of something else.
#[derive(Default)]
pub(crate) struct Interruption(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for Interruption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interruption")
    }
}

impl Interruption {
    pub(crate) fn set(&self, happens: impl FnOnce() + Send + 'static) {
        *self.0.lock() = Some(Box::new(happens));
    }

    fn happen(&self) {
        let happens = self.0.lock().take();
        if let Some(happens) = happens {
            happens();
        }
    }
}

/// A memory engine that remembers its batches: what an unsynced one wrote can be lost.
#[derive(Debug, Default)]
pub(crate) struct CrashEngine {
    memory: MemoryEngine,
    batches: Mutex<Vec<Batch>>,
    synced: AtomicUsize,
    /// Writes with puts are refused.
    pub(crate) is_full: AtomicBool,
    /// Syncs answer that the disk is full.
    pub(crate) is_full_at_sync: AtomicBool,
    /// Syncs fail.
    pub(crate) is_broken: AtomicBool,
    /// Happens when a snapshot has been taken, before it is read.
    pub(crate) after_snapshot: Interruption,
}

impl CrashEngine {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Batches that a power cut may take.
    pub(crate) fn unsynced(&self) -> usize {
        self.batches.lock().len() - self.synced.load(Ordering::SeqCst)
    }

    /// The engine after a power cut that left `kept` of the unsynced batches.
    pub(crate) fn cut_power(&self, kept: usize) -> Arc<Self> {
        let batches = self.batches.lock();
        let left = (self.synced.load(Ordering::SeqCst) + kept).min(batches.len());
        let after = Self::new();
        for batch in &batches[..left] {
            after.write(batch.clone(), Durability::Synced).unwrap();
        }
        after
    }

    /// Every stored block record.
    pub(crate) fn records(&self) -> Vec<(Bytes, Bytes)> {
        records(self)
    }

    pub(crate) fn set(&self, keyspace: Keyspace, key: Bytes, value: impl Into<Bytes>) {
        let mut batch = Batch::new();
        batch.put(keyspace, key, value.into());
        self.write(batch, Durability::Synced).unwrap();
    }
}

/// Every stored block record of an engine.
pub(crate) fn records(engine: &dyn Engine) -> Vec<(Bytes, Bytes)> {
    entries(engine, Keyspace::Blocks)
}

/// Every entry of a keyspace.
pub(crate) fn entries(engine: &dyn Engine, keyspace: Keyspace) -> Vec<(Bytes, Bytes)> {
    let all = weald_storage::engine::KeyRange::all();
    let forward = weald_storage::engine::Direction::Forward;
    let snapshot = engine.snapshot().unwrap();
    snapshot.scan(keyspace, &all, forward).map(Result::unwrap).collect()
}

impl Engine for CrashEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Memory
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.memory.get(keyspace, key)
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        let has_puts = batch
            .operations()
            .any(|(_, _, operation)| matches!(operation, weald_storage::engine::Operation::Put(_)));
        if has_puts && self.is_full.load(Ordering::SeqCst) {
            return Err(full("write"));
        }
        self.memory.write(batch.clone(), durability)?;
        self.batches.lock().push(batch);
        if durability == Durability::Synced {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        if self.is_full_at_sync.load(Ordering::SeqCst) {
            return Err(full("sync"));
        }
        if self.is_broken.load(Ordering::SeqCst) {
            let source = std::io::Error::other("the disk is gone");
            return Err(EngineError::Io { during: "sync", source });
        }
        self.synced.store(self.batches.lock().len(), Ordering::SeqCst);
        Ok(())
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        let snapshot = self.memory.snapshot();
        self.after_snapshot.happen();
        snapshot
    }

    fn disk_bytes(&self) -> Result<u64, EngineError> {
        self.memory.disk_bytes()
    }

    fn verify(&self) -> Result<(), EngineError> {
        self.memory.verify()
    }
}

fn full(during: &'static str) -> EngineError {
    EngineError::Full { during, free_bytes: 0, reserve_bytes: 0 }
}
