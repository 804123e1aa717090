//! What callers want logged, and what they are answered.

use std::time::{Duration, Instant};

use bytes::Bytes;
use weald_cluster::configuration::Member;
use weald_core::{
    Outcome, Payload, Position,
    codec::{self, CodecError},
};

use super::Caller;
use crate::{kinds, write::Ack};

/// What a caller wants logged.
#[derive(Debug)]
pub(crate) struct Proposal {
    /// What the entry carries.
    pub(super) payload: Payload,
    /// The same, encoded: what is logged and sent.
    pub(super) command: Bytes,
    /// How the caller is answered.
    pub(super) terms: Terms,
    /// Who waits.
    pub(super) caller: Caller<Answer>,
}

/// How a caller is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// When.
    pub(crate) ack: Ack,
    /// After this the answer is `Unknown`.
    pub(crate) deadline: Instant,
}

/// What a caller is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The entry was applied; what became of its transaction. Also the refusal of an entry that
    /// carries none.
    Settled(Outcome),
    /// The entry, which carries no transaction, was applied.
    Applied(Position),
    /// The entry is on its way ([`Ack::Accepted`]).
    Accepted,
    /// Nothing was logged. Definite.
    Refused(ProposeError),
}

/// Why nothing was logged. Definite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProposeError {
    /// No member of the partition lives here.
    #[error("this node is no member of the partition")]
    NotMember,
    /// Another member coordinates, as far as this one knows.
    #[error("this member does not coordinate the partition: hint={hint:?}")]
    NotCoordinator {
        /// Who does, if it is known.
        hint: Option<Member>,
    },
    /// Too much waits; the same may be tried again.
    #[error("the partition is busy; retry after {retry_after:?}")]
    Busy {
        /// A good moment for the next attempt.
        retry_after: Duration,
    },
    /// The disk is full; it heals when space is freed.
    #[error("the disk is full")]
    DiskFull,
    /// The request is larger than an entry may be.
    #[error("the request is too large: bytes={bytes} max={max}")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// The partition's own bounds do not admit the request.
    #[error(transparent)]
    Rejected(#[from] weald_core::Rejection),
    /// The partition has stopped here until it is repaired, or the node is closing.
    #[error("the member has stopped")]
    Stopped,
}

/// What a member knows of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is on its way.
    Pending,
    /// Its outcome is kept.
    Settled(Outcome),
    /// No outcome is kept.
    Unheard,
}

impl Proposal {
    /// Proposes `payload`, encoding it.
    pub(crate) fn new(payload: Payload, terms: Terms, caller: Caller<Answer>) -> Self {
        let command = encode(&payload);
        Self { payload, command, terms, caller }
    }

    /// Proposes `payload`, of which `command` is the encoding.
    pub(crate) fn encoded(
        payload: Payload,
        command: Bytes,
        terms: Terms,
        caller: Caller<Answer>,
    ) -> Self {
        Self { payload, command, terms, caller }
    }

    /// What the entry would carry.
    pub(crate) fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Bytes that it counts for while it waits.
    pub(super) fn len(&self) -> usize {
        self.command.len()
    }

    /// Tells the caller that nothing was logged.
    pub(super) fn refuse(self, error: ProposeError) {
        self.caller.tell(Answer::Refused(error));
    }
}

/// The bytes of a payload in a log entry and on a wire.
pub(crate) fn encode(payload: &Payload) -> Bytes {
    codec::encode(kinds::COMMAND, payload)
}

/// Reads them back.
///
/// # Errors
/// When the bytes are no payload that this code knows.
pub(crate) fn decode(command: &[u8]) -> Result<Payload, CodecError> {
    codec::decode(kinds::COMMAND, command)
}
