//! Looking at collections: finding one by name, and why that can fail.

use weald_core::{CollectionName, Halt, Revision, Sequence, TypeName, codec::CodecError};

use crate::{BlockReader, CollectionHeader, CollectionState, KeyError};

/// Why a collection could not be read. "There is none" is said only when it was proved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The collection does not exist, which was proved.
    #[error("no such collection: name={0}")]
    NoSuchCollection(CollectionName),
    /// It is of another type.
    #[error("the collection is of another type: name={name} expected={expected} found={found}")]
    WrongType {
        /// The collection.
        name: CollectionName,
        /// The type that was asked for.
        expected: TypeName,
        /// The type that it has.
        found: TypeName,
    },
    /// The wanted entries were dropped, by retention or by a consumer.
    #[error("no longer kept: wanted={wanted} first={first}")]
    Gone {
        /// The wanted entry.
        wanted: Sequence,
        /// The oldest that is kept, or the next one if none is.
        first: Sequence,
    },
    /// A stored value is not of the type that the reader wants.
    #[error("an entry is of another type: revision={revision} {source}")]
    Value {
        /// The revision that wrote it.
        revision: Revision,
        /// Why it does not decode.
        source: CodecError,
    },
    /// A stored key is not of the type that the reader wants.
    #[error("a key is of another type: revision={revision} {source}")]
    Key {
        /// The revision that wrote it.
        revision: Revision,
        /// Why it does not decode.
        source: KeyError,
    },
    /// Blocks are not in memory, or this member is in trouble.
    #[error(transparent)]
    Halt(#[from] Halt),
}

/// The header of `name`, which must be of type `type_name`.
///
/// # Errors
/// See [`ReadError`].
pub fn open<R: BlockReader + ?Sized>(
    reader: &mut R,
    name: &CollectionName,
    type_name: &TypeName,
) -> Result<CollectionHeader, ReadError> {
    let header = CollectionHeader::read(reader, name)?
        .ok_or_else(|| ReadError::NoSuchCollection(name.clone()))?;
    if header.type_name != *type_name {
        let (name, expected, found) = (name.clone(), type_name.clone(), header.type_name);
        return Err(ReadError::WrongType { name, expected, found });
    }
    Ok(header)
}

/// The header and state of `name`, whatever its type.
///
/// # Errors
/// See [`ReadError`].
pub fn inspect<R: BlockReader + ?Sized>(
    reader: &mut R,
    name: &CollectionName,
) -> Result<(CollectionHeader, CollectionState), ReadError> {
    let header = CollectionHeader::read(reader, name)?
        .ok_or_else(|| ReadError::NoSuchCollection(name.clone()))?;
    let state = CollectionState::read(reader, name)?;
    Ok((header, state))
}
