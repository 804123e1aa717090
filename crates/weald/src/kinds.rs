//! The codec kinds of the facade, in one place so that none is given twice. `weald-p2p` has the
//! ones before, from [`Kind::NODE_FIRST`] on.

use weald_core::codec::Kind;

const fn kind(offset: u8) -> Kind {
    Kind(Kind::NODE_FIRST.0 + offset)
}

/// What a log entry of a partition with several members carries: a payload without its time.
pub(crate) const COMMAND: Kind = kind(16);
/// What a member keeps beside its entries.
pub(crate) const KEPT: Kind = kind(20);
/// Asks a member for a page of its state.
pub(crate) const PAGE_REQUEST: Kind = kind(18);
/// A page of a state, or why there is none.
pub(crate) const PAGE_ANSWER: Kind = kind(19);
/// A question on its way to whoever can answer it.
pub(crate) const ROUTED_REQUEST: Kind = kind(32);
/// What came of one attempt to ask.
pub(crate) const ROUTED_REPLY: Kind = kind(33);
/// A question about a partition.
pub(crate) const QUESTION: Kind = kind(34);
/// Its answer.
pub(crate) const ANSWERED: Kind = kind(35);
/// What came of a submission.
pub(crate) const SUBMITTED: Kind = kind(36);
/// Waits for a collection to change.
pub(crate) const FOLLOW: Kind = kind(37);
/// What a follower is told.
pub(crate) const FOLLOWED: Kind = kind(38);
/// What a node tells of itself.
pub(crate) const STATUS: Kind = kind(39);
/// What the coordinator of one partition says to that of another.
pub(crate) const MESSAGE: Kind = kind(40);
/// What a subscriber asks of a member that serves its topic.
pub(crate) const TOPIC_ASK: Kind = kind(41);
/// What it is told.
pub(crate) const TOPIC_TOLD: Kind = kind(42);
/// A record of a node's outbox.
pub(crate) const OUTBOX_RECORD: Kind = kind(43);
/// A part of a topic on its way to a subscriber.
pub(crate) const PART: Kind = kind(44);
