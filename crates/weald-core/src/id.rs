//! Ids, positions and counters as newtypes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{CollectionName, Digest, HexError, TransactionId};

/// Declares a counter: an ordered `u64` with a first value, a successor and a plain number's text.
macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl $name {
            /// The value before the first.
            pub const ZERO: Self = Self(0);

            /// The value after this one.
            ///
            /// # Panics
            /// When the counter is exhausted, which takes centuries at a billion steps a second.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("a 64-bit counter is never exhausted"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// A place in a partition's log. Internal: no-ops and refused actions take places too. The
    /// first entry has index 1; 0 is "before the log".
    LogIndex
}
counter! {
    /// Counts the accepted transactions on one collection. Creation is revision 1; 0 is "never
    /// written".
    Revision
}
counter! {
    /// The place of an entry in a collection's chain, dense, from 0.
    Sequence
}

/// Names a partition: one range of the key space with one log.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct PartitionId(pub u32);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a name's data lives: the first 8 bytes of SHA-256 over the name's group, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlacementKey(u64);

impl PlacementKey {
    /// The key of `name`: names of one group share it.
    pub fn of(name: &CollectionName) -> Self {
        let digest = Digest::of("weald placement", &[name.group().as_bytes()]);
        Self(u64::from_be_bytes(digest.prefix()))
    }

    /// Wraps a key that was computed before.
    pub const fn from_u64(key: u64) -> Self {
        Self(key)
    }

    /// The key as a number; ranges of partitions are ranges of it.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for PlacementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PlacementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Names a block: the placement key of its collection and 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockId {
    key: PlacementKey,
    #[serde(with = "crate::codec::raw")]
    unique: [u8; 16],
}

impl BlockId {
    /// Bytes of an encoded id.
    pub const LEN: usize = 24;

    /// The id of the `ordinal`-th block that `transaction` makes in the collection placed at `key`.
    pub fn derived(key: PlacementKey, transaction: &TransactionId, ordinal: u32) -> Self {
        let digest = Digest::of("weald block", &[&transaction.to_bytes(), &ordinal.to_le_bytes()]);
        Self { key, unique: digest.prefix() }
    }

    /// The id of a collection's header block. It is the collection's id, too.
    pub fn header(name: &CollectionName) -> Self {
        Self::named("weald header", name)
    }

    /// The id of a collection's state block, which counts its revisions.
    pub fn state(name: &CollectionName) -> Self {
        Self::named("weald state", name)
    }

    fn named(domain: &str, name: &CollectionName) -> Self {
        let digest = Digest::of(domain, &[name.as_str().as_bytes()]);
        Self { key: PlacementKey::of(name), unique: digest.prefix() }
    }

    /// The placement key of the collection that the block belongs to.
    pub const fn placement(&self) -> PlacementKey {
        self.key
    }

    /// 24 bytes: the placement key big-endian, then the 16 unique bytes. Their order is the ids'.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.key.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.unique);
        bytes
    }

    /// Reads what [`BlockId::to_bytes`] wrote.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let (key, unique) = bytes.split_first_chunk::<8>().expect("24 bytes hold 8");
        let unique = unique.try_into().expect("24 bytes less 8 are 16");
        Self { key: PlacementKey(u64::from_be_bytes(*key)), unique }
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.key)?;
        self.unique.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A peer: the SHA-256 of its Ed25519 public key under its own domain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(Digest);

impl PeerId {
    /// Wraps the digest of a public key.
    pub const fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }

    /// The digest behind the id.
    pub const fn digest(&self) -> &Digest {
        &self.0
    }
}

impl FromStr for PeerId {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        text.parse().map(Self)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A term of coordination: the number and who campaigned with it, so that two campaigners never
/// share one (rule C1). Ordered by number, then campaigner.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Epoch {
    /// Raised by every campaign.
    pub number: u64,
    /// Who campaigned; `None` before the first campaign.
    pub campaigner: Option<PeerId>,
}

/// Names one formatting of a disk: 16 random bytes made when a store is created (rule C11).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StoreId(#[serde(with = "crate::codec::raw")] pub [u8; 16]);

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> CollectionName {
        text.parse().unwrap()
    }

    #[test]
    fn names_of_one_group_share_a_placement_key() {
        assert_eq!(PlacementKey::of(&name("shop/orders")), PlacementKey::of(&name("shop/stock")));
        assert_eq!(PlacementKey::of(&name("shop")), PlacementKey::of(&name("shop/stock")));
        assert_ne!(PlacementKey::of(&name("shop")), PlacementKey::of(&name("shops")));
    }

    #[test]
    fn block_ids_round_trip_and_keep_their_order() {
        let (a, b) = (BlockId::header(&name("a")), BlockId::state(&name("b")));
        assert_eq!(BlockId::from_bytes(a.to_bytes()), a);
        assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        assert_ne!(BlockId::header(&name("a")), BlockId::state(&name("a")));
    }

    #[test]
    fn derived_ids_depend_on_transaction_and_ordinal() {
        let key = PlacementKey::of(&name("a"));
        let (t, u) = (TransactionId::new(key, [1; 16]), TransactionId::new(key, [2; 16]));
        assert_ne!(BlockId::derived(key, &t, 0), BlockId::derived(key, &t, 1));
        assert_ne!(BlockId::derived(key, &t, 0), BlockId::derived(key, &u, 0));
    }

    #[test]
    fn epochs_are_ordered_by_number_then_campaigner() {
        let peer = |byte| Some(PeerId::from_digest(Digest::from_bytes([byte; 32])));
        let epoch = |number, campaigner| Epoch { number, campaigner };
        assert!(epoch(1, peer(9)) < epoch(2, peer(1)));
        assert!(epoch(2, peer(1)) < epoch(2, peer(2)));
        assert!(Epoch::default() < epoch(0, peer(0)));
    }
}
