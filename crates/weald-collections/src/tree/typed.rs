//! A tree of typed keys and values.

use std::{
    borrow::Borrow,
    fmt,
    marker::PhantomData,
    ops::{Bound, RangeBounds},
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use weald_core::{Action, CollectionName, Revision, codec};

use super::{Expectation, KeyChange, RawTree, TreeScan, TreeView};
use crate::{
    BlockReader, ReadError,
    btree::{Direction, Entry},
    key::{EncodeKey, Key},
    kind,
};

/// A tree from `K` to `V`: keys in their order-preserving encoding, values by the codec.
pub struct Tree<K, V> {
    raw: RawTree,
    types: PhantomData<fn() -> (K, V)>,
}

/// An entry of a [`Tree`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
    /// The revision of the tree that last wrote the entry.
    pub revision: Revision,
}

impl<K, V> Tree<K, V> {
    /// The tree `name`, whether or not there is one.
    pub const fn new(name: CollectionName) -> Self {
        Self { raw: RawTree::new(name), types: PhantomData }
    }

    /// The same tree with keys and values as bytes; creation and counts are there.
    pub fn raw(&self) -> &RawTree {
        &self.raw
    }
}

impl<K: Key, V: Serialize> Tree<K, V> {
    /// The action that writes an entry, new or not.
    pub fn put<Q: EncodeKey + ?Sized>(&self, key: &Q, value: &V) -> Action
    where
        K: Borrow<Q>,
    {
        self.raw.batch(vec![self.change(key, Expectation::Any, value)])
    }

    /// The action that writes a new entry; see [`RawTree::insert`].
    pub fn insert<Q: EncodeKey + ?Sized>(&self, key: &Q, value: &V) -> Action
    where
        K: Borrow<Q>,
    {
        self.raw.batch(vec![self.change(key, Expectation::Absent, value)])
    }

    /// The action that replaces an entry; see [`RawTree::update`].
    pub fn update<Q: EncodeKey + ?Sized>(&self, key: &Q, value: &V) -> Action
    where
        K: Borrow<Q>,
    {
        self.raw.batch(vec![self.change(key, Expectation::Present, value)])
    }

    /// The action that removes an entry; there may be none.
    pub fn delete<Q: EncodeKey + ?Sized>(&self, key: &Q) -> Action
    where
        K: Borrow<Q>,
    {
        self.raw.delete(key.to_key())
    }

    /// A put for [`RawTree::batch`], to which index keys can be added.
    pub fn change<Q: EncodeKey + ?Sized>(
        &self,
        key: &Q,
        expected: Expectation,
        value: &V,
    ) -> KeyChange
    where
        K: Borrow<Q>,
    {
        KeyChange::put(key.to_key(), expected, codec::encode(kind::VALUE, value))
    }
}

impl<K: Key, V: DeserializeOwned> Tree<K, V> {
    /// The entry of `key`.
    ///
    /// # Errors
    /// See [`ReadError`]; a value of another type is [`ReadError::Value`].
    pub fn get<Q, R>(&self, reader: &mut R, key: &Q) -> Result<Option<TreeEntry<K, V>>, ReadError>
    where
        K: Borrow<Q>,
        Q: EncodeKey + ?Sized,
        R: BlockReader + ?Sized,
    {
        self.raw.get(reader, &key.to_key())?.map(typed).transpose()
    }

    /// The entry with the least key.
    ///
    /// # Errors
    /// As [`Tree::get`].
    pub fn first<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
    ) -> Result<Option<TreeEntry<K, V>>, ReadError> {
        self.raw.open(reader)?.first(reader)?.map(typed).transpose()
    }

    /// The entry with the greatest key.
    ///
    /// # Errors
    /// As [`Tree::get`].
    pub fn last<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
    ) -> Result<Option<TreeEntry<K, V>>, ReadError> {
        self.raw.open(reader)?.last(reader)?.map(typed).transpose()
    }

    /// The entries whose keys lie in `bounds`, in the order of `direction`.
    ///
    /// # Errors
    /// As [`Tree::get`]; each entry may have its own.
    pub fn range<'r, R, B>(
        &self,
        reader: &'r mut R,
        bounds: &B,
        direction: Direction,
    ) -> Result<TypedScan<'r, R, K, V>, ReadError>
    where
        R: BlockReader + ?Sized,
        B: RangeBounds<K>,
    {
        let view = TreeView::open(reader, self.raw.name())?;
        let key = |bound: Bound<&K>| bound.map(EncodeKey::to_key);
        let (low, high) = (key(bounds.start_bound()), key(bounds.end_bound()));
        let scan = view.range(
            reader,
            (low.as_ref().map(|key| &key[..]), high.as_ref().map(|key| &key[..])),
            direction,
        );
        Ok(TypedScan { scan, types: PhantomData })
    }
}

/// The typed entries of a range. As with [`TreeScan`], an error leaves it where it was.
#[derive(Debug)]
pub struct TypedScan<'r, R: ?Sized, K, V> {
    scan: TreeScan<'r, R>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<R, K, V> Iterator for TypedScan<'_, R, K, V>
where
    R: BlockReader + ?Sized,
    K: Key,
    V: DeserializeOwned,
{
    type Item = Result<TreeEntry<K, V>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.scan.next()?.map_err(ReadError::from).and_then(typed))
    }
}

/// The typed form of a stored entry. Types that do not fit it are told, never guessed around.
fn typed<K: Key, V: DeserializeOwned>(entry: Entry) -> Result<TreeEntry<K, V>, ReadError> {
    let Entry { key, value, revision } = entry;
    let key = K::from_key(&key).map_err(|source| ReadError::Key { revision, source })?;
    let value = decode(&value).map_err(|source| ReadError::Value { revision, source })?;
    Ok(TreeEntry { key, value, revision })
}

fn decode<V: DeserializeOwned>(value: &Bytes) -> Result<V, codec::CodecError> {
    codec::decode(kind::VALUE, value)
}

impl<K, V> Clone for Tree<K, V> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), types: PhantomData }
    }
}

impl<K, V> fmt::Debug for Tree<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("raw", &self.raw).finish_non_exhaustive()
    }
}
