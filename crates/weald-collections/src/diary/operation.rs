//! What is asked of a diary and what it answers.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    CollectionName, Rejection, Revision, Sequence,
    codec::{self, CodecError},
};

use crate::kind;

/// What an append expects of the diary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ExpectedVersion {
    /// Nothing.
    #[default]
    Any,
    /// That nothing was ever appended.
    Empty,
    /// That something was appended.
    Exists,
    /// That the last entry is this one.
    Exact(Sequence),
}

impl ExpectedVersion {
    /// `next` is the sequence of the next entry.
    pub(super) fn check(self, name: &CollectionName, next: Sequence) -> Result<(), Rejection> {
        let last = next.0.checked_sub(1).map(Sequence);
        let holds = match self {
            Self::Any => true,
            Self::Empty => last.is_none(),
            Self::Exists => last.is_some(),
            Self::Exact(expected) => last == Some(expected),
        };
        if holds {
            return Ok(());
        }
        let expected = match self {
            Self::Any => "any".to_owned(),
            Self::Empty => "empty".to_owned(),
            Self::Exists => "exists".to_owned(),
            Self::Exact(sequence) => format!("last:{sequence}"),
        };
        let found = last.map_or_else(|| "empty".to_owned(), |last| format!("last:{last}"));
        Err(Rejection::Expectation { collection: name.clone(), expected, found })
    }
}

/// An append of one or more entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DiaryOperation {
    pub(super) expected: ExpectedVersion,
    pub(super) entries: Vec<Bytes>,
}

/// The answer to an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiaryAnswer {
    /// The sequence of the first entry; the others follow it.
    pub first: Sequence,
    /// The revision of the diary that appended them.
    pub revision: Revision,
}

impl DiaryAnswer {
    pub(super) fn encode(self) -> Bytes {
        codec::encode(kind::DIARY_ANSWER, &self)
    }

    /// Reads the answer to an append.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kind::DIARY_ANSWER, bytes)
    }
}
