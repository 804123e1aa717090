//! Collections inside a transaction.

use std::marker::PhantomData;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use weald_collections::{self as collections, DiaryAnswer, ExpectedVersion, chain::ReadLimit};
use weald_core::{Action, CollectionName, Sequence};

use super::{Stopped, Transaction, TransactionRawTree, TransactionTree};
use crate::{
    DiaryEntry, Error, ErrorKind, RawDiaryEntry, Result, diary::decode_entry, write::undecodable,
};

impl<'s> Transaction<'s> {
    /// The diary `name` with entries as bytes. Whether it exists shows when it is used.
    ///
    /// # Errors
    /// `Invalid` for a name that cannot be one.
    pub fn raw_diary<'t>(&'t mut self, name: &str) -> Result<TransactionRawDiary<'t, 's>> {
        let code = collections::RawDiary::new(checked(name)?);
        Ok(TransactionRawDiary { transaction: self, code })
    }

    /// The diary `name` with entries `E`.
    ///
    /// # Errors
    /// `Invalid` for a name that cannot be one.
    pub fn diary<'t, E>(&'t mut self, name: &str) -> Result<TransactionDiary<'t, 's, E>> {
        Ok(TransactionDiary { raw: self.raw_diary(name)?, types: PhantomData })
    }

    /// The tree `name` with keys and values as bytes. Whether it exists shows when it is used.
    ///
    /// # Errors
    /// `Invalid` for a name that cannot be one.
    pub fn raw_tree<'t>(&'t mut self, name: &str) -> Result<TransactionRawTree<'t, 's>> {
        let code = collections::RawTree::new(checked(name)?);
        Ok(TransactionRawTree { transaction: self, code })
    }

    /// The tree `name` with keys `K` and values `V`.
    ///
    /// # Errors
    /// `Invalid` for a name that cannot be one.
    pub fn tree<'t, K, V>(&'t mut self, name: &str) -> Result<TransactionTree<'t, 's, K, V>> {
        Ok(TransactionTree::new(self.raw_tree(name)?))
    }

    /// Adds an action without depending on what it meets.
    ///
    /// # Errors
    /// What the collection's type refuses now.
    pub fn stage(&mut self, action: &Action) -> Result<()> {
        self.act(|draft| Ok(draft.stage(action.clone())?))
    }

    /// Adds an action and depends on its answer, in the encoding of the collection's type.
    ///
    /// # Errors
    /// What the collection's type refuses now.
    pub fn run(&mut self, action: &Action) -> Result<Bytes> {
        self.act(|draft| Ok(draft.run(action.clone())?))
    }
}

fn checked(name: &str) -> Result<CollectionName> {
    name.parse()
        .map_err(|error: weald_core::NameError| Error::new(ErrorKind::Invalid, error.to_string()))
}

/// A diary of bytes inside a transaction.
#[derive(Debug)]
pub struct TransactionRawDiary<'t, 's> {
    transaction: &'t mut Transaction<'s>,
    code: collections::RawDiary,
}

impl TransactionRawDiary<'_, '_> {
    /// Appends an entry. Appends of others do not conflict with it.
    ///
    /// # Errors
    /// When the diary does not exist or the entry is too large.
    pub fn append(&mut self, entry: impl AsRef<[u8]>) -> Result<()> {
        let entries = vec![Bytes::copy_from_slice(entry.as_ref())];
        self.transaction.stage(&self.code.append(ExpectedVersion::Any, entries))
    }

    /// Appends entries if the diary is as `expected`, and tells the sequence of the first, on which
    /// the transaction then depends.
    ///
    /// # Errors
    /// `Conflict` when it is not as expected.
    pub fn append_expecting<B: AsRef<[u8]>>(
        &mut self,
        expected: ExpectedVersion,
        entries: impl IntoIterator<Item = B>,
    ) -> Result<Sequence> {
        let copy = |entry: B| Bytes::copy_from_slice(entry.as_ref());
        let action = self.code.append(expected, entries.into_iter().map(copy).collect());
        let answer = self.transaction.run(&action)?;
        DiaryAnswer::decode(&answer).map(|answer| answer.first).map_err(|e| undecodable(&e))
    }

    /// Up to `limit` entries from sequence `from` on, with those that this transaction appended.
    ///
    /// # Errors
    /// When the diary does not exist or entries at `from` are no longer kept.
    pub fn read(&mut self, from: Sequence, limit: usize) -> Result<Vec<RawDiaryEntry>> {
        let (code, limit) = (&self.code, ReadLimit::entries(limit));
        let entries = self
            .transaction
            .act(|draft| code.read(&mut draft.reader(), from, limit).map_err(Stopped::from))?;
        Ok(entries.into_iter().map(RawDiaryEntry::from).collect())
    }

    /// The newest entry.
    ///
    /// # Errors
    /// When the diary does not exist.
    pub fn last(&mut self) -> Result<Option<RawDiaryEntry>> {
        let code = &self.code;
        let last =
            self.transaction.act(|draft| code.last(&mut draft.reader()).map_err(Stopped::from))?;
        Ok(last.map(RawDiaryEntry::from))
    }

    /// How many entries were ever appended, with those of this transaction.
    ///
    /// # Errors
    /// When the diary does not exist.
    pub fn len(&mut self) -> Result<u64> {
        let code = &self.code;
        self.transaction.act(|draft| code.len(&mut draft.reader()).map_err(Stopped::from))
    }

    /// Whether nothing was ever appended.
    ///
    /// # Errors
    /// When the diary does not exist.
    pub fn is_empty(&mut self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A typed diary inside a transaction.
#[derive(Debug)]
pub struct TransactionDiary<'t, 's, E> {
    raw: TransactionRawDiary<'t, 's>,
    types: PhantomData<fn() -> E>,
}

impl<E: Serialize> TransactionDiary<'_, '_, E> {
    /// Appends an entry. Appends of others do not conflict with it.
    ///
    /// # Errors
    /// When the diary does not exist or the entry is too large.
    pub fn append(&mut self, entry: &E) -> Result<()> {
        let code = collections::Diary::<E>::new(self.raw.code.name().clone());
        self.raw.transaction.stage(&code.append(ExpectedVersion::Any, entry))
    }
}

impl<E: DeserializeOwned> TransactionDiary<'_, '_, E> {
    /// Up to `limit` entries from sequence `from` on, with those that this transaction appended.
    ///
    /// # Errors
    /// As for the diary of bytes; `Invalid` when an entry is not an `E`.
    pub fn read(&mut self, from: Sequence, limit: usize) -> Result<Vec<DiaryEntry<E>>> {
        self.raw.read(from, limit)?.into_iter().map(decode_entry).collect()
    }

    /// The newest entry.
    ///
    /// # Errors
    /// As [`TransactionDiary::read`].
    pub fn last(&mut self) -> Result<Option<DiaryEntry<E>>> {
        self.raw.last()?.map(decode_entry).transpose()
    }
}
