//! A diary of values.

use std::{fmt, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};
use weald_core::{Action, CollectionName, Revision, Sequence, Time, TransactionId, codec};

use super::{ExpectedVersion, RawDiary};
use crate::{BlockReader, ChainEntry, ReadError, chain::ReadLimit, kind};

/// A diary whose entries are `E`, stored by the codec.
pub struct Diary<E> {
    raw: RawDiary,
    entry: PhantomData<fn() -> E>,
}

/// An entry of a [`Diary`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiaryEntry<E> {
    /// Its place.
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

impl<E> Diary<E> {
    /// The diary `name`, whether or not there is one.
    pub const fn new(name: CollectionName) -> Self {
        Self { raw: RawDiary::new(name), entry: PhantomData }
    }

    /// The same diary with entries as bytes; creation and ends are there.
    pub fn raw(&self) -> &RawDiary {
        &self.raw
    }
}

impl<E: Serialize> Diary<E> {
    /// The action that appends one entry.
    pub fn append(&self, expected: ExpectedVersion, entry: &E) -> Action {
        self.append_many(expected, std::iter::once(entry))
    }

    /// The action that appends entries in order, all or none.
    pub fn append_many<'e>(
        &self,
        expected: ExpectedVersion,
        entries: impl IntoIterator<Item = &'e E>,
    ) -> Action
    where
        E: 'e,
    {
        let encode = |entry| codec::encode(kind::VALUE, entry);
        self.raw.append(expected, entries.into_iter().map(encode).collect())
    }
}

impl<E: DeserializeOwned> Diary<E> {
    /// Entries from `from` on, oldest first.
    ///
    /// # Errors
    /// As [`RawDiary::read`]; [`ReadError::Value`] when an entry is no `E`.
    pub fn read<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        from: Sequence,
        limit: ReadLimit,
    ) -> Result<Vec<DiaryEntry<E>>, ReadError> {
        self.raw.read(reader, from, limit)?.iter().map(Self::decode).collect()
    }

    /// Entries from `from` down, newest first; `None` begins at the last.
    ///
    /// # Errors
    /// As [`RawDiary::read_back`]; [`ReadError::Value`] when an entry is no `E`.
    pub fn read_back<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        from: Option<Sequence>,
        limit: ReadLimit,
    ) -> Result<Vec<DiaryEntry<E>>, ReadError> {
        self.raw.read_back(reader, from, limit)?.iter().map(Self::decode).collect()
    }

    /// The newest entry.
    ///
    /// # Errors
    /// As [`Diary::read_back`].
    pub fn last<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
    ) -> Result<Option<DiaryEntry<E>>, ReadError> {
        self.raw.last(reader)?.as_ref().map(Self::decode).transpose()
    }

    /// Reads a stored entry.
    ///
    /// # Errors
    /// [`ReadError::Value`] when it is no `E`.
    pub fn decode(stored: &ChainEntry) -> Result<DiaryEntry<E>, ReadError> {
        let &ChainEntry { sequence, revision, transaction, time, .. } = stored;
        let entry = codec::decode(kind::VALUE, &stored.payload)
            .map_err(|source| ReadError::Value { revision, source })?;
        Ok(DiaryEntry { sequence, revision, transaction, time, entry })
    }
}

impl<E> Clone for Diary<E> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), entry: PhantomData }
    }
}

impl<E> fmt::Debug for Diary<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Diary").field(self.raw.name()).finish()
    }
}
