//! A typed tree.

use std::{borrow::Borrow, marker::PhantomData, ops::RangeBounds};

use serde::{Serialize, de::DeserializeOwned};
use weald_collections::{
    self as collections, EncodeKey, Key,
    tree::{Expectation, IndexKey, KeyChange},
};
use weald_core::{Position, Revision};

use super::{Range, RawTree, Snapshot, TreeWatch, decode_entry};
use crate::{CollectionName, Consistency, Result, Write, Written};

/// An entry of a typed tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
    /// The revision of the tree that last wrote the entry.
    pub revision: Revision,
}

/// An ordered map from `K` to `V`: keys are ordered as `K` is. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
/// let node = weald::Weald::in_memory().await?;
/// let ages = node.tree::<String, u32>("ages").create().await?;
/// ages.put("ada", &36).await?;
/// ages.put("kurt", &71).await?;
/// assert_eq!(ages.get("ada").await?, Some(36));
/// let oldest_first = ages.range(..).reverse().entries().await?;
/// assert_eq!(oldest_first[0].key, "kurt");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Tree<K, V> {
    raw: RawTree,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Tree<K, V> {
    pub(crate) fn new(raw: RawTree) -> Self {
        Self { raw, types: PhantomData }
    }

    /// The same tree with keys and values as bytes.
    pub fn raw(&self) -> &RawTree {
        &self.raw
    }

    /// The tree's name.
    pub fn name(&self) -> &CollectionName {
        self.raw.name()
    }

    /// The same tree, read as fresh as `consistency` says. Default: linearizable.
    #[must_use]
    pub fn consistency(&self, consistency: Consistency) -> Self {
        Self::new(self.raw.consistency(consistency))
    }

    /// The same tree, read as it was at `position` or later.
    #[must_use]
    pub fn at_least(&self, position: Position) -> Self {
        Self::new(self.raw.at_least(position))
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn count(&self) -> Result<u64> {
        self.raw.count().await
    }

    /// The tree's revision: how many transactions have written it.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn revision(&self) -> Result<Revision> {
        self.raw.revision().await
    }

    /// The tree as it is now, unchanged by later writes for as long as the snapshot lives.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn snapshot(&self) -> Result<Snapshot<K, V>> {
        self.raw.snapshot().await.map(Snapshot::new)
    }

    /// The tree as it was right after `revision`.
    ///
    /// # Errors
    /// `Gone` when that history is no longer kept, `Invalid` for a revision yet to come.
    pub async fn at(&self, revision: Revision) -> Result<Snapshot<K, V>> {
        self.raw.at(revision).await.map(Snapshot::new)
    }
}

impl<K: Key, V: Serialize> Tree<K, V> {
    /// Sets the value of `key`. [`Written::replaced`] tells what it overwrote.
    pub fn put<Q: EncodeKey + ?Sized>(&self, key: &Q, value: &V) -> Write<Written>
    where
        K: Borrow<Q>,
    {
        self.apply(vec![self.change(key, Expectation::Any, value)])
    }

    /// As [`Tree::put`], with the entry's keys in the tree's indexes, made by
    /// [`index_key`](crate::index_key).
    pub fn put_indexed<Q: EncodeKey + ?Sized>(
        &self,
        key: &Q,
        value: &V,
        indexes: impl IntoIterator<Item = IndexKey>,
    ) -> Write<Written>
    where
        K: Borrow<Q>,
    {
        let add = |change: KeyChange, at: IndexKey| change.indexed(at.index, at.key);
        let change = self.change(key, Expectation::Any, value);
        self.apply(vec![indexes.into_iter().fold(change, add)])
    }

    /// Adds an entry; `AlreadyExists` when the key has one.
    pub fn insert<Q: EncodeKey + ?Sized>(&self, key: &Q, value: &V) -> Write<Written>
    where
        K: Borrow<Q>,
    {
        self.apply(vec![self.change(key, Expectation::Absent, value)])
    }

    /// Replaces the value of a key that has one; `Conflict` when it has none.
    pub fn update<Q: EncodeKey + ?Sized>(&self, key: &Q, value: &V) -> Write<Written>
    where
        K: Borrow<Q>,
    {
        self.apply(vec![self.change(key, Expectation::Present, value)])
    }

