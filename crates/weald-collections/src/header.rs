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

    fn parse(stored: &StoredBlock) -> Result<Self, Fault> {
        let id = stored.block.id;
        if stored.block.kind != BlockKind::HEADER {
            return Err(Fault::Damaged { id, detail: "not a header".to_owned() });
        }
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
        Self::read_at(reader, BlockId::header(name), name)
    }

    /// As [`CollectionHeader::read`], with the block's id, which follows from the name.
    pub(crate) fn read_at<R: BlockReader + ?Sized>(
        reader: &mut R,
        id: BlockId,
        name: &CollectionName,
    ) -> Result<Option<Self>, Halt> {
        let Some(stored) = reader.read(id)? else { return Ok(None) };
        let header = Self::parse(&stored)?;
        if header.name != *name {
            let detail = "the header of another name".to_owned();
            return Err(Fault::Damaged { id, detail }.into());
        }
        Ok(Some(header))
    }
}

#[cfg(test)]
mod tests;
