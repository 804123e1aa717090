//! A partition's state as pages, and the way back (rule C15): what a checkpoint has covered, with
//! all history that is kept, from one snapshot of the engine. `docs/format.md`, "Snapshot pages",
//! describes the bytes.
//!
//! **Invariant:** a state is installed in one batch of the engine or not at all.

use std::sync::Arc;

use bytes::Bytes;
use weald_core::{DigestBuilder, LogIndex, PartitionId, StateError};

use super::{
    PartitionStore, meta, record::RecordKey, record::read_record, storage_error, write_error,
};
use crate::engine::{Batch, Direction, Durability, Engine, KeyRange, Keyspace, Snapshot};

/// Bytes of a page, at most.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
const MAGIC: &[u8; 4] = b"WSNP";
const FORMAT: u8 = 1;
const DATA: u8 = 0;
const END: u8 = 1;
/// Magic, format, kind, number.
const HEAD_BYTES: usize = 14;
const CHECKSUM_BYTES: usize = 4;
/// Keyspace, whether the value ends here, two lengths.
const ITEM_BYTES: usize = 8;
/// Where a value may be cut: below this much room a new page is begun.
const ROOM_MIN: usize = 4096;

/// Why pages were refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// A page's checksum does not match, or it does not parse.
    #[error("a page is damaged: {0}")]
    Damaged(&'static str),
    /// Pages came out of order.
    #[error("a page out of order: number={found} expected={expected}")]
    OutOfOrder {
        /// The page that came.
        found: u64,
        /// The page that was due.
        expected: u64,
    },
    /// All pages together are not what was exported.
    #[error("the pages are not one export")]
    Digest,
    /// The state is larger than is taken.
    #[error("the state is too large: bytes={bytes} max={max}")]
    TooLarge {
        /// Bytes so far.
        bytes: usize,
        /// The most that is taken.
        max: usize,
    },
    /// The last page has not come.
    #[error("the export is not complete: pages={0}")]
    Incomplete(u64),
    /// The engine refused.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Hands out a state page by page. It holds its snapshot of the engine until dropped.
#[derive(Debug)]
pub struct StateExport {
    partition: PartitionId,
    snapshot: Arc<dyn Snapshot>,
    index: LogIndex,
    number: u64,
    digest: DigestBuilder,
    /// What comes next: keyspace, key, how much of its value is out already. `None` at the end.
    next: Option<(Keyspace, Bytes, usize)>,
    is_ended: bool,
}

impl PartitionStore {
    /// Begins to hand out what the last checkpoint has covered.
    ///
    /// # Errors
    /// When the engine cannot be read.
    pub fn export(&self) -> Result<StateExport, StateError> {
        let (partition, engine) = (self.shared.partition, &self.shared.engine);
        let snapshot = engine.snapshot().map_err(|error| storage_error(error.to_string()))?;
        let index = meta::covered(&*snapshot, partition)?;
        let first = range_of(Keyspace::Blocks, partition).start().clone();
        Ok(StateExport {
            partition,
            snapshot,
            index,
            number: 0,
            digest: digest_of(partition),
            next: Some((Keyspace::Blocks, first, 0)),
            is_ended: false,
        })
    }
}

impl StateExport {
    /// The index that the state is of.
    pub fn index(&self) -> LogIndex {
        self.index
    }

    /// The next page, at most [`PAGE_BYTES_MAX`] bytes; `None` after the last.
    ///
    /// # Errors
    /// When the engine cannot be read.
    pub fn next_page(&mut self) -> Result<Option<Bytes>, StateError> {
        if self.is_ended {
            return Ok(None);
        }
        let mut page = Page::new(DATA, self.number);
        while let Some((keyspace, from, offset)) = self.next.take() {
            self.next = self.fill(&mut page, keyspace, &from, offset)?;
            if self.next.is_some() && page.room() < ROOM_MIN {
                break;
            }
        }
        if page.is_empty() {
            self.is_ended = true;
            let mut end = Page::new(END, self.number);
            end.bytes.extend(self.index.0.to_le_bytes());
            end.bytes.extend(self.digest.clone().finish().as_bytes());
            return Ok(Some(end.finish()));
        }
        self.digest.part(&page.bytes[HEAD_BYTES..]);
        self.number += 1;
        Ok(Some(page.finish()))
    }

    /// Puts what fits from `from` on; gives where to go on.
    fn fill(
        &self,
        page: &mut Page,
        keyspace: Keyspace,
        from: &Bytes,
        mut offset: usize,
    ) -> Result<Option<(Keyspace, Bytes, usize)>, StateError> {
        let all = range_of(keyspace, self.partition);
        let range = match all.end() {
            Some(end) => KeyRange::new(from.clone(), end.clone()),
            None => KeyRange::from(from.clone()),
        };
        for entry in self.snapshot.scan(keyspace, &range, Direction::Forward) {
            let (key, value) = entry.map_err(|error| storage_error(error.to_string()))?;
            if page.room() < ROOM_MIN {
                return Ok(Some((keyspace, key, offset)));
            }
            let put = page.put(keyspace, &key, &value[offset..]);
            offset += put;
            if offset < value.len() {
                return Ok(Some((keyspace, key, offset)));
            }
            offset = 0;
        }
        let meta = || (Keyspace::Meta, range_of(Keyspace::Meta, self.partition).start().clone(), 0);
        Ok((keyspace == Keyspace::Blocks).then(meta))
    }
}

/// A page that is being filled.
struct Page {
    bytes: Vec<u8>,
}

impl Page {
    fn new(kind: u8, number: u64) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([FORMAT, kind]);
        bytes.extend(number.to_le_bytes());
        Self { bytes }
    }

    fn is_empty(&self) -> bool {
        self.bytes.len() == HEAD_BYTES
    }

    fn room(&self) -> usize {
        PAGE_BYTES_MAX - CHECKSUM_BYTES - self.bytes.len()
    }

    /// Puts as much of `value` as fits, which is something where there is [`ROOM_MIN`].
    fn put(&mut self, keyspace: Keyspace, key: &[u8], value: &[u8]) -> usize {
        let room = self.room().saturating_sub(ITEM_BYTES + key.len());
        let put = value.len().min(room);
        let key_len = u16::try_from(key.len()).expect("a key of an engine is short");
        let len = u32::try_from(put).expect("a page is small");
        self.bytes.extend([number_of(keyspace), u8::from(put == value.len())]);
        self.bytes.extend(key_len.to_le_bytes());
        self.bytes.extend(len.to_le_bytes());
        self.bytes.extend(key);
        self.bytes.extend(&value[..put]);
        put
    }

    fn finish(mut self) -> Bytes {
        let sum = crc32fast::hash(&self.bytes);
        self.bytes.extend(sum.to_le_bytes());
        self.bytes.into()
    }
}

