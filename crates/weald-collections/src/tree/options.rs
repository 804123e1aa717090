//! Settings of a tree, and what its header holds of its structure.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{BlockId, Fault, codec};

use super::{INDEX_NAME_BYTES_MAX, INDEXES_MAX, invalid};
use crate::{
    CollectionHeader, Stop,
    btree::{BTree, NodeCapacity},
    kind,
};

/// Settings of a new tree. They are stored with it; a reopened tree has those it was made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeOptions {
    /// Bytes of a node before it is split. Default 4096.
    pub capacity: NodeCapacity,
    /// Secondary indexes, at most [`INDEXES_MAX`]. Default none.
    pub indexes: Vec<IndexDefinition>,
}

/// A secondary index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexDefinition {
    /// Its name, 1 to [`INDEX_NAME_BYTES_MAX`] bytes, once in a tree.
    pub name: String,
    /// Whether an index key may belong to one entry only.
    pub is_unique: bool,
}

impl TreeOptions {
    /// The options of a `Create` action.
    pub fn encode(&self) -> Bytes {
        codec::encode(kind::TREE_OPTIONS, self)
    }

    /// No bytes mean the defaults.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Stop> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let options: Self = codec::decode(kind::TREE_OPTIONS, bytes)
            .map_err(|error| invalid(format!("options of a tree: {error}")))?;
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), Stop> {
        if self.indexes.len() > INDEXES_MAX {
            let count = self.indexes.len();
            return Err(invalid(format!("too many indexes: count={count} max={INDEXES_MAX}")));
        }
        let mut names = BTreeSet::new();
        for IndexDefinition { name, .. } in &self.indexes {
            if name.is_empty() || name.len() > INDEX_NAME_BYTES_MAX || !names.insert(name) {
                return Err(invalid(format!("an index needs a name of its own: name={name:?}")));
            }
        }
        Ok(())
    }
}

/// The structure of a tree: what stands in its header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TreeRoot {
    pub(super) capacity: NodeCapacity,
    /// The root block of the entries.
    pub(super) entries: BlockId,
    /// The indexes in the order of their definition.
    pub(super) indexes: Vec<IndexRoot>,
}

/// One index of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexRoot {
    pub(super) definition: IndexDefinition,
    /// Its root block.
    pub(super) root: BlockId,
}

impl TreeRoot {
    pub(super) fn encode(&self) -> Bytes {
        codec::encode(kind::TREE_ROOT, self)
    }

    pub(super) fn of(header: &CollectionHeader) -> Result<Self, Fault> {
        codec::decode(kind::TREE_ROOT, &header.root)
            .map_err(|error| Fault::Damaged { id: header.id(), detail: error.to_string() })
    }

    pub(super) fn entries(&self) -> BTree {
        BTree::open(self.entries, self.capacity)
    }

    pub(super) fn index(&self, position: usize) -> BTree {
        BTree::open(self.indexes[position].root, self.capacity)
    }

    pub(super) fn position(&self, index: &str) -> Option<usize> {
        self.indexes.iter().position(|root| root.definition.name == index)
    }
}
