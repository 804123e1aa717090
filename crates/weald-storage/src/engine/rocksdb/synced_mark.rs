//! How far the write-ahead log was synced.
//!
//! RocksDB ends recovery at the first record of its log that does not match, which is right for a
//! torn end and wrong for a synced record that rotted: both look alike to it. This file beside the
//! log holds the sequence number that was reached by the last sync, and is synced itself after the
//! log. A database that opens below it has lost synced batches.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use parking_lot::Mutex;

use crate::atomic_file::sync_folder;
use crate::engine::EngineError;

/// Beside RocksDB's files, with a name it does not know.
const FILE_NAME: &str = "SYNCED";
/// Sequence number and checksum, little-endian. One sector, so written whole or not at all.
const MARK_LEN: usize = 12;

/// The mark on disk, and the value it has.
#[derive(Debug)]
pub(super) struct SyncedMark {
    state: Mutex<(File, u64)>,
}

impl SyncedMark {
    /// Opens the mark in `folder`, where the database has just been opened at `sequence`.
    pub(super) fn open(folder: &Path, sequence: u64) -> Result<Self, EngineError> {
        let failed = |source| EngineError::from_io("opening the mark of the last sync", source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(FILE_NAME))
            .map_err(failed)?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(64).read_to_end(&mut bytes).map_err(failed)?;
        let is_new = bytes.is_empty() && sequence == 0;
        let marked = if is_new { Some(0) } else { decode(&bytes) };
        let damaged = |what: String| EngineError::Corrupt { what };
        let marked = marked.ok_or_else(|| damaged(format!("mark of the last sync {FILE_NAME}")))?;
        if sequence < marked {
            return Err(damaged(format!(
                "the write-ahead log lost synced batches found={sequence} synced={marked}"
            )));
        }
        let mark = Self { state: Mutex::new((file, marked)) };
        if is_new {
            sync_folder(folder).map_err(failed)?;
            mark.write(0).map_err(failed)?;
        }
        Ok(mark)
    }

    /// Notes that everything up to `sequence` has been synced.
    pub(super) fn advance(&self, sequence: u64) -> Result<(), EngineError> {
        self.write(sequence).map_err(|source| EngineError::from_io("marking a sync", source))
    }

    fn write(&self, sequence: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let (file, marked) = &mut *state;
        if sequence != 0 && sequence <= *marked {
            return Ok(());
        }
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&encode(sequence))?;
        file.sync_data()?;
        *marked = sequence;
        Ok(())
    }
}

fn encode(sequence: u64) -> Vec<u8> {
    let number = sequence.to_le_bytes();
    [&number[..], &crc32fast::hash(&number).to_le_bytes()].concat()
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let (number, _) = bytes.split_first_chunk::<8>()?;
    let sequence = u64::from_le_bytes(*number);
    (bytes.len() == MARK_LEN && bytes == encode(sequence)).then_some(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_below_the_mark_has_lost_something() {
        let folder = tempfile::tempdir().unwrap();
        SyncedMark::open(folder.path(), 0).unwrap().advance(7).unwrap();
        for sequence in [7, 8] {
            SyncedMark::open(folder.path(), sequence).unwrap();
        }
        for sequence in [0, 6] {
            let error = SyncedMark::open(folder.path(), sequence).unwrap_err();
            assert!(matches!(error, EngineError::Corrupt { .. }), "{error}");
        }
    }

    #[test]
    fn a_damaged_or_missing_mark_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        SyncedMark::open(folder.path(), 0).unwrap().advance(7).unwrap();
        let path = folder.path().join(FILE_NAME);
        let good = std::fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert!(SyncedMark::open(folder.path(), 9).is_err(), "bit={bit}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(SyncedMark::open(folder.path(), 9).is_err());
    }
}
