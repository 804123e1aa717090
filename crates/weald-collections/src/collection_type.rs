//! How anyone adds a type of collection.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{CollectionChange, Fault, Halt, Rejection, TypeName, TypeVersion};

use crate::Scope;

/// Why an action stops short of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// A definite refusal, the same at every member; the whole transaction is rolled back.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// Blocks are not in memory, or this member is in trouble.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Halt(Halt::Fault(fault))
    }
}

/// What the chain of a collection holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ChainUse {
    /// The data: the type appends entries itself (a diary).
    Entries,
    /// One record for each transaction: a digest of its actions and what the type noted as changed
    /// (a tree).
    Changes,
}

/// What to do with a local action that lost to committed ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Run it again on what is there.
    Keep,
    /// Give it up.
    Drop,
    /// Run this operation in its place.
    Replace(Bytes),
}

/// A type of collection: how its operations change blocks. Pure and deterministic: it may look at
/// the scope and the operation and at nothing else.
pub trait CollectionType: Send + Sync {
    /// The type's name, such as `tree`.
    fn name(&self) -> TypeName;

    /// The version of the structure and rules that this code implements.
    fn version(&self) -> TypeVersion;

    /// What the chain holds.
    fn chain_use(&self) -> ChainUse {
        ChainUse::Changes
    }

    /// Makes the structure of a new collection. The bytes returned stand in the header from then
    /// on (the id of a root block, settings); every later call finds them there.
    ///
    /// # Errors
    /// [`Stop`]; a refusal leaves no trace.
    fn create(&self, scope: &mut Scope<'_, '_>, options: &[u8]) -> Result<Bytes, Stop>;

    /// Executes one operation and returns its answer.
    ///
    /// # Errors
    /// [`Stop`]; a refusal leaves no trace.
    fn apply(&self, scope: &mut Scope<'_, '_>, operation: &[u8]) -> Result<Bytes, Stop>;

    /// Asked on the client when a transaction lost: what becomes of `operation` in view of what
    /// was committed instead.
    fn resolve_conflict(&self, operation: &[u8], committed: &[CollectionChange]) -> Resolution {
        let _ = (operation, committed);
        Resolution::Keep
    }
}
