//! `fjall`: a log-structured merge tree in Rust.
//!
//! **Prefix.** Batches go to one journal in order, those of all keyspaces together, and the
//! library syncs the journal before it writes a table from memory.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Database, KeyspaceCreateOptions, LsmError, PersistMode, Readable};
use parking_lot::Mutex;

use super::space::{DiskSpace, allocated_bytes};
use super::{
    Batch, Direction, Durability, Engine, EngineConfig, EngineError, EngineKind, KeyRange,
    Keyspace, Operation, Scan, Snapshot,
};

/// Smallest the library takes.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Keeps both keyspaces in one `fjall` database.
pub(crate) struct FjallEngine {
    database: Database,
    tables: [fjall::Keyspace; Keyspace::ALL.len()],
    /// Held while a batch is written: a deleted range is read and then removed key by key.
    writing: Mutex<()>,
    folder: PathBuf,
    space: DiskSpace,
}

impl fmt::Debug for FjallEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallEngine").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl FjallEngine {
    pub(crate) fn open(folder: &Path, config: &EngineConfig) -> Result<Self, EngineError> {
        let fail = |error| match error {
            fjall::Error::Locked => EngineError::Locked { path: folder.to_owned() },
            other => failure("opening", other),
        };
        let database = Database::builder(folder)
            .cache_size(u64::try_from(config.cache_bytes).unwrap_or(u64::MAX))
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(1)
            .open()
            .map_err(fail)?;
        let write_buffer = u64::try_from(config.write_buffer_bytes).unwrap_or(u64::MAX);
        let open = |keyspace: Keyspace| {
            database
                .keyspace(keyspace.name(), || {
                    KeyspaceCreateOptions::default().max_memtable_size(write_buffer)
                })
                .map_err(fail)
        };
        let tables = [open(Keyspace::Blocks)?, open(Keyspace::Meta)?];
        let space = DiskSpace::new(folder, config);
        let folder = folder.to_owned();
        Ok(Self { database, tables, writing: Mutex::new(()), folder, space })
    }

    fn view(&self) -> FjallSnapshot {
        FjallSnapshot { snapshot: self.database.snapshot(), tables: self.tables.clone() }
    }
}

impl Engine for FjallEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Fjall
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = self.tables[keyspace.ordinal()].get(key).map_err(|e| failure("reading", e))?;
        Ok(found.map(Bytes::from))
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        batch.check()?;
        self.space.admit(&batch)?;
        let _writing = self.writing.lock();
        let mut writes = self.database.batch().durability(Some(match durability {
            Durability::Unsynced => PersistMode::Buffer,
            Durability::Synced => PersistMode::SyncData,
        }));
        for (keyspace, range) in batch.deleted_ranges() {
            let table = &self.tables[keyspace.ordinal()];
            for entry in table.range::<&[u8], _>(range.bounds()) {
                let key = entry.key().map_err(|e| failure("deleting a range", e))?;
                if !batch.has_operation(keyspace, &Bytes::from(key.clone())) {
                    writes.remove(table, key);
                }
            }
        }
        for (keyspace, key, operation) in batch.operations() {
            let table = &self.tables[keyspace.ordinal()];
            match operation {
                Operation::Put(value) => writes.insert(table, key.clone(), value.clone()),
                Operation::Delete => writes.remove(table, key.clone()),
            }
        }
        writes.commit().map_err(|e| failure("writing a batch", e))
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.database.persist(PersistMode::SyncData).map_err(|e| failure("syncing", e))
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        Ok(Arc::new(self.view()))
    }

    fn disk_bytes(&self) -> Result<u64, EngineError> {
        allocated_bytes(&self.folder)
    }

    /// Every table block has a checksum that is checked when it is read.
    fn verify(&self) -> Result<(), EngineError> {
        let view = self.view();
        for keyspace in Keyspace::ALL {
            for entry in view.scan(keyspace, &KeyRange::all(), Direction::Forward) {
                entry?;
            }
        }
        Ok(())
    }
}

struct FjallSnapshot {
    snapshot: fjall::Snapshot,
    tables: [fjall::Keyspace; Keyspace::ALL.len()],
}

impl fmt::Debug for FjallSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FjallSnapshot")
    }
}

impl Snapshot for FjallSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = self
            .snapshot
            .get(&self.tables[keyspace.ordinal()], key)
            .map_err(|e| failure("reading", e))?;
        Ok(found.map(Bytes::from))
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        if range.is_empty() {
            return Box::new(std::iter::empty());
        }
        let mut entries =
            self.snapshot.range::<&[u8], _>(&self.tables[keyspace.ordinal()], range.bounds());
        Box::new(std::iter::from_fn(move || {
            let guard = match direction {
                Direction::Forward => entries.next()?,
                Direction::Backward => entries.next_back()?,
            };
            Some(match guard.into_inner() {
                Ok((key, value)) => Ok((Bytes::from(key), Bytes::from(value))),
                Err(error) => Err(failure("scanning", error)),
            })
        }))
    }
}

/// One error for all of the library's.
fn failure(during: &'static str, error: fjall::Error) -> EngineError {
    match error {
        fjall::Error::Io(source) | fjall::Error::Storage(LsmError::Io(source)) => {
            EngineError::from_io(during, source)
        }
        fjall::Error::Poisoned => EngineError::Stopped { during },
        fjall::Error::KeyspaceDeleted | fjall::Error::Locked => {
            EngineError::Io { during, source: io::Error::other(error) }
        }
        other => EngineError::Corrupt { what: format!("{other} during={during}") },
    }
}
