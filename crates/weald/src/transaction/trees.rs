//! Trees inside a transaction.

use std::{
    borrow::Borrow,
    marker::PhantomData,
    ops::{Bound, RangeBounds},
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use weald_collections::{
    self as collections, EncodeKey, Key, NotedReads,
    btree::{self, Direction},
    tree::{Expectation, KeyChange},
};

use super::{Stopped, Transaction};
use crate::{Entry, Result, tree::decode_entry};

/// A tree of bytes inside a transaction.
#[derive(Debug)]
pub struct TransactionRawTree<'t, 's> {
    pub(super) transaction: &'t mut Transaction<'s>,
    pub(super) code: collections::RawTree,
}

impl TransactionRawTree<'_, '_> {
    /// The value of `key`, as this transaction sees it.
    ///
    /// # Errors
    /// When the tree does not exist.
    pub fn get(&mut self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        Ok(self.entry(key)?.map(|entry| entry.value))
    }

    /// As [`TransactionRawTree::get`], with the revision that wrote it.
    ///
    /// # Errors
    /// When the tree does not exist.
    pub fn entry(&mut self, key: impl AsRef<[u8]>) -> Result<Option<btree::Entry>> {
        let key = key.as_ref();
        self.read(|code, reader| code.get(reader, key))
    }

    /// Up to `limit` entries whose keys lie in `bounds`, ascending.
    ///
    /// # Errors
    /// When the tree does not exist.
    pub fn range<B: AsRef<[u8]>>(
        &mut self,
        bounds: impl RangeBounds<B>,
        limit: usize,
    ) -> Result<Vec<btree::Entry>> {
        self.scan(&bounds, Direction::Forward, limit)
    }

    /// Up to `limit` entries whose keys lie in `bounds`, descending.
    ///
    /// # Errors
    /// When the tree does not exist.
    pub fn range_back<B: AsRef<[u8]>>(
        &mut self,
        bounds: impl RangeBounds<B>,
        limit: usize,
    ) -> Result<Vec<btree::Entry>> {
        self.scan(&bounds, Direction::Backward, limit)
    }

    /// How many entries there are. Every write of others to the tree conflicts with this.
    ///
    /// # Errors
    /// When the tree does not exist.
    pub fn count(&mut self) -> Result<u64> {
        self.read(|code, reader| Ok(code.open(reader)?.count(reader)?))
    }

    /// Sets the value of `key`.
    ///
    /// # Errors
    /// When the tree does not exist or the entry is too large.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.change(change(key, Expectation::Any, value))
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// `AlreadyExists` when the key has one.
    pub fn insert(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.change(change(key, Expectation::Absent, value))
    }

    /// Replaces the value of a key that has one.
    ///
    /// # Errors
    /// `Conflict` when it has none.
    pub fn update(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.change(change(key, Expectation::Present, value))
    }

    /// Removes a key; there may be none.
    ///
    /// # Errors
    /// When the tree does not exist.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> Result<()> {
        self.change(KeyChange::delete(Bytes::copy_from_slice(key.as_ref()), Expectation::Any))
    }

    /// Makes one change, with what it expects to find and its index keys.
    ///
    /// # Errors
    /// `Conflict` when it does not find what it expects.
    pub fn change(&mut self, change: KeyChange) -> Result<()> {
        self.transaction.stage(&self.code.batch(vec![change]))
    }

    fn scan<B: AsRef<[u8]>>(
        &mut self,
        bounds: &impl RangeBounds<B>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<btree::Entry>> {
        let slice = |bound: Bound<&B>| bound.map(|key| Bytes::copy_from_slice(key.as_ref()));
        let (low, high) = (slice(bounds.start_bound()), slice(bounds.end_bound()));
        self.read(|code, reader| {
            let view = code.open(reader)?;
            let bounds = (low.as_ref().map(|key| &key[..]), high.as_ref().map(|key| &key[..]));
            let scan = view.range(reader, bounds, direction).take(limit);
            Ok(scan.collect::<std::result::Result<_, _>>()?)
        })
    }

    fn read<T>(
        &mut self,
        mut read: impl FnMut(
            &collections::RawTree,
            &mut NotedReads<'_, '_>,
        ) -> std::result::Result<T, collections::ReadError>,
    ) -> Result<T> {
        let code = &self.code;
        self.transaction.act(|draft| read(code, &mut draft.reader()).map_err(Stopped::from))
    }
}

fn change(key: impl AsRef<[u8]>, expected: Expectation, value: impl AsRef<[u8]>) -> KeyChange {
    let copy = Bytes::copy_from_slice;
    KeyChange::put(copy(key.as_ref()), expected, copy(value.as_ref()))
}

/// A typed tree inside a transaction.
#[derive(Debug)]
pub struct TransactionTree<'t, 's, K, V> {
    raw: TransactionRawTree<'t, 's>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'t, 's, K, V> TransactionTree<'t, 's, K, V> {
    pub(super) fn new(raw: TransactionRawTree<'t, 's>) -> Self {
        Self { raw, types: PhantomData }
    }

    /// How many entries there are. Every write of others to the tree conflicts with this.
    ///
    /// # Errors
    /// When the tree does not exist.
    pub fn count(&mut self) -> Result<u64> {
        self.raw.count()
    }
}

impl<K: Key, V: Serialize> TransactionTree<'_, '_, K, V> {
    /// Sets the value of `key`.
    ///
    /// # Errors
    /// When the tree does not exist or the entry is too large.
    pub fn put<Q: EncodeKey + ?Sized>(&mut self, key: &Q, value: &V) -> Result<()>
    where
        K: Borrow<Q>,
    {
        self.write(key, Expectation::Any, value)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// `AlreadyExists` when the key has one.
    pub fn insert<Q: EncodeKey + ?Sized>(&mut self, key: &Q, value: &V) -> Result<()>
    where
        K: Borrow<Q>,
    {
        self.write(key, Expectation::Absent, value)
    }

    /// Removes a key; there may be none.
    ///
    /// # Errors
    /// When the tree does not exist.
    pub fn delete<Q: EncodeKey + ?Sized>(&mut self, key: &Q) -> Result<()>
    where
        K: Borrow<Q>,
    {
        self.raw.delete(key.to_key())
    }

    fn write<Q: EncodeKey + ?Sized>(
        &mut self,
        key: &Q,
        expected: Expectation,
        value: &V,
    ) -> Result<()>
    where
        K: Borrow<Q>,
    {
        let code = collections::Tree::<K, V>::new(self.raw.code.name().clone());
        self.raw.change(code.change(key, expected, value))
    }
}

impl<K: Key, V: DeserializeOwned> TransactionTree<'_, '_, K, V> {
    /// The value of `key`, as this transaction sees it.
    ///
    /// # Errors
    /// When the tree does not exist; `Invalid` when the value is not a `V`.
    pub fn get<Q: EncodeKey + ?Sized>(&mut self, key: &Q) -> Result<Option<V>>
    where
        K: Borrow<Q>,
    {
        let entry = self.raw.entry(key.to_key())?;
        Ok(entry.map(decode_entry::<K, V>).transpose()?.map(|entry| entry.value))
    }

    /// Up to `limit` entries whose keys lie in `bounds`, ascending.
    ///
    /// # Errors
    /// As [`TransactionTree::get`].
    pub fn range(&mut self, bounds: impl RangeBounds<K>, limit: usize) -> Result<Vec<Entry<K, V>>> {
        let key = |bound: Bound<&K>| bound.map(EncodeKey::to_key);
        let bounds = (key(bounds.start_bound()), key(bounds.end_bound()));
        let entries = self.raw.range::<Bytes>(bounds, limit)?;
        entries.into_iter().map(decode_entry).collect()
    }
}
