//! A tree at one version, read-only.

use std::{borrow::Borrow, fmt, marker::PhantomData, ops::RangeBounds};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use weald_collections::{
    CollectionState, EncodeKey, Key, btree,
    chain::{ReadLimit, read_forward, seek_revision},
};
use weald_core::{LogIndex, Position, Revision};

use super::{Entry, Range, RawRange, RawTree, decode_entry};
use crate::{Error, ErrorKind, Result, backend::Version, node::read};

/// A tree of bytes at one version. It holds that version until dropped.
#[derive(Clone)]
pub struct RawSnapshot {
    pub(super) tree: RawTree,
    pub(super) version: Version,
}

impl RawSnapshot {
    pub(crate) fn new(tree: &RawTree, version: Version) -> Self {
        Self { tree: tree.clone(), version }
    }

    pub(super) async fn at(tree: &RawTree, revision: Revision) -> Result<Self> {
        let index = index_of(tree, revision).await?;
        Ok(Self::new(tree, tree.node.past(tree.id(), index).await?))
    }

    /// The value of `key`; `None` when it was proved that there is none.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        Ok(self.entry(key).await?.map(|entry| entry.value))
    }

    /// As [`RawSnapshot::get`], with the revision that wrote it.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn entry(&self, key: impl AsRef<[u8]>) -> Result<Option<btree::Entry>> {
        let (view, key) = (&self.tree.view, key.as_ref());
        read(&self.version, |reader| Ok(view.get(reader, key)?)).await
    }

    /// The entry with the lowest key.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn first(&self) -> Result<Option<btree::Entry>> {
        read(&self.version, |reader| Ok(self.tree.view.first(reader)?)).await
    }

    /// The entry with the highest key.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn last(&self) -> Result<Option<btree::Entry>> {
        read(&self.version, |reader| Ok(self.tree.view.last(reader)?)).await
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn count(&self) -> Result<u64> {
        read(&self.version, |reader| Ok(self.tree.view.count(reader)?)).await
    }

    /// The place in the log right after which the tree was so. A later read that is given it
    /// ([`RawTree::at_least`]) shows nothing older.
    pub fn position(&self) -> Position {
        self.version.position()
    }

    /// The revision that the snapshot shows.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn revision(&self) -> Result<Revision> {
        let name = self.tree.name();
        Ok(read(&self.version, |reader| Ok(CollectionState::read(reader, name)?)).await?.revision)
    }

    /// Entries whose keys lie in `bounds`.
    pub fn range<B: AsRef<[u8]>>(&self, bounds: impl RangeBounds<B>) -> RawRange {
        RawRange::new(&self.tree, Some(&self.version), &bounds)
    }

    /// All entries.
    pub fn entries(&self) -> RawRange {
        self.range::<&[u8]>(..)
    }
}

impl fmt::Debug for RawSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawSnapshot").field("tree", self.tree.name()).finish_non_exhaustive()
    }
}

/// The log index of a revision.
async fn index_of(tree: &RawTree, revision: Revision) -> Result<LogIndex> {
    let (version, name) = (tree.latest().await?.version, tree.name());
    let (latest, found) = read(&version, |reader| {
        let state = CollectionState::read(reader, name)?;
        let from = seek_revision(reader, &state.chain, revision)?;
        let found = read_forward(reader, &state.chain, from, ReadLimit::entries(1))?;
        Ok((state.revision, found.into_iter().next()))
    })
    .await?;
    match found {
        Some(entry) if entry.revision == revision => Ok(entry.index),
        _ if revision > latest => {
            let what = format!("the revision is yet to come: wanted={revision} latest={latest}");
            Err(Error::new(ErrorKind::Invalid, what))
        }
        _ => {
            let what = format!("the revision is no longer kept: wanted={revision}");
            Err(Error::new(ErrorKind::Gone, what))
        }
    }
}

/// A typed tree at one version.
#[derive(Debug)]
pub struct Snapshot<K, V> {
    raw: RawSnapshot,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Snapshot<K, V> {
    pub(super) fn new(raw: RawSnapshot) -> Self {
        Self { raw, types: PhantomData }
    }

    /// The same version with keys and values as bytes.
    pub fn raw(&self) -> &RawSnapshot {
        &self.raw
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn count(&self) -> Result<u64> {
        self.raw.count().await
    }

    /// The revision that the snapshot shows.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn revision(&self) -> Result<Revision> {
        self.raw.revision().await
    }
}

impl<K: Key, V: DeserializeOwned> Snapshot<K, V> {
    /// The value of `key`; `None` when it was proved that there is none.
    ///
    /// # Errors
    /// When the tree cannot be read; `Invalid` when the value is not a `V`.
    pub async fn get<Q: EncodeKey + ?Sized>(&self, key: &Q) -> Result<Option<V>>
    where
        K: Borrow<Q>,
    {
        let entry = self.raw.entry(key.to_key()).await?;
        Ok(entry.map(decode_entry::<K, V>).transpose()?.map(|entry| entry.value))
    }

    /// The entry with the lowest key.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn first(&self) -> Result<Option<Entry<K, V>>> {
        self.raw.first().await?.map(decode_entry).transpose()
    }

    /// The entry with the highest key.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub async fn last(&self) -> Result<Option<Entry<K, V>>> {
        self.raw.last().await?.map(decode_entry).transpose()
    }

    /// Entries whose keys lie in `bounds`.
    pub fn range(&self, bounds: impl RangeBounds<K>) -> Range<K, V> {
        Range::new(&self.raw.tree, Some(&self.raw.version), &bounds)
    }
}
