//! Writes: a proposal to the driver, and what its answer means.

use std::time::Instant;

use tokio::sync::oneshot;
use weald_collections::tree::{INDEX_KEY_TAKEN, KEY_EXISTS};
use weald_core::{
    Action, LogError, Outcome, PlacementKey, Rejection, TransactionBody, TransactionId,
    UnknownCause,
};

use super::{Running, Weald, lead::Lead};
use crate::{
    Accepted, Ack, Error, ErrorKind, Result, TransactionStatus,
    driver::{Answer, Ask, Proposal, ProposeError, Refused, Standing, Waiter},
    topic::refusal_kind,
    write::{Reply, WriteOptions},
};

/// Bytes that a proposal counts for besides its content.
const PROPOSAL_OVERHEAD: usize = 256;

impl Weald {
    /// Commits `actions` as one transaction.
    pub(crate) async fn commit_actions(
        &self,
        actions: Vec<Action>,
        options: WriteOptions,
    ) -> Result<Reply> {
        let body = TransactionBody { actions, ..TransactionBody::default() };
        let id = self.id_for(&body, &options)?;
        match self.outcome_of(id, body, &options).await? {
            Outcome::Committed(commit) => Ok(Reply { transaction: id, commit }),
            Outcome::Rejected(rejection) => Err(rejected(rejection, id)),
            Outcome::Unknown(cause) => Err(unknown(cause, id)),
        }
    }

    /// Hands `actions` to the log without waiting for their outcome.
    pub(crate) async fn accept_actions(
        &self,
        actions: Vec<Action>,
        options: WriteOptions,
    ) -> Result<Accepted> {
        let body = TransactionBody { actions, ..TransactionBody::default() };
        let id = self.id_for(&body, &options)?;
        let is_own_id = options.caller_id.is_some();
        let bytes = body_bytes(&body);
        let ask = Ask::Run { body, is_own_id };
        match self.propose((id, ask, bytes), Ack::Accepted, &options).await? {
            Answer::Accepted => Ok(Accepted { transaction: id }),
            Answer::Refused(refused) => Err(refused_error(refused, id)),
            Answer::Settled(Outcome::Rejected(rejection)) => Err(rejected(rejection, id)),
            Answer::Settled(Outcome::Unknown(cause)) => Err(unknown(cause, id)),
            Answer::Settled(Outcome::Committed(_)) => Ok(Accepted { transaction: id }),
        }
    }

    /// The outcome of one attempt under `id`.
    pub(crate) async fn outcome_of(
        &self,
        id: TransactionId,
        body: TransactionBody,
        options: &WriteOptions,
    ) -> Result<Outcome> {
        let is_own_id = options.caller_id.is_some();
        let bytes = body_bytes(&body);
        let ask = Ask::Run { body, is_own_id };
        match self.propose((id, ask, bytes), Ack::Durable, options).await? {
            Answer::Settled(outcome) => Ok(outcome),
            Answer::Refused(refused) => Err(refused_error(refused, id)),
            Answer::Accepted => Ok(Outcome::Unknown(UnknownCause::Stopped)),
        }
    }

    /// What became of a transaction, without changing anything.
    ///
    /// # Errors
    /// When the node is closed.
    pub async fn transaction_outcome(&self, id: TransactionId) -> Result<TransactionStatus> {
        let standing = self.running()?.backend.standing(id);
        Ok(match standing.wait().await? {
            Standing::Pending => TransactionStatus::Pending,
            Standing::Settled(outcome) => status_of(outcome),
            Standing::Unheard => TransactionStatus::Forgotten,
        })
    }

    /// Settles a transaction whose outcome is unknown: waits for it while it is on its way and
    /// tells its result. `Forgotten` when no result is kept.
    ///
    /// # Errors
    /// When the node cannot tell.
    pub async fn resolve(&self, id: TransactionId) -> Result<TransactionStatus> {
        match self.transaction_outcome(id).await? {
            TransactionStatus::Pending => self.settle(id).await,
            settled => Ok(settled),
        }
    }

    /// As [`Weald::resolve`], for a write to `collection` under an id of your own. A write that has
    /// not come is fenced: it is refused if it comes later.
    ///
    /// # Errors
    /// When the node cannot write.
    pub async fn resolve_own(&self, collection: &str, id: &str) -> Result<TransactionStatus> {
        let name = self.checked_name(collection)?;
        self.settle(self.own_id(&name, id)?).await
    }

    async fn settle(&self, id: TransactionId) -> Result<TransactionStatus> {
        let options = WriteOptions::default();
        let ask = (id, Ask::Resolve, PROPOSAL_OVERHEAD);
        match self.propose(ask, Ack::Durable, &options).await? {
            Answer::Settled(Outcome::Unknown(cause)) => Err(unknown(cause, id)),
            Answer::Settled(outcome) => Ok(status_of(outcome)),
            Answer::Refused(refused) => Err(refused_error(refused, id)),
            Answer::Accepted => Err(unknown(UnknownCause::Stopped, id)),
        }
    }

    async fn propose(
        &self,
        (id, ask, bytes): (TransactionId, Ask, usize),
        ack: Ack,
        options: &WriteOptions,
    ) -> Result<Answer> {
        let running = self.running()?;
        let timeout = options.timeout.unwrap_or(running.config.write_timeout);
        let (sender, receiver) = oneshot::channel();
        let waiter = Waiter { reply: Some(sender), ack, deadline: Instant::now() + timeout };
        let may_lead = ack == Ack::Durable && Lead::is_possible(&*running.backend);
        let proposal = Proposal { id, ask, bytes, waiter, may_lead };
        let is_led = running.backend.propose(proposal).map_err(|error| match error {
            ProposeError::Full { writes, bytes } => Error::new(
                ErrorKind::Busy,
                format!("too many writes wait: writes={writes} bytes={bytes}"),
            )
            .with_transaction(id),
            ProposeError::Ended => closed(),
        })?;
        let lead = is_led.then(|| Lead::new(&running.backend));
        drop(running);
        if let Some(lead) = lead {
            lead.carry_out().await;
        }
        // The driver answers everybody before it ends; who is dropped unanswered was on its way.
        receiver.await.map_err(|_| unknown(UnknownCause::Stopped, id))
    }

