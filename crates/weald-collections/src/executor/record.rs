//! What a change of a collection says, as its feed delivers it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    Digest, Sequence,
    codec::{self, CodecError},
};

use crate::kind;

/// The chain entry of one transaction on a collection whose chain holds changes, and the detail of
/// that change in the feed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// Digest of the transaction's actions on the collection, in order.
    pub actions: Digest,
    /// What the collection type noted, in order.
    pub notes: Vec<Bytes>,
}

impl ChangeRecord {
    pub(crate) fn encode(&self) -> Bytes {
        codec::encode(kind::CHANGE_RECORD, self)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kind::CHANGE_RECORD, bytes)
    }
}

/// The detail of a change in the feed of a collection whose chain holds entries: what one revision
/// appended, as far as it is retained.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Appended {
    /// The sequence of the first entry.
    pub first: Sequence,
    /// The entries, in order.
    pub entries: Vec<Bytes>,
}

impl Appended {
    pub(crate) fn encode(&self) -> Bytes {
        codec::encode(kind::APPENDED, self)
    }

    /// Reads the detail.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kind::APPENDED, bytes)
    }
}
