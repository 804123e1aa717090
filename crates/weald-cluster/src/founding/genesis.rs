//! What a network is founded with. Its hash is the network's identity.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    AdmissionPolicy, Digest, FeatureLevel, KeyBounds, NodeRecord, NodeStanding, PartitionId,
    SystemChange, Time,
    codec::{self, CodecError},
};

use super::{Introduction, limits::NAME_BYTES_MAX};
use crate::{
    configuration::{Configuration, Member},
    kinds,
    placement::{Ranges, RangesError, ResponsibilityK},
};

/// Which network: the hash of its genesis. Networks of one name differ in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NetworkId(pub Digest);

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_bytes()[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a network is founded with, fixed for all time.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Genesis {
    /// The network's name, 1 to [`NAME_BYTES_MAX`] bytes. Not unique.
    pub name: String,
    /// Who founded it: the first node, and the first member of every partition.
    pub founder: Introduction,
    /// 16 random bytes, so that no two foundings are one.
    pub nonce: [u8; 16],
    /// When, by the founder's clock.
    pub founded_at: Time,
    /// How many partitions the key space is cut into.
    pub partition_count: u32,
    /// How many voters a partition should have.
    pub responsibility_k: ResponsibilityK,
    /// Who may join, until the network says otherwise.
    pub admission: AdmissionPolicy,
    /// The feature level at the beginning.
    pub level: FeatureLevel,
}

/// Why something is not the genesis of a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The name is empty, too long or not printable.
    #[error("a network's name has 1 to {NAME_BYTES_MAX} bytes of printable text: bytes={0}")]
    Name(usize),
    /// Too few or too many partitions.
    #[error(transparent)]
    Partitions(#[from] RangesError),
}

impl Genesis {
    /// The network that this founds.
    pub fn network(&self) -> NetworkId {
        NetworkId(Digest::of("weald genesis", &[&self.encode()]))
    }

    /// Whether a network can be founded with it.
    ///
    /// # Errors
    /// See [`GenesisError`].
    pub fn check(&self) -> Result<(), GenesisError> {
        check_name(&self.name)?;
        Ok(Ranges::founded(self.partition_count).map(|_| ())?)
    }

    /// The partitions that it makes.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.partition_count).map(PartitionId)
    }

    /// The first configuration of every partition: the founder votes alone. Whoever joins begins
    /// with it, and certificates lead from there to the members of the day (rule C8).
    pub fn configuration(&self) -> Configuration {
        Configuration::founding([self.member()], []).expect("one voter is an odd number of them")
    }

    /// The founder as a member.
    pub fn member(&self) -> Member {
        Member { peer: self.founder.peer(), store: self.founder.store, life: 0 }
    }

    /// What the system partition's first entry says.
    ///
    /// # Errors
    /// When the number of partitions is none that a network may have.
    pub fn changes(&self) -> Result<Vec<SystemChange>, GenesisError> {
        let bounds = |(partition, range): (_, crate::placement::KeyRange)| {
            (partition, KeyBounds { first: range.first(), last: range.last() })
        };
        let cut = Ranges::founded(self.partition_count)?.iter().map(bounds).collect();
        Ok(vec![
            SystemChange::Level(self.level),
            SystemChange::Admission(self.admission),
            SystemChange::Responsibility(u32::from(u8::from(self.responsibility_k))),
            SystemChange::PutNode(self.founder.peer(), self.founder.record(NodeStanding::Up)),
            SystemChange::Found(cut),
        ])
    }

    /// The bytes that are hashed, sent and kept.
    pub fn encode(&self) -> Bytes {
        codec::encode(kinds::GENESIS, self)
    }

    /// Reads them back.
    ///
    /// # Errors
    /// When they do not parse.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kinds::GENESIS, bytes)
    }
}

impl Introduction {
    /// The node as the system partition lists it.
    pub fn record(&self, standing: NodeStanding) -> NodeRecord {
        NodeRecord {
            store: self.store,
            weight: self.weight,
            domain: self.domain.clone(),
            standing,
            public_key: Bytes::copy_from_slice(self.public_key.as_bytes()),
        }
    }
}

/// Whether `name` can be a network's.
///
/// # Errors
/// [`GenesisError::Name`].
pub fn check_name(name: &str) -> Result<(), GenesisError> {
    let is_plain = !name.chars().any(char::is_control);
    let is_good = (1..=NAME_BYTES_MAX).contains(&name.len()) && is_plain;
    if is_good { Ok(()) } else { Err(GenesisError::Name(name.len())) }
}
