//! Blocks: the unit of storage, caching and conflict.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{BlockId, Revision};

/// What a block is for, within its collection. Kinds below [`BlockKind::STRUCTURE_FIRST`] mean the
/// same in every collection; from there on each collection type has its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BlockKind(pub u16);

impl BlockKind {
    /// Name, type, version, policy of a collection.
    pub const HEADER: Self = Self(1);
    /// Revision counter and the ends of the chain.
    pub const STATE: Self = Self(2);
    /// Entries of the chain.
    pub const CHAIN: Self = Self(3);
    /// The first kind that belongs to the collection types.
    pub const STRUCTURE_FIRST: Self = Self(16);

    /// Whether ids of such blocks come from the transaction that makes them, so that no other makes
    /// the same; the ids of headers and state blocks come from the collection's name.
    pub const fn is_named_by_transaction(self) -> bool {
        !matches!(self, Self::HEADER | Self::STATE)
    }
}

/// A block: who it is, whose it is, and bytes that its kind gives meaning to. Changed only by a
/// [`Transform`](crate::Transform).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Block {
    /// The block's name.
    pub id: BlockId,
    /// What the payload is.
    pub kind: BlockKind,
    /// The id of the collection's header block.
    pub collection: BlockId,
    /// The content, at most [`BLOCK_BYTES_MAX`](crate::limits::BLOCK_BYTES_MAX) bytes.
    pub payload: Bytes,
}

/// A block as it was last written.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct StoredBlock {
    /// The block.
    pub block: Block,
    /// The revision of its collection that last wrote it.
    pub revision: Revision,
}
