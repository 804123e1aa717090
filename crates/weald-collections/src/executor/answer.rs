//! Answers of the actions that every collection has.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::codec::{self, CodecError};

use crate::kind;

/// The answer to `Create`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CreateAnswer {
    /// Whether this transaction made the collection; `false` when `OpenOrCreate` found it there.
    pub is_new: bool,
}

impl CreateAnswer {
    pub(crate) fn encode(self) -> Bytes {
        codec::encode(kind::CREATE_ANSWER, &self)
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kind::CREATE_ANSWER, bytes)
    }
}
