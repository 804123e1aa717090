//! A typed tree.

use std::marker::PhantomData;

use weald_core::Revision;

use super::RawTree;

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

/// An ordered map from `K` to `V`. Cheap to clone.
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
}

impl<K, V> Clone for Tree<K, V> {
    fn clone(&self) -> Self {
        Self::new(self.raw.clone())
    }
}
