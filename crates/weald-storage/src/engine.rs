//! Key-value engines: where checkpoints of blocks end up.
//!
//! One trait, [`Engine`], hides which library keeps the bytes. Calls are dynamic and coarse: a
//! checkpoint is one [`Batch`], a reader takes one [`Snapshot`] and works from it. No type of an
//! engine's library appears in a signature here.
//!
//! **Durability.** A batch is atomic. An unsynced batch may be lost in a crash, but batches are
//! lost from the end only: what an engine holds after a power cut is the state after some prefix
//! of the batches written, and that prefix holds every batch up to the last [`Engine::sync`] or
//! [`Durability::Synced`] write. Each implementation says how it keeps that promise.

mod batch;
mod error;
mod memory;
mod range;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod space;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub use self::batch::{Batch, Operation};
pub use self::error::EngineError;
pub use self::memory::MemoryEngine;
pub use self::range::KeyRange;

/// Longest key an engine takes, in bytes. A block's key has 36.
pub const KEY_LEN_MAX: usize = 1024;
/// Longest value an engine takes, in bytes.
pub const VALUE_LEN_MAX: usize = 64 * 1024 * 1024;

/// A named, separately ordered set of keys. A batch may write several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keyspace {
    /// Versions of blocks.
    Blocks,
    /// Few, small records about the store and its partitions.
    Meta,
}

impl Keyspace {
    /// Every keyspace, in order.
    pub const ALL: [Self; 2] = [Self::Blocks, Self::Meta];

    /// The name under which an engine keeps it. Part of the format on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Meta => "meta",
        }
    }

    /// Position in [`Keyspace::ALL`].
    pub(crate) fn ordinal(self) -> usize {
        match self {
            Self::Blocks => 0,
            Self::Meta => 1,
        }
    }
}

/// Which library holds the bytes. Written into the store's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Nothing on disk.
    Memory,
    /// `redb`, a copy-on-write B-tree in Rust.
    Redb,
    /// RocksDB, a log-structured merge tree in C++.
    RocksDb,
}

impl EngineKind {
    /// Stable lower-case name, for people and configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redb => "redb",
            Self::RocksDb => "rocksdb",
        }
    }

    /// Whether this build has its code.
    pub fn is_in_build(self) -> bool {
        self != Self::RocksDb || cfg!(feature = "rocksdb")
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When a batch survives a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After the next sync. What a checkpoint uses: the log still has the entries.
    #[default]
    Unsynced,
    /// When the write returns.
    Synced,
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// Sizes of an engine on disk.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Bytes of pages or blocks cached for reading. Default 16 MiB.
    pub cache_bytes: usize,
    /// Bytes gathered in memory before an engine with a write buffer writes a table. Default 8 MiB.
    pub write_buffer_bytes: usize,
    /// Free bytes that must remain on the file system after a batch, otherwise the batch is refused
    /// as [`EngineError::Full`] before anything is written. Default 64 MiB.
    pub disk_reserve_bytes: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 16 * 1024 * 1024,
            write_buffer_bytes: 8 * 1024 * 1024,
            disk_reserve_bytes: 64 * 1024 * 1024,
        }
    }
}

/// An ordered, transactional key-value store.
///
/// Writes of several threads are serialised by the engine, in an order that snapshots agree on.
pub trait Engine: fmt::Debug + Send + Sync {
    /// Which library this is.
    fn kind(&self) -> EngineKind;

    /// The value that `key` has after all writes that returned before this call.
    ///
    /// # Errors
    /// [`EngineError::Corrupt`] when a stored checksum does not match, [`EngineError::Io`].
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Applies a whole batch or nothing of it.
    ///
    /// # Errors
    /// [`EngineError::Full`] and [`EngineError::TooLarge`] leave everything as it was. After
    /// [`EngineError::Io`] the batch may or may not survive a reopen, and later writes may answer
    /// [`EngineError::Stopped`].
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError>;

    /// Returns when every batch whose write returned before this call survives a power cut.
    ///
    /// # Errors
    /// As [`Engine::write`]. After a failure nothing more may be assumed durable in this run.
    fn sync(&self) -> Result<(), EngineError>;

    /// A view of this moment that later writes do not change. Cheap; holding one for long keeps
    /// old versions from being freed.
    ///
    /// # Errors
    /// [`EngineError::Stopped`], [`EngineError::Io`].
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError>;

    /// Bytes in the engine's files (in memory: bytes of live keys and values).
    ///
    /// # Errors
    /// [`EngineError::Io`].
    fn disk_bytes(&self) -> Result<u64, EngineError>;

    /// Reads everything and checks every checksum the engine keeps.
    ///
    /// # Errors
    /// [`EngineError::Corrupt`] names what does not match; [`EngineError::Busy`] when an engine
    /// that cannot check under readers has live snapshots.
    fn verify(&self) -> Result<(), EngineError>;
}

/// A consistent view of an engine. Owns what it needs, so it may outlive the handle it came from.
pub trait Snapshot: fmt::Debug + Send + Sync {
    /// The value of `key` at this snapshot.
    ///
    /// # Errors
    /// [`EngineError::Corrupt`], [`EngineError::Io`].
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// The entries of `range` in key order, read as the iterator is advanced. An error ends it.
    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_>;
}

/// Entries of a scan: key and value.
pub type Scan<'s> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), EngineError>> + Send + 's>;

/// `entries` up to and with the first error: what follows one means nothing.
pub(crate) fn until_error<'s>(
    entries: impl Iterator<Item = Result<(Bytes, Bytes), EngineError>> + Send + 's,
) -> Scan<'s> {
    let mut has_failed = false;
    Box::new(entries.map_while(move |entry| {
        let is_past = has_failed;
        has_failed = entry.is_err();
        (!is_past).then_some(entry)
    }))
}

/// A scan that only reports `error`.
pub(crate) fn failed_scan<'s>(error: EngineError) -> Scan<'s> {
    Box::new(std::iter::once(Err(error)))
}

/// Opens the engine in the folder `path`, making it if it is missing. `kind` must be the one the
/// folder was made with; the store header records it.
///
/// # Errors
/// [`EngineError::Unsupported`] when this build lacks `kind`, [`EngineError::Locked`] when another
/// handle has it open, [`EngineError::Corrupt`], [`EngineError::Io`].
pub fn open(
    kind: EngineKind,
    path: &Path,
    config: &EngineConfig,
) -> Result<Arc<dyn Engine>, EngineError> {
    match kind {
        EngineKind::Memory => Ok(Arc::new(MemoryEngine::new())),
        EngineKind::Redb => Ok(Arc::new(self::redb::RedbEngine::open(path, config)?)),
        #[cfg(feature = "rocksdb")]
        EngineKind::RocksDb => Ok(Arc::new(self::rocksdb::RocksDbEngine::open(path, config)?)),
        #[cfg(not(feature = "rocksdb"))]
        EngineKind::RocksDb => Err(EngineError::Unsupported { kind }),
    }
}
