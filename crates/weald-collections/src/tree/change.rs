//! What a change of a tree says in its feed: keys without values, which are read at that revision.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::codec::{self, CodecError};

use crate::{ChangeRecord, kind};

/// A key that a transaction changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedKey {
    /// The key.
    pub key: Bytes,
    /// What became of its entry.
    pub happened: Happened,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happened {
    /// It was written.
    Put,
    /// It was removed.
    Deleted,
}

/// The keys that one revision of a tree changed, in key order, each once with what it came to.
/// `detail` is what the feed of a tree gives with the change.
///
/// # Errors
/// When the bytes are not such a detail.
pub fn changed_keys(detail: &[u8]) -> Result<Vec<ChangedKey>, CodecError> {
    let mut last = BTreeMap::new();
    for note in ChangeRecord::decode(detail)?.notes {
        let keys: Vec<ChangedKey> = codec::decode(kind::TREE_CHANGES, &note)?;
        last.extend(keys.into_iter().map(|ChangedKey { key, happened }| (key, happened)));
    }
    Ok(last.into_iter().map(|(key, happened)| ChangedKey { key, happened }).collect())
}

pub(super) fn encode(keys: &[ChangedKey]) -> Bytes {
    codec::encode(kind::TREE_CHANGES, keys)
}
