//! Where blocks are read: present, absent with proof, or not here.

use std::sync::Arc;

use crate::{BlockId, StoredBlock, TransformError, TypeName, TypeVersion};

/// The answer to the question for one block. "Not here" is never taken for "absent".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BlockRead {
    /// The block.
    Present(Arc<StoredBlock>),
    /// There is no such block: this source knows.
    Absent,
    /// This source does not hold it in memory; the driver loads it and asks again.
    NotHere,
}

/// A synchronous source of blocks.
pub trait BlockSource {
    /// The block named `id`.
    ///
    /// # Errors
    /// [`Fault`] when the source cannot tell.
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault>;
}

impl<S: BlockSource + ?Sized> BlockSource for &S {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        (**self).block(id)
    }
}

impl<S: BlockSource + ?Sized> BlockSource for Arc<S> {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        (**self).block(id)
    }
}

/// Why this member cannot answer. A fault is this member's own trouble; it never becomes the result
/// of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// A block's bytes do not match their checksum or do not parse.
    #[error("a block is damaged: block={id} {detail}")]
    Damaged {
        /// The block.
        id: BlockId,
        /// What does not hold.
        detail: String,
    },
    /// A block that another block names is not there.
    #[error("a block is missing: block={id}")]
    Missing {
        /// The block.
        id: BlockId,
    },
    /// A block is not the kind that its place demands.
    #[error("a block does not fit its place: {0}")]
    Transform(#[from] TransformError),
    /// The partition's log has registered a type that this member has no code for.
    #[error("no code for a registered collection type: type={type_name} version={version}")]
    NoCode {
        /// The type.
        type_name: TypeName,
        /// The version of its structure.
        version: TypeVersion,
    },
    /// The disk could not be read or written.
    #[error("the store cannot be used: {0}")]
    Storage(String),
    /// The state lies with other members, and none of them could be asked.
    #[error("no member could be asked: {0}")]
    Unreachable(String),
    /// The version of the view is no longer kept.
    #[error("the version is no longer kept: {0}")]
    Pruned(String),
}

/// Why an execution stopped without an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Halt {
    /// These blocks are needed in memory; execute again once they are.
    #[error("blocks are not in memory: count={}", .0.len())]
    Need(Vec<BlockId>),
    /// This member cannot go on until it is repaired.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<TransformError> for Halt {
    fn from(error: TransformError) -> Self {
        Self::Fault(Fault::Transform(error))
    }
}