/// Takes pages in, checks them, and puts the state in the place of what an engine has of the
/// partition. Until [`StateInstall::switch`] the engine is as it was; the pages are in memory.
#[derive(Debug)]
pub struct StateInstall {
    partition: PartitionId,
    batch: Batch,
    bytes: usize,
    bytes_max: usize,
    number: u64,
    digest: DigestBuilder,
    partial: Option<(Keyspace, Bytes, Vec<u8>)>,
    index: Option<LogIndex>,
}

impl StateInstall {
    /// An installation of `partition`'s state of at most `bytes_max` bytes.
    pub fn new(partition: PartitionId, bytes_max: usize) -> Self {
        let mut batch = Batch::new();
        for keyspace in [Keyspace::Blocks, Keyspace::Meta] {
            batch.delete_range(keyspace, range_of(keyspace, partition));
        }
        Self {
            partition,
            batch,
            bytes: 0,
            bytes_max,
            number: 0,
            digest: digest_of(partition),
            partial: None,
            index: None,
        }
    }

    /// An installation of the state before the first entry: it removes what the engine has of the
    /// partition.
    pub fn of_nothing(partition: PartitionId) -> Self {
        Self { index: Some(LogIndex::ZERO), ..Self::new(partition, 0) }
    }

    /// Takes the next page. Gives the index of the state once the last one has come.
    ///
    /// # Errors
    /// [`InstallError`]; the installation is of no use then, and the engine is as it was.
    pub fn take(&mut self, page: &[u8]) -> Result<Option<LogIndex>, InstallError> {
        let (kind, number, body) = open(page)?;
        if number != self.number || self.index.is_some() {
            return Err(InstallError::OutOfOrder { found: number, expected: self.number });
        }
        match kind {
            DATA => {
                self.bytes = self.bytes.saturating_add(body.len());
                if self.bytes > self.bytes_max {
                    return Err(InstallError::TooLarge { bytes: self.bytes, max: self.bytes_max });
                }
                self.digest.part(body);
                self.number += 1;
                self.items(body)?;
            }
            END => self.index = Some(self.end(body)?),
            _ => return Err(InstallError::Damaged("an unknown kind of page")),
        }
        Ok(self.index)
    }

