//! Entries found by a secondary index.

use std::{
    fmt,
    ops::{Bound, RangeBounds},
};

use bytes::Bytes;
use weald_collections::{
    EncodeKey, ReadError,
    btree::{self, Direction},
    tree::{IndexHit, IndexKey, UnknownIndex},
};
use weald_core::Fault;

use super::RawTree;
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
    low: Bound<Bytes>,
    high: Bound<Bytes>,
    direction: Direction,
    limit: usize,
}

impl RawIndexRange {
    pub(super) fn new<B: AsRef<[u8]>>(
        tree: &RawTree,
        index: &str,
        bounds: &impl RangeBounds<B>,
    ) -> Self {
        let bytes = |bound: Bound<&B>| bound.map(|key| Bytes::copy_from_slice(key.as_ref()));
        Self {
            tree: tree.clone(),
            index: index.to_owned(),
            low: bytes(bounds.start_bound()),
            high: bytes(bounds.end_bound()),
            direction: Direction::Forward,
            limit: usize::MAX,
        }
    }

    /// The other way: from the highest index key to the lowest.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.direction = match self.direction {
            Direction::Forward => Direction::Backward,
            Direction::Backward => Direction::Forward,
        };
        self
    }

    /// At most `count` entries.
    #[must_use]
    pub fn limit(mut self, count: usize) -> Self {
        self.limit = count;
        self
    }

    /// The entries. Set a [`RawIndexRange::limit`] unless you know that they fit memory.
    ///
    /// # Errors
    /// `Invalid` when the tree has no such index.
    pub async fn entries(self) -> Result<Vec<RawIndexEntry>> {
        let version = self.tree.latest().await?.version;
        let slice = |bound: &'_ Bound<Bytes>| bound.clone();
        let (low, high) = (slice(&self.low), slice(&self.high));
        let hits = read(&version, |reader| {
            let bounds = (low.as_ref().map(|key| &key[..]), high.as_ref().map(|key| &key[..]));
            let view = &self.tree.view;
            let scan = match view.index_range(reader, &self.index, bounds, self.direction) {
                Ok(scan) => scan,
                Err(unknown) => return Ok(Err(unknown)),
            };
            let hits = scan.take(self.limit).collect::<std::result::Result<Vec<IndexHit>, _>>();
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
