//! The codec kinds of this crate, in one place so that none is given twice. The rows of a partition
//! have the first ones.

use weald_core::codec::Kind;

const fn kind(offset: u8) -> Kind {
    Kind(Kind::CLUSTER_FIRST.0 + offset)
}

/// A configuration in a log entry.
pub(crate) const CONFIGURATION: Kind = kind(16);
/// What a member keeps beside its entries.
pub(crate) const STORED: Kind = kind(17);
/// A message between members.
pub(crate) const MESSAGE: Kind = kind(18);
/// What an attestation signs.
pub(crate) const ATTESTED: Kind = kind(19);
/// What a node says to a peer at one beat.
pub(crate) const FRAME: Kind = kind(20);
