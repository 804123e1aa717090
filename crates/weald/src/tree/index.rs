//! Entries found by a secondary index.

use std::{fmt, ops::RangeBounds};

use bytes::Bytes;
use weald_collections::{
    EncodeKey, ReadError, btree,
    tree::{IndexHit, IndexKey, UnknownIndex},
};
use weald_core::Fault;

use super::{RawTree, span::Span};
use crate::{Error, ErrorKind, Result, node::read};

/// A key for the index `index` of a tree, in the encoding of typed keys.
pub fn index_key(index: &str, key: &(impl EncodeKey + ?Sized)) -> IndexKey {
    IndexKey { index: index.to_owned(), key: key.to_key() }
}

/// An entry found by an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawIndexEntry {
    /// Its key in the index.
    pub index_key: Bytes,
    /// The entry.
    pub entry: btree::Entry,
}

/// A range of an index: by index key, then by key. It reads one version of the tree.
#[derive(Clone)]
pub struct RawIndexRange {
    tree: RawTree,
    index: String,
    span: Span,
}

impl RawIndexRange {
    pub(super) fn new<B: AsRef<[u8]>>(
        tree: &RawTree,
        index: &str,
        bounds: &impl RangeBounds<B>,
    ) -> Self {
        Self { tree: tree.clone(), index: index.to_owned(), span: Span::new(bounds) }
    }

    /// The other way: from the highest index key to the lowest.
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

    /// The entries. Set a [`RawIndexRange::limit`] unless you know that they fit memory.
    ///
    /// # Errors
    /// `Invalid` when the tree has no such index.
    pub async fn entries(self) -> Result<Vec<RawIndexEntry>> {
        let version = self.tree.latest().await?.version;
        let hits = read(&version, |reader| {
            let (bounds, direction) = (self.span.bounds(), self.span.direction());
            let view = &self.tree.view;
            let scan = match view.index_range(reader, &self.index, bounds, direction) {
                Ok(scan) => scan,
                Err(unknown) => return Ok(Err(unknown)),
            };
            let hits =
                scan.take(self.span.limit()).collect::<std::result::Result<Vec<IndexHit>, _>>();
            Ok::<_, ReadError>(Ok(hits?))
        });
        let hits = hits.await?.map_err(|unknown: UnknownIndex| {
            Error::caused(ErrorKind::Invalid, unknown.to_string(), unknown)
        })?;
        let mut entries = Vec::with_capacity(hits.len());
        for IndexHit { index_key, key } in hits {
            let found = read(&version, |reader| Ok(self.tree.view.get(reader, &key)?)).await?;
            let entry = found.ok_or_else(|| self.unmatched())?;
            entries.push(RawIndexEntry { index_key, entry });
        }
        Ok(entries)
    }

    fn unmatched(&self) -> Error {
        let detail = format!("an index names an entry that is not there: index={}", self.index);
        let id = weald_core::BlockId::header(self.tree.name());
        crate::node::fault_error(Fault::Damaged { id, detail })
    }
}

impl fmt::Debug for RawIndexRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawIndexRange").field("index", &self.index).finish_non_exhaustive()
    }
}
