//! The executor's side of apply: actions and blocks in, transforms and an outcome out.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    Action, BlockId, CollectionName, Halt, LogIndex, Overlay, Rejection, Revision, Time,
    TransactionId, TypeName, TypeSet, TypeVersion, limits::TransactionLimits,
};

/// Everything that execution may look at besides blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The transaction; new blocks take their ids from it.
    pub transaction: TransactionId,
    /// The entry's place in the log; every chain entry names it.
    pub index: LogIndex,
    /// Log time.
    pub time: Time,
    /// Caps of one transaction, as the partition's log fixed them.
    pub limits: TransactionLimits,
    /// The types that the partition's log has registered. An action of another is refused; the
    /// lack of code for one of them is this member's fault.
    pub types: TypeSet,
}

/// What execution gives; the same at every member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executed {
    /// All actions took effect in the overlay.
    Done {
        /// One answer an action.
        answers: Vec<Bytes>,
        /// The collections that were changed, by the id of their header block.
        commits: BTreeMap<BlockId, CollectionCommit>,
    },
    /// None did; the overlay is as it was.
    Refused(Rejection),
}

/// One collection that a transaction changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionCommit {
    /// The collection.
    pub name: CollectionName,
    /// Its revision through this transaction.
    pub revision: Revision,
    /// History below this index is no longer kept, if that has moved.
    pub floor: Option<LogIndex>,
    /// Its type, if this transaction made it.
    pub created: Option<TypeName>,
}

/// Runs the actions of one transaction. Pure: the same actions on the same blocks under the same
/// context give the same transforms and the same result, whatever is cached.
pub trait Executor: Send + Sync {
    /// Executes `actions` in order on `overlay`, all or nothing.
    ///
    /// # Errors
    /// [`Halt::Need`] names blocks to load before executing again on a fresh overlay;
    /// [`Halt::Fault`] is this member's own trouble. After an error the overlay is of no use.
    fn execute(
        &self,
        context: &Context,
        actions: &[Action],
        overlay: &mut Overlay<'_>,
    ) -> Result<Executed, Halt>;

    /// Whether there is code for this type and version.
    fn supports(&self, type_name: &TypeName, version: TypeVersion) -> bool;
}
