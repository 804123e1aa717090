//! A topic.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use weald_collections::{ReadError, SourceReader};
use weald_core::{BlockId, CreateMode, Time, identity::KeyStore};
use weald_pubsub::{
    self as pubsub, AdminAction, AdminRequest, ChannelState, CreationToken, PruneAnswer, Signed,
    TopicAddress, TopicId, TopicOptions, TopicPolicy, TopicReadError, limits::PRUNE_MAX,
};

use super::{
    GroupConsumer, PublishOptions, PublishReceipt, SubscribeOptions, Subscription,
    error::is_unreached, housekeeping::pruned, limits::ATTEMPT_MAX, refusal_of, topic_read_error,
};
use crate::{
    Consistency, Error, ErrorKind, Position, Result, Weald,
    backend::{Reading, Version},
    node::read,
    write::WriteOptions,
};

/// A topic. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
/// use weald::{SubscribeOptions, TopicEvent, Weald};
/// let node = Weald::in_memory().await?;
/// let chat = node.topic("chat").create().await?;
/// chat.publish("hello").await?;
/// let mut seen = chat.subscribe(SubscribeOptions::default()).await?;
/// let Some(Ok(TopicEvent::Message(first))) = seen.next().await else { panic!("it is there") };
/// assert_eq!((first.position.0, &first.body[..]), (1, &b"hello"[..]));
/// assert!(matches!(seen.next().await, Some(Ok(TopicEvent::CaughtUp { .. }))));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Topic {
    pub(super) node: Weald,
    pub(super) code: pubsub::Topic,
    pub(super) policy: Arc<TopicPolicy>,
    id: BlockId,
    reading: Reading,
}

impl Topic {
    pub(super) fn new(node: &Weald, options: TopicOptions) -> Self {
        let code = pubsub::Topic::new(options.address);
        let id = BlockId::header(&code.collection());
        let (policy, reading) = (Arc::new(options.policy), Reading::default());
        Self { node: node.clone(), code, policy, id, reading }
    }

    pub(crate) async fn open(node: &Weald, topic: TopicId) -> Result<Self> {
        let options = match node.running()?.topics.known(&topic) {
            None => options(node, topic).await?,
            // It can be published to while it is not reached.
            Some(known) => match tokio::time::timeout(ATTEMPT_MAX, options(node, topic)).await {
                Ok(Ok(options)) => options,
                Ok(Err(error)) if !is_unreached(&error) => return Err(error),
                Ok(Err(_)) | Err(_) => known,
            },
        };
        Ok(Self::new(node, options))
    }

