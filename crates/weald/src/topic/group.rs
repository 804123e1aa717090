//! Groups: consumers that share the messages of a topic.

mod sharing;

use std::time::Duration;

use weald_core::Time;
use weald_pubsub::{
    Given, GroupAction, GroupAnswer, GroupRequest, GroupState, Signed, TopicPosition,
};

use super::{
    StartAt, Topic, TopicMessage, handle::key_error, limits::GROUP_CREDIT_MAX, look_at,
    options::check_group,
};
use crate::{
    Error, ErrorKind, Result,
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
        let start = match start {
            StartAt::Beginning => TopicPosition(1),
            StartAt::Now => self.topic.head().await?.next,
            StartAt::After(position) => position.next(),
        };
        let deadline = super::handle::time(&self.topic.node)?.after(within);
        let max = max.clamp(1, GROUP_CREDIT_MAX);
        let given = match self.ask(GroupAction::Fetch { max, deadline, start }).await? {
            GroupAnswer::Given(given) => given,
            GroupAnswer::Settled(_) => return Err(unfitting()),
        };
        self.messages(&given).await
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

    /// Brings a request to the topic. Repeated it is the same transaction, so it happens once.
    async fn ask(&self, action: GroupAction) -> Result<GroupAnswer> {
        check_group(&self.group)?;
        let running = self.topic.node.running()?;
        let keys = running.topics.keys()?;
        let signed_at = running.clock.now();
        let nonce = running.topics.nonce(signed_at);
        drop(running);
        let request = GroupRequest { group: self.group.clone(), nonce, signed_at, action };
        let signed = Signed::new(self.topic.address(), request, &*keys).map_err(key_error)?;
        let id = format!("group {} {nonce}", keys.public().peer_id());
        let action = self.topic.code.consume(signed);
        let mut attempt = 1;
        loop {
            let options = WriteOptions { caller_id: Some(id.clone()), ..WriteOptions::default() };
            match self.topic.node.commit_actions(vec![action.clone()], options).await {
                Ok(reply) => {
                    let decoded = GroupAnswer::decode(reply.answer()?);
                    return decoded.map_err(|error| undecodable(&error));
                }
                Err(error) if error.kind() == ErrorKind::Unknown && attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
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

fn unfitting() -> Error {
    Error::new(ErrorKind::Damaged, "a topic answers another request than was made")
}
