//! Topics of Weald: persistent publish/subscribe as a collection type, and delivery, subscription
//! and publishing as state machines. Everything is pure: time, randomness and bytes are inputs.
//!
//! **The objects.** A [`Message`] is signed and named by what it is. A [`CoordinatorObject`] (the
//! head, at most 1 KiB) names the roots of a [`MessageCollection`] and a [`SubscriberCollection`],
//! trees of immutable pages found by their content, remembers their last versions and links to a
//! [`CoordinatorSnapshot`] for the older ones.

mod head;
mod id;
mod kind;
pub mod limits;
mod message;
mod messages;
pub mod page;
mod policy;
mod snapshot;
mod subscribers;
#[cfg(test)]
mod testing;

pub use head::{ChannelState, CoordinatorObject, HeadError, HistoryEntry, Side};
pub use id::{
    Incarnation, MessageId, PublisherSequence, SubscriberId, TopicAddress, TopicId, TopicPosition,
    TopicVersion,
};
pub use message::{Draft, Message, Skip, Source};
pub use messages::{MessageCollection, MessageEdit, MessageEntry, PackedMessages};
pub use page::{Cid, PageFault, PageMap, Summary};
pub use policy::{Access, Availability, Bucket, PolicyError, Rate, TopicPolicy, WorkRule};
pub use snapshot::{CoordinatorSnapshot, Leaving, LineageEntry};
pub use subscribers::{Lease, Standing, SubscriberCollection};
