//! A tree of bytes.

use std::ops::RangeBounds;

use bytes::Bytes;
use weald_core::{CollectionName, CreateMode, Revision};

use super::{RawRange, RawSnapshot, RawTreeWatch, TreeOptions};
use crate::{Result, Weald, Write, Written};

/// An entry of a tree of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEntry {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The revision of the tree that last wrote the entry.
    pub revision: Revision,
}

/// A tree whose keys and values are bytes; keys are ordered as bytes are. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
/// let node = weald::Weald::in_memory().await?;
/// let stock = node.raw_tree("stock").create().await?;
/// stock.put("apple", "3").await?;
/// assert_eq!(stock.get("apple").await?.as_deref(), Some("3".as_bytes()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RawTree {
    pub(crate) node: Weald,
    pub(crate) name: CollectionName,
}

impl RawTree {
    /// The tree's name.
    pub fn name(&self) -> &CollectionName {
        &self.name
    }

    /// The value of `key`; `None` when it was proved that there is none.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        Ok(self.entry(key).await?.map(|entry| entry.value))
    }

    /// As [`RawTree::get`], with the revision that wrote it.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn entry(&self, key: impl AsRef<[u8]>) -> Result<Option<RawEntry>> {
        self.latest()?.entry(key).await
    }

    /// The entry with the lowest key.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn first(&self) -> Result<Option<RawEntry>> {
        self.latest()?.first().await
    }

    /// The entry with the highest key.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn last(&self) -> Result<Option<RawEntry>> {
        self.latest()?.last().await
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn count(&self) -> Result<u64> {
        self.latest()?.count().await
    }

    /// The tree's revision: how many transactions have written it.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn revision(&self) -> Result<Revision> {
        self.latest()?.revision().await
    }

    /// Entries whose keys lie in `bounds`, as the tree is when reading begins.
    pub fn range<B: AsRef<[u8]>>(&self, bounds: impl RangeBounds<B>) -> RawRange {
        RawRange::new(self, &bounds)
    }

    /// Sets the value of `key`. [`Written::replaced`] tells what it overwrote.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Write<Written> {
        self.batch([(key, Some(value))])
    }

    /// Puts (`Some`) and deletes (`None`) several keys: all or nothing. For the same key the last
    /// one counts.
    pub fn batch<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        changes: impl IntoIterator<Item = (K, Option<V>)>,
    ) -> Write<Written> {
        let _ = changes.into_iter().map(|_| ()).count();
        self.node.later()
    }

    /// Adds an entry; `AlreadyExists` when the key has one.
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Write<Written> {
        let _ = (key.as_ref(), value.as_ref());
        self.node.later()
    }

    /// Replaces the value of a key that has one; `Conflict` when it has none.
    pub fn update(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Write<Written> {
        let _ = (key.as_ref(), value.as_ref());
        self.node.later()
    }

    /// Removes a key. [`Written::replaced`] tells what was there; nothing is fine.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Write<Written> {
        self.batch([(key, None::<&[u8]>)])
    }

    /// Sets the value of `key` if its entry was last written by `expected` (`None`: if there is
    /// none); otherwise `Conflict`.
    pub fn compare_and_put(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<Revision>,
        value: impl AsRef<[u8]>,
    ) -> Write<Written> {
        let _ = (key.as_ref(), value.as_ref(), expected);
        self.node.later()
    }

    /// The tree as it is now, unchanged by later writes for as long as the snapshot lives.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn snapshot(&self) -> Result<RawSnapshot> {
        self.latest()
    }

    /// The tree as it was right after `revision`.
    ///
    /// # Errors
    /// `Gone` when that history is no longer kept, `Invalid` for a revision yet to come.
    pub async fn at(&self, revision: Revision) -> Result<RawSnapshot> {
        RawSnapshot::at(self, revision).await
    }

    /// Follows the tree from `from` on: its history, `CaughtUp`, then each change as it happens.
    pub fn watch(&self, from: Revision) -> RawTreeWatch {
        RawTreeWatch::new(self, from)
    }

    pub(crate) fn latest(&self) -> Result<RawSnapshot> {
        RawSnapshot::latest(self)
    }

    pub(crate) async fn open(node: &Weald, name: CollectionName) -> Result<Self> {
        let _ = (node, name);
        Err(node.unbuilt())
    }

    pub(crate) async fn create(
        node: &Weald,
        name: CollectionName,
        mode: CreateMode,
        options: &TreeOptions,
    ) -> Result<Self> {
        let _ = (name, mode, options.policy());
        Err(node.unbuilt())
    }
}
