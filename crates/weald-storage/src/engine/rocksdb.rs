//! RocksDB: a log-structured merge tree in C++, behind the feature `rocksdb`.
//!
//! **Prefix.** All keyspaces share one write-ahead log, in order. Recovery stops at the first
//! record that is not whole (point-in-time), and a log is synced before tables written from what
//! came after it. [`synced_mark`] tells a torn end from a synced record that rotted.

mod synced_mark;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, ErrorKind, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use self::synced_mark::SyncedMark;
use super::space::{DiskSpace, allocated_bytes};
use super::{
    Batch, Direction, Durability, Engine, EngineConfig, EngineError, EngineKind, KEY_LEN_MAX,
    KeyRange, Keyspace, Operation, Scan, Snapshot, until_error,
};

/// Write-ahead log kept before memory is written out.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// File descriptors the engine may hold.
const OPEN_FILES_MAX: i32 = 256;

type DbSnapshot<'a> = rocksdb::Snapshot<'a>;

self_cell::self_cell!(
    /// A snapshot with the database it borrows from.
    struct OwnedSnapshot {
        owner: Arc<DB>,
        #[covariant]
        dependent: DbSnapshot,
    }
);

/// Keeps both keyspaces as column families of one RocksDB.
pub(crate) struct RocksDbEngine {
    database: Arc<DB>,
    synced: SyncedMark,
    folder: PathBuf,
    space: DiskSpace,
}

impl fmt::Debug for RocksDbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksDbEngine").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl RocksDbEngine {
    pub(crate) fn open(folder: &Path, config: &EngineConfig) -> Result<Self, EngineError> {
        let mut options = table_options(config);
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_max_total_wal_size(WAL_BYTES_MAX);
        options.set_max_open_files(OPEN_FILES_MAX);
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(2);
        let families = Keyspace::ALL
            .map(|keyspace| ColumnFamilyDescriptor::new(keyspace.name(), table_options(config)));
        let database = DB::open_cf_descriptors(&options, folder, families)
            .map_err(|e| open_failure(folder, e))?;
        let synced = SyncedMark::open(folder, database.latest_sequence_number())?;
        let space = DiskSpace::new(folder, config);
        Ok(Self { database: Arc::new(database), synced, folder: folder.to_owned(), space })
    }
}

fn table_options(config: &EngineConfig) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(config.cache_bytes));
    blocks.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(config.write_buffer_bytes);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}

fn family(database: &DB, keyspace: Keyspace) -> &ColumnFamily {
    database.cf_handle(keyspace.name()).expect("every keyspace was opened with the database")
}

impl Engine for RocksDbEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::RocksDb
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = self.database.get_cf(family(&self.database, keyspace), key);
        Ok(found.map_err(|e| failure("reading", e))?.map(Bytes::from))
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        batch.check()?;
        self.space.admit(&batch)?;
        let mut writes = WriteBatch::default();
        for (keyspace, range) in batch.deleted_ranges() {
            // No key is as long as this one, and none sorts above it.
            let above_all = Bytes::from_static(&[u8::MAX; KEY_LEN_MAX + 1]);
            let end = range.end().unwrap_or(&above_all);
            writes.delete_range_cf(family(&self.database, keyspace), range.start(), end);
        }
        for (keyspace, key, operation) in batch.operations() {
            let family = family(&self.database, keyspace);
            match operation {
                Operation::Put(value) => writes.put_cf(family, key, value),
                Operation::Delete => writes.delete_cf(family, key),
            }
        }
        let written = self.database.write_opt(writes, &WriteOptions::default());
        written.map_err(|e| failure("writing a batch", e))?;
        match durability {
            Durability::Synced => self.sync(),
            Durability::Unsynced => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), EngineError> {
        // Taken first: what is written meanwhile may or may not be synced with it.
        let sequence = self.database.latest_sequence_number();
        self.database.flush_wal(true).map_err(|e| failure("syncing", e))?;
        self.synced.advance(sequence)
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        let cell = OwnedSnapshot::new(Arc::clone(&self.database), |database| database.snapshot());
        Ok(Arc::new(RocksDbSnapshot { cell }))
    }

    fn disk_bytes(&self) -> Result<u64, EngineError> {
        allocated_bytes(&self.folder)
    }

    /// Every table block has a checksum that is checked when it is read.
    fn verify(&self) -> Result<(), EngineError> {
        for keyspace in Keyspace::ALL {
            let mut options = ReadOptions::default();
            options.fill_cache(false);
            options.set_verify_checksums(true);
            let family = family(&self.database, keyspace);
            for entry in self.database.iterator_cf_opt(family, options, IteratorMode::Start) {
                entry.map_err(|e| failure("verifying", e))?;
            }
        }
        Ok(())
    }
}

struct RocksDbSnapshot {
    cell: OwnedSnapshot,
}

impl fmt::Debug for RocksDbSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RocksDbSnapshot")
    }
}

impl Snapshot for RocksDbSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let family = family(self.cell.borrow_owner(), keyspace);
        let found = self.cell.borrow_dependent().get_cf(family, key);
        Ok(found.map_err(|e| failure("reading", e))?.map(Bytes::from))
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        if range.is_empty() {
            return Box::new(std::iter::empty());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(range.start().to_vec());
        if let Some(end) = range.end() {
            options.set_iterate_upper_bound(end.to_vec());
        }
        let mode = match direction {
            Direction::Forward => IteratorMode::Start,
            Direction::Backward => IteratorMode::End,
        };
        let family = family(self.cell.borrow_owner(), keyspace);
        let entries = self.cell.borrow_dependent().iterator_cf_opt(family, options, mode);
        until_error(entries.map(|entry| {
            let (key, value) = entry.map_err(|e| failure("scanning", e))?;
            Ok((Bytes::from(key), Bytes::from(value)))
        }))
    }
}

/// The library tells a held lock only in its text.
fn open_failure(folder: &Path, error: rocksdb::Error) -> EngineError {
    let text: &str = error.as_ref();
    if error.kind() == ErrorKind::IOError && text.contains("lock") && text.contains("LOCK") {
        return EngineError::Locked { path: folder.to_owned() };
    }
    failure("opening", error)
}

/// One error for all of the library's. It tells a full disk only in its text.
fn failure(during: &'static str, error: rocksdb::Error) -> EngineError {
    match error.kind() {
        ErrorKind::Corruption => EngineError::Corrupt { what: format!("{error} during={during}") },
        ErrorKind::IOError if error.as_ref().contains("No space left") => {
            EngineError::from_io(during, io::ErrorKind::StorageFull.into())
        }
        ErrorKind::ShutdownInProgress | ErrorKind::Aborted => EngineError::Stopped { during },
        _ => EngineError::Io { during, source: io::Error::other(error) },
    }
}
