//! Ranges of a tree: a page at a time, or all at once.

use std::{
    fmt,
    marker::PhantomData,
    ops::{Bound, RangeBounds},
};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use weald_collections::{EncodeKey, Key, ReadError, SourceReader, btree};
use weald_core::Halt;

use super::{Entry, RawTree, decode_entry, span::Span};
use crate::{Result, backend::Version, node::read};

/// Entries of a page, at most.
const PAGE_ENTRIES_MAX: usize = 1024;
/// Bytes of keys and values after which a page ends.
const PAGE_BYTES: usize = 256 * 1024;

/// A range of a tree of bytes. It reads one version of the tree, fixed when reading begins.
#[derive(Clone)]
pub struct RawRange {
    tree: RawTree,
    version: Option<Version>,
    span: Span,
}

impl RawRange {
    pub(super) fn new<B: AsRef<[u8]>>(
        tree: &RawTree,
        version: Option<&Version>,
        bounds: &impl RangeBounds<B>,
    ) -> Self {
        Self { tree: tree.clone(), version: version.cloned(), span: Span::new(bounds) }
    }

    /// The other way: from the highest key to the lowest.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.span = self.span.reversed();
        self
    }

    /// At most `count` entries.
    #[must_use]
    pub fn limit(mut self, count: usize) -> Self {
        self.span = self.span.limited(count);
        self
    }

    /// The entries, a page at a time: memory stays bounded however many there are.
    ///
    /// # Errors
    /// When the node is closed.
    pub async fn pages(self) -> Result<RawPages> {
        let version = match &self.version {
            Some(version) => version.clone(),
            None => self.tree.latest().await?.version,
        };
        Ok(RawPages { range: self, version, is_done: false })
    }

    /// All entries at once. Set a [`RawRange::limit`] unless you know that they fit memory.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn entries(self) -> Result<Vec<btree::Entry>> {
        let mut pages = self.pages().await?;
        let mut all = Vec::new();
        while let Some(page) = pages.next().await? {
            all.extend(page);
        }
        Ok(all)
    }

    /// One page, or what of it was in memory.
    fn page(
        &self,
        reader: &mut SourceReader<'_>,
    ) -> std::result::Result<Vec<btree::Entry>, ReadError> {
        let (bounds, direction) = (self.span.bounds(), self.span.direction());
        let (mut page, mut bytes) = (Vec::new(), 0);
        let max = PAGE_ENTRIES_MAX.min(self.span.limit());
        for entry in self.tree.view.range(reader, bounds, direction).take(max) {
            match entry {
                Ok(entry) => {
                    bytes += entry.key.len() + entry.value.len();
                    page.push(entry);
                }
                Err(Halt::Need(_)) if !page.is_empty() => break,
                Err(halt) => return Err(halt.into()),
            }
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(page)
    }
}

impl fmt::Debug for RawRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRange").field("span", &self.span).finish_non_exhaustive()
    }
}

/// Pages of a range, all of one version.
pub struct RawPages {
    range: RawRange,
    version: Version,
    is_done: bool,
}

impl RawPages {
    /// The next page, never empty; `None` at the end.
    ///
    /// # Errors
    /// When the tree cannot be read; asking again goes on where it stopped.
    pub async fn next(&mut self) -> Result<Option<Vec<btree::Entry>>> {
        if self.is_done || self.range.span.limit() == 0 {
            return Ok(None);
        }
        let page = read(&self.version, |reader| self.range.page(reader)).await?;
        let Some(last) = page.last() else {
            self.is_done = true;
            return Ok(None);
        };
        self.range.span.take(&last.key, page.len());
        Ok(Some(page))
    }
}

impl fmt::Debug for RawPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawPages").field("range", &self.range).finish_non_exhaustive()
    }
}

/// A range of a typed tree. It reads one version of the tree, fixed when reading begins.
#[derive(Debug)]
pub struct Range<K, V> {
    raw: RawRange,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: DeserializeOwned> Range<K, V> {
    pub(super) fn new(
        tree: &RawTree,
        version: Option<&Version>,
        bounds: &impl RangeBounds<K>,
    ) -> Self {
        let key = |bound: Bound<&K>| bound.map(EncodeKey::to_key);
        let bounds = (key(bounds.start_bound()), key(bounds.end_bound()));
        Self { raw: RawRange::new::<Bytes>(tree, version, &bounds), types: PhantomData }
    }

    /// The other way: from the highest key to the lowest.
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

    /// The entries, a page at a time: memory stays bounded however many there are.
    ///
    /// # Errors
    /// When the node is closed.
    pub async fn pages(self) -> Result<RangePages<K, V>> {
        Ok(RangePages { raw: self.raw.pages().await?, types: PhantomData })
    }

    /// All entries at once. Set a [`Range::limit`] unless you know that they fit memory.
    ///
    /// # Errors
    /// When the tree cannot be read; `Invalid` when an entry is not of these types.
    pub async fn entries(self) -> Result<Vec<Entry<K, V>>> {
        self.raw.entries().await?.into_iter().map(decode_entry).collect()
    }
}

/// Pages of a typed range, all of one version.
#[derive(Debug)]
pub struct RangePages<K, V> {
    raw: RawPages,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: DeserializeOwned> RangePages<K, V> {
    /// The next page, never empty; `None` at the end.
    ///
    /// # Errors
    /// When the tree cannot be read; `Invalid` when an entry is not of these types.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry<K, V>>>> {
        let Some(page) = self.raw.next().await? else { return Ok(None) };
        page.into_iter().map(decode_entry).collect::<Result<_>>().map(Some)
    }
}