    /// Sets the value of `key` if its entry was last written by `expected` (`None`: if there is
    /// none); otherwise `Conflict` (`AlreadyExists` for `None`).
    pub fn compare_and_put<Q: EncodeKey + ?Sized>(
        &self,
        key: &Q,
        expected: Option<Revision>,
        value: &V,
    ) -> Write<Written>
    where
        K: Borrow<Q>,
    {
        let expected = expected.map_or(Expectation::Absent, Expectation::Revision);
        self.apply(vec![self.change(key, expected, value)])
    }

    /// Removes a key. [`Written::replaced`] tells what was there; nothing is fine.
    pub fn delete<Q: EncodeKey + ?Sized>(&self, key: &Q) -> Write<Written>
    where
        K: Borrow<Q>,
    {
        self.raw.delete(key.to_key())
    }

    /// Puts (`Some`) and deletes (`None`) several keys in order: all or nothing.
    pub fn batch<'c, Q>(
        &self,
        changes: impl IntoIterator<Item = (&'c Q, Option<&'c V>)>,
    ) -> Write<Written>
    where
        K: Borrow<Q>,
        Q: EncodeKey + ?Sized + 'c,
        V: 'c,
    {
        let change = |(key, value): (&Q, Option<&V>)| match value {
            Some(value) => self.change(key, Expectation::Any, value),
            None => KeyChange::delete(key.to_key(), Expectation::Any),
        };
        self.apply(changes.into_iter().map(change).collect())
    }

    /// A put for [`Tree::apply`], with what it expects to find; index keys can be added.
    pub fn change<Q: EncodeKey + ?Sized>(
        &self,
        key: &Q,
        expected: Expectation,
        value: &V,
    ) -> KeyChange
    where
        K: Borrow<Q>,
    {
        let code = collections::Tree::<K, V>::new(self.name().clone());
        code.change(key, expected, value)
    }

    /// Makes changes in order: all or nothing.
    pub fn apply(&self, changes: Vec<KeyChange>) -> Write<Written> {
        self.raw.apply(changes)
    }
}

impl<K: Key, V: DeserializeOwned> Tree<K, V> {
    /// The value of `key`; `None` when it was proved that there is none.
    ///
    /// # Errors
    /// When the tree cannot be read; `Invalid` when the value is not a `V`.
    pub async fn get<Q: EncodeKey + ?Sized>(&self, key: &Q) -> Result<Option<V>>
    where
        K: Borrow<Q>,
    {
        Ok(self.entry(key).await?.map(|entry| entry.value))
    }

    /// As [`Tree::get`], with the revision that wrote it.
    ///
    /// # Errors
    /// As [`Tree::get`].
    pub async fn entry<Q: EncodeKey + ?Sized>(&self, key: &Q) -> Result<Option<Entry<K, V>>>
    where
        K: Borrow<Q>,
    {
        self.raw.entry(key.to_key()).await?.map(decode_entry).transpose()
    }

    /// The entry with the lowest key.
    ///
    /// # Errors
    /// As [`Tree::get`].
    pub async fn first(&self) -> Result<Option<Entry<K, V>>> {
        self.raw.first().await?.map(decode_entry).transpose()
    }

    /// The entry with the highest key.
    ///
    /// # Errors
    /// As [`Tree::get`].
    pub async fn last(&self) -> Result<Option<Entry<K, V>>> {
        self.raw.last().await?.map(decode_entry).transpose()
    }

    /// Entries whose keys lie in `bounds`, as the tree is when reading begins.
    pub fn range(&self, bounds: impl RangeBounds<K>) -> Range<K, V> {
        Range::new(&self.raw, None, &bounds)
    }

    /// Entries found by the index `index` under exactly `key`, at most `limit`.
    ///
    /// # Errors
    /// `Invalid` when the tree has no such index.
    pub async fn by_index(
        &self,
        index: &str,
        key: &(impl EncodeKey + ?Sized),
        limit: usize,
    ) -> Result<Vec<Entry<K, V>>> {
        let key = key.to_key();
        let range = self.raw.by_index(index, key.clone()..=key).limit(limit);
        range.entries().await?.into_iter().map(|found| decode_entry(found.entry)).collect()
    }

    /// Follows the tree from revision `from` on: its history, `CaughtUp`, then each change.
    pub fn watch(&self, from: Revision) -> TreeWatch<K, V> {
        TreeWatch::new(self.raw.watch(from))
    }
}

impl<K, V> Clone for Tree<K, V> {
    fn clone(&self) -> Self {
        Self::new(self.raw.clone())
    }
}
