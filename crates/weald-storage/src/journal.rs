//! A file of records: appended, each checked by itself, rewritten as a whole when it has grown.
//!
//! A record is its length and the CRC-32 of its bytes, four bytes each, little-endian, and the bytes.
//! What a crash has left behind the last whole record is cut off when the file is opened.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::atomic_file::{self, Access};

/// Bytes before each record.
const FRAME_LEN: usize = 8;
/// Bytes of a record.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// Makes a folder for journals if it is not there. Its name is durable when this returns.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    atomic_file::sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// A file of records. After an append that failed it takes no more until it is rewritten.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Whether an append has failed: what is in the file is not certain, and a repeated sync proves
    /// nothing.
    is_broken: bool,
}

/// A journal that was opened, with what it holds.
#[derive(Debug)]
pub struct OpenedJournal {
    /// The journal.
    pub journal: Journal,
    /// Its whole records, in order.
    pub records: Vec<Bytes>,
    /// Bytes behind them that were cut off: of a record that was being written at a crash, or from a
    /// damaged one on.
    pub cut: u64,
}

impl Journal {
    /// Makes a journal of these records, in place of what `path` holds. It is durable when this
    /// returns.
    ///
    /// # Errors
    /// When it cannot be written; then `path` holds what it held.
    pub fn create(path: &Path, records: &[Bytes]) -> io::Result<Self> {
        let bytes = framed(records)?;
        atomic_file::write(path, &bytes, Access::Private)?;
        let file = OpenOptions::new().append(true).open(path)?;
        let bytes = u64::try_from(bytes.len()).expect("what is in memory has a length");
        Ok(Self { path: path.to_owned(), file, bytes, is_broken: false })
    }

    /// Opens a journal and cuts off what is not whole.
    ///
    /// # Errors
    /// When it is not there, or cannot be read or cut.
    pub fn open(path: &Path) -> io::Result<OpenedJournal> {
        let read = Bytes::from(fs::read(path)?);
        let (records, whole) = whole_records(&read);
        let file = OpenOptions::new().append(true).open(path)?;
        let cut = read.len() - whole;
        let wide = |bytes: usize| u64::try_from(bytes).expect("what is in memory has a length");
        if cut > 0 {
            file.set_len(wide(whole))?;
            file.sync_all()?;
        }
        let journal = Self { path: path.to_owned(), file, bytes: wide(whole), is_broken: false };
        Ok(OpenedJournal { journal, records, cut: wide(cut) })
    }

    /// Appends records, and syncs them where `is_synced`.
    ///
    /// # Errors
    /// When they cannot be written or synced, or an append before could not: none of them counts.
    pub fn append(&mut self, records: &[Bytes], is_synced: bool) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::other("an append before has failed"));
        }
        let bytes = framed(records)?;
        self.is_broken = true;
        self.file.write_all(&bytes)?;
        if is_synced {
            self.file.sync_data()?;
        }
        self.is_broken = false;
        self.bytes += u64::try_from(bytes.len()).expect("what is in memory has a length");
        Ok(())
    }

    /// Puts these records in the place of all. It is durable when this returns.
    ///
    /// # Errors
    /// When they cannot be written; then the journal has what it had.
    pub fn rewrite(&mut self, records: &[Bytes]) -> io::Result<()> {
        *self = Self::create(&self.path, records)?;
        Ok(())
    }

    /// Removes the file.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    /// Bytes of the file.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn framed(records: &[Bytes]) -> io::Result<Vec<u8>> {
    let length = records.iter().map(|record| FRAME_LEN + record.len()).sum();
    let mut bytes = Vec::with_capacity(length);
    for record in records {
        let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "a record is too long");
        let length = u32::try_from(record.len()).map_err(|_| too_long())?;
        if record.len() > RECORD_BYTES_MAX {
            return Err(too_long());
        }
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(record).to_le_bytes());
        bytes.extend_from_slice(record);
    }
    Ok(bytes)
}

/// The records up to the first that is not whole, and the bytes that they take.
fn whole_records(bytes: &Bytes) -> (Vec<Bytes>, usize) {
    let (mut records, mut at) = (Vec::new(), 0);
    while let Some(record) = record_at(bytes, at) {
        at += FRAME_LEN + record.len();
        records.push(record);
    }
    (records, at)
}

fn record_at(bytes: &Bytes, at: usize) -> Option<Bytes> {
    let rest = &bytes[at..];
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let record = rest.get(..length).filter(|_| length <= RECORD_BYTES_MAX)?;
    // Zeroes, as a file system may leave them, are no empty record.
    let is_whole = crc32fast::hash(record) == u32::from_le_bytes(*checksum) && length > 0;
    is_whole.then(|| bytes.slice(at + FRAME_LEN..at + FRAME_LEN + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(texts: &[&'static str]) -> Vec<Bytes> {
        texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
    }

    fn read(path: &Path) -> Vec<Bytes> {
        Journal::open(path).unwrap().records
    }

    #[test]
    fn what_was_appended_is_there_when_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::create(&path, &records(&["first"])).unwrap();
        journal.append(&records(&["second", "third"]), true).unwrap();
        assert_eq!(journal.bytes(), fs::metadata(&path).unwrap().len());
        drop(journal);
        let OpenedJournal { mut journal, records: found, cut } = Journal::open(&path).unwrap();
        assert_eq!((found, cut), (records(&["first", "second", "third"]), 0));
        journal.append(&records(&["fourth"]), false).unwrap();
        assert_eq!(read(&path).len(), 4);
        journal.rewrite(&records(&["only"])).unwrap();
        journal.append(&records(&["next"]), true).unwrap();
        assert_eq!(read(&path), records(&["only", "next"]));
        journal.remove().unwrap();
        assert!(Journal::open(&path).is_err());
    }

    #[test]
    fn a_crash_at_any_byte_leaves_the_records_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let whole = framed(&records(&["first", "second"])).unwrap();
        let first = framed(&records(&["first"])).unwrap().len();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let opened = Journal::open(&path).unwrap();
            let expected = if length < first { records(&[]) } else { records(&["first"]) };
            assert_eq!(opened.records, expected, "{length}");
            let mut journal = opened.journal;
            journal.append(&records(&["after"]), true).unwrap();
            assert_eq!(read(&path).last(), records(&["after"]).last(), "{length}");
        }
    }

    #[test]
    fn a_flipped_bit_is_never_taken_for_a_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let whole = framed(&records(&["first", "second"])).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            let found = read(&path);
            assert!(found.len() < 2 && found == records(&["first"])[..found.len()], "{bit}");
        }
    }

    #[test]
    fn zeroes_behind_the_end_are_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let bytes = framed(&records(&["first"])).unwrap();
        fs::write(&path, [&bytes[..], &[0; 64]].concat()).unwrap();
        let opened = Journal::open(&path).unwrap();
        assert_eq!((opened.records, opened.cut), (records(&["first"]), 64));
    }
}
