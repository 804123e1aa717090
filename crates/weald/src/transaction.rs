//! Transactions over several collections: a closure that reads, decides and writes.

mod collections;
mod run;
mod trees;

use std::fmt;

use weald_collections::{
    ReadError, Stop,
    transaction::{Draft, DraftSavepoint},
};
use weald_core::{Commit, Halt, TransactionId};

pub use collections::{TransactionDiary, TransactionRawDiary};
pub use trees::{TransactionRawTree, TransactionTree};

use crate::{
    Error, ErrorKind, Result,
    backend::Version,
    node::{fault_error, read_error, rejected},
};

/// One transaction: it sees its own writes, and nobody else sees them before it commits.
///
/// What it reads must still be so when it commits; what it only writes may have changed. Errors of
/// its calls are to be passed on with `?`: some are the node's own sign to load what is missing and
/// to run the closure again.
pub struct Transaction<'s> {
    draft: Draft<'s>,
    id: TransactionId,
    version: &'s Version,
    may_block: bool,
    halt: Option<Halt>,
}

/// What a transaction came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transacted<T> {
    /// What the closure returned.
    pub value: T,
    /// Under which id it was committed, and where; `None` when it only read: then it saw one
    /// version of everything and took no place in the log.
    pub commit: Option<(TransactionId, Commit)>,
    /// How often the closure was run on a fresh state.
    pub attempts: u32,
}

impl<'s> Transaction<'s> {
    fn new(draft: Draft<'s>, id: TransactionId, version: &'s Version, may_block: bool) -> Self {
        Self { draft, id, version, may_block, halt: None }
    }

    /// Marks this point.
    pub fn savepoint(&mut self) -> DraftSavepoint {
        self.draft.savepoint()
    }

    /// Takes back every write since `savepoint`, which stays valid.
    ///
    /// # Errors
    /// `Invalid` when an earlier rollback went behind it.
    pub fn rollback(&mut self, savepoint: DraftSavepoint) -> Result<()> {
        self.draft
            .rollback(savepoint)
            .map_err(|stale| Error::caused(ErrorKind::Invalid, stale.to_string(), stale))
    }

    /// Acts on the draft; loads what is missing if this thread may block, or stops the closure so
    /// that it is run again where it may.
    fn act<T>(
        &mut self,
        mut act: impl FnMut(&mut Draft<'s>) -> std::result::Result<T, Stopped>,
    ) -> Result<T> {
        loop {
            match act(&mut self.draft) {
                Ok(value) => return Ok(value),
                Err(Stopped::Halt(Halt::Need(ids))) if self.may_block => {
                    self.version.load(&ids).map_err(fault_error)?;
                }
                Err(Stopped::Halt(Halt::Fault(fault))) => return Err(fault_error(fault)),
                Err(Stopped::Halt(halt)) => {
                    self.halt = Some(halt);
                    let what = "blocks are being loaded; pass this error on";
                    return Err(Error::new(ErrorKind::Busy, what));
                }
                Err(Stopped::Error(error)) => return Err(error.for_draft(self.id)),
            }
        }
    }
}

/// Why an act on a draft stopped.
enum Stopped {
    Halt(Halt),
    Error(DraftError),
}

enum DraftError {
    Read(ReadError),
    Refused(weald_core::Rejection),
}

impl DraftError {
    fn for_draft(self, id: TransactionId) -> Error {
        match self {
            Self::Read(error) => read_error(error),
            Self::Refused(rejection) => rejected(rejection, id),
        }
    }
}

impl From<ReadError> for Stopped {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Halt(halt) => Self::Halt(halt),
            error => Self::Error(DraftError::Read(error)),
        }
    }
}

impl From<Stop> for Stopped {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Halt(halt) => Self::Halt(halt),
            Stop::Refused(rejection) => Self::Error(DraftError::Refused(rejection)),
        }
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("id", &self.id).finish_non_exhaustive()
    }
}
