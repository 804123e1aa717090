//! The header block of a collection: what it is. Written at creation and when the policy changes,
//! so that reads which depend on it hardly ever conflict.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    BlockId, BlockKind, CollectionName, CollectionPolicy, Fault, Halt, StoredBlock, Time,
    TransactionId, TypeName, TypeVersion, codec,
};

use crate::{BlockReader, ChainUse, kind};

/// Bytes of an encoded header: name, options and the structure's static data.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// What a collection is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CollectionHeader {
    /// The name; the ids of the header and state blocks derive from it.
    pub name: CollectionName,
    /// Its type.
    pub type_name: TypeName,
    /// The version of the structure; only code of this version touches it.
    pub version: TypeVersion,
    /// What the chain holds, so that it can be read without the type's code.
    pub chain_use: ChainUse,
    /// Rules that can be replaced.
    pub policy: CollectionPolicy,
    /// The type's settings as given at creation.
    pub options: Bytes,
    /// What [`CollectionType::create`](crate::CollectionType::create) returned; empty while it runs.
    pub root: Bytes,
    /// When it was made, log time.
    pub created_at: Time,
    /// The transaction that made it.
    pub created_by: TransactionId,
}

impl CollectionHeader {
    /// The id of the collection.
    pub fn id(&self) -> BlockId {
        BlockId::header(&self.name)
    }

    /// The payload of the header block.
    pub fn encode(&self) -> Bytes {
        codec::encode(kind::HEADER, self)
    }

    /// Reads a header block.
    ///
    /// # Errors
    /// [`Fault::Damaged`] when it is of another kind or does not parse.
    pub fn decode(stored: &StoredBlock) -> Result<Self, Fault> {
        let header = Self::parse(stored)?;
        let id = stored.block.id;
        if header.id() != id {
            return Err(Fault::Damaged { id, detail: "the header of another name".to_owned() });
        }
        Ok(header)
    }

    /// Checks that a block is of a header's kind.
    pub(crate) fn of_kind(stored: &StoredBlock) -> Result<(), Fault> {
        if stored.block.kind == BlockKind::HEADER {
            return Ok(());
        }
        Err(Fault::Damaged { id: stored.block.id, detail: "not a header".to_owned() })
    }

    fn parse(stored: &StoredBlock) -> Result<Self, Fault> {
        Self::of_kind(stored)?;
        let id = stored.block.id;
        codec::decode(kind::HEADER, &stored.block.payload)
            .map_err(|error| Fault::Damaged { id, detail: error.to_string() })
    }

    /// The header of `name`; `None` when the collection is proved absent.
    ///
    /// # Errors
    /// [`Halt`] when the block is not in memory, cannot be read or is damaged.
    pub fn read<R: BlockReader + ?Sized>(
        reader: &mut R,
        name: &CollectionName,
    ) -> Result<Option<Self>, Halt> {
        let stored = reader.read(BlockId::header(name))?;
        Ok(stored.map(|stored| Self::of_block(&stored, name)).transpose()?)
    }

    /// The header of `name` that a block holds.
    ///
    /// # Errors
    /// [`Fault::Damaged`] when it is another collection's, of another kind or does not parse.
    pub(crate) fn of_block(stored: &StoredBlock, name: &CollectionName) -> Result<Self, Fault> {
        let header = Self::parse(stored)?;
        if header.name != *name {
            let (id, detail) = (stored.block.id, "the header of another name".to_owned());
            return Err(Fault::Damaged { id, detail });
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests;
