//! A typed diary.

use std::marker::PhantomData;

use weald_core::{Revision, Sequence, Time, TransactionId};

use super::RawDiary;

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
}

impl<E> Clone for Diary<E> {
    fn clone(&self) -> Self {
        Self::new(self.raw.clone())
    }
}
