//! `redb`: a copy-on-write B-tree in one file, in Rust.
//!
//! **Prefix.** Pages are never overwritten while a root that was synced refers to them. An
//! unsynced batch is a commit that writes no root to the file; the next synced one writes a root
//! that holds them all. After a crash the file has the last synced root: all batches up to a sync
//! and none after it. Synced commits also store which pages are free ("quick repair"), so that
//! opening after a crash does not walk the file.
//!
//! **Making.** `redb` refuses a file that it has not finished making. So the file is made under another
//! name and renamed: a process that is killed meanwhile leaves nothing that looks like a database.
//!
//! `redb` reads through [`checked_file`], which checks every page: damage is an error before
//! `redb` sees it. [`Engine::verify`] also checks the checksums that `redb` keeps of its tree.

mod checked_file;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod making;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod recording_disk;

use std::fmt;
use std::fs::{OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadTransaction, ReadableDatabase, StorageError, Table,
    TableDefinition, TableError, WriteTransaction,
};

use self::checked_file::{CheckedFile, Damage, Disk};
use super::space::{DiskSpace, allocated_bytes};
use super::{
    Batch, Direction, Durability, Engine, EngineConfig, EngineError, EngineKind, KeyRange,
    Keyspace, Operation, Scan, Snapshot, failed_scan, until_error,
};
use crate::atomic_file::sync_folder;

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
type RawTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The file in the engine's folder.
const FILE_NAME: &str = "engine.redb";
/// Its name while it is made.
const UNFINISHED_NAME: &str = "engine.redb.new";

fn definition(keyspace: Keyspace) -> Definition {
    TableDefinition::new(keyspace.name())
}

/// Keeps both keyspaces as tables of one `redb` file.
pub(crate) struct RedbEngine {
    /// Exclusive only for `verify`.
    database: RwLock<Database>,
    damage: Damage,
    folder: PathBuf,
    space: DiskSpace,
}

impl fmt::Debug for RedbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbEngine").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl RedbEngine {
    pub(crate) fn open(folder: &Path, config: &EngineConfig) -> Result<Self, EngineError> {
        const DURING: &str = "opening";
        let failed = |source| EngineError::from_io(DURING, source);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join(FILE_NAME);
        if !path.try_exists().map_err(failed)? {
            Self::make(folder, &path, config)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(EngineError::Locked { path }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        sync_folder(folder).map_err(failed)?;
        Self::on_disk(file, folder, config)
    }

    /// Makes the file, whole and synced, whatever is left of another making.
    fn make(folder: &Path, path: &Path, config: &EngineConfig) -> Result<(), EngineError> {
        let failed = |source| EngineError::from_io("making the file", source);
        let unfinished = folder.join(UNFINISHED_NAME);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&unfinished)
            .map_err(failed)?;
        let made = file.try_clone().map_err(failed)?;
        drop(Self::on_disk(file, folder, config)?);
        made.sync_all().map_err(failed)?;
        drop(made);
        std::fs::rename(&unfinished, path).map_err(failed)
    }

    fn on_disk(disk: impl Disk, folder: &Path, config: &EngineConfig) -> Result<Self, EngineError> {
        let damage = Damage::default();
        let database = Database::builder()
            .set_cache_size(config.cache_bytes)
            .create_with_backend(CheckedFile::new(disk, damage.clone()))
            .map_err(|e| damage.failure("opening", e))?;
        let space = DiskSpace::new(folder, config);
        let engine =
            Self { database: RwLock::new(database), damage, folder: folder.to_owned(), space };
        engine.create_tables()?;
        Ok(engine)
    }

    fn create_tables(&self) -> Result<(), EngineError> {
        const DURING: &str = "making the keyspaces";
        let reader = self.begin_read()?;
        let mut is_complete = true;
        for keyspace in Keyspace::ALL {
            match reader.open_table(definition(keyspace)) {
                Ok(_) => {}
                Err(TableError::TableDoesNotExist(_)) => is_complete = false,
                Err(other) => return Err(self.damage.failure(DURING, other)),
            }
        }
        if is_complete {
            return Ok(());
        }
        drop(reader);
        let transaction = self.begin_write(Durability::Synced)?;
        for keyspace in Keyspace::ALL {
            transaction
                .open_table(definition(keyspace))
                .map_err(|e| self.damage.failure(DURING, e))?;
        }
        transaction.commit().map_err(|e| self.damage.failure(DURING, e))
    }

    fn begin_read(&self) -> Result<ReadTransaction, EngineError> {
        self.database.read().begin_read().map_err(|e| self.damage.failure("beginning to read", e))
    }

    fn begin_write(&self, durability: Durability) -> Result<WriteTransaction, EngineError> {
        const DURING: &str = "beginning a batch";
        let mut transaction =
            self.database.read().begin_write().map_err(|e| self.damage.failure(DURING, e))?;
        let level = match durability {
            Durability::Unsynced => redb::Durability::None,
            Durability::Synced => redb::Durability::Immediate,
        };
        transaction.set_durability(level).map_err(|e| self.damage.failure(DURING, e))?;
        transaction.set_quick_repair(durability == Durability::Synced);
        Ok(transaction)
    }
}

