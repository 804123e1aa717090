//! A topic by its address: makes actions.

use bytes::Bytes;
use serde::Serialize;
use weald_core::{
    Action, ActionBody, CollectionName, CollectionPolicy, CreateMode, Retention,
    codec::{self, Kind},
};

use super::{BatchMode, TopicOptions, TopicType, operation::TopicOperation};
use crate::{
    CreationToken, Message, Signed, Skip, TopicAddress, TopicPolicy, kind,
    signed::{AdminRequest, GroupRequest, LeaseRequest},
};

/// Changes that the feed of a topic's collection keeps; the messages themselves are kept by the
/// topic's policy.
const CHANGES_MAX: u64 = 256;

/// A topic by its address. It holds nothing else, so it is never out of date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Topic {
    address: TopicAddress,
}

impl Topic {
    /// The topic at `address`, whether or not there is one.
    pub const fn new(address: TopicAddress) -> Self {
        Self { address }
    }

    /// Its address.
    pub const fn address(&self) -> &TopicAddress {
        &self.address
    }

    /// The collection that keeps it.
    pub fn collection(&self) -> CollectionName {
        self.address.topic.collection()
    }

    /// The action that creates the topic.
    pub fn create(
        &self,
        mode: CreateMode,
        policy: TopicPolicy,
        token: Option<Signed<CreationToken>>,
    ) -> Action {
        let options = TopicOptions { address: self.address, policy, token };
        let retention = Retention { entries_max: Some(CHANGES_MAX), ..Retention::ALL };
        self.action(ActionBody::Create {
            mode,
            version: TopicType::VERSION,
            policy: CollectionPolicy { retention },
            options: encoded(kind::OPTIONS, &options),
        })
    }

    /// The action that publishes messages in order. Answered by a
    /// [`PublishAnswer`](super::PublishAnswer).
    pub fn publish(&self, messages: Vec<Message>, mode: BatchMode) -> Action {
        self.apply(&TopicOperation::Publish { messages, mode })
    }

    /// The action that passes over sequences. Answered by a
    /// [`PublishAnswer`](super::PublishAnswer).
    pub fn skip(&self, skips: Vec<Skip>) -> Action {
        self.apply(&TopicOperation::Skip(skips))
    }

    /// The action that begins, prolongs or ends a subscription. Answered by a
    /// [`LeaseAnswer`](super::LeaseAnswer).
    pub fn lease(&self, request: Signed<LeaseRequest>) -> Action {
        self.apply(&TopicOperation::Lease(request))
    }

    /// The action of a consumer of a group. Answered by a [`GroupAnswer`](super::GroupAnswer).
    pub fn consume(&self, request: Signed<GroupRequest>) -> Action {
        self.apply(&TopicOperation::Group(request))
    }

    /// The action that removes up to `limit` entries that have expired. Anyone may ask for it: log
    /// time decides. Answered by a [`PruneAnswer`](super::PruneAnswer).
    pub fn prune(&self, limit: usize) -> Action {
        self.apply(&TopicOperation::Prune { limit })
    }

    /// The action of the owner: a deletion is answered by a [`PruneAnswer`](super::PruneAnswer), a
    /// union by a [`UnionAnswer`](super::UnionAnswer).
    pub fn administer(&self, request: Signed<AdminRequest>) -> Action {
        self.apply(&TopicOperation::Admin(request))
    }

    fn apply(&self, operation: &TopicOperation) -> Action {
        self.action(ActionBody::Apply(encoded(kind::OPERATION, operation)))
    }

    fn action(&self, body: ActionBody) -> Action {
        let (collection, type_name) = (self.collection(), TopicType::type_name());
        Action { collection, type_name, body }
    }
}

fn encoded<T: Serialize>(kind: Kind, value: &T) -> Bytes {
    codec::encode(kind, value)
}