    fn id_for(&self, body: &TransactionBody, options: &WriteOptions) -> Result<TransactionId> {
        let first = body.actions.first().map(|action| &action.collection);
        match (&options.caller_id, first) {
            (Some(own), Some(name)) => self.own_id(name, own),
            (_, first) => {
                let home = first.map_or(PlacementKey::from_u64(0), PlacementKey::of);
                Ok(self.running()?.fresh_id(home))
            }
        }
    }
}

impl Running {
    /// A fresh random id.
    pub(crate) fn fresh_id(&self, home: PlacementKey) -> TransactionId {
        let mut unique = [0; 16];
        self.entropy.lock().fill(&mut unique);
        TransactionId::new(home, unique)
    }
}

fn body_bytes(body: &TransactionBody) -> usize {
    let of = |action: &Action| match &action.body {
        weald_core::ActionBody::Apply(operation) => operation.len(),
        weald_core::ActionBody::Create { options, .. } => options.len(),
        weald_core::ActionBody::SetPolicy(_) => 0,
    };
    let content: usize = body.actions.iter().map(|action| of(action) + 64).sum();
    let transforms: usize = body.transforms.iter().map(|t| t.change.payload_bytes() + 64).sum();
    PROPOSAL_OVERHEAD + content + transforms + body.reads.len() * 40
}

fn status_of(outcome: Outcome) -> TransactionStatus {
    match outcome {
        Outcome::Committed(commit) => TransactionStatus::Committed(commit),
        Outcome::Rejected(Rejection::Forgotten) => TransactionStatus::Forgotten,
        Outcome::Rejected(rejection) => TransactionStatus::Rejected(rejection),
        Outcome::Unknown(_) => TransactionStatus::Pending,
    }
}

/// The error of every call on a closed node.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the node is closed")
}

/// The error of a definite refusal.
pub(crate) fn rejected(rejection: Rejection, id: TransactionId) -> Error {
    let kind = match &rejection {
        Rejection::NoSuchCollection { .. } => ErrorKind::NotFound,
        Rejection::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        Rejection::Custom { code: KEY_EXISTS | INDEX_KEY_TAKEN, .. } => ErrorKind::AlreadyExists,
        Rejection::Custom { code, .. } => refusal_kind(*code).unwrap_or(ErrorKind::Invalid),
        Rejection::Conflict { .. }
        | Rejection::Expectation { .. }
        | Rejection::Locked { .. }
        | Rejection::Superseded { .. }
        | Rejection::InUse => ErrorKind::Conflict,
        // It may have been executed before, and what came of that is kept no more.
        Rejection::Forgotten => ErrorKind::Unknown,
        Rejection::IdReused | Rejection::Expired { .. } | Rejection::Fenced => ErrorKind::Identity,
        Rejection::Busy { .. } => ErrorKind::Busy,
        Rejection::Silent { .. } | Rejection::Dissolved { .. } => ErrorKind::Unavailable,
        Rejection::WrongType { .. }
        | Rejection::UnknownType { .. }
        | Rejection::TooLarge { .. }
        | Rejection::Panicked { .. }
        | Rejection::Level { .. }
        | Rejection::Invalid { .. } => ErrorKind::Invalid,
    };
    Error::new(kind, rejection.to_string()).with_transaction(id).with_rejection(rejection)
}

/// The error of an outcome that is not known.
pub(crate) fn unknown(cause: UnknownCause, id: TransactionId) -> Error {
    Error::caused(ErrorKind::Unknown, cause.to_string(), cause).with_transaction(id)
}

/// The error of a write that was not logged.
pub(crate) fn refused_error(refused: Refused, id: TransactionId) -> Error {
    let error = match refused {
        Refused::Log(error) => {
            let kind = match &error {
                LogError::DiskFull(_) => ErrorKind::DiskFull,
                LogError::Busy { .. } => ErrorKind::Busy,
                LogError::TooLarge { .. } => ErrorKind::Invalid,
                _ => ErrorKind::Unavailable,
            };
            Error::caused(kind, error.to_string(), error)
        }
        Refused::DiskFull(detail) => Error::new(ErrorKind::DiskFull, detail),
        Refused::ReadOnly(reason) => {
            Error::new(ErrorKind::Unavailable, format!("the node is read-only: {reason}"))
        }
        Refused::Closing => closed(),
        Refused::Unavailable { detail, retry_after } => {
            Error::new(ErrorKind::Unavailable, detail).with_retry_after(retry_after)
        }
    };
    error.with_transaction(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effect;

    #[test]
    fn c10_a_result_that_is_kept_no_more_is_unknown_and_not_a_refusal() {
        let id = TransactionId::new(weald_core::PlacementKey::from_u64(1), [1; 16]);
        let told = |rejection| {
            let error = rejected(rejection, id);
            (error.kind(), error.effect())
        };
        assert_eq!(told(Rejection::Forgotten), (ErrorKind::Unknown, Effect::Unknown));
        assert_eq!(told(Rejection::Fenced), (ErrorKind::Identity, Effect::None));
    }
}
