//! `Topic` as a collection type: how operations change a topic's blocks.
//!
//! **Blocks.** The collection's header names five blocks that keep their ids: the head, the books
//! (what the head does not say: roots by block, lineage, counts) and three trees: bodies by position,
//! large ones in chunks, publishers, groups. Pages are blocks, too; each is rewritten where it stands, by splices, and its
//! older versions are those of the block. Every action loads the head and the books once and writes
//! what it changed once.

mod admin;
mod admission;
mod answer;
mod blocks;
mod bodies;
mod books;
mod group;
mod handle;
mod lease;
mod operation;
mod prune;
mod publish;
mod publishers;
mod read;

use bytes::Bytes;
use weald_collections::{CollectionType, Scope, Stop};
use weald_core::{
    Rejection, TypeName, TypeVersion,
    codec::{self, CodecError},
    identity::PublicKey,
};

pub use answer::{
    Given, GroupAnswer, LeaseAnswer, PruneAnswer, PublishAnswer, Published, UnionAnswer,
};
pub use books::TopicNote;
pub use group::{DeadLetter, GroupState, Holding};
pub use handle::Topic;
pub use operation::{BatchMode, TopicOptions};
pub use read::{TopicItem, TopicPage, TopicReadError};

use crate::{TopicRefusal, kind, topic::books::OpenTopic};
use operation::TopicOperation;

/// The collection type `topic`. What it knows comes from the network's genesis, so that it is the
/// same at every member.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopicType {
    /// The network's administrator: its signature does what an owner's does in any topic.
    pub administrator: Option<PublicKey>,
    /// Whether a topic is created only with a token of the administrator.
    pub asks_for_token: bool,
}

impl TopicType {
    /// The name of the type, as text.
    pub const NAME: &str = "topic";

    /// The name of the type.
    pub fn type_name() -> TypeName {
        Self::NAME.parse().expect("a valid name")
    }

    /// The version of the structure that this code implements.
    pub const VERSION: TypeVersion = TypeVersion(1);
}

impl CollectionType for TopicType {
    fn name(&self) -> TypeName {
        Self::type_name()
    }

    fn version(&self) -> TypeVersion {
        Self::VERSION
    }

    fn create(&self, scope: &mut Scope<'_, '_>, options: &[u8]) -> Result<Bytes, Stop> {
        let options: TopicOptions = codec::decode(kind::OPTIONS, options).map_err(unreadable)?;
        options.policy.check().map_err(|error| invalid(&error.to_string()))?;
        if options.address.topic.collection() != scope.header().name {
            return Err(invalid("the collection is not the topic's"));
        }
        self.check_token(scope, &options)?;
        OpenTopic::create(scope, &options)
    }

    fn apply(&self, scope: &mut Scope<'_, '_>, operation: &[u8]) -> Result<Bytes, Stop> {
        let operation = codec::decode(kind::OPERATION, operation).map_err(unreadable)?;
        let mut topic = OpenTopic::load(scope, self.administrator)?;
        let answer = match operation {
            TopicOperation::Publish { messages, mode } => topic.publish(messages, mode)?.encode(),
            TopicOperation::Skip(skips) => topic.skip(&skips)?.encode(),
            TopicOperation::Lease(signed) => topic.lease(&signed)?.encode(),
            TopicOperation::Group(signed) => topic.group(&signed)?.encode(),
            TopicOperation::Prune { limit } => topic.prune(limit)?.encode(),
            TopicOperation::Admin(signed) => topic.administer(signed)?,
        };
        topic.finish()?;
        Ok(answer)
    }
}

impl TopicType {
    fn check_token(&self, scope: &Scope<'_, '_>, options: &TopicOptions) -> Result<(), Stop> {
        if !self.asks_for_token {
            return Ok(());
        }
        let now = scope.time();
        let is_allowed =
            self.administrator.zip(options.token.as_ref()).is_some_and(|(administrator, token)| {
                token.allows(&administrator, &options.address, now)
            });
        if is_allowed { Ok(()) } else { Err(refused(TopicRefusal::Denied)) }
    }
}

fn refused(refusal: TopicRefusal) -> Stop {
    Rejection::from(refusal).into()
}

fn invalid(detail: &str) -> Stop {
    Rejection::Invalid { detail: detail.to_owned() }.into()
}

fn unreadable(error: CodecError) -> Stop {
    invalid(&error.to_string())
}

#[cfg(test)]
mod tests;
