//! Publishing under an id of the caller's own: a retry has the first result, through whichever node
//! it comes.
//!
//! Such a message is a transaction of its own under the caller's id, whose result its partition keeps
//! (rule C10). What a gateway adds to it, its own signature among it, is in the bytes that are
//! compared, so a retry is refused as another request of the id. Then the first result is looked up,
//! and counts if its message has the same body. A refusal that says nothing of the message, such as
//! one of the rate, leaves the id for a later attempt: that goes under the next of a fixed row of ids.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use weald_core::{Action, Digest, Rejection, Time, TransactionId, identity::KeyStore};
use weald_pubsub::{
    BatchMode, Draft, Incarnation, Message, PublishAnswer, Published, PublisherSequence,
    TopicRefusal,
};

use super::{
    PublishOptions, PublishReceipt, Topic,
    error::{refusal_kind, refused},
    handle::{key_error, time},
    publishing::{IDLE_MAX, checked, lifetime},
    registry::last_run,
};
use crate::{
    Consistency, Effect, Error, ErrorKind, Result, TransactionStatus,
    node::{blocking, rejected},
    write::{WriteOptions, undecodable},
};

/// Attempts of which each has an id of its own, for one id of the caller's.
const IDS_MAX: u32 = 8;
/// The pause before a request that was not logged is made again.
const PAUSE: Duration = Duration::from_millis(50);

/// What a node publishes to one topic under ids of callers, one message after the other.
pub(super) type Lane = tokio::sync::Mutex<Option<LaneRun>>;

/// A run of the node's publisher: of it every sequence is certain.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneRun {
    incarnation: Incarnation,
    next: PublisherSequence,
    used_at: Time,
}

/// A publish under an id of the caller's.
struct Once<'a> {
    topic: &'a Topic,
    keys: Arc<dyn KeyStore>,
    body: Bytes,
    own: &'a str,
    expires_in: Option<Duration>,
    deadline: Instant,
}

/// What has come of one request.
enum Outcome {
    /// The message is in the topic.
    Published(Box<Message>, Published),
    /// The id has a result that is not this request's.
    Reused(TransactionId),
    /// It was refused.
    Refused(Error),
}

impl Topic {
    /// Publishes a message under the caller's id `own`.
    ///
    /// # Errors
    /// `Identity` when the id was used for another content; as a publish otherwise.
    pub(super) async fn publish_once(
        &self,
        body: Bytes,
        own: &str,
        options: &PublishOptions,
    ) -> Result<PublishReceipt> {
        let running = self.node.running()?;
        let keys = running.topics.keys()?;
        let lane = running.topics.lane(self.id())?;
        let timeout = options.timeout.unwrap_or(running.config.write_timeout);
        drop(running);
        checked(&self.policy, &keys.public().peer_id(), &body).map_err(refused)?;
        let deadline = Instant::now() + timeout;
        let Ok(mut lane) = timeout_at(deadline, lane.lock()).await else {
            let what = "other publishes under ids of callers are under way";
            return Err(Error::new(ErrorKind::Busy, what));
        };
        let expires_in = options.expires_in;
        Once { topic: self, keys, body, own, expires_in, deadline }.run(&mut lane).await
    }
}

