//! Writes that are applied together.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{EngineError, KEY_LEN_MAX, KeyRange, Keyspace, VALUE_LEN_MAX};

/// What becomes of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The key gets this value.
    Put(Bytes),
    /// The key is removed, if it is there.
    Delete,
}

/// Writes applied in the order they were added, all or none.
///
/// Kept in normal form: ranges to delete first, then at most one operation for each key, in key
/// order. That is what the order of calls meant, and no engine is asked to order two writes of
/// one key within a batch, which log-structured ones do not define.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    deleted_ranges: Vec<(Keyspace, KeyRange)>,
    operations: BTreeMap<(Keyspace, Bytes), Operation>,
    byte_count: usize,
}

impl Batch {
    /// A batch that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of `key`.
    pub fn put(&mut self, keyspace: Keyspace, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.insert(keyspace, key.into(), Operation::Put(value.into()));
    }

    /// Removes `key`.
    pub fn delete(&mut self, keyspace: Keyspace, key: impl Into<Bytes>) {
        self.insert(keyspace, key.into(), Operation::Delete);
    }

    /// Removes every key of `range`. Costs time by the number of keys removed.
    pub fn delete_range(&mut self, keyspace: Keyspace, range: KeyRange) {
        if range.is_empty() {
            return;
        }
        let from = (keyspace, range.start().clone());
        let covered: Vec<_> = self
            .operations
            .range(from..)
            .map(|(id, _)| id)
            .take_while(|(space, key)| *space == keyspace && range.contains(key))
            .cloned()
            .collect();
        for id in covered {
            self.operations.remove(&id);
        }
        self.deleted_ranges.push((keyspace, range));
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.deleted_ranges.is_empty()
    }

    /// Number of keys written one by one.
    pub fn operation_count(&self) -> usize {
        self.operations.len()
    }

    /// Bytes of the keys and values added, an upper bound of what is written.
    pub fn byte_count(&self) -> usize {
        self.byte_count
    }

    /// Ranges to delete before the operations.
    pub fn deleted_ranges(&self) -> impl Iterator<Item = (Keyspace, &KeyRange)> {
        self.deleted_ranges.iter().map(|(keyspace, range)| (*keyspace, range))
    }

    /// Operations in key order of each keyspace.
    pub fn operations(&self) -> impl Iterator<Item = (Keyspace, &Bytes, &Operation)> {
        self.operations.iter().map(|((keyspace, key), operation)| (*keyspace, key, operation))
    }

    /// Refuses keys and values no engine takes.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        for ((_, key), operation) in &self.operations {
            if key.is_empty() || key.len() > KEY_LEN_MAX {
                let (length, limit) = (key.len(), KEY_LEN_MAX);
                return Err(EngineError::TooLarge { what: "key", length, limit });
            }
            let Operation::Put(value) = operation else { continue };
            if value.len() > VALUE_LEN_MAX {
                let (length, limit) = (value.len(), VALUE_LEN_MAX);
                return Err(EngineError::TooLarge { what: "value", length, limit });
            }
        }
        Ok(())
    }

    fn insert(&mut self, keyspace: Keyspace, key: Bytes, operation: Operation) {
        let value_len = if let Operation::Put(value) = &operation { value.len() } else { 0 };
        self.byte_count = self.byte_count.saturating_add(key.len() + value_len);
        self.operations.insert((keyspace, key), operation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_of_a_key_counts_and_ranges_cover_only_what_came_before() {
        let mut batch = Batch::new();
        batch.put(Keyspace::Blocks, &b"a"[..], &b"1"[..]);
        batch.put(Keyspace::Blocks, &b"a"[..], &b"2"[..]);
        batch.put(Keyspace::Blocks, &b"b"[..], &b"3"[..]);
        batch.put(Keyspace::Meta, &b"b"[..], &b"4"[..]);
        batch.delete_range(Keyspace::Blocks, KeyRange::new(&b"b"[..], &b"z"[..]));
        batch.put(Keyspace::Blocks, &b"c"[..], &b"5"[..]);
        let seen: Vec<_> = batch.operations().map(|(k, key, _)| (k, key.clone())).collect();
        assert_eq!(
            seen,
            vec![
                (Keyspace::Blocks, Bytes::from_static(b"a")),
                (Keyspace::Blocks, Bytes::from_static(b"c")),
                (Keyspace::Meta, Bytes::from_static(b"b")),
            ]
        );
        assert_eq!(
            batch.operations().next().map(|o| o.2.clone()),
            Some(Operation::Put("2".into()))
        );
        assert_eq!(batch.deleted_ranges().count(), 1);
    }

    #[test]
    fn keys_and_values_beyond_the_limits_are_refused() {
        let check = |key: usize, value: usize| {
            let mut batch = Batch::new();
            batch.put(Keyspace::Meta, vec![7; key], vec![7; value]);
            batch.check().is_ok()
        };
        assert!(check(1, 0));
        assert!(check(KEY_LEN_MAX, 1));
        assert!(check(1, VALUE_LEN_MAX));
        assert!(!check(0, 1));
        assert!(!check(KEY_LEN_MAX + 1, 1));
        assert!(!check(1, VALUE_LEN_MAX + 1));
    }
}
