//! A tree at one version, read-only.

use std::{marker::PhantomData, ops::RangeBounds};

use bytes::Bytes;
use weald_core::{BlockId, Revision};

use super::{RawEntry, RawRange, RawTree};
use crate::Result;

/// A tree of bytes at one version. It holds that version in memory or on the disk until dropped.
#[derive(Clone, Debug)]
pub struct RawSnapshot {
    tree: RawTree,
}

impl RawSnapshot {
    pub(crate) fn latest(tree: &RawTree) -> Result<Self> {
        Ok(Self { tree: tree.clone() })
    }

    pub(crate) async fn at(tree: &RawTree, revision: Revision) -> Result<Self> {
        let _ = (tree, revision, BlockId::header(&tree.name));
        Err(tree.node.unbuilt())
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
    pub async fn entry(&self, key: impl AsRef<[u8]>) -> Result<Option<RawEntry>> {
        let _ = key.as_ref();
        Err(self.tree.node.unbuilt())
    }

    /// The entry with the lowest key.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn first(&self) -> Result<Option<RawEntry>> {
        Err(self.tree.node.unbuilt())
    }

    /// The entry with the highest key.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn last(&self) -> Result<Option<RawEntry>> {
        Err(self.tree.node.unbuilt())
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn count(&self) -> Result<u64> {
        Err(self.tree.node.unbuilt())
    }

    /// The revision that the snapshot shows.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn revision(&self) -> Result<Revision> {
        Err(self.tree.node.unbuilt())
    }

    /// Entries whose keys lie in `bounds`.
    pub fn range<B: AsRef<[u8]>>(&self, bounds: impl RangeBounds<B>) -> RawRange {
        RawRange::new(&self.tree, &bounds)
    }
}

/// A typed tree at one version.
#[derive(Debug)]
pub struct Snapshot<K, V> {
    raw: RawSnapshot,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Snapshot<K, V> {
    /// The same version with keys and values as bytes.
    pub fn raw(&self) -> &RawSnapshot {
        &self.raw
    }
}
