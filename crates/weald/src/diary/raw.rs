//! A diary of bytes.

use bytes::Bytes;
use weald_core::{CollectionName, CreateMode, Revision, Sequence, Time, TransactionId};

use super::{DiaryOptions, RawDiaryTail};
use crate::{Appended, Result, Weald, Write};

/// What an append expects of the diary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ExpectedVersion {
    /// Nothing.
    #[default]
    Any,
    /// That it has no entry yet.
    Empty,
    /// That it has at least one entry.
    Exists,
    /// That its last entry is this one.
    Exact(Sequence),
}

/// An entry of a diary of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawDiaryEntry {
    /// Its place: dense, from 0.
    pub sequence: Sequence,
    /// The revision of the diary that appended it; entries appended together share one.
    pub revision: Revision,
    /// The transaction that appended it.
    pub transaction: TransactionId,
    /// Log time.
    pub time: Time,
    /// The content.
    pub entry: Bytes,
}

/// A diary whose entries are bytes. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
/// let node = weald::Weald::in_memory().await?;
/// let events = node.raw_diary("events").create().await?;
/// let appended = events.append("started").await?;
/// assert_eq!(appended.first.0, 0);
/// assert_eq!(events.read(appended.first, 10).await?[0].entry, "started");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RawDiary {
    pub(crate) node: Weald,
    pub(crate) name: CollectionName,
}

impl RawDiary {
    /// The diary's name.
    pub fn name(&self) -> &CollectionName {
        &self.name
    }

    /// Appends an entry.
    pub fn append(&self, entry: impl AsRef<[u8]>) -> Write<Appended> {
        self.append_expecting(ExpectedVersion::Any, [entry])
    }

    /// Appends entries in order: all or nothing.
    pub fn append_many<B: AsRef<[u8]>>(
        &self,
        entries: impl IntoIterator<Item = B>,
    ) -> Write<Appended> {
        self.append_expecting(ExpectedVersion::Any, entries)
    }

    /// Appends entries if the diary is as `expected`; otherwise `Conflict`.
    pub fn append_expecting<B: AsRef<[u8]>>(
        &self,
        expected: ExpectedVersion,
        entries: impl IntoIterator<Item = B>,
    ) -> Write<Appended> {
        let _ = (expected, entries.into_iter().map(|_| ()).count());
        self.node.later()
    }

    /// Up to `limit` entries from sequence `from` on, in order. Empty when there are none yet.
    ///
    /// # Errors
    /// `Gone` when entries at `from` are no longer kept.
    pub async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<RawDiaryEntry>> {
        let _ = (from, limit);
        Err(self.node.unbuilt())
    }

    /// Up to `limit` entries from sequence `from` down, newest first; `None` begins at the last.
    ///
    /// # Errors
    /// When the diary cannot be read.
    pub async fn read_back(
        &self,
        from: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<RawDiaryEntry>> {
        let _ = (from, limit);
        Err(self.node.unbuilt())
    }

    /// The newest entry.
    ///
    /// # Errors
    /// When the diary cannot be read.
    pub async fn last(&self) -> Result<Option<RawDiaryEntry>> {
        Ok(self.read_back(None, 1).await?.pop())
    }

    /// How many entries were ever appended: the sequence of the next one.
    ///
    /// # Errors
    /// When the diary cannot be read.
    pub async fn len(&self) -> Result<u64> {
        Err(self.node.unbuilt())
    }

    /// Whether nothing was ever appended.
    ///
    /// # Errors
    /// When the diary cannot be read.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// Follows the diary from sequence `from` on: its entries, `CaughtUp`, then each new one.
    pub fn tail(&self, from: Sequence) -> RawDiaryTail {
        RawDiaryTail::new(self, from)
    }

    pub(crate) async fn open(node: &Weald, name: CollectionName) -> Result<Self> {
        let _ = name;
        Err(node.unbuilt())
    }

    pub(crate) async fn create(
        node: &Weald,
        name: CollectionName,
        mode: CreateMode,
        options: &DiaryOptions,
    ) -> Result<Self> {
        let _ = (name, mode, options.policy());
        Err(node.unbuilt())
    }
}
