//! What is asked of a topic.

use serde::{Deserialize, Serialize};

use crate::{
    CreationToken, Message, Signed, Skip, TopicAddress, TopicPolicy,
    signed::{AdminRequest, GroupRequest, LeaseRequest},
};

/// The settings of a new topic, which stand in its collection's header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopicOptions {
    /// The network and the topic.
    pub address: TopicAddress,
    /// Its policy.
    pub policy: TopicPolicy,
    /// The permission to create it, where the network asks for one.
    pub token: Option<Signed<CreationToken>>,
}

/// What happens to a batch when one of its messages is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BatchMode {
    /// The others are published: each message has its own result.
    Each,
    /// None is, and the transaction is refused.
    Whole,
}

/// One operation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum TopicOperation {
    /// Publishes messages, which may be of several publishers.
    Publish { messages: Vec<Message>, mode: BatchMode },
    /// Passes over sequences.
    Skip(Vec<Skip>),
    /// Begins, prolongs or ends a subscription.
    Lease(Signed<LeaseRequest>),
    /// Gives messages to a consumer of a group, or takes its acknowledgements.
    Group(Signed<GroupRequest>),
    /// Removes what has expired, up to so many entries.
    Prune { limit: usize },
    /// What the owner asks.
    Admin(Signed<AdminRequest>),
}
