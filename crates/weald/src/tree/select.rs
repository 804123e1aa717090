//! Choosing a tree by its name: create, open, or whichever fits.

use std::marker::PhantomData;

use weald_collections::{
    btree::NodeCapacity,
    tree::{self as collections, IndexDefinition},
};
use weald_core::{CollectionName, CollectionPolicy, CreateMode, Retention};

use crate::{Error, ErrorKind, RawTree, Result, Tree, Weald};

/// Settings of a new tree; an existing tree keeps its own.
///
/// ```
/// let options = weald::TreeOptions { node_bytes: 16 << 10, ..Default::default() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeOptions {
    /// How much history is kept for `at` and `watch`. Default: all of it.
    pub retention: Retention,
    /// Bytes of a node before it splits, 64 to 32 KiB. Default 4 KiB: larger nodes scan faster,
    /// smaller ones conflict less.
    pub node_bytes: u32,
    /// Secondary indexes. Each put hands in the index keys of its entry, and index and entry
    /// change in the same transaction. Default: none.
    pub indexes: Vec<IndexDefinition>,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self { retention: Retention::ALL, node_bytes: 4096, indexes: Vec::new() }
    }
}

impl TreeOptions {
    pub(crate) fn policy(&self) -> CollectionPolicy {
        CollectionPolicy { retention: self.retention }
    }

    pub(crate) fn structure(&self) -> Result<collections::TreeOptions> {
        let capacity = NodeCapacity::new(self.node_bytes)
            .map_err(|error| Error::caused(ErrorKind::Invalid, error.to_string(), error))?;
        Ok(collections::TreeOptions { capacity, indexes: self.indexes.clone() })
    }
}

/// Names a tree whose keys and values are bytes.
#[derive(Clone, Debug)]
pub struct RawTreeSelector {
    node: Weald,
    name: String,
    options: TreeOptions,
}

impl RawTreeSelector {
    pub(crate) fn new(node: &Weald, name: &str) -> Self {
        Self { node: node.clone(), name: name.to_owned(), options: TreeOptions::default() }
    }

    /// Settings for the case that the tree is made.
    #[must_use]
    pub fn options(mut self, options: TreeOptions) -> Self {
        self.options = options;
        self
    }

    /// Makes the tree.
    ///
    /// # Errors
    /// `AlreadyExists` when there is a collection of this name.
    pub async fn create(self) -> Result<RawTree> {
        self.make(CreateMode::Create).await
    }

    /// Opens the tree.
    ///
    /// # Errors
    /// `NotFound` when it was proved that there is none; `Invalid` when it is of another type. What
    /// cannot be read is an error, never an empty tree.
    pub async fn open(self) -> Result<RawTree> {
        let name = self.node.checked_name(&self.name)?;
        RawTree::open(&self.node, name).await
    }

    /// Opens the tree, or makes it. Callers who do this at once end with one tree.
    ///
    /// # Errors
    /// `Invalid` when the collection is of another type.
    pub async fn open_or_create(self) -> Result<RawTree> {
        self.make(CreateMode::OpenOrCreate).await
    }

    async fn make(self, mode: CreateMode) -> Result<RawTree> {
        let name: CollectionName = self.node.checked_name(&self.name)?;
        RawTree::create(&self.node, name, mode, &self.options).await
    }
}

/// Names a tree with keys `K` and values `V`.
#[derive(Debug)]
pub struct TreeSelector<K, V> {
    raw: RawTreeSelector,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> TreeSelector<K, V> {
    pub(crate) fn new(node: &Weald, name: &str) -> Self {
        Self { raw: RawTreeSelector::new(node, name), types: PhantomData }
    }

    /// Settings for the case that the tree is made.
    #[must_use]
    pub fn options(mut self, options: TreeOptions) -> Self {
        self.raw = self.raw.options(options);
        self
    }

    /// Makes the tree.
    ///
    /// # Errors
    /// `AlreadyExists` when there is a collection of this name.
    pub async fn create(self) -> Result<Tree<K, V>> {
        self.raw.create().await.map(Tree::new)
    }

    /// Opens the tree.
    ///
    /// # Errors
    /// `NotFound` when it was proved that there is none; `Invalid` when it is of another type.
    pub async fn open(self) -> Result<Tree<K, V>> {
        self.raw.open().await.map(Tree::new)
    }

    /// Opens the tree, or makes it. Callers who do this at once end with one tree.
    ///
    /// # Errors
    /// `Invalid` when the collection is of another type.
    pub async fn open_or_create(self) -> Result<Tree<K, V>> {
        self.raw.open_or_create().await.map(Tree::new)
    }
}
