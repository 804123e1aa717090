//! What reaches the driver, and what goes back.

use std::time::Instant;

use tokio::sync::oneshot;
use weald_core::{
    LogError, LogIndex, Outcome, Payload, StateError, Time, TransactionBody, TransactionId,
    UnknownCause,
};

use crate::write::Ack;

/// Everything that can happen to a driver.
#[derive(Debug)]
pub(crate) enum Event {
    /// A checkpoint has ended; it covers this index.
    Checkpointed(Result<LogIndex, StateError>),
    /// A caller wants a checkpoint.
    Checkpoint(oneshot::Sender<Result<(), StateError>>),
    /// A caller asks what became of a transaction.
    Standing(TransactionId, oneshot::Sender<Standing>),
    /// A caller asks how far applying is.
    Progress(oneshot::Sender<Progress>),
    /// Finish what is under way, write a checkpoint, end.
    Close(oneshot::Sender<Result<(), StateError>>),
    /// End now.
    Abandon,
}

/// What a caller wants logged.
#[derive(Debug)]
pub(crate) struct Proposal {
    /// The transaction.
    pub(crate) id: TransactionId,
    /// What to do about it.
    pub(crate) ask: Ask,
    /// Bytes that it counts for while it waits.
    pub(crate) bytes: usize,
    /// Who waits.
    pub(crate) waiter: Waiter,
    /// Who proposes can sync the log itself, so that the log's thread need not wake for it. Told to
    /// do so, it calls [`Driver::lead`](super::Driver::lead), or [`Driver::rouse`](super::Driver::rouse),
    /// right after.
    pub(crate) may_lead: bool,
}

/// What a proposal asks.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Run this. A request under the caller's own id is not numbered in the node's session, so that
    /// its result is kept for retries.
    Run {
        /// What to run.
        body: TransactionBody,
        /// Whether the id is the caller's own.
        is_own_id: bool,
    },
    /// Settle the id.
    Resolve,
    /// Change what apply looks at.
    Settings(weald_core::SettingsEntry),
    /// Let log time go on.
    Tick,
}

/// A caller who waits for an answer.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Where the answer goes; `None` once it was given.
    pub(crate) reply: Option<oneshot::Sender<Answer>>,
    /// When to answer.
    pub(crate) ack: Ack,
    /// After this the answer is `Unknown`.
    pub(crate) deadline: Instant,
}

/// What a caller is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The entry was applied.
    Settled(Outcome),
    /// The entry is on its way ([`Ack::Accepted`]).
    Accepted,
    /// Nothing was logged.
    Refused(Refused),
}

/// Why nothing was logged. Definite.
#[derive(Debug, Clone)]
pub(crate) enum Refused {
    /// The log does not take it.
    Log(LogError),
    /// The state cannot grow: the disk is full.
    DiskFull(String),
    /// The node is read-only, for this reason.
    ReadOnly(String),
    /// The node is closing.
    Closing,
    /// Nobody who could log it was found, or has room.
    Unavailable {
        /// What happened.
        detail: String,
        /// When to come again.
        retry_after: std::time::Duration,
    },
}

/// How far a driver is with applying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last index applied.
    pub(crate) applied: LogIndex,
    /// The digest of everything applied.
    pub(crate) digest: weald_core::Digest,
    /// The time of that entry.
    pub(crate) log_time: Time,
}

/// What a driver knows of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is on its way.
    Pending,
    /// Its outcome is kept.
    Settled(Outcome),
    /// No outcome is kept.
    Unheard,
}

impl Waiter {
    /// One that nobody waits behind.
    pub(crate) fn nobody(now: Instant) -> Self {
        Self { reply: None, ack: Ack::Durable, deadline: now }
    }

    /// Gives the answer, once, if somebody is there to take it.
    pub(crate) fn answer(&mut self, answer: Answer) {
        if let Some(reply) = self.reply.take() {
            // A caller who has gone needs no answer.
            reply.send(answer).ok();
        }
    }

    /// Tells the outcome. Gives it back when nobody is there to take it.
    pub(crate) fn settle(&mut self, outcome: Outcome) -> Option<Outcome> {
        let Some(reply) = self.reply.take() else { return Some(outcome) };
        match reply.send(Answer::Settled(outcome)) {
            Err(Answer::Settled(outcome)) => Some(outcome),
            _ => None,
        }
    }

    /// Answers `Unknown`.
    pub(crate) fn give_up(&mut self, cause: UnknownCause) {
        self.answer(Answer::Settled(Outcome::Unknown(cause)));
    }
}

/// An entry that is committed.
#[derive(Debug)]
pub(crate) struct Committed {
    /// Its place.
    pub(crate) index: LogIndex,
    /// The entry.
    pub(crate) entry: weald_core::Entry,
    /// Who waits for it.
    pub(crate) waiter: Waiter,
    /// Bytes that it counted for.
    pub(crate) bytes: usize,
}

impl Committed {
    /// Whether the entry carries this transaction.
    pub(crate) fn is_of(&self, id: &TransactionId) -> bool {
        matches!(&self.entry.payload, Payload::Transaction(request) if request.id == *id)
    }
}

/// How long a request is valid after it was proposed, log time.
pub(crate) fn expiry(time: Time) -> Time {
    time.after(std::time::Duration::from_secs(30))
}
