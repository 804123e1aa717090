//! The folder of a store: its lock, and the header that says what is in it.
//!
//! `weald.store` is a fixed prefix and a body, each with its checksum:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `weald db` |
//! | 8 | 4 | format version, little-endian as all numbers here |
//! | 12 | 4 | CRC-32 of the 12 bytes above |
//! | 16 | 32 | id of the node that made the store |
//! | 48 | 16 | id of the store |
//! | 64 | 1 | engine: 0 memory, 1 redb, 2 RocksDB |
//! | 65 | 4 | number of partitions |
//! | 69 | 8 | made at, milliseconds since the Unix epoch |
//! | 77 | 4 | CRC-32 of the 61 bytes from 16 |
//!
//! The prefix stays the same in every format, so that each version can name one it does not know.
//!
//! The header is written once, when the folder is empty, and never made anew over data.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use weald_core::{Digest, PeerId, StoreId, Time};

use crate::atomic_file::{self, Access, TEMPORARY_SUFFIX};
use crate::engine::EngineKind;

mod pin;
mod runs;

pub use pin::{PIN_FILE, RESETTING_FILE};
pub use runs::RUNS_FILE;

/// The format that this version reads and writes.
pub const FORMAT_VERSION: u32 = 1;
/// The file that holds the header.
pub const HEADER_FILE: &str = "weald.store";
/// The file whose lock means that a process uses the folder.
pub const LOCK_FILE: &str = "LOCK";
/// The file for the node's identity, which may be there before the store is.
pub const IDENTITY_FILE: &str = "identity.key";
/// The file that is there from before the header is written until engine and log have been made.
/// Without it a log that is missing is lost, not new.
pub const FORMATTING_FILE: &str = "FORMATTING";
/// The folder of what the node has queued. It goes with the store when the folder is emptied.
pub const OUTBOX_FOLDER: &str = "outbox";

const MAGIC: [u8; 8] = *b"weald db";
const PREFIX_LEN: usize = 16;
const BODY_LEN: usize = 61;
const HEADER_LEN: usize = PREFIX_LEN + BODY_LEN + 4;

/// What a store is, fixed when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreHeader {
    /// The node that made it.
    pub node: PeerId,
    /// Drawn at random when it is made.
    pub store: StoreId,
    /// What holds its blocks.
    pub engine: EngineKind,
    /// How many partitions it was made for.
    pub partition_count: u32,
    /// When it was made.
    pub created_at: Time,
}

