//! The collection type: how operations change a tree's blocks.

use std::ops::Bound;

use bytes::Bytes;
use weald_core::{
    Fault, Rejection, Revision, TypeName, TypeVersion,
    limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX},
};

use super::{
    ENTRY_INDEX_KEYS_MAX, Expectation, INDEX_KEY_TAKEN, IndexDefinition, IndexKey, KEY_EXISTS,
    KeyChange, TreeAnswer, TreeOptions, TreeType, TreeWrite,
    change::{self, ChangedKey, Happened},
    index::{IndexScan, composed},
    invalid,
    operation::TreeOperation,
    options::{IndexRoot, TreeRoot},
    record::{self, IndexKeys},
};
use crate::{
    BlockWriter, CollectionType, Scope, Stop,
    btree::{BTree, BTreeError, Direction, Entry},
    scope::too_large,
};

impl CollectionType for TreeType {
    fn name(&self) -> TypeName {
        Self::type_name()
    }

    fn version(&self) -> TypeVersion {
        Self::VERSION
    }

    fn create(&self, scope: &mut Scope<'_, '_>, options: &[u8]) -> Result<Bytes, Stop> {
        let TreeOptions { capacity, indexes } = TreeOptions::decode(options)?;
        let entries = BTree::create(scope, capacity)?.root();
        let index = |definition: IndexDefinition| {
            let root = BTree::create(scope, capacity)?.root();
            Ok(IndexRoot { definition, root })
        };
        let indexes = indexes.into_iter().map(index).collect::<Result<_, Stop>>()?;
        Ok(TreeRoot { capacity, entries, indexes }.encode())
    }

    fn apply(&self, scope: &mut Scope<'_, '_>, operation: &[u8]) -> Result<Bytes, Stop> {
        let operation =
            TreeOperation::decode(operation).map_err(|error| invalid(error.to_string()))?;
        let mut run = Run { root: TreeRoot::of(scope.header())?, changed: Vec::new() };
        let mut replaced = Vec::with_capacity(operation.changes.len());
        for change in &operation.changes {
            replaced.push(run.change(scope, change)?);
        }
        scope.note_change(change::encode(&run.changed));
        Ok(TreeAnswer { revision: scope.revision(), replaced }.encode())
    }
}

/// One operation under way.
struct Run {
    root: TreeRoot,
    changed: Vec<ChangedKey>,
}

/// A put of one entry.
struct Put<'a> {
    key: &'a [u8],
    value: &'a [u8],
    indexes: IndexKeys,
}

impl Run {
    /// Makes one change; returns the revision of the entry that was there before.
    fn change(
        &mut self,
        scope: &mut Scope<'_, '_>,
        change: &KeyChange,
    ) -> Result<Option<Revision>, Stop> {
        if change.key.len() > KEY_BYTES_MAX {
            return Err(too_large("key bytes", change.key.len(), KEY_BYTES_MAX).into());
        }
        let expected = &change.expected;
        if *expected != Expectation::Any {
            let found = self.root.entries().get(scope, &change.key)?;
            self.check(scope, expected, found)?;
        }
        let previous = match &change.write {
            TreeWrite::Put { value, indexes } => {
                if value.len() > VALUE_BYTES_MAX {
                    return Err(too_large("value bytes", value.len(), VALUE_BYTES_MAX).into());
                }
                let indexes = self.index_keys(indexes)?;
                self.put(scope, Put { key: &change.key, value, indexes })?
            }
            TreeWrite::Delete => self.delete(scope, &change.key)?,
        };
        let happened = match change.write {
            TreeWrite::Put { .. } => Happened::Put,
            TreeWrite::Delete => Happened::Deleted,
        };
        if previous.is_some() || happened == Happened::Put {
            self.changed.push(ChangedKey { key: change.key.clone(), happened });
        }
        Ok(previous.map(|entry| entry.revision))
    }

    fn check(
        &self,
        scope: &Scope<'_, '_>,
        expected: &Expectation,
        found: Option<Entry>,
    ) -> Result<(), Stop> {
        let user_entry = |entry| record::user_entry(self.root.entries, entry);
        let found = found.map(user_entry).transpose()?;
        if expected.holds(found.as_ref()) {
            return Ok(());
        }
        if *expected == Expectation::Absent {
            let detail = "the key has an entry".to_owned();
            return Err(Rejection::Custom { code: KEY_EXISTS, detail }.into());
        }
        let found = found
            .map_or_else(|| "absent".to_owned(), |entry| format!("revision:{}", entry.revision));
        let (collection, expected) = (scope.header().name.clone(), expected.describe());
        Err(Rejection::Expectation { collection, expected, found }.into())
    }