impl Once<'_> {
    async fn run(&self, lane: &mut Option<LaneRun>) -> Result<PublishReceipt> {
        let mut last = None;
        for nth in 0..IDS_MAX {
            match self.attempt(lane, &self.id(nth)).await? {
                Outcome::Published(message, published) => return Ok(receipt(&message, published)),
                Outcome::Refused(error) if is_of_run(&error) => {
                    *lane = None;
                    last = Some(error);
                }
                Outcome::Refused(error) => return Err(error),
                Outcome::Reused(id) => match self.first(id).await? {
                    Ok(receipt) => return Ok(receipt),
                    Err(error) => last = Some(error),
                },
            }
        }
        Err(last.expect("there was an attempt"))
    }

    /// The id of the `nth` attempt: the caller's own for the first.
    fn id(&self, nth: u32) -> String {
        match nth {
            0 => self.own.to_owned(),
            nth => format!("{nth} {}", Digest::of("weald publish", &[self.own.as_bytes()])),
        }
    }

    async fn attempt(&self, lane: &mut Option<LaneRun>, id: &str) -> Result<Outcome> {
        let now = time(&self.topic.node)?;
        let known = lane.filter(|run| now.since(run.used_at) < IDLE_MAX);
        let run = match known {
            Some(run) => run,
            None => self.begin(now).await?,
        };
        let message = self.message(now, run).await?;
        *lane = Some(LaneRun { used_at: now, ..run });
        let action = self.topic.code.publish(vec![message.clone()], BatchMode::Whole);
        let outcome = self.bring(action, (message, id)).await;
        match &outcome {
            Ok(Outcome::Published(..)) => {
                *lane = Some(LaneRun { next: run.next.next(), used_at: now, ..run });
            }
            // Whether the sequence is passed is not certain, so another run follows.
            Err(error) if error.effect() == Effect::Unknown => *lane = None,
            _ => {}
        }
        outcome
    }

    async fn begin(&self, now: Time) -> Result<LaneRun> {
        let newest = self.topic.consistency(Consistency::Linearizable);
        let last = last_run(&newest, self.keys.public().peer_id(), None).await?;
        let running = self.topic.node.running()?;
        let incarnation = running.topics.incarnation(now, last);
        Ok(LaneRun { incarnation, next: PublisherSequence(1), used_at: now })
    }

    async fn message(&self, now: Time, run: LaneRun) -> Result<Message> {
        let address = *self.topic.address();
        let policy = &self.topic.policy;
        let expires_at = now.after(lifetime(policy, self.expires_in));
        let (incarnation, sequence, body) = (run.incarnation, run.next, self.body.clone());
        let draft = Draft { incarnation, sequence, published_at: now, expires_at, body };
        let message = Message::sign(&address, draft, &*self.keys).map_err(key_error)?;
        match policy.work.filter(|rule| self.body.len() > rule.above_bytes) {
            Some(rule) => blocking(move || message.with_work(&address, rule.bits)).await,
            None => Ok(message),
        }
    }

    /// Has a request logged; the same again until its result is certain.
    async fn bring(&self, action: Action, (message, id): (Message, &str)) -> Result<Outcome> {
        let mut is_uncertain = false;
        loop {
            let timeout = Some(self.deadline.saturating_duration_since(Instant::now()));
            let options = WriteOptions { caller_id: Some(id.to_owned()), timeout };
            let error = match self.topic.node.commit_actions(vec![action.clone()], options).await {
                Ok(reply) => {
                    let published = published(reply.answer()?)?;
                    return Ok(Outcome::Published(Box::new(message), published));
                }
                Err(error) => error,
            };
            match (error.rejection(), error.transaction()) {
                (Some(Rejection::IdReused), Some(id)) => return Ok(Outcome::Reused(id)),
                (Some(_), _) => return Ok(Outcome::Refused(error)),
                (None, _) => {}
            }
            is_uncertain |= error.effect() == Effect::Unknown;
            let is_late = Instant::now() + PAUSE >= self.deadline;
            if is_late || !(is_uncertain || error.is_retryable()) {
                return Err(if is_uncertain { uncertain(&error) } else { error });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The first result of an id; the inner error is a refusal that leaves the id for a later attempt.
    async fn first(&self, id: TransactionId) -> Result<Result<PublishReceipt>> {
        let commit = match self.topic.node.resolve(id).await? {
            TransactionStatus::Committed(commit) => commit,
            TransactionStatus::Rejected(rejection) => {
                let error = rejected(rejection, id);
                return if is_passing(&error) { Ok(Err(error)) } else { Err(error) };
            }
            TransactionStatus::Pending => return Err(uncertain_id(id)),
            TransactionStatus::Forgotten => return Err(rejected(Rejection::Forgotten, id)),
        };
        let reused = || rejected(Rejection::IdReused, id);
        let first = commit.answers.first().and_then(|answer| published(answer).ok());
        let Published { id: named, position, .. } = first.ok_or_else(reused)?;
        let newest = self.topic.consistency(Consistency::Linearizable);
        let Some(message) = newest.message(position).await? else {
            let what =
                format!("it was published and is not retained any more: position={position}");
            return Err(Error::new(ErrorKind::Gone, what).with_transaction(id));
        };
        if message.body != self.body || message.id(self.topic.address()) != named {
            return Err(reused());
        }
        Ok(Ok(receipt(&message, Published { id: named, position, is_new: false })))
    }
}

/// The result of the one message of a request.
fn published(answer: &[u8]) -> Result<Published> {
    let answer = PublishAnswer::decode(answer).map_err(|error| undecodable(&error))?;
    match answer.results.into_iter().next() {
        Some(Ok(Some(published))) => Ok(published),
        _ => Err(undecodable(&"no message")),
    }
}

fn receipt(message: &Message, Published { id, position, .. }: Published) -> PublishReceipt {
    let (incarnation, sequence) = (message.incarnation, message.sequence);
    PublishReceipt { id, incarnation, sequence, position: Some(position) }
}

/// The code of a topic's refusal, if the error is one.
fn code(error: &Error) -> Option<u32> {
    match error.rejection()? {
        Rejection::Custom { code, .. } => Some(*code),
        _ => None,
    }
}

/// Whether a refusal is about the publisher's run, which another run has not.
fn is_of_run(error: &Error) -> bool {
    let gap = TopicRefusal::SequenceGap { expected: PublisherSequence::ZERO };
    let of_run = [gap, TopicRefusal::IdReused, TopicRefusal::Forgotten];
    code(error).is_some_and(|code| of_run.iter().any(|refusal| refusal.code() == code))
}

/// Whether a refusal says nothing of the message.
fn is_passing(error: &Error) -> bool {
    let is_busy = |code| refusal_kind(code) == Some(ErrorKind::Busy);
    is_of_run(error) || code(error).is_some_and(is_busy)
}

fn uncertain(error: &Error) -> Error {
    let what = "the deadline passed; publish it again under the same id";
    let unknown = Error::new(ErrorKind::Unknown, what);
    match error.transaction() {
        Some(id) => unknown.with_transaction(id),
        None => unknown,
    }
}

fn uncertain_id(id: TransactionId) -> Error {
    let what = "an attempt under this id is on its way; publish it again under the same id";
    Error::new(ErrorKind::Unknown, what).with_transaction(id)
}
