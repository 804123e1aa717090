//! Topics of Weald: persistent publish/subscribe as a collection type, and delivery, subscription
//! and publishing as state machines. Everything is pure: time, randomness and bytes are inputs.
//!
//! **The objects.** A [`Message`] is signed and named by what it is. A [`CoordinatorObject`] (the
//! head, at most 1 KiB) names the roots of a [`MessageCollection`] and a [`SubscriberCollection`],
//! trees of immutable pages found by their content, remembers their last versions and links to a
//! [`CoordinatorSnapshot`] for the older ones.
//!
//! **The collection type.** [`Topic`] makes the actions of a topic and reads its blocks;
//! [`TopicType`] executes them at apply. Each message gets a dense [`TopicPosition`], by which
//! everything about order and gaps is said.
//!
//! **The machines.** A [`Publisher`] brings messages to the topic, a [`Delivery`] at a home member
//! sends them on, and a [`Subscriber`] shows its application each position once, in order, or the
//! exact range that is gone. [`merge::merge`] compares two heads that have forked.
//!
//! ```
//! use weald_core::{Digest, SeededEntropy, Time, identity::Identity};
//! use weald_pubsub::{Draft, Incarnation, Message, PublisherSequence, TopicAddress, TopicId};
//!
//! let keys = Identity::generate(&mut SeededEntropy::new(1));
//! let address = TopicAddress { network: Digest::ZERO, topic: TopicId::of("chat") };
//! let draft = Draft {
//!     incarnation: Incarnation(1),
//!     sequence: PublisherSequence(1),
//!     published_at: Time::from_millis(1_000),
//!     expires_at: Time::from_millis(61_000),
//!     body: "hello".into(),
//! };
//! let message = Message::sign(&address, draft, &keys)?;
//! assert!(message.verify(&address));
//! # Ok::<(), weald_core::identity::KeyError>(())
//! ```

mod assignment;
mod body;
mod delivery;
mod head;
mod id;
mod kind;
pub mod limits;
pub mod merge;
mod message;
mod messages;
pub mod page;
mod policy;
mod publisher;
mod refusal;
mod signed;
#[cfg(test)]
mod simulation;
mod snapshot;
mod subscriber;
mod subscribers;
#[cfg(test)]
mod testing;
mod topic;

pub use assignment::assign;
pub use body::{BodyAnswer, BodyRequest};
pub use delivery::{Delivery, DeliveryInput, DeliveryOutput, Part, StreamId, StreamRequest};
pub use head::{ChannelState, CoordinatorObject, HeadError, HistoryEntry, Side};
pub use id::{
    Incarnation, MessageId, PublisherSequence, SubscriberId, TopicAddress, TopicId, TopicPosition,
    TopicVersion,
};
pub use message::{Draft, LargeMessage, Message, Skip, Source};
pub use messages::{MessageCollection, MessageEdit, MessageEntry};
pub use page::{Cid, Page, PageFault, PageMap, PageRef, Summary};
pub use policy::{Access, Availability, Bucket, PolicyError, Rate, TopicPolicy, WorkRule};
pub use publisher::{
    Outbox, OutboxError, Publisher, PublisherInput, PublisherOutput, PublisherRecord,
};
pub use refusal::TopicRefusal;
pub use signed::{
    AdminAction, AdminRequest, CreationToken, GroupAction, GroupRequest, LeaseAction, LeaseRequest,
    Signable, Signed, Union,
};
pub use snapshot::{CoordinatorSnapshot, Leaving, LineageEntry};
pub use subscriber::{Event, Subscriber, SubscriberConfig, SubscriberInput, SubscriberOutput};
pub use subscribers::{Lease, Standing, SubscriberCollection};
pub use topic::{
    BatchMode, DeadLetter, Given, GroupAnswer, GroupState, Holding, LeaseAnswer, PruneAnswer,
    PublishAnswer, Published, Topic, TopicItem, TopicNote, TopicOptions, TopicPage, TopicReadError,
    TopicType, UnionAnswer,
};
