//! What a folder keeps of the network that its node belongs to, and how the folder is emptied for
//! another one.
//!
//! `network.pin` is the CRC-32 of the bytes that follow, little-endian, then these bytes, whatever
//! they say. A reset first writes what is to be the pin into `RESETTING`; from then on it is carried
//! out, by the next opening if need be: engine, log, outbox and header go, the pin takes its place, and the
//! folder is as good as new but for the node's identity.

use std::fs;
use std::io;
use std::path::Path;

use super::{
    FORMATTING_FILE, HEADER_FILE, OUTBOX_FOLDER, RUNS_FILE, StoreFolder, StoreFolderError, lock,
};
use crate::atomic_file::{self, Access};

/// The file that says to which network the folder's node belongs.
pub const PIN_FILE: &str = "network.pin";
/// The file that is there while the folder is being emptied.
pub const RESETTING_FILE: &str = "RESETTING";

/// Files beside the store's own that a folder may have before there is a store.
pub(super) const KEPT_FILES: [&str; 3] = ["node.json", "node.json.new", "peers"];

/// The most that is read of a pin.
const PIN_LEN_MAX: u64 = 1 << 20;

impl StoreFolder {
    /// What was pinned; `None` if nothing was.
    ///
    /// # Errors
    /// When the file cannot be read or its bytes are not what was written.
    pub fn pin(&self) -> Result<Option<Vec<u8>>, StoreFolderError> {
        read_pin(&self.path.join(PIN_FILE)).map_err(|trouble| trouble.error(&self.path))
    }

    /// Pins `bytes` in place of what was pinned, durably.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_pin(&self, bytes: &[u8]) -> Result<(), StoreFolderError> {
        write_pin(&self.path, bytes)
            .map_err(|source| Trouble::Io("writing the network's pin", source).error(&self.path))
    }

    /// Empties the folder at `path`, which nobody may be using, but for the node's identity, and
    /// pins `pin` in it. Nothing is lost halfway: once this has begun, the next opening ends it.
    ///
    /// # Errors
    /// [`StoreFolderError::Locked`] when a process uses the folder, and when it cannot be written.
    pub fn reset(path: &Path, pin: Option<&[u8]>) -> Result<(), StoreFolderError> {
        let _lock = lock(path)?;
        let bytes = with_checksum(pin.unwrap_or_default());
        atomic_file::write(&path.join(RESETTING_FILE), &bytes, Access::Default)
            .map_err(|source| Trouble::Io("marking it as to be emptied", source).error(path))?;
        finish_reset(path)
    }
}

/// Carries out a reset that was begun.
pub(super) fn finish_reset(path: &Path) -> Result<(), StoreFolderError> {
    let mark = path.join(RESETTING_FILE);
    let pin = match read_pin(&mark).map_err(|trouble| trouble.error(path))? {
        Some(pin) => pin,
        None => return Ok(()),
    };
    let empty = || -> io::Result<()> {
        remove_folder(&path.join("engine"))?;
        remove_folder(&path.join("log"))?;
        remove_folder(&path.join(OUTBOX_FOLDER))?;
        for file in [HEADER_FILE, FORMATTING_FILE, PIN_FILE, RUNS_FILE] {
            remove_file(&path.join(file))?;
        }
        if !pin.is_empty() {
            write_pin(path, &pin)?;
        }
        atomic_file::sync_folder(path)?;
        remove_file(&mark)?;
        atomic_file::sync_folder(path)
    };
    empty().map_err(|source| Trouble::Io("emptying it", source).error(path))
}

