//! Topics: persistent publish/subscribe.
//!
//! [`Weald::topic`](crate::Weald::topic) chooses one by its name, which does not leave the process:
//! nodes know a digest of it. A [`Topic`] publishes and reads; a [`Subscription`] is the stream of
//! its messages from a position on, each once and in order, or the exact range that is gone.
//!
//! ```text
//! publish --> Publishing (one a topic and process: signs, counts, retries) --act--> home partition
//! Subscription <-- Receiving (drives the subscriber) <--parts-- Serving (drives the delivery)
//!                                                                  \--views, news--> home partition
//! ```

mod bookmark;
#[cfg(feature = "http")]
mod cursor;
mod error;
mod event;
mod group;
mod handle;
mod housekeeping;
mod import;
mod inspect;
pub(crate) mod limits;
mod link;
mod once;
mod options;
mod outbox;
mod publishing;
mod receiving;
mod registry;
mod select;
mod serving;
mod subscription;

#[cfg(feature = "http")]
pub(crate) use bookmark::Bookmark;
use error::topic_read_error;
pub(crate) use error::{refusal_kind, refusal_of};
pub use event::{TopicEvent, TopicMessage};
pub use group::GroupConsumer;
pub use handle::Topic;
pub(crate) use handle::look_at;
pub(crate) use housekeeping::{Duty, look_after};
pub use import::{ImportReport, TopicMerge};
pub use inspect::{TopicHistory, TopicPages};
pub(crate) use link::Link;
pub use options::{PublishOptions, PublishReceipt, StartAt, SubscribeOptions};
pub(crate) use outbox::{LeftRuns, Outboxes};
#[cfg(feature = "http")]
pub(crate) use receiving::{Acknowledging, Farewell};
pub(crate) use registry::Topics;
pub use select::TopicSelector;
pub(crate) use serving::{News, PARTS_MAX, Parcel, Serving, Shelf};
pub use subscription::Subscription;

#[cfg(test)]
mod tests;