    pub(crate) async fn create(
        node: &Weald,
        topic: TopicId,
        mode: CreateMode,
        (policy, token): (TopicPolicy, Option<Signed<CreationToken>>),
    ) -> Result<Self> {
        match (Self::open(node, topic).await, mode) {
            (Ok(there), CreateMode::OpenOrCreate) => return Ok(there),
            (Ok(_), CreateMode::Create) => return Err(exists()),
            (Err(error), _) if error.kind() == ErrorKind::NotFound => {}
            (Err(error), _) => return Err(error),
        }
        let network = node.running()?.backend.network().wait().await?;
        let code = pubsub::Topic::new(TopicAddress { network, topic });
        let action = code.create(mode, policy, token);
        match node.commit_actions(vec![action], WriteOptions::default()).await {
            // It is there and has ended, since it could not be opened; or another was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => revive(node, code).await?,
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        match Self::open(node, topic).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                revive(node, code).await?;
                Self::open(node, topic).await
            }
            opened => opened,
        }
    }

    /// The same topic, read as fresh as `consistency` says. Default: linearizable. Subscriptions and
    /// publishing are not concerned.
    #[must_use]
    pub fn consistency(&self, consistency: Consistency) -> Self {
        Self { reading: Reading { consistency, ..self.reading }, ..self.clone() }
    }

    /// The same topic, read as it was at `position` of the log or later.
    #[must_use]
    pub fn at_least(&self, position: Position) -> Self {
        Self { reading: Reading { at_least: Some(position), ..self.reading }, ..self.clone() }
    }

    /// The topic's id: a digest of its name, under which nodes know it.
    pub const fn id(&self) -> TopicId {
        self.address().topic
    }

    /// The network and the topic, as messages and signatures name them.
    pub const fn address(&self) -> &TopicAddress {
        self.code.address()
    }

    /// The rules, fixed when the topic was made.
    pub fn policy(&self) -> &TopicPolicy {
        &self.policy
    }

    /// Publishes a message: it is in the topic, at its position, when this returns. Whoever stops
    /// waiting does not call it back.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").open_or_create().await?;
    /// let first = chat.publish("one").await?;
    /// let second = chat.publish("two").await?;
    /// assert_eq!(first.position.unwrap().next(), second.position.unwrap());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Unknown` when its fate is not certain in time: it is brought to the topic as it is until that
    /// is so, once. `Busy` when too much waits, or too often; `Invalid` when the rules do not
    /// allow it.
    pub async fn publish(&self, body: impl Into<Bytes>) -> Result<PublishReceipt> {
        self.publish_with(body, PublishOptions::default()).await
    }

    /// As [`Topic::publish`], with options.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use std::time::Duration;
    /// use weald::PublishOptions;
    /// let chat = node.topic("chat").open_or_create().await?;
    /// let expires_in = Some(Duration::from_secs(60));
    /// chat.publish_with("soon gone", PublishOptions { expires_in, ..Default::default() }).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Topic::publish`].
    pub async fn publish_with(
        &self,
        body: impl Into<Bytes>,
        options: PublishOptions,
    ) -> Result<PublishReceipt> {
        let mut results = self.publish_batch([body], options).await?;
        results.pop().expect("a message has a result")
    }

    /// Publishes messages in order, each with a result of its own. They share log entries as far as
    /// they fit.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use weald::PublishOptions;
    /// let chat = node.topic("chat").open_or_create().await?;
    /// let done = chat.publish_batch(["one", "two"], PublishOptions::default()).await?;
    /// assert_eq!(done[1].as_ref().unwrap().position.unwrap().0, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Busy` when too much waits, and then none was taken. What becomes of each is in its result.
    pub async fn publish_batch<B: Into<Bytes>>(
        &self,
        bodies: impl IntoIterator<Item = B>,
        options: PublishOptions,
    ) -> Result<Vec<Result<PublishReceipt>>> {
        let bodies: Vec<Bytes> = bodies.into_iter().map(Into::into).collect();
        if let Some(own) = &options.transaction_id {
            let [body] = &bodies[..] else {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    "an id of the caller's names one message",
                ));
            };
            return Ok(vec![self.publish_once(body.clone(), own, &options).await]);
        }
        loop {
            let running = self.node.running()?;
            let publishing = running.topics.publishing(self).await?;
            let timeout = options.timeout.unwrap_or(running.config.write_timeout);
            drop(running);
            // A run that ended before it took them, as with a topic that ended, makes room for another.
            let done = publishing.publish(bodies.clone(), options.expires_in, timeout).await?;
            if let Some(results) = done {
                return Ok(results);
            }
        }
    }

    /// Subscribes: a stream of what the topic retains, `CaughtUp`, then what is published from then
    /// on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use weald::{StartAt, SubscribeOptions, TopicEvent};
    /// let chat = node.topic("chat").open_or_create().await?;
    /// chat.publish("before").await?;
    /// let from = StartAt::Now;
    /// let mut live = chat.subscribe(SubscribeOptions { from, ..Default::default() }).await?;
    /// assert!(matches!(live.next().await, Some(Ok(TopicEvent::CaughtUp { .. }))));
    /// chat.publish("after").await?;
    /// let Some(Ok(event)) = live.next().await else { panic!("it comes") };
    /// assert_eq!(event.into_message().unwrap().body, "after");
    /// live.unsubscribe().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` when the topic has ended; `Invalid` for options out of range, and for a position
    /// that the topic has not come to.
    pub async fn subscribe(&self, options: SubscribeOptions) -> Result<Subscription> {
        options.check()?;
        if !self.policy.subscribers.allows(&self.keys()?.public().peer_id()) {
            return Err(super::error::refused(pubsub::TopicRefusal::Denied));
        }
        Subscription::begin(self, options).await
    }

    /// A consumer of a group, for whoever wants to fetch by itself.
    pub fn consumer(&self, group: &str) -> GroupConsumer {
        GroupConsumer::new(self, group)
    }

    /// Removes what has expired, in one bounded step. It happens by itself, too; log time decides
    /// and anyone may ask.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").create().await?;
    /// chat.publish("one").await?;
    /// assert_eq!(chat.prune().await?.removed, 0, "nothing has expired");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When it cannot be logged.
    pub async fn prune(&self) -> Result<PruneAnswer> {
        pruned(&self.node, self.code.prune(PRUNE_MAX)).await
    }

    /// Ends the topic. Its owner may, and the network's administrator: this node's key must be
    /// theirs. What is left is removed in steps.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use weald::{ChannelState, TopicPolicy};
    /// let owner = Some(node.public_key()?);
    /// let policy = TopicPolicy { owner, ..TopicPolicy::default() };
    /// let chat = node.topic("chat").policy(policy).create().await?;
    /// chat.delete().await?;
    /// assert_eq!(chat.channel_state().await?, ChannelState::Deleted);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` when this node is not the owner.
    pub async fn delete(&self) -> Result<()> {
        let generation = self.head().await?.generation;
        let action = administer(&self.node, &self.code, (generation, AdminAction::Delete))?;
        let mut left = pruned(&self.node, action).await?.has_more;
        while left {
            left = self.prune().await?.has_more;
        }
        Ok(())
    }

    /// Runs `look` on the topic as it is read.
    pub(super) async fn look<T>(
        &self,
        look: impl FnMut(&mut SourceReader<'_>) -> std::result::Result<T, TopicReadError>,
    ) -> Result<T> {
        look_at(&self.version().await?, look).await
    }

    /// The state that it is read from.
    pub(super) async fn version(&self) -> Result<Version> {
        self.node.version(self.id, &self.reading).await
    }

    /// The same topic, without a hold on the node.
    pub(super) fn distant(&self) -> DistantTopic {
        DistantTopic { code: self.code, policy: Arc::clone(&self.policy) }
    }

    /// The key that signs for this node.
    pub(super) fn keys(&self) -> Result<Arc<dyn KeyStore>> {
        self.node.running()?.topics.keys()
    }
}

