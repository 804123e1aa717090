//! The system partition: who belongs to the network and how the key space is cut. Plain data;
//! placement is computed from it elsewhere.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    FeatureLevel, LogIndex, PartitionId, PeerId, PlacementKey, SettingsChange, StoreId, TypeName,
    TypeVersion,
};

/// A node of the network, by its peer key.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The formatting of its disk; another one is another member (rule C11).
    pub store: StoreId,
    /// Its share of the data relative to others; zero takes none.
    pub weight: u32,
    /// Where it stands (a rack, a site): members of one partition are spread over domains.
    pub domain: String,
    /// Whether it takes part.
    pub standing: NodeStanding,
    /// Its public key, as it proves itself with.
    pub public_key: Bytes,
}

/// Whether a node takes part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum NodeStanding {
    /// It holds data.
    Up,
    /// Its data moves elsewhere.
    Draining,
    /// It holds nothing any more.
    Gone,
}

/// The keys of one partition: from the first to the last, both included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct KeyBounds {
    /// The first.
    pub first: PlacementKey,
    /// The last.
    pub last: PlacementKey,
}

impl KeyBounds {
    /// Every key.
    pub const ALL: Self =
        Self { first: PlacementKey::from_u64(0), last: PlacementKey::from_u64(u64::MAX) };

    /// Whether `key` is among them.
    pub fn contains(&self, key: PlacementKey) -> bool {
        (self.first..=self.last).contains(&key)
    }
}

/// Who may join.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum AdmissionPolicy {
    /// Whoever has the network's name and connects from near by.
    Nearby,
    /// Whoever has the pre-shared key.
    SharedKey,
    /// Whoever was invited.
    Invited,
}

/// The state of the system partition.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SystemState {
    /// Its last entry that changed anything; what follows from it names this index.
    pub changed: LogIndex,
    /// The network's feature level.
    pub level: FeatureLevel,
    /// Who may join.
    pub admission: AdmissionPolicy,
    /// Voters of a partition: odd.
    pub responsibility: u32,
    /// Types that every node has code for.
    pub types: Vec<(TypeName, TypeVersion)>,
    /// The nodes.
    pub nodes: BTreeMap<PeerId, NodeRecord>,
    /// The cut of the key space: without overlap and without a gap, or empty before the founding.
    pub ranges: BTreeMap<PartitionId, KeyBounds>,
}

impl Default for SystemState {
    fn default() -> Self {
        Self {
            changed: LogIndex::ZERO,
            level: FeatureLevel::FIRST,
            admission: AdmissionPolicy::Nearby,
            responsibility: 3,
            types: Vec::new(),
            nodes: BTreeMap::new(),
            ranges: BTreeMap::new(),
        }
    }
}

impl SystemState {
    /// The partition that `key` belongs to; `None` before the founding.
    pub fn partition_of(&self, key: PlacementKey) -> Option<PartitionId> {
        let mut ranges = self.ranges.iter();
        ranges.find(|(_, bounds)| bounds.contains(key)).map(|(partition, _)| *partition)
    }

    /// What a partition's own log is to be told of this.
    pub fn settings(&self) -> Vec<SettingsChange> {
        let register = |(type_name, version): &(TypeName, TypeVersion)| SettingsChange::Register {
            type_name: type_name.clone(),
            version: *version,
        };
        let level = std::iter::once(SettingsChange::Level(self.level));
        level.chain(self.types.iter().map(register)).collect()
    }
}

/// An entry that changes the system partition's state, all of it or nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SystemEntry {
    /// The state that it was decided on ([`SystemState::changed`]); on another it is refused.
    pub based_on: LogIndex,
    /// What changes.
    pub changes: Vec<SystemChange>,
}

/// One change of the system partition's state.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum SystemChange {
    /// Adds a node or replaces its record.
    PutNode(PeerId, NodeRecord),
    /// Forgets a node that is gone.
    RemoveNode(PeerId),
    /// Cuts the whole key space, at the founding.
    Found(Vec<(PartitionId, KeyBounds)>),
    /// Gives the keys of `partition` from `at` on to the new partition `child`.
    Split {
        /// Which partition.
        partition: PartitionId,
        /// The child's first key.
        at: PlacementKey,
        /// The child.
        child: PartitionId,
    },
    /// Raises the feature level.
    Level(FeatureLevel),
    /// Replaces the admission policy.
    Admission(AdmissionPolicy),
    /// Sets the number of voters.
    Responsibility(u32),
    /// Adds a type that every node has code for.
    Register {
        /// Its name.
        type_name: TypeName,
        /// The version of its structure.
        version: TypeVersion,
    },
}
