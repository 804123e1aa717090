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
/// What a signature covers.
pub(crate) const SIGNED: Kind = nth(7);
/// A block of a page of messages.
pub(crate) const MESSAGE_PAGE_BLOCK: BlockKind = structure(1);
/// A block of a page of subscribers.
pub(crate) const SUBSCRIBER_PAGE_BLOCK: BlockKind = structure(2);
/// Kinds of a topic's own blocks begin above those of the trees that it uses.
const fn structure(offset: u16) -> BlockKind {
    BlockKind(BlockKind::STRUCTURE_FIRST.0 + 16 + offset)
}