/// A topic without its node.
pub(super) struct DistantTopic {
    code: pubsub::Topic,
    policy: Arc<TopicPolicy>,
}

impl DistantTopic {
    /// The topic at a node.
    pub(super) fn near(&self, node: Weald) -> Topic {
        let id = BlockId::header(&self.code.collection());
        let policy = Arc::clone(&self.policy);
        Topic { node, code: self.code, policy, id, reading: Reading::default() }
    }
}

/// The settings of a topic, as they are read from it.
async fn options(node: &Weald, topic: TopicId) -> Result<TopicOptions> {
    let version = node.latest(BlockId::header(&topic.collection())).await?;
    // What the address says of the network is in what is read.
    let found = pubsub::Topic::new(TopicAddress { network: weald_core::Digest::ZERO, topic });
    look_at(&version, |reader| found.options(reader)).await
}

/// Runs `look` on a version of a topic.
pub(crate) async fn look_at<T>(
    version: &Version,
    mut look: impl FnMut(&mut SourceReader<'_>) -> std::result::Result<T, TopicReadError>,
) -> Result<T> {
    let done = read(version, |reader| match look(reader) {
        Err(TopicReadError::Read(error)) => Err::<_, ReadError>(error),
        done => Ok(done),
    });
    done.await?.map_err(topic_read_error)
}

/// The action of the owner.
pub(super) fn administer(
    node: &Weald,
    code: &pubsub::Topic,
    (generation, action): (u64, AdminAction),
) -> Result<weald_core::Action> {
    let running = node.running()?;
    let keys = running.topics.keys()?;
    let request = AdminRequest { signed_at: running.clock.now(), generation, action };
    let signed = Signed::new(code.address(), request, &*keys).map_err(key_error)?;
    Ok(code.administer(signed))
}

/// The error of a key that does not sign.
pub(super) fn key_error(error: weald_core::identity::KeyError) -> Error {
    Error::caused(ErrorKind::Unavailable, error.to_string(), error)
}

fn exists() -> Error {
    Error::new(ErrorKind::AlreadyExists, "the topic exists already")
}

/// The pause before the rest of a topic that has ended is looked at again.
const CLEAR_PAUSE: Duration = Duration::from_millis(10);

/// Begins a topic that has ended anew.
async fn revive(node: &Weald, code: pubsub::Topic) -> Result<()> {
    loop {
        let generation = ended(node, code).await?.ok_or_else(exists)?;
        let action = administer(node, &code, (generation, AdminAction::Revive))?;
        match node.commit_actions(vec![action], WriteOptions::default()).await {
            Ok(_) => return Ok(()),
            // Something is left of what was there before.
            Err(error) if error.kind() == ErrorKind::Busy && refusal_of(&error).is_some() => {
                pruned(node, code.prune(PRUNE_MAX)).await?;
                tokio::time::sleep(CLEAR_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The generation of a topic that has ended; `None` for one that has not.
async fn ended(node: &Weald, code: pubsub::Topic) -> Result<Option<u64>> {
    let version = node.latest(BlockId::header(&code.collection())).await?;
    let head = look_at(&version, |reader| code.any_head(reader)).await?;
    Ok((head.state == ChannelState::Deleted).then_some(head.generation))
}

/// Log time as far as this process knows it.
pub(super) fn time(node: &Weald) -> Result<Time> {
    Ok(node.running()?.clock.now())
}
