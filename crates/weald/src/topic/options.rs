//! What a publish and a subscription may be given, and what a publish answers.

use std::time::Duration;

use weald_pubsub::limits::GROUP_NAME_BYTES_MAX;
use weald_pubsub::{Incarnation, MessageId, PublisherSequence, TopicPosition};

use super::limits::{CREDIT_MAX, DURABLE_NAME_BYTES_MAX};
use crate::{Error, ErrorKind, Result};

/// What a publish may be given besides its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// How long the message is delivered, from now on. Default: as long as the topic's policy
    /// allows.
    pub expires_in: Option<Duration>,
    /// How long to wait for the outcome; then it is `Unknown`, and the message may still come.
    /// Default: the node's `write_timeout`.
    pub timeout: Option<Duration>,
    /// An id of the caller's own, of one message, up to 128 bytes: published again under it within 10
    /// minutes, through whichever node, a message has the first result and takes no second position.
    /// The same id with another body is `Identity`. Such a message is an entry of the log of its own,
    /// and is never queued. Default: none.
    pub transaction_id: Option<String>,
}

/// A message that is in the topic, or waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishReceipt {
    /// What names the message.
    pub id: MessageId,
    /// The publisher's run.
    pub incarnation: Incarnation,
    /// The publisher's count in it.
    pub sequence: PublisherSequence,
    /// Where it stands; `None` while it is queued, as a topic of the policy `Available` may answer
    /// whose home cannot be reached.
    pub position: Option<TopicPosition>,
}

impl PublishReceipt {
    /// Whether it waits for its topic to be reached.
    pub const fn is_queued(&self) -> bool {
        self.position.is_none()
    }
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// With the oldest message that is retained.
    #[default]
    Beginning,
    /// With what is published from now on.
    Now,
    /// Behind this position: the last that was seen.
    After(TopicPosition),
}

/// How to subscribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Where to begin. A durable subscription and a group that are known go on where they were.
    /// Default: with the oldest message that is retained.
    pub from: StartAt,
    /// Positions that may be on their way or wait for the application, 1 to 65,536. Default: 1024.
    /// More memory, fewer pauses.
    pub credit: u64,
    /// A name under which the topic keeps the last acknowledged position, for whoever subscribes
    /// under it next, on any node. Up to 128 bytes. Default: none; then nothing is kept.
    pub durable: Option<String>,
    /// Takes part in this group: each message goes to one of its consumers, and to another when it
    /// is not acknowledged in time. Up to 64 bytes. Default: none. Excludes `durable`.
    pub group: Option<String>,
    /// How long a consumer of a group may keep a message without acknowledging it, up to an hour.
    /// Default: 30 s.
    pub acknowledge_within: Duration,
    /// How long the subscription lasts without renewal, which comes by itself at two thirds of it.
    /// Default: as long as the topic's policy allows, at most 30 min.
    pub lease: Duration,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            from: StartAt::Beginning,
            credit: 1024,
            durable: None,
            group: None,
            acknowledge_within: Duration::from_secs(30),
            lease: Duration::from_secs(30 * 60),
        }
    }
}

/// Whether a durable subscription may have this name.
pub(super) fn check_durable(name: &str) -> Result<()> {
    if (1..=DURABLE_NAME_BYTES_MAX).contains(&name.len()) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, "durable is a name of 1 to 128 bytes"))
}

/// Whether a group may have this name.
pub(super) fn check_group(name: &str) -> Result<()> {
    if (1..=GROUP_NAME_BYTES_MAX).contains(&name.len()) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, "group is a name of 1 to 64 bytes"))
}

impl SubscribeOptions {
    pub(super) fn check(&self) -> Result<()> {
        self.durable.as_deref().map_or(Ok(()), check_durable)?;
        self.group.as_deref().map_or(Ok(()), check_group)?;
        let rules = [
            ((1..=CREDIT_MAX).contains(&self.credit), "credit is 1 to 65536"),
            (self.durable.is_none() || self.group.is_none(), "a group keeps its own position"),
            (!self.lease.is_zero(), "lease must not be zero"),
            (!self.acknowledge_within.is_zero(), "acknowledge_within must not be zero"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(Error::new(ErrorKind::Invalid, what)),
            None => Ok(()),
        }
    }
}
