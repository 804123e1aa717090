//! Secondary indexes: B+trees from (index key, primary key) to nothing.
//!
//! The index key is written as a byte string of the key encoding, which ends itself, so that the
//! primary key can follow it as it is and the order is by index key, then primary key.

use std::ops::Bound;

use bytes::Bytes;
use weald_core::{BlockId, Fault, Halt};

use crate::{
    BlockReader,
    btree::{BTree, Direction, Scan},
    key::{EncodeKey, split_bytes},
};

/// A tree has no index of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree has no such index: index={index}")]
pub struct UnknownIndex {
    /// The name asked for.
    pub index: String,
}

/// An entry found by an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexHit {
    /// The key in the index.
    pub index_key: Bytes,
    /// The entry's own key.
    pub key: Bytes,
}

/// The hits of a range of an index, by index key, then by key.
#[derive(Debug)]
pub struct IndexScan<'r, R: ?Sized> {
    root: BlockId,
    scan: Scan<'r, R>,
}

impl<'r, R: BlockReader + ?Sized> IndexScan<'r, R> {
    pub(super) fn new(
        index: &BTree,
        reader: &'r mut R,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> Self {
        let (low, high) = (low_bound(bounds.0), high_bound(bounds.1));
        let bounds = (low.as_ref().map(Vec::as_slice), high.as_ref().map(Vec::as_slice));
        Self { root: index.root(), scan: index.range(reader, bounds, direction) }
    }
}

impl<R: BlockReader + ?Sized> Iterator for IndexScan<'_, R> {
    type Item = Result<IndexHit, Halt>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.scan.next()?;
        Some(found.and_then(|entry| split(self.root, &entry.key)))
    }
}

/// The key of an index's B+tree.
pub(super) fn composed(index_key: &[u8], key: &[u8]) -> Vec<u8> {
    let mut composed = index_key.to_key().to_vec();
    composed.extend_from_slice(key);
    composed
}

fn split(root: BlockId, composed: &Bytes) -> Result<IndexHit, Halt> {
    let (index_key, rest) = split_bytes(composed).map_err(|_| Fault::Damaged {
        id: root,
        detail: "an entry of an index does not parse".to_owned(),
    })?;
    Ok(IndexHit { index_key: index_key.into(), key: composed.slice(composed.len() - rest..) })
}

fn low_bound(bound: Bound<&[u8]>) -> Bound<Vec<u8>> {
    match bound {
        Bound::Included(key) => Bound::Included(composed(key, &[])),
        Bound::Excluded(key) => Bound::Included(past(key)),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn high_bound(bound: Bound<&[u8]>) -> Bound<Vec<u8>> {
    match bound {
        Bound::Included(key) => Bound::Excluded(past(key)),
        Bound::Excluded(key) => Bound::Excluded(composed(key, &[])),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// The least byte string above everything that begins with the index key: its end, which is zero,
/// raised by one.
fn past(index_key: &[u8]) -> Vec<u8> {
    let mut past = composed(index_key, &[]);
    *past.last_mut().expect("an encoded byte string has an end") = 1;
    past
}
