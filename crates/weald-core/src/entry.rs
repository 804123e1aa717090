//! Log entries: what a partition's log carries.

use serde::{Deserialize, Serialize};

use crate::{Time, TransactionId, TransactionRequest};

/// One entry: the coordinator's time, never below the previous entry's, and what it carries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Log time (rule C14).
    pub time: Time,
    /// The content.
    pub payload: Payload,
}

/// What an entry carries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing; begins an epoch.
    Noop,
    /// Lets log time go on where something is due on an idle partition.
    Tick,
    /// One transaction.
    Transaction(TransactionRequest),
    /// Settles an id: without a result it is fenced and never commits (rule C10).
    Resolve {
        /// The id.
        id: TransactionId,
        /// Until when the fence is kept.
        expiry: Time,
    },
}
