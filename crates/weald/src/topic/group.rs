//! Groups: consumers that share the messages of a topic.

mod pace;
mod sharing;

use std::time::Duration;

use weald_core::{Rejection, Time};
use weald_pubsub::{
    Given, GroupAction, GroupAnswer, GroupRequest, GroupState, Signed, TopicPosition, TopicRefusal,
};

use super::{
    StartAt, Topic, TopicMessage, handle::key_error, limits::GROUP_CREDIT_MAX, look_at,
    options::check_group,
};
use crate::{
    Consistency, Error, ErrorKind, Result,
    write::{WriteOptions, undecodable},
};

pub(super) use sharing::Sharing;

/// Attempts of one request before its outcome is given up as unknown.
const ATTEMPTS_MAX: u32 = 3;

/// A consumer of a group: fetches messages, which are its own until a deadline, and acknowledges
/// them. A message that was given as often as the topic's policy allows becomes a dead letter.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
/// # let node = weald::Weald::in_memory().await?;
/// use std::time::Duration;
/// use weald::StartAt;
/// let jobs = node.topic("jobs").create().await?;
/// jobs.publish("first").await?;
/// let worker = jobs.consumer("workers");
/// let given = worker.fetch(10, Duration::from_secs(30), StartAt::Beginning).await?;
/// assert_eq!((given.len(), given[0].attempt), (1, 1));
/// assert_eq!(worker.acknowledge(vec![given[0].position]).await?, [true]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct GroupConsumer {
    topic: Topic,
    group: String,
}

impl GroupConsumer {
    pub(super) fn new(topic: &Topic, group: &str) -> Self {
        Self { topic: topic.clone(), group: group.to_owned() }
    }

    /// Up to `max` messages, 256 at most, that are this node's until `within` has passed: first what
    /// others have let pass, then what is new. A new group begins at `start`.
    ///
    /// # Errors
    /// What the topic refuses; `Unknown` when it has not answered: what it gave then is given again
    /// once `within` has passed.
    pub async fn fetch(
        &self,
        max: usize,
        within: Duration,
        start: StartAt,
    ) -> Result<Vec<TopicMessage>> {
        let given = self.give(max.clamp(1, GROUP_CREDIT_MAX), within, start).await?;
        self.messages(&given).await
    }

    /// Begins a group that is new, and fetches nothing.
    async fn join(&self, within: Duration, start: StartAt) -> Result<()> {
        self.give(0, within, start).await.map(drop)
    }

    async fn give(&self, max: usize, within: Duration, start: StartAt) -> Result<Vec<Given>> {
        let start = match start {
            StartAt::Beginning => TopicPosition(1),
            StartAt::Now => self.topic.head().await?.next,
            StartAt::After(position) => position.next(),
        };
        let deadline = super::handle::time(&self.topic.node)?.after(within);
        match self.ask(GroupAction::Fetch { max, deadline, start }).await? {
            GroupAnswer::Given(given) => Ok(given),
            GroupAnswer::Settled(_) => Err(unfitting()),
        }
    }

    /// These are done. For each whether it was this node's.
    ///
    /// # Errors
    /// What the topic refuses.
    pub async fn acknowledge(&self, positions: Vec<TopicPosition>) -> Result<Vec<bool>> {
        self.settle(GroupAction::Acknowledge(positions)).await
    }

    /// These are given to others at once. For each whether it was this node's.
    ///
    /// # Errors
    /// What the topic refuses.
    pub async fn give_back(&self, positions: Vec<TopicPosition>) -> Result<Vec<bool>> {
        self.settle(GroupAction::Return(positions)).await
    }

    /// Takes dead letters off the list. For each whether it was on it.
    ///
    /// # Errors
    /// What the topic refuses.
    pub async fn bury(&self, positions: Vec<TopicPosition>) -> Result<Vec<bool>> {
        self.settle(GroupAction::Bury(positions)).await
    }

