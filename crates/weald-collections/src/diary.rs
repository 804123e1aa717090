//! Diaries: append-only logs. The entries are those of the collection's chain.

mod operation;
mod raw;
mod typed;

use bytes::Bytes;
use weald_core::{Rejection, TypeName, TypeVersion, codec, limits::VALUE_BYTES_MAX};

pub use operation::{DiaryAnswer, ExpectedVersion};
pub use raw::RawDiary;
pub use typed::{Diary, DiaryEntry};

use crate::{BlockWriter, ChainUse, CollectionType, Scope, Stop, kind, scope::too_large};
use operation::DiaryOperation;

/// The collection type `diary`.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiaryType;

impl DiaryType {
    /// The name of the type.
    pub fn type_name() -> TypeName {
        "diary".parse().expect("a valid name")
    }

    /// The version of the structure that this code implements.
    pub const VERSION: TypeVersion = TypeVersion(1);
}

impl CollectionType for DiaryType {
    fn name(&self) -> TypeName {
        Self::type_name()
    }

    fn version(&self) -> TypeVersion {
        Self::VERSION
    }

    fn chain_use(&self) -> ChainUse {
        ChainUse::Entries
    }

    fn create(&self, _: &mut Scope<'_, '_>, options: &[u8]) -> Result<Bytes, Stop> {
        if !options.is_empty() {
            return Err(invalid("a diary has no options"));
        }
        Ok(Bytes::new())
    }

    fn apply(&self, scope: &mut Scope<'_, '_>, operation: &[u8]) -> Result<Bytes, Stop> {
        let DiaryOperation { expected, entries } = codec::decode(kind::DIARY_OPERATION, operation)
            .map_err(|error| invalid(&error.to_string()))?;
        if entries.is_empty() {
            return Err(invalid("an append without entries"));
        }
        if let Some(entry) = entries.iter().find(|entry| entry.len() > VALUE_BYTES_MAX) {
            return Err(too_large("entry bytes", entry.len(), VALUE_BYTES_MAX).into());
        }
        expected.check(&scope.header().name, scope.chain().next)?;
        let first = scope.append(&entries)?;
        Ok(DiaryAnswer { first, revision: scope.revision() }.encode())
    }
}

fn invalid(detail: &str) -> Stop {
    Rejection::Invalid { detail: detail.to_owned() }.into()
}

#[cfg(test)]
mod tests;
