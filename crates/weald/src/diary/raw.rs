//! A diary of bytes.

use bytes::Bytes;
use weald_collections::{
    self as collections, ChainEntry, CollectionHeader, CollectionState, DiaryAnswer, DiaryType,
    ExpectedVersion, SourceReader, chain::ReadLimit,
};
use weald_core::{
    Action, BlockId, CollectionName, CreateMode, Position, Revision, Sequence, Time, TransactionId,
};

use super::{DiaryOptions, RawDiaryTail};
use crate::{
    Appended, Consistency, Result, Weald, Write,
    backend::Reading,
    write::{Reply, WriteOptions, undecodable},
};

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

impl From<ChainEntry> for RawDiaryEntry {
    fn from(stored: ChainEntry) -> Self {
        let ChainEntry { sequence, revision, transaction, time, payload: entry, .. } = stored;
        Self { sequence, revision, transaction, time, entry }
    }
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
    pub(crate) code: collections::RawDiary,
    id: BlockId,
    reading: Reading,
}

impl RawDiary {
    fn new(node: &Weald, name: CollectionName) -> Self {
        let (id, reading) = (BlockId::header(&name), Reading::default());
        Self { node: node.clone(), code: collections::RawDiary::new(name), id, reading }
    }

    /// The diary's name.
    pub fn name(&self) -> &CollectionName {
        self.code.name()
    }

    /// The same diary, read as fresh as `consistency` says. Default: linearizable.
    #[must_use]
    pub fn consistency(&self, consistency: Consistency) -> Self {
        Self { reading: Reading { consistency, ..self.reading }, ..self.clone() }
    }

    /// The same diary, read as it was at `position` or later. Reads wait for that state; `Behind`
    /// when it does not come in time.
    #[must_use]
    pub fn at_least(&self, position: Position) -> Self {
        Self { reading: Reading { at_least: Some(position), ..self.reading }, ..self.clone() }
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
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use weald::{ErrorKind, ExpectedVersion, Sequence};
    /// let events = node.raw_diary("events").create().await?;
    /// events.append_expecting(ExpectedVersion::Empty, ["first"]).await?;
    /// let late = events.append_expecting(ExpectedVersion::Empty, ["also first"]).await;
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::Conflict);
    /// events.append_expecting(ExpectedVersion::Exact(Sequence(0)), ["second"]).await?;
    /// # Ok(()) }
    /// ```
    pub fn append_expecting<B: AsRef<[u8]>>(
        &self,
        expected: ExpectedVersion,
        entries: impl IntoIterator<Item = B>,
    ) -> Write<Appended> {
        let copy = |entry: B| Bytes::copy_from_slice(entry.as_ref());
        let entries: Vec<Bytes> = entries.into_iter().map(copy).collect();
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        self.append_action(self.code.append(expected, entries), count)
    }

    pub(super) fn append_action(&self, action: Action, count: u64) -> Write<Appended> {
        Write::new(&self.node, Ok(vec![action]), move |reply| appended(&reply, count))
    }

    /// Up to `limit` entries from sequence `from` on, in order. Empty when there are none yet.
    ///
    /// # Errors
    /// `Gone` when entries at `from` are no longer kept.
    pub async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<RawDiaryEntry>> {
        let limit = ReadLimit::entries(limit);
        let entries = self.look(|reader| self.code.read(reader, from, limit)).await?;
        Ok(entries.into_iter().map(RawDiaryEntry::from).collect())
    }

    /// Up to `limit` entries from sequence `from` down, newest first; `None` begins at the last.
    ///
    /// # Errors
    /// `Gone` when entries at `from` are no longer kept.
    pub async fn read_back(
        &self,
        from: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<RawDiaryEntry>> {
        let limit = ReadLimit::entries(limit);
        let entries = self.look(|reader| self.code.read_back(reader, from, limit)).await?;
        Ok(entries.into_iter().map(RawDiaryEntry::from).collect())
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
        self.look(|reader| self.code.len(reader)).await
    }

    /// Whether nothing was ever appended.
    ///
    /// # Errors
    /// When the diary cannot be read.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// The diary's revision: how many transactions have written it.
    ///
    /// # Errors
    /// When the diary cannot be read.
    pub async fn revision(&self) -> Result<Revision> {
        let name = self.name();
        let state = self.look(|reader| {
            collections::open(reader, name, &DiaryType::type_name())?;
            Ok(CollectionState::read(reader, name)?)
        });
        Ok(state.await?.revision)
    }

    /// Follows the diary from sequence `from` on: its entries, `CaughtUp`, then each new one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use weald::{Sequence, TailEvent};
    /// let events = node.raw_diary("events").create().await?;
    /// events.append("one").await?;
    /// let mut tail = events.tail(Sequence(0));
    /// assert!(matches!(tail.next().await, Some(Ok(TailEvent::Entry(entry))) if entry.entry == "one"));
    /// assert!(matches!(tail.next().await, Some(Ok(TailEvent::CaughtUp))));
    /// events.append("two").await?;
    /// assert!(matches!(tail.next().await, Some(Ok(TailEvent::Entry(entry))) if entry.entry == "two"));
    /// # Ok(()) }
    /// ```
    pub fn tail(&self, from: Sequence) -> RawDiaryTail {
        RawDiaryTail::new(self, from)
    }

    pub(crate) async fn open(node: &Weald, name: CollectionName) -> Result<Self> {
        let diary = Self::new(node, name);
        let name = diary.name();
        diary.look(|reader| collections::open(reader, name, &DiaryType::type_name())).await?;
        Ok(diary)
    }

    pub(crate) async fn create(
        node: &Weald,
        name: CollectionName,
        mode: CreateMode,
        options: &DiaryOptions,
    ) -> Result<Self> {
        let diary = Self::new(node, name);
        if mode == CreateMode::OpenOrCreate && diary.is_there().await? {
            return Ok(diary);
        }
        let action = diary.code.create(mode, options.policy());
        node.commit_actions(vec![action], WriteOptions::default()).await?;
        Ok(diary)
    }

    /// The diary's id.
    pub(super) fn id(&self) -> BlockId {
        self.id
    }

    async fn look<T>(
        &self,
        look: impl FnMut(&mut SourceReader<'_>) -> std::result::Result<T, collections::ReadError>,
    ) -> Result<T> {
        self.node.read_in(self.id, &self.reading, look).await
    }

    /// Whether there is a diary of this name.
    async fn is_there(&self) -> Result<bool> {
        let name = self.name();
        let found =
            self.look(|reader| match collections::open(reader, name, &DiaryType::type_name()) {
                Err(collections::ReadError::NoSuchCollection(_)) => Ok(None::<CollectionHeader>),
                other => other.map(Some),
            });
        Ok(found.await?.is_some())
    }
}

fn appended(reply: &Reply, count: u64) -> Result<Appended> {
    let answer = DiaryAnswer::decode(reply.answer()?).map_err(|error| undecodable(&error))?;
    Ok(Appended { first: answer.first, count, written: reply.written(None)? })
}
