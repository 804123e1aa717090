//! A tree of bytes: makes actions and reads entries.

use bytes::Bytes;
use weald_core::{Action, ActionBody, CollectionName, CollectionPolicy, CreateMode, Revision};

use super::{Expectation, KeyChange, TreeOptions, TreeType, TreeView, operation::TreeOperation};
use crate::{BlockReader, ReadError, btree::Entry};

/// A tree by its name, with keys and values as bytes; keys are ordered as bytes are. It holds
/// nothing else, so it is never out of date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTree {
    name: CollectionName,
}

impl RawTree {
    /// The tree `name`, whether or not there is one.
    pub const fn new(name: CollectionName) -> Self {
        Self { name }
    }

    /// The name.
    pub fn name(&self) -> &CollectionName {
        &self.name
    }

    /// The action that makes the tree.
    pub fn create(
        &self,
        mode: CreateMode,
        policy: CollectionPolicy,
        options: &TreeOptions,
    ) -> Action {
        let (version, options) = (TreeType::VERSION, options.encode());
        self.action(ActionBody::Create { mode, version, policy, options })
    }

    /// The action that makes changes in order, all or none. Answered, as all that follow, by a
    /// [`TreeAnswer`](super::TreeAnswer).
    pub fn batch(&self, changes: Vec<KeyChange>) -> Action {
        self.action(ActionBody::Apply(TreeOperation { changes }.encode()))
    }

    /// The action that writes an entry, new or not.
    pub fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Action {
        self.batch(vec![KeyChange::put(key, Expectation::Any, value)])
    }

    /// The action that writes a new entry; refused with [`KEY_EXISTS`](super::KEY_EXISTS) when the
    /// key has one.
    pub fn insert(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Action {
        self.batch(vec![KeyChange::put(key, Expectation::Absent, value)])
    }

    /// The action that replaces an entry; refused when the key has none.
    pub fn update(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Action {
        self.batch(vec![KeyChange::put(key, Expectation::Present, value)])
    }

    /// The action that removes an entry; there may be none.
    pub fn delete(&self, key: impl Into<Bytes>) -> Action {
        self.batch(vec![KeyChange::delete(key, Expectation::Any)])
    }

    /// The action that writes an entry if the one there was last written by `expected`, or if there
    /// is none (`None`); otherwise refused.
    pub fn compare_and_put(
        &self,
        key: impl Into<Bytes>,
        expected: Option<Revision>,
        value: impl Into<Bytes>,
    ) -> Action {
        let expected = expected.map_or(Expectation::Absent, Expectation::Revision);
        self.batch(vec![KeyChange::put(key, expected, value)])
    }

    /// The tree opened for reading.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn open<R: BlockReader + ?Sized>(&self, reader: &mut R) -> Result<TreeView, ReadError> {
        TreeView::open(reader, &self.name)
    }

    /// The entry of `key`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn get<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        key: &[u8],
    ) -> Result<Option<Entry>, ReadError> {
        Ok(self.open(reader)?.get(reader, key)?)
    }

    fn action(&self, body: ActionBody) -> Action {
        Action { collection: self.name.clone(), type_name: TreeType::type_name(), body }
    }
}