impl Engine for RedbEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Redb
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        RedbSnapshot::new(self.begin_read()?, &self.damage)?.get(keyspace, key)
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        const DURING: &str = "writing a batch";
        batch.check()?;
        self.space.admit(&batch)?;
        let transaction = self.begin_write(durability)?;
        for keyspace in Keyspace::ALL {
            let mut table = transaction
                .open_table(definition(keyspace))
                .map_err(|e| self.damage.failure(DURING, e))?;
            apply(&mut table, keyspace, &batch).map_err(|e| self.damage.failure(DURING, e))?;
        }
        transaction.commit().map_err(|e| self.damage.failure("committing a batch", e))
    }

    fn sync(&self) -> Result<(), EngineError> {
        // An empty synced commit makes the unsynced ones before it durable.
        self.begin_write(Durability::Synced)?
            .commit()
            .map_err(|e| self.damage.failure("syncing", e))
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        Ok(Arc::new(RedbSnapshot::new(self.begin_read()?, &self.damage)?))
    }

    fn disk_bytes(&self) -> Result<u64, EngineError> {
        allocated_bytes(&self.folder)
    }

    fn verify(&self) -> Result<(), EngineError> {
        const DURING: &str = "verifying";
        match self.database.write().check_integrity() {
            Ok(true) => Ok(()),
            Ok(false) => Err(EngineError::Corrupt {
                what: format!(
                    "page checksums did not match; an older root is in use, path={}",
                    self.folder.display()
                ),
            }),
            Err(DatabaseError::TransactionInProgress) => Err(EngineError::Busy { during: DURING }),
            Err(other) => Err(self.damage.failure(DURING, other)),
        }
    }
}

fn apply(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    keyspace: Keyspace,
    batch: &Batch,
) -> Result<(), StorageError> {
    for (_, range) in batch.deleted_ranges().filter(|(space, _)| *space == keyspace) {
        table.retain_in::<&[u8], _>(range.bounds(), |_, _| false)?;
    }
    for (_, key, operation) in batch.operations().filter(|(space, ..)| *space == keyspace) {
        match operation {
            Operation::Put(value) => drop(table.insert(&key[..], &value[..])?),
            Operation::Delete => drop(table.remove(&key[..])?),
        }
    }
    Ok(())
}

/// A read transaction with both tables open.
struct RedbSnapshot {
    tables: [RawTable; Keyspace::ALL.len()],
    damage: Damage,
}

impl fmt::Debug for RedbSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedbSnapshot")
    }
}

impl RedbSnapshot {
    fn new(transaction: ReadTransaction, damage: &Damage) -> Result<Self, EngineError> {
        let open = |keyspace| {
            transaction
                .open_table(definition(keyspace))
                .map_err(|e| damage.failure("opening a snapshot", e))
        };
        let tables = [open(Keyspace::Blocks)?, open(Keyspace::Meta)?];
        Ok(Self { tables, damage: damage.clone() })
    }
}

impl Snapshot for RedbSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = self.tables[keyspace.ordinal()]
            .get(key)
            .map_err(|e| self.damage.failure("reading", e))?;
        Ok(found.map(|guard| Bytes::copy_from_slice(guard.value())))
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        if range.is_empty() {
            return Box::new(std::iter::empty());
        }
        let mut entries = match self.tables[keyspace.ordinal()].range::<&[u8]>(range.bounds()) {
            Ok(entries) => entries,
            Err(error) => return failed_scan(self.damage.failure("scanning", error)),
        };
        until_error(std::iter::from_fn(move || {
            let entry = match direction {
                Direction::Forward => entries.next()?,
                Direction::Backward => entries.next_back()?,
            };
            Some(match entry {
                Ok((key, value)) => {
                    Ok((Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value())))
                }
                Err(error) => Err(self.damage.failure("scanning", error)),
            })
        }))
    }
}

impl Damage {
    /// One error for all of the library's. After damage it answers every call with an error of its
    /// own; the damage is what the caller is told.
    fn failure(&self, during: &'static str, error: impl Into<redb::Error>) -> EngineError {
        if let Some(what) = self.found() {
            return EngineError::Corrupt { what: format!("{what} during={during}") };
        }
        match error.into() {
            redb::Error::Io(source) => EngineError::from_io(during, source),
            redb::Error::PreviousIo
            | redb::Error::DatabaseClosed
            | redb::Error::LockPoisoned(_) => EngineError::Stopped { during },
            redb::Error::Corrupted(what) => {
                EngineError::Corrupt { what: format!("{what} during={during}") }
            }
            other => EngineError::Io { during, source: io::Error::other(other) },
        }
    }
}
