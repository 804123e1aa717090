//! A typed diary.

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};
use weald_collections::{self as collections, ChainEntry, ExpectedVersion};
use weald_core::{LogIndex, Position, Revision, Sequence, Time, TransactionId};

use super::{DiaryTail, RawDiary, RawDiaryEntry};
use crate::{Appended, CollectionName, Consistency, Result, Write, node::read_error};

/// An entry of a typed diary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiaryEntry<E> {
    /// Its place: dense, from 0.
    pub sequence: Sequence,
    /// The revision of the diary that appended it; entries appended together share one.
    pub revision: Revision,
    /// The transaction that appended it.
    pub transaction: TransactionId,
    /// Log time.
    pub time: Time,
    /// The content.
    pub entry: E,
}

/// An append-only log of `E`. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
/// # let node = weald::Weald::in_memory().await?;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// enum Event { Started, Sold { apples: u32 } }
///
/// let events = node.diary::<Event>("events").create().await?;
/// events.append(&Event::Started).await?;
/// events.append(&Event::Sold { apples: 3 }).await?;
/// let last = events.last().await?.expect("two were appended");
/// assert_eq!(last.entry, Event::Sold { apples: 3 });
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Diary<E> {
    raw: RawDiary,
    types: PhantomData<fn() -> E>,
}

impl<E> Diary<E> {
    pub(crate) fn new(raw: RawDiary) -> Self {
        Self { raw, types: PhantomData }
    }

    /// The same diary with entries as bytes.
    pub fn raw(&self) -> &RawDiary {
        &self.raw
    }

    /// The same diary, read as fresh as `consistency` says. Default: linearizable.
    #[must_use]
    pub fn consistency(&self, consistency: Consistency) -> Self {
        Self::new(self.raw.consistency(consistency))
    }

    /// The same diary, read as it was at `position` or later.
    #[must_use]
    pub fn at_least(&self, position: Position) -> Self {
        Self::new(self.raw.at_least(position))
    }

    /// The diary's name.
    pub fn name(&self) -> &CollectionName {
        self.raw.name()
    }

    /// How many entries were ever appended: the sequence of the next one.
    ///
    /// # Errors
    /// When the diary cannot be read.
    pub async fn len(&self) -> Result<u64> {
        self.raw.len().await
    }

    /// Whether nothing was ever appended.
    ///
    /// # Errors
    /// When the diary cannot be read.
    pub async fn is_empty(&self) -> Result<bool> {
        self.raw.is_empty().await
    }
}

impl<E: Serialize> Diary<E> {
    /// Appends an entry.
    pub fn append(&self, entry: &E) -> Write<Appended> {
        self.append_expecting(ExpectedVersion::Any, [entry])
    }

    /// Appends entries in order: all or nothing.
    pub fn append_many<'e>(&self, entries: impl IntoIterator<Item = &'e E>) -> Write<Appended>
    where
        E: 'e,
    {
        self.append_expecting(ExpectedVersion::Any, entries)
    }

    /// Appends entries if the diary is as `expected`; otherwise `Conflict`.
    pub fn append_expecting<'e>(
        &self,
        expected: ExpectedVersion,
        entries: impl IntoIterator<Item = &'e E>,
    ) -> Write<Appended>
    where
        E: 'e,
    {
        let entries: Vec<&E> = entries.into_iter().collect();
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let code = collections::Diary::<E>::new(self.name().clone());
        self.raw.append_action(code.append_many(expected, entries), count)
    }
}

impl<E: DeserializeOwned> Diary<E> {
    /// Up to `limit` entries from sequence `from` on, in order. Empty when there are none yet.
    ///
    /// # Errors
    /// `Gone` when entries at `from` are no longer kept; `Invalid` when one is not an `E`.
    pub async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<DiaryEntry<E>>> {
        self.raw.read(from, limit).await?.into_iter().map(decode).collect()
    }

    /// Up to `limit` entries from sequence `from` down, newest first; `None` begins at the last.
    ///
    /// # Errors
    /// As [`Diary::read`].
    pub async fn read_back(
        &self,
        from: Option<Sequence>,
        limit: usize,
    ) -> Result<Vec<DiaryEntry<E>>> {
        self.raw.read_back(from, limit).await?.into_iter().map(decode).collect()
    }

    /// The newest entry.
    ///
    /// # Errors
    /// As [`Diary::read`].
    pub async fn last(&self) -> Result<Option<DiaryEntry<E>>> {
        self.raw.last().await?.map(decode).transpose()
    }

    /// Follows the diary from sequence `from` on: its entries, `CaughtUp`, then each new one.
    pub fn tail(&self, from: Sequence) -> DiaryTail<E> {
        DiaryTail::new(self.raw.tail(from))
    }
}

impl<E> Clone for Diary<E> {
    fn clone(&self) -> Self {
        Self::new(self.raw.clone())
    }
}

/// The typed form of an entry.
pub(crate) fn decode<E: DeserializeOwned>(stored: RawDiaryEntry) -> Result<DiaryEntry<E>> {
    let RawDiaryEntry { sequence, revision, transaction, time, entry: payload } = stored;
    let index = LogIndex::ZERO;
    let stored = ChainEntry { sequence, revision, transaction, index, time, payload };
    let decoded = collections::Diary::<E>::decode(&stored).map_err(read_error)?;
    Ok(DiaryEntry { sequence, revision, transaction, time, entry: decoded.entry })
}
