//! What is asked of a tree and what it answers.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    Revision,
    codec::{self, CodecError},
};

use crate::{btree::Entry, kind};

/// One change of one key, with what it expects to find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key.
    pub key: Bytes,
    /// What must hold; otherwise the whole transaction is refused.
    pub expected: Expectation,
    /// What to do.
    pub write: TreeWrite,
}

/// What a change expects of the entry that it meets.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Expectation {
    /// Nothing.
    #[default]
    Any,
    /// There is none.
    Absent,
    /// There is one.
    Present,
    /// There is one, last written by this revision.
    Revision(Revision),
    /// There is one with this value.
    Value(Bytes),
}

/// What a change does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TreeWrite {
    /// Writes the entry.
    Put {
        /// Its value.
        value: Bytes,
        /// Its keys in the tree's indexes; it is found by these and no others from then on.
        indexes: Vec<IndexKey>,
    },
    /// Removes the entry, if there is one.
    Delete,
}

/// A key of an entry in an index. An entry may have none in an index, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexKey {
    /// The index, by its name.
    pub index: String,
    /// The key in it.
    pub key: Bytes,
}

/// Changes of a tree, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TreeOperation {
    pub(super) changes: Vec<KeyChange>,
}

/// The answer to the changes of one action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeAnswer {
    /// The revision that the tree has through the transaction.
    pub revision: Revision,
    /// For each change the revision that last wrote the entry which it replaced or removed; `None`
    /// when there was no entry.
    pub replaced: Vec<Option<Revision>>,
}

impl KeyChange {
    /// A put of `value` without index keys.
    pub fn put(key: impl Into<Bytes>, expected: Expectation, value: impl Into<Bytes>) -> Self {
        let write = TreeWrite::Put { value: value.into(), indexes: Vec::new() };
        Self { key: key.into(), expected, write }
    }

    /// A removal.
    pub fn delete(key: impl Into<Bytes>, expected: Expectation) -> Self {
        Self { key: key.into(), expected, write: TreeWrite::Delete }
    }

    /// Adds a key in an index to a put; a removal has none.
    #[must_use]
    pub fn indexed(mut self, index: impl Into<String>, index_key: impl Into<Bytes>) -> Self {
        if let TreeWrite::Put { indexes, .. } = &mut self.write {
            indexes.push(IndexKey { index: index.into(), key: index_key.into() });
        }
        self
    }
}

impl Expectation {
    /// Whether `found`, with the user's value, is what is expected.
    pub(super) fn holds(&self, found: Option<&Entry>) -> bool {
        match (self, found) {
            (Self::Any, _) | (Self::Absent, None) | (Self::Present, Some(_)) => true,
            (Self::Revision(revision), Some(entry)) => entry.revision == *revision,
            (Self::Value(value), Some(entry)) => entry.value == *value,
            _ => false,
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Any => "any".to_owned(),
            Self::Absent => "absent".to_owned(),
            Self::Present => "present".to_owned(),
            Self::Revision(revision) => format!("revision:{revision}"),
            Self::Value(_) => "another value".to_owned(),
        }
    }
}

impl TreeOperation {
    pub(super) fn encode(&self) -> Bytes {
        codec::encode(kind::TREE_OPERATION, self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kind::TREE_OPERATION, bytes)
    }
}

impl TreeAnswer {
    pub(super) fn encode(&self) -> Bytes {
        codec::encode(kind::TREE_ANSWER, self)
    }

    /// Reads the answer to changes of a tree.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kind::TREE_ANSWER, bytes)
    }
}
