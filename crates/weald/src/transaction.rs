//! Transactions over several collections, as a closure sees them.

use std::marker::PhantomData;

use weald_core::Halt;

use crate::Error;

/// Why a closure stops. Pass it on with `?`: some stops are the node's own, which loads what is
/// missing and runs the closure again.
#[derive(Debug)]
pub struct TransactionError(pub(crate) Stop);

#[derive(Debug)]
#[expect(dead_code, reason = "read by the driver of transactions")]
pub(crate) enum Stop {
    Halt(Halt),
    Error(Error),
}

impl From<Error> for TransactionError {
    fn from(error: Error) -> Self {
        Self(Stop::Error(error))
    }
}

/// One transaction: it sees its own writes, and nobody else sees them before it commits.
#[derive(Debug)]
pub struct Transaction<'a> {
    overlay: PhantomData<&'a ()>,
}
