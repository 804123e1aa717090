//! What the bytes of this crate are: kinds of envelopes and of structure blocks, each given once.

use weald_core::{BlockKind, codec::Kind};

const fn nth(offset: u8) -> Kind {
    Kind(Kind::PUBSUB_FIRST.0 + offset)
}

/// A [`Message`](crate::Message).
pub(crate) const MESSAGE: Kind = nth(0);
/// A [`CoordinatorObject`](crate::CoordinatorObject).
pub(crate) const HEAD: Kind = nth(1);
/// A [`CoordinatorSnapshot`](crate::CoordinatorSnapshot).
pub(crate) const SNAPSHOT: Kind = nth(2);
/// A page of messages, as it is hashed and sent.
pub(crate) const MESSAGE_PAGE: Kind = nth(3);
/// A page of subscribers, as it is hashed and sent.
pub(crate) const SUBSCRIBER_PAGE: Kind = nth(4);
/// A [`TopicPolicy`](crate::TopicPolicy), where a digest covers it.
pub(crate) const POLICY: Kind = nth(5);
/// A page with the blocks of its children, as it is stored.
pub(crate) const STORED_PAGE: Kind = nth(6);
/// What a signature covers.
pub(crate) const SIGNED: Kind = nth(7);
/// The [`TopicOptions`](crate::topic::TopicOptions) of a new topic.
pub(crate) const OPTIONS: Kind = nth(8);
/// An operation on a topic.
pub(crate) const OPERATION: Kind = nth(9);
/// The ids of a topic's own blocks, in the collection's header.
pub(crate) const ROOT: Kind = nth(10);
/// A topic's books.
pub(crate) const BOOKS: Kind = nth(11);
/// A record of the tree of publishers or of groups.
pub(crate) const RECORD: Kind = nth(12);
/// What a topic notes as changed.
pub(crate) const NOTE: Kind = nth(13);
/// The answer to a publish.
pub(crate) const PUBLISH_ANSWER: Kind = nth(14);
/// The answer to a lease request.
pub(crate) const LEASE_ANSWER: Kind = nth(15);
/// The answer to a group request.
pub(crate) const GROUP_ANSWER: Kind = nth(16);
/// The answer to a prune.
pub(crate) const PRUNE_ANSWER: Kind = nth(17);
/// The answer to a union.
pub(crate) const UNION_ANSWER: Kind = nth(18);
/// A [`LargeMessage`](crate::LargeMessage).
pub(crate) const LARGE_MESSAGE: Kind = nth(19);

/// The block of a topic's head.
pub(crate) const HEAD_BLOCK: BlockKind = structure(0);
/// A block of a page of messages.
pub(crate) const MESSAGE_PAGE_BLOCK: BlockKind = structure(1);
/// A block of a page of subscribers.
pub(crate) const SUBSCRIBER_PAGE_BLOCK: BlockKind = structure(2);
/// The block of a topic's books.
pub(crate) const BOOKS_BLOCK: BlockKind = structure(3);
/// A block of a snapshot.
pub(crate) const SNAPSHOT_BLOCK: BlockKind = structure(4);

/// Kinds of a topic's own blocks begin above those of the trees that it uses.
const fn structure(offset: u16) -> BlockKind {
    BlockKind(BlockKind::STRUCTURE_FIRST.0 + 16 + offset)
}
