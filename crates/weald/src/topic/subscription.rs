//! A subscription, as the application has it.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use weald_core::Digest;
use weald_pubsub::{SubscriberConfig, SubscriberId, TopicPosition};

use super::{
    StartAt, SubscribeOptions, Topic, TopicEvent,
    bookmark::Bookmark,
    group::Sharing,
    receiving::{Receiving, Start},
};
use crate::{Consistency, Error, ErrorKind, Result};

/// A stream of what a topic has, each position once and in order. It goes on over members that die
/// and over pauses of the network; it ends with an error when the topic ends or cannot be read.
/// Dropped, it unsubscribes as well as it can.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
/// # let node = weald::Weald::in_memory().await?;
/// use weald::{SubscribeOptions, TopicPosition};
/// let chat = node.topic("chat").create().await?;
/// chat.publish("one").await?;
/// let durable = SubscribeOptions { durable: Some("reader".into()), ..Default::default() };
/// let mut reader = chat.subscribe(durable.clone()).await?;
/// let one = reader.next().await.unwrap()?.into_message().unwrap();
/// reader.acknowledge(one.position).await?;
/// drop(reader);
/// chat.publish("two").await?;
/// let mut again = chat.subscribe(durable).await?;
/// let two = again.next().await.unwrap()?.into_message().unwrap();
/// assert_eq!(two.body, "two");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Subscription(Kind);

#[derive(Debug)]
enum Kind {
    Stream(Receiving),
    Group(Sharing),
}

impl Subscription {
    pub(super) async fn begin(topic: &Topic, options: SubscribeOptions) -> Result<Self> {
        if let Some(group) = &options.group {
            return Ok(Self(Kind::Group(Sharing::start(topic, group, &options).await?)));
        }
        let next = topic.consistency(Consistency::Linearizable).head().await?.next;
        let known = match &options.durable {
            Some(name) => Bookmark::read(topic, name).await?,
            None => None,
        };
        let last = TopicPosition(next.0.saturating_sub(1));
        let cursor = match (known, options.from) {
            // What is kept of a topic that began anew elsewhere is not ahead of it.
            (Some(kept), _) => kept.position.min(last),
            (None, StartAt::Beginning) => TopicPosition::ZERO,
            (None, StartAt::Now) => last,
            (None, StartAt::After(position)) if position < next => position,
            (None, StartAt::After(position)) => return Err(ahead(position, next)),
        };
        let (id, generation) = (subscriber_id(topic, &options)?, known.map(|kept| kept.generation));
        let start = Start { id, cursor, next, generation };
        let config = SubscriberConfig {
            window: options.credit,
            lease: lease(&options, topic),
            ..SubscriberConfig::default()
        };
        Ok(Self(Kind::Stream(Receiving::start(topic, config, start, options.durable)?)))
    }

    /// The next event; waits for one. `None` only after an error, or the end.
    pub async fn next(&mut self) -> Option<Result<TopicEvent>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// The application is done with everything up to `position`, or, in a group, with this message.
    /// A durable subscription keeps it; when this returns it is kept. Positions that were not told
    /// say nothing.
    ///
    /// # Errors
    /// When it cannot be kept. It is tried on.
    pub async fn acknowledge(&self, position: TopicPosition) -> Result<()> {
        match &self.0 {
            Kind::Stream(receiving) => receiving.acknowledging().acknowledge(position).await,
            Kind::Group(sharing) => sharing.acknowledge(position).await,
        }
    }

    /// A hold on what is told, for whoever acknowledges it while another takes the events; `None` in
    /// a group.
    #[cfg(feature = "http")]
    pub(crate) fn acknowledging(&self) -> Option<super::Acknowledging> {
        match &self.0 {
            Kind::Stream(receiving) => Some(receiving.acknowledging()),
            Kind::Group(_) => None,
        }
    }

    /// The last position that was told: what [`StartAt::After`] goes on from.
    pub fn last_seen_version(&self) -> TopicPosition {
        match &self.0 {
            Kind::Stream(receiving) => receiving.last_seen(),
            Kind::Group(sharing) => sharing.last_seen(),
        }
    }

    /// The last position that was acknowledged.
    pub fn acknowledged(&self) -> TopicPosition {
        match &self.0 {
            Kind::Stream(receiving) => receiving.cursor(),
            Kind::Group(sharing) => sharing.last_seen(),
        }
    }

    /// Renews the subscription now and waits for the topic's answer. It happens by itself at two
    /// thirds of the time.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").create().await?;
    /// let reader = chat.subscribe(Default::default()).await?;
    /// reader.renew().await?;
    /// assert_eq!(chat.subscribers(weald::TopicVersion::ZERO).await?.len(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What the topic refuses.
    pub async fn renew(&self) -> Result<()> {
        match &self.0 {
            Kind::Stream(receiving) => receiving.renew().await,
            Kind::Group(_) => Ok(()),
        }
    }

    /// Ends the subscription and waits until the topic knows. What a durable one has acknowledged
    /// stays.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let chat = node.topic("chat").create().await?;
    /// let reader = chat.subscribe(Default::default()).await?;
    /// reader.unsubscribe().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the topic has not answered in time: the subscription ends with its lease.
    pub async fn unsubscribe(self) -> Result<()> {
        match self.0 {
            Kind::Stream(receiving) => receiving.unsubscribe().await,
            Kind::Group(sharing) => sharing.end().await,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<TopicEvent>>> {
        match &mut self.0 {
            Kind::Stream(receiving) => receiving.poll(cx),
            Kind::Group(sharing) => sharing.poll(cx),
        }
    }
}

impl Stream for Subscription {
    type Item = Result<TopicEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

/// The subscriber's number: a durable one has the same each time, so that it is one lease.
fn subscriber_id(topic: &Topic, options: &SubscribeOptions) -> Result<SubscriberId> {
    let running = topic.node.running()?;
    let peer = running.topics.keys()?.public().peer_id();
    let stream = match &options.durable {
        Some(name) => u64::from_be_bytes(Digest::of("weald durable", &[name.as_bytes()]).prefix()),
        None => {
            let mut drawn = [0; 8];
            running.entropy.lock().fill(&mut drawn);
            u64::from_be_bytes(drawn)
        }
    };
    Ok(SubscriberId { peer, stream })
}

/// How long the lease is asked for: what the policy allows, less what clocks may differ by.
fn lease(options: &SubscribeOptions, topic: &Topic) -> std::time::Duration {
    let max = topic.policy().lease_max;
    options.lease.min(max - (max / 8).min(std::time::Duration::from_secs(60)))
}

fn ahead(position: TopicPosition, next: TopicPosition) -> Error {
    let what = format!("the topic has not come to the position: position={position} next={next}");
    Error::new(ErrorKind::Invalid, what)
}
