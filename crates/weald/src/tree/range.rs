//! Ranges of a tree: a page at a time, as a stream, or all at once.

use std::{
    marker::PhantomData,
    ops::{Bound, RangeBounds},
};

use bytes::Bytes;

use super::{RawEntry, RawTree};
use crate::Result;

/// A range of a tree of bytes. It reads one version of the tree, fixed when reading begins.
#[derive(Clone, Debug)]
pub struct RawRange {
    tree: RawTree,
    low: Bound<Bytes>,
    high: Bound<Bytes>,
    reverse: bool,
    limit: Option<usize>,
}

impl RawRange {
    pub(crate) fn new<B: AsRef<[u8]>>(tree: &RawTree, bounds: &impl RangeBounds<B>) -> Self {
        let bytes = |bound: Bound<&B>| bound.map(|key| Bytes::copy_from_slice(key.as_ref()));
        Self {
            tree: tree.clone(),
            low: bytes(bounds.start_bound()),
            high: bytes(bounds.end_bound()),
            reverse: false,
            limit: None,
        }
    }

    /// From the highest key to the lowest.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.reverse = !self.reverse;
        self
    }

    /// At most `count` entries.
    #[must_use]
    pub fn limit(mut self, count: usize) -> Self {
        self.limit = Some(count);
        self
    }

    /// The entries, a page at a time: memory stays bounded however many there are.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn pages(self) -> Result<RawPages> {
        Ok(RawPages { range: self })
    }

    /// All entries at once. Set a [`RawRange::limit`] unless you know that they fit memory.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn entries(self) -> Result<Vec<RawEntry>> {
        let mut pages = self.pages().await?;
        let mut all = Vec::new();
        while let Some(page) = pages.next().await? {
            all.extend(page);
        }
        Ok(all)
    }
}

/// Pages of a range, all of one version.
#[derive(Debug)]
pub struct RawPages {
    range: RawRange,
}

impl RawPages {
    /// The next page, never empty; `None` at the end.
    ///
    /// # Errors
    /// When the tree cannot be read; asking again goes on where it stopped.
    pub async fn next(&mut self) -> Result<Option<Vec<RawEntry>>> {
        Err(self.range.tree.node.unbuilt())
    }
}

/// A range of a typed tree.
#[derive(Debug)]
pub struct Range<K, V> {
    raw: RawRange,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Range<K, V> {
    /// From the highest key to the lowest.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.raw = self.raw.reverse();
        self
    }

    /// At most `count` entries.
    #[must_use]
    pub fn limit(mut self, count: usize) -> Self {
        self.raw = self.raw.limit(count);
        self
    }
}