/// What is wrong with a pin's file.
enum Trouble {
    Damaged,
    Io(&'static str, io::Error),
}

impl Trouble {
    fn error(self, folder: &Path) -> StoreFolderError {
        match self {
            Self::Damaged => {
                let what = "checksum of the network's pin";
                StoreFolderError::Damaged { path: folder.join(PIN_FILE), what }
            }
            Self::Io(during, source) => {
                StoreFolderError::Io { during, path: folder.to_owned(), source }
            }
        }
    }
}

fn read_pin(file: &Path) -> Result<Option<Vec<u8>>, Trouble> {
    let failed = |source| Trouble::Io("reading the network's pin", source);
    let length = match fs::metadata(file) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if length > PIN_LEN_MAX {
        return Err(Trouble::Damaged);
    }
    let bytes = fs::read(file).map_err(failed)?;
    let (checksum, pin) = bytes.split_first_chunk::<4>().ok_or(Trouble::Damaged)?;
    if crc32fast::hash(pin).to_le_bytes() != *checksum {
        return Err(Trouble::Damaged);
    }
    Ok(Some(pin.to_vec()))
}

fn write_pin(folder: &Path, bytes: &[u8]) -> io::Result<()> {
    atomic_file::write(&folder.join(PIN_FILE), &with_checksum(bytes), Access::Default)
}

fn with_checksum(bytes: &[u8]) -> Vec<u8> {
    let mut all = crc32fast::hash(bytes).to_le_bytes().to_vec();
    all.extend_from_slice(bytes);
    all
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use weald_core::{Digest, PeerId, StoreId, Time};

    use super::*;
    use crate::{engine::EngineKind, header::StoreHeader};

    fn header(byte: u8) -> StoreHeader {
        StoreHeader {
            node: PeerId::from_digest(Digest::from_bytes([1; 32])),
            store: StoreId([byte; 16]),
            engine: EngineKind::Memory,
            partition_count: 16,
            created_at: Time::ZERO,
        }
    }

    /// A folder with a store, a log, an identity and a pin.
    fn store() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let open = StoreFolder::open(folder.path(), || header(1)).unwrap();
        fs::create_dir(open.log_path()).unwrap();
        fs::write(open.log_path().join("segment"), b"entries").unwrap();
        fs::write(folder.path().join(super::super::IDENTITY_FILE), b"key").unwrap();
        open.write_pin(b"a network").unwrap();
        folder
    }

    fn store_id(open: &StoreFolder) -> StoreId {
        open.header().store
    }

    #[test]
    fn a_pin_stays_until_it_is_replaced_and_damage_is_noticed() {
        let folder = store();
        let open = StoreFolder::open(folder.path(), || header(2)).unwrap();
        assert_eq!(open.pin().unwrap().as_deref(), Some(&b"a network"[..]));
        open.write_pin(b"another").unwrap();
        assert_eq!(open.pin().unwrap().as_deref(), Some(&b"another"[..]));
        let mut bytes = fs::read(folder.path().join(PIN_FILE)).unwrap();
        bytes[5] ^= 1;
        fs::write(folder.path().join(PIN_FILE), bytes).unwrap();
        assert!(matches!(open.pin(), Err(StoreFolderError::Damaged { .. })));
    }

    #[test]
    fn a_reset_leaves_the_identity_and_the_new_pin() {
        for pin in [Some(&b"sought"[..]), None] {
            let folder = store();
            StoreFolder::reset(folder.path(), pin).unwrap();
            let open = StoreFolder::open(folder.path(), || header(2)).unwrap();
            assert!(open.is_new() && store_id(&open) == StoreId([2; 16]));
            assert_eq!(open.pin().unwrap().as_deref(), pin);
            assert!(!open.log_path().exists());
            let identity = folder.path().join(super::super::IDENTITY_FILE);
            assert_eq!(fs::read(identity).unwrap(), b"key");
        }
    }

    #[test]
    fn a_reset_that_was_cut_off_is_ended_by_the_next_opening() {
        let folder = store();
        let mark = with_checksum(b"sought");
        fs::write(folder.path().join(RESETTING_FILE), mark).unwrap();
        fs::remove_file(folder.path().join(HEADER_FILE)).unwrap();
        let open = StoreFolder::open(folder.path(), || header(2)).unwrap();
        assert!(open.is_new());
        assert_eq!(open.pin().unwrap().as_deref(), Some(&b"sought"[..]));
        assert!(!folder.path().join(RESETTING_FILE).exists());
    }

    #[test]
    fn a_folder_in_use_is_not_emptied() {
        let folder = store();
        let open = StoreFolder::open(folder.path(), || header(2)).unwrap();
        let refused = StoreFolder::reset(folder.path(), None).unwrap_err();
        assert!(matches!(refused, StoreFolderError::Locked { .. }), "{refused}");
        assert_eq!(store_id(&open), StoreId([1; 16]));
    }
}
