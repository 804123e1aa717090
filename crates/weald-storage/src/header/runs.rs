//! The count of a store's runs: durable, and higher in each run than in all before (rule C11).
//!
//! `weald.runs` is eight bytes, little-endian, and their CRC-32. A folder without it has had no run. It
//! goes with the store when the folder is emptied: what is formatted anew counts anew.

use std::fs;
use std::io;
use std::path::Path;

use super::{StoreFolder, StoreFolderError};
use crate::atomic_file::{self, Access};

/// The file.
pub const RUNS_FILE: &str = "weald.runs";

impl StoreFolder {
    /// Counts a run. Its number is durable when this returns; the first is 1.
    ///
    /// # Errors
    /// When the count is damaged, or the folder cannot be written.
    pub fn begin_run(&self) -> Result<u64, StoreFolderError> {
        let path = self.path.join(RUNS_FILE);
        let before = match fs::read(&path) {
            Ok(bytes) => decode(&bytes).ok_or_else(|| damaged(&path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(self.failed("reading the count of its runs")(error)),
        };
        let run = before.checked_add(1).ok_or_else(|| damaged(&path))?;
        atomic_file::write(&path, &encode(run), Access::Default)
            .map_err(self.failed("counting its runs"))?;
        Ok(run)
    }
}

fn damaged(path: &Path) -> StoreFolderError {
    StoreFolderError::Damaged { path: path.to_owned(), what: "the count of its runs" }
}

fn encode(run: u64) -> Vec<u8> {
    let number = run.to_le_bytes();
    [&number[..], &crc32fast::hash(&number).to_le_bytes()].concat()
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let (number, checksum) = bytes.split_first_chunk::<8>()?;
    let is_intact = checksum == crc32fast::hash(number).to_le_bytes();
    is_intact.then_some(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use weald_core::{Digest, PeerId, StoreId, Time};

    use super::*;
    use crate::{engine::EngineKind, header::StoreHeader};

    fn open(path: &Path) -> StoreFolder {
        StoreFolder::open(path, || StoreHeader {
            node: PeerId::from_digest(Digest::ZERO),
            store: StoreId([1; 16]),
            engine: EngineKind::Memory,
            partition_count: 1,
            created_at: Time::ZERO,
        })
        .unwrap()
    }

    #[test]
    fn c11_each_run_has_a_higher_number_than_all_before() {
        let folder = tempfile::tempdir().unwrap();
        for run in 1..=3 {
            assert_eq!(open(folder.path()).begin_run().unwrap(), run);
        }
        assert_eq!(fs::read(folder.path().join(RUNS_FILE)).unwrap(), encode(3));
    }

    #[test]
    fn a_count_that_is_damaged_is_not_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        store.begin_run().unwrap();
        let intact = fs::read(folder.path().join(RUNS_FILE)).unwrap();
        for bit in 0..intact.len() * 8 {
            let mut bytes = intact.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(folder.path().join(RUNS_FILE), bytes).unwrap();
            assert!(matches!(store.begin_run(), Err(StoreFolderError::Damaged { .. })), "{bit}");
        }
    }
}