    fn put(&self, scope: &mut Scope<'_, '_>, put: Put<'_>) -> Result<Option<Entry>, Stop> {
        let record = record::encode(&put.indexes, put.value);
        let previous = self.root.entries().put(scope, put.key, &record).map_err(stop)?;
        if previous.is_none() {
            scope.add_items(1);
        }
        let old = self.index_keys_of(previous.as_ref())?;
        for (index, index_key) in old.difference(&put.indexes) {
            self.take_from_index(scope, (*index, index_key), put.key)?;
        }
        for (index, index_key) in put.indexes.difference(&old) {
            self.add_to_index(scope, (*index, index_key), put.key)?;
        }
        Ok(previous)
    }

    fn delete(&self, scope: &mut Scope<'_, '_>, key: &[u8]) -> Result<Option<Entry>, Stop> {
        let previous = self.root.entries().delete(scope, key).map_err(stop)?;
        if previous.is_some() {
            scope.add_items(-1);
        }
        for (index, index_key) in self.index_keys_of(previous.as_ref())? {
            self.take_from_index(scope, (index, &index_key), key)?;
        }
        Ok(previous)
    }

    fn index_keys_of(&self, entry: Option<&Entry>) -> Result<IndexKeys, Stop> {
        let keys = entry.map(|entry| record::index_keys(self.root.entries, entry)).transpose()?;
        Ok(keys.unwrap_or_default())
    }

    /// The index keys that a put names, by the positions of their indexes.
    fn index_keys(&self, named: &[IndexKey]) -> Result<IndexKeys, Stop> {
        if named.len() > ENTRY_INDEX_KEYS_MAX {
            return Err(too_large("index keys", named.len(), ENTRY_INDEX_KEYS_MAX).into());
        }
        let key = |IndexKey { index, key }: &IndexKey| {
            let position = self.root.position(index);
            let unknown = || invalid(format!("the tree has no such index: index={index}"));
            let position = position.ok_or_else(unknown)?;
            let position = u8::try_from(position).expect("a tree has few indexes");
            if key.len() > KEY_BYTES_MAX {
                return Err(too_large("index key bytes", key.len(), KEY_BYTES_MAX).into());
            }
            Ok((position, key.clone()))
        };
        named.iter().map(key).collect()
    }

    fn add_to_index(
        &self,
        scope: &mut Scope<'_, '_>,
        (index, index_key): (u8, &Bytes),
        key: &[u8],
    ) -> Result<(), Stop> {
        let position = usize::from(index);
        let mut tree = self.root.index(position);
        if self.root.indexes[position].definition.is_unique {
            let exactly = Bound::Included(&index_key[..]);
            let bounds = (exactly, exactly);
            let taken = IndexScan::new(&tree, scope, bounds, Direction::Forward).next();
            if taken.transpose()?.is_some_and(|hit| hit.key != key) {
                let name = &self.root.indexes[position].definition.name;
                let detail = format!("another entry has this key in a unique index: index={name}");
                return Err(Rejection::Custom { code: INDEX_KEY_TAKEN, detail }.into());
            }
        }
        tree.put(scope, &composed(index_key, key), &[]).map_err(stop)?;
        Ok(())
    }

    fn take_from_index(
        &self,
        scope: &mut Scope<'_, '_>,
        (index, index_key): (u8, &Bytes),
        key: &[u8],
    ) -> Result<(), Stop> {
        let position = usize::from(index);
        if position >= self.root.indexes.len() {
            let detail = format!("an entry names an index that is not there: index={index}");
            return Err(Fault::Damaged { id: self.root.entries, detail }.into());
        }
        self.root.index(position).delete(scope, &composed(index_key, key)).map_err(stop)?;
        Ok(())
    }
}

fn stop(error: BTreeError) -> Stop {
    match error {
        BTreeError::Halt(halt) => halt.into(),
        BTreeError::KeyTooLong { bytes } => too_large("key bytes", bytes, KEY_BYTES_MAX).into(),
        BTreeError::ValueTooLarge { bytes } => {
            too_large("value bytes", bytes, VALUE_BYTES_MAX).into()
        }
        BTreeError::StaleCursor | BTreeError::OffEntry => {
            unreachable!("no cursor is used here")
        }
    }
}