/// Why a store's folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFolderError {
    /// Another process, or another handle in this one, uses the folder.
    #[error("another process uses this store; stop it or name another folder path={}", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A later version of this program made the store.
    #[error(
        "this store has format {found} and this program reads up to format {supported}; \
         use a newer program path={}", path.display()
    )]
    NewerFormat {
        /// The folder.
        path: PathBuf,
        /// Format of the store.
        found: u32,
        /// The newest format this program reads.
        supported: u32,
    },
    /// An earlier version made it, and there is no migration.
    #[error(
        "this store has format {found} and this program reads format {supported} only; \
         export it with the program that made it path={}", path.display()
    )]
    OlderFormat {
        /// The folder.
        path: PathBuf,
        /// Format of the store.
        found: u32,
        /// The oldest format this program reads.
        supported: u32,
    },
    /// The header's bytes are not what was written.
    #[error("the store's header is damaged: {what}; restore the file path={}", path.display())]
    Damaged {
        /// The header file.
        path: PathBuf,
        /// What does not match.
        what: &'static str,
    },
    /// There are files but no header: either not a store, or one that lost it.
    #[error("the folder has no {HEADER_FILE} but holds other files; nothing was changed path={} file={file}", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// One of the files.
        file: String,
    },
    /// Reading or writing failed.
    #[error("cannot use the store's folder during={during} path={}", path.display())]
    Io {
        /// What was being done.
        during: &'static str,
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl StoreFolderError {
    /// Whether opening may succeed later without anything being changed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }
}

/// A store's folder, locked for as long as this lives.
#[derive(Debug)]
pub struct StoreFolder {
    path: PathBuf,
    header: StoreHeader,
    is_new: bool,
    /// The system lets go of the lock when the file is closed, however the process ends.
    _lock: File,
}

impl StoreFolder {
    /// Locks the folder `path` and reads its header. In a folder that is missing or empty, `fresh`
    /// gives the header that is written.
    ///
    /// # Errors
    /// See [`StoreFolderError`]; in every case nothing that was there has been changed.
    pub fn open(
        path: &Path,
        fresh: impl FnOnce() -> StoreHeader,
    ) -> Result<Self, StoreFolderError> {
        let failed =
            |during| move |source| StoreFolderError::Io { during, path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed("making it"))?;
        let lock = lock(path)?;
        pin::finish_reset(path)?;
        let file = path.join(HEADER_FILE);
        let (header, is_new) = match fs::read(&file) {
            Ok(bytes) => (decode(&bytes, path)?, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                refuse_foreign_files(path)?;
                let header = fresh();
                atomic_file::write(&path.join(FORMATTING_FILE), &[], Access::Default)
                    .map_err(failed("marking it as unfinished"))?;
                let bytes = encode(&header);
                atomic_file::write(&file, &bytes, Access::Default)
                    .map_err(failed("writing its header"))?;
                sync_parent(path).map_err(failed("syncing its parent"))?;
                (header, true)
            }
            Err(error) => return Err(failed("reading its header")(error)),
        };
        Ok(Self { path: path.to_owned(), header, is_new, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the store is.
    pub fn header(&self) -> &StoreHeader {
        &self.header
    }

    /// Whether this call made it.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether engine and log may still have to be made: nothing was ever acknowledged here.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn is_formatting(&self) -> Result<bool, StoreFolderError> {
        let mark = self.path.join(FORMATTING_FILE).try_exists();
        mark.map_err(self.failed("looking whether it is finished"))
    }

    /// Notes, durably, that engine and log have been made. Once is enough.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn finish_formatting(&self) -> Result<(), StoreFolderError> {
        match fs::remove_file(self.path.join(FORMATTING_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed.map_err(self.failed("marking it as finished"))?,
        }
        atomic_file::sync_folder(&self.path).map_err(self.failed("syncing it"))
    }

    fn failed(&self, during: &'static str) -> impl FnOnce(io::Error) -> StoreFolderError {
        let path = self.path.clone();
        move |source| StoreFolderError::Io { during, path, source }
    }

    /// The folder for the engine's files.
    pub fn engine_path(&self) -> PathBuf {
        self.path.join("engine")
    }

    /// The folder for the log's segments.
    pub fn log_path(&self) -> PathBuf {
        self.path.join("log")
    }
}

fn lock(path: &Path) -> Result<File, StoreFolderError> {
    let failed =
        |source| StoreFolderError::Io { during: "locking it", path: path.to_owned(), source };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK_FILE))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreFolderError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// A header is only made where there is nothing it could be missing from.
fn refuse_foreign_files(path: &Path) -> Result<(), StoreFolderError> {
    let failed =
        |source| StoreFolderError::Io { during: "listing it", path: path.to_owned(), source };
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        let base = file.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(&file);
        let own = [LOCK_FILE, IDENTITY_FILE, HEADER_FILE, FORMATTING_FILE, PIN_FILE];
        if !own.contains(&base) && !pin::KEPT_FILES.contains(&base) {
            return Err(StoreFolderError::NotAStore { path: path.to_owned(), file });
        }
    }
    Ok(())
}

/// The folder's own name must survive, too.
fn sync_parent(path: &Path) -> io::Result<()> {
    path.canonicalize()?.parent().map_or(Ok(()), atomic_file::sync_folder)
}

fn encode(header: &StoreHeader) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend_from_slice(header.node.digest().as_bytes());
    bytes.extend_from_slice(&header.store.0);
    bytes.push(engine_code(header.engine));
    bytes.extend_from_slice(&header.partition_count.to_le_bytes());
    bytes.extend_from_slice(&header.created_at.as_millis().to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes[PREFIX_LEN..]).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], folder: &Path) -> Result<StoreHeader, StoreFolderError> {
    let damaged = |what| StoreFolderError::Damaged { path: folder.join(HEADER_FILE), what };
    let mut prefix = Reader(bytes.get(..PREFIX_LEN).ok_or_else(|| damaged("too short"))?);
    let magic: [u8; 8] = prefix.take();
    let found = u32::from_le_bytes(prefix.take());
    if magic != MAGIC {
        return Err(damaged("not the beginning of a header"));
    }
    if u32::from_le_bytes(prefix.take()) != crc32fast::hash(&bytes[..PREFIX_LEN - 4]) {
        return Err(damaged("checksum of the version"));
    }
    let path = || folder.to_owned();
    let supported = FORMAT_VERSION;
    match found.cmp(&supported) {
        std::cmp::Ordering::Greater => {
            return Err(StoreFolderError::NewerFormat { path: path(), found, supported });
        }
        std::cmp::Ordering::Less => {
            return Err(StoreFolderError::OlderFormat { path: path(), found, supported });
        }
        std::cmp::Ordering::Equal => {}
    }
    if bytes.len() != HEADER_LEN {
        return Err(damaged("length"));
    }
    let (body, checksum) = bytes[PREFIX_LEN..].split_at(BODY_LEN);
    if checksum != crc32fast::hash(body).to_le_bytes() {
        return Err(damaged("checksum"));
    }
    let mut body = Reader(body);
    Ok(StoreHeader {
        node: PeerId::from_digest(Digest::from_bytes(body.take())),
        store: StoreId(body.take()),
        engine: engine_of(u8::from_le_bytes(body.take())).ok_or_else(|| damaged("engine"))?,
        partition_count: u32::from_le_bytes(body.take()),
        created_at: Time::from_millis(u64::from_le_bytes(body.take())),
    })
}

fn engine_code(kind: EngineKind) -> u8 {
    match kind {
        EngineKind::Memory => 0,
        EngineKind::Redb => 1,
        EngineKind::RocksDb => 2,
    }
}

fn engine_of(code: u8) -> Option<EngineKind> {
    [EngineKind::Memory, EngineKind::Redb, EngineKind::RocksDb]
        .into_iter()
        .find(|kind| engine_code(*kind) == code)
}

/// Takes fields off the front of bytes whose length has been checked.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the length was checked before");
        self.0 = rest;
        *field
    }
}

#[cfg(test)]
mod tests;
