//! Typed keys and values from bytes.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use weald_collections::{ChainEntry, Diary, Key, ReadError, btree};
use weald_core::{LogIndex, PlacementKey, Revision, Sequence, Time, TransactionId};

use super::Entry;
use crate::{Result, node::read_error};

/// The typed form of an entry.
pub(crate) fn decode_entry<K: Key, V: DeserializeOwned>(
    stored: btree::Entry,
) -> Result<Entry<K, V>> {
    let btree::Entry { key, value, revision } = stored;
    let key = decode_key(revision, &key)?;
    Ok(Entry { key, value: decode_value(revision, value)?, revision })
}

/// The typed form of a key that `revision` wrote.
pub(super) fn decode_key<K: Key>(revision: Revision, key: &[u8]) -> Result<K> {
    K::from_key(key).map_err(|source| read_error(ReadError::Key { revision, source }))
}

/// The typed form of a value that `revision` wrote. One user's value is the same bytes in a diary
/// and in a tree.
pub(super) fn decode_value<V: DeserializeOwned>(revision: Revision, payload: Bytes) -> Result<V> {
    let stored = ChainEntry {
        sequence: Sequence::ZERO,
        revision,
        transaction: TransactionId::new(PlacementKey::from_u64(0), [0; 16]),
        index: LogIndex::ZERO,
        time: Time::ZERO,
        payload,
    };
    Ok(Diary::<V>::decode(&stored).map_err(read_error)?.entry)
}