    /// What the topic knows of the group, its dead letters among it; `None` when there is none.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let jobs = node.topic("jobs").create().await?;
    /// assert_eq!(jobs.consumer("workers").state().await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn state(&self) -> Result<Option<GroupState>> {
        Ok(self.state_at().await?.0)
    }

    /// What the topic knows of the group, and log time where that was read.
    async fn state_at(&self) -> Result<(Option<GroupState>, Time)> {
        let (code, version) = (self.topic.code, self.topic.version().await?);
        let state = look_at(&version, |reader| code.group(reader, &self.group)).await?;
        Ok((state, version.log_time()))
    }

    async fn settle(&self, action: GroupAction) -> Result<Vec<bool>> {
        match self.ask(action).await? {
            GroupAnswer::Settled(settled) => Ok(settled),
            GroupAnswer::Given(_) => Err(unfitting()),
        }
    }

    /// Brings a request to the topic, once those of this node before it are through: nonces rise in the
    /// order in which they are applied.
    async fn ask(&self, action: GroupAction) -> Result<GroupAnswer> {
        check_group(&self.group)?;
        let running = self.topic.node.running()?;
        let turn = running.topics.turn(self.topic.id(), &self.group)?;
        let patience = running.config.write_timeout;
        drop(running);
        let Ok(_turn) = tokio::time::timeout(patience, turn.lock()).await else {
            let what = "other requests of this node to the group are under way";
            return Err(Error::new(ErrorKind::Busy, what));
        };
        match self.sign_and_bring(action.clone(), 0).await {
            // The clock was set back. Nothing has happened, so it is another request.
            Err(error) if is_stale_nonce(&error) => {
                let highest = self.highest_nonce().await?;
                self.sign_and_bring(action, highest).await
            }
            done => done,
        }
    }

    /// The highest nonce of this node that the group knows.
    async fn highest_nonce(&self) -> Result<u64> {
        let newest = Self::new(&self.topic.consistency(Consistency::Linearizable), &self.group);
        let me = self.topic.keys()?.public().peer_id();
        let consumers = newest.state().await?.unwrap_or_default().consumers;
        Ok(consumers.get(&me).map_or(0, |(highest, _)| *highest))
    }

    /// Signs a request with a nonce above `highest` and brings it to the topic. Repeated it is the same
    /// transaction, so it happens once.
    async fn sign_and_bring(&self, action: GroupAction, highest: u64) -> Result<GroupAnswer> {
        let running = self.topic.node.running()?;
        let keys = running.topics.keys()?;
        let signed_at = running.clock.now();
        let nonce = running.topics.nonce(signed_at, highest);
        drop(running);
        let request = GroupRequest { group: self.group.clone(), nonce, signed_at, action };
        let signed = Signed::new(self.topic.address(), request, &*keys).map_err(key_error)?;
        let id = format!("group {} {nonce}", keys.public().peer_id());
        let action = self.topic.code.consume(signed);
        let mut unknown = None;
        for _ in 0..ATTEMPTS_MAX {
            let options = WriteOptions { caller_id: Some(id.clone()), ..WriteOptions::default() };
            match self.topic.node.commit_actions(vec![action.clone()], options).await {
                Ok(reply) => {
                    let decoded = GroupAnswer::decode(reply.answer()?);
                    return decoded.map_err(|error| undecodable(&error));
                }
                Err(error) if error.kind() == ErrorKind::Unknown => unknown = Some(error),
                // The nonce may have been used by the attempt that was not answered.
                Err(error) if is_stale_nonce(&error) => return Err(unknown.unwrap_or(error)),
                Err(error) => return Err(error),
            }
        }
        Err(unknown.expect("an attempt was made"))
    }

    /// The messages that were given. One that has expired meanwhile is not there.
    async fn messages(&self, given: &[Given]) -> Result<Vec<TopicMessage>> {
        let mut messages = Vec::with_capacity(given.len());
        for Given { position, attempt, .. } in given {
            let found = self.topic.message(*position).await?;
            messages.extend(found.map(|message| TopicMessage {
                attempt: *attempt,
                ..TopicMessage::new(self.topic.address(), *position, message, 0)
            }));
        }
        Ok(messages)
    }
}

/// Whether a request was refused since one with its nonce, or a higher one, was there before.
fn is_stale_nonce(error: &Error) -> bool {
    let stale = TopicRefusal::StaleNonce { highest: 0 }.code();
    matches!(error.rejection(), Some(Rejection::Custom { code, .. }) if *code == stale)
}

fn unfitting() -> Error {
    Error::new(ErrorKind::Damaged, "a topic answers another request than was made")
}