    /// Replaces what `engine` has of the partition, durably and at once. No store of the partition
    /// may be open on it; one that is opened next has the new state. Gives the state's index.
    ///
    /// # Errors
    /// [`InstallError::Incomplete`] before the last page; [`InstallError::State`] when the engine
    /// refuses.
    pub fn switch(self, engine: &dyn Engine) -> Result<LogIndex, InstallError> {
        let index = self.index.ok_or(InstallError::Incomplete(self.number))?;
        engine.write(self.batch, Durability::Unsynced).map_err(|error| write_error(&error))?;
        engine.sync().map_err(|error| write_error(&error))?;
        Ok(index)
    }

    fn end(&self, body: &[u8]) -> Result<LogIndex, InstallError> {
        let Some((index, digest)) = body.split_first_chunk::<8>() else {
            return Err(InstallError::Damaged("a short last page"));
        };
        if self.partial.is_some() || digest != self.digest.clone().finish().as_bytes() {
            return Err(InstallError::Digest);
        }
        Ok(LogIndex(u64::from_le_bytes(*index)))
    }

    fn items(&mut self, mut body: &[u8]) -> Result<(), InstallError> {
        while !body.is_empty() {
            let item = Item::read(&mut body).ok_or(InstallError::Damaged("a short page"))?;
            let key = Bytes::copy_from_slice(item.key);
            let mut value = match self.partial.take() {
                None => Vec::new(),
                Some((keyspace, begun, value)) if (keyspace, &begun) == (item.keyspace, &key) => {
                    value
                }
                Some(_) => return Err(InstallError::Damaged("a value without its end")),
            };
            value.extend_from_slice(item.value);
            if item.is_end {
                self.put(item.keyspace, key, value)?;
            } else {
                self.partial = Some((item.keyspace, key, value));
            }
        }
        Ok(())
    }

    fn put(&mut self, keyspace: Keyspace, key: Bytes, value: Vec<u8>) -> Result<(), InstallError> {
        let value = Bytes::from(value);
        let is_intact = match keyspace {
            Keyspace::Blocks => read_record(&key, &value).is_ok(),
            Keyspace::Meta => meta::is_intact(&key, &value),
        };
        if !range_of(keyspace, self.partition).contains(&key) || !is_intact {
            return Err(InstallError::Damaged("an entry that does not check"));
        }
        self.batch.put(keyspace, key, value);
        Ok(())
    }
}

/// A piece of an entry in a page.
struct Item<'p> {
    keyspace: Keyspace,
    is_end: bool,
    key: &'p [u8],
    value: &'p [u8],
}

impl<'p> Item<'p> {
    fn read(body: &mut &'p [u8]) -> Option<Self> {
        let (head, rest) = body.split_first_chunk::<ITEM_BYTES>()?;
        let [keyspace, is_end, k0, k1, v0, v1, v2, v3] = *head;
        let key_len = usize::from(u16::from_le_bytes([k0, k1]));
        let len = usize::try_from(u32::from_le_bytes([v0, v1, v2, v3])).ok()?;
        let (key, rest) = rest.split_at_checked(key_len)?;
        let (value, rest) = rest.split_at_checked(len)?;
        *body = rest;
        let keyspace = match keyspace {
            0 => Keyspace::Blocks,
            1 => Keyspace::Meta,
            _ => return None,
        };
        Some(Self { keyspace, is_end: is_end == 1, key, value })
    }
}

/// Kind, number and body of a page whose checksum matches.
fn open(page: &[u8]) -> Result<(u8, u64, &[u8]), InstallError> {
    let Some((content, sum)) = page.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(InstallError::Damaged("a short page"));
    };
    if page.len() > PAGE_BYTES_MAX || *sum != crc32fast::hash(content).to_le_bytes() {
        return Err(InstallError::Damaged("a checksum that does not match"));
    }
    let Some((head, body)) = content.split_first_chunk::<HEAD_BYTES>() else {
        return Err(InstallError::Damaged("a short page"));
    };
    let [m0, m1, m2, m3, format, kind, number @ ..] = *head;
    if [m0, m1, m2, m3] != *MAGIC || format != FORMAT {
        return Err(InstallError::Damaged("another format"));
    }
    Ok((kind, u64::from_le_bytes(number), body))
}

fn digest_of(partition: PartitionId) -> DigestBuilder {
    let mut digest = DigestBuilder::new("weald snapshot");
    digest.number(partition.0.into());
    digest
}

fn number_of(keyspace: Keyspace) -> u8 {
    match keyspace {
        Keyspace::Blocks => 0,
        Keyspace::Meta => 1,
    }
}

fn range_of(keyspace: Keyspace, partition: PartitionId) -> KeyRange {
    match keyspace {
        Keyspace::Blocks => RecordKey::partition_range(partition),
        Keyspace::Meta => meta::partition_range(partition),
    }
}
