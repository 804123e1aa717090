//! The codec kinds of the facade, in one place so that none is given twice. `weald-p2p` has the
//! ones before, from [`Kind::NODE_FIRST`] on.

use weald_core::codec::Kind;

const fn kind(offset: u8) -> Kind {
    Kind(Kind::NODE_FIRST.0 + offset)
}

/// What a log entry of a partition with several members carries: a payload without its time.
pub(crate) const COMMAND: Kind = kind(16);
/// What a member keeps beside its entries.
pub(crate) const KEPT: Kind = kind(17);
/// Asks a member for a page of its state.
pub(crate) const PAGE_REQUEST: Kind = kind(18);
/// A page of a state, or why there is none.
pub(crate) const PAGE_ANSWER: Kind = kind(19);
