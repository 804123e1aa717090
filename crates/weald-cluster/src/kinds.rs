//! The codec kinds of this crate, in one place so that none is given twice. The rows of a partition
//! have the first ones.

use weald_core::codec::Kind;

const fn kind(offset: u8) -> Kind {
    Kind(Kind::CLUSTER_FIRST.0 + offset)
}

/// A configuration in a log entry.
pub(crate) const CONFIGURATION: Kind = kind(16);
/// A configuration in a log entry, with the certificate of the one before.
pub(crate) const SUCCESSION: Kind = kind(17);
/// What a member keeps beside its entries.
pub(crate) const STORED: Kind = kind(30);
/// A message between members.
pub(crate) const MESSAGE: Kind = kind(21);
/// What an attestation signs.
pub(crate) const ATTESTED: Kind = kind(19);
/// What a node says to a peer at one beat.
pub(crate) const FRAME: Kind = kind(22);
/// What a network is founded with.
pub(crate) const GENESIS: Kind = kind(24);
/// What early builds kept of the network that a node belongs to: without the nodes that were listed.
pub(crate) const EARLY_PIN: Kind = kind(25);
/// What a node keeps of the network that it belongs to.
pub(crate) const PIN: Kind = kind(31);
/// What a node says to another about their networks.
pub(crate) const FOUNDING_REQUEST: Kind = kind(26);
/// What it is answered.
pub(crate) const FOUNDING_ANSWER: Kind = kind(27);
/// What an invitation signs.
pub(crate) const INVITATION: Kind = kind(28);
/// What a forced recovery signs.
pub(crate) const RECOVERY_ACT: Kind = kind(29);
