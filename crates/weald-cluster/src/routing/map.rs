//! The partition map: keys to partitions, partitions to members and coordinators.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weald_core::{Epoch, LogIndex, PartitionId, PeerId, PlacementKey};

use super::{limits::NODES_KNOWN_MAX, message::Answer, segments::Segments};
use crate::placement::{
    KeyRange, Members, NodeState, Nodes, Ranges, ResponsibilityK,
    limits::{MEMBERS_MAX, PARTITIONS_MAX},
    place,
};

/// How new something is: the generation of the network (raised by a forced recovery, rule C16) and
/// the place in the system partition's log.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Version {
    /// Raised by a forced recovery.
    pub generation: u64,
    /// The system partition's index.
    pub index: LogIndex,
}

/// Who coordinates a partition, as far as a node has heard: the campaigner of an epoch. Each forced
/// recovery begins epochs anew, so that one counts within its generation only (rule C16).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Reign {
    /// The generation of the partition.
    pub generation: u32,
    /// The newest epoch of it.
    pub epoch: Epoch,
}

impl Reign {
    /// Who coordinates.
    pub const fn coordinator(&self) -> Option<PeerId> {
        self.epoch.campaigner
    }
}

/// What one answer tells of the map: one partition.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Part {
    /// How new it is.
    pub version: Version,
    /// The partition.
    pub partition: PartitionId,
    /// Its keys, or a piece of them that holds the key that was asked for.
    pub range: KeyRange,
    /// Its members.
    pub members: Members,
    /// Who coordinates, as far as is known.
    pub reign: Reign,
}

/// What is known of a partition.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
struct Known {
    version: Version,
    members: Members,
    reign: Reign,
}

/// Where partitions are, as far as one node knows. A new map knows nothing: all keys are partition
/// 0's, of version zero, without members.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Map {
    /// The version of the committed state that the whole was computed from.
    base: Version,
    version: Version,
    segments: Segments,
    known: BTreeMap<PartitionId, Known>,
    /// Nodes of the network, whatever they are members of; at most [`NODES_KNOWN_MAX`].
    nodes: BTreeSet<PeerId>,
}

impl Default for Map {
    fn default() -> Self {
        let version = Version::default();
        let segments = Segments::whole(PartitionId(0), version);
        Self { base: version, version, segments, known: BTreeMap::new(), nodes: BTreeSet::new() }
    }
}

impl Map {
    /// The map that follows from committed state at `version`: members are those that
    /// [`place`] wants, until the partitions' own logs are heard of.
    pub fn computed(version: Version, ranges: &Ranges, nodes: &Nodes, k: ResponsibilityK) -> Self {
        let known = ranges.iter().map(|(partition, _)| {
            let members = place(nodes, partition, k).members();
            (partition, Known { version, members, reign: Reign::default() })
        });
        let segments = Segments::of(ranges, version);
        let serving = nodes.iter().filter(|(_, node)| node.state != NodeState::Gone);
        let nodes_known = serving.map(|(peer, _)| *peer).take(NODES_KNOWN_MAX).collect();
        Self { base: version, version, segments, known: known.collect(), nodes: nodes_known }
    }

    /// The newest version of anything here.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The partition that has `key`.
    pub fn partition(&self, key: PlacementKey) -> PartitionId {
        self.segments.partition(key)
    }

    /// All partitions that have keys, each with a key of it.
    pub fn partitions(&self) -> BTreeMap<PartitionId, PlacementKey> {
        self.segments.iter().collect()
    }

    /// Whether a peer is a member of any partition, as far as is known.
    pub fn has_member(&self, peer: &PeerId) -> bool {
        self.known.values().any(|known| known.members.contains(peer))
    }

    /// Whether a peer is a node of the network, as far as is known.
    pub fn has_node(&self, peer: &PeerId) -> bool {
        self.nodes.contains(peer) || self.has_member(peer)
    }

    /// Nodes of the network: while members move, one that is to be none, or none any more, may still
    /// be the member that serves.
    pub fn nodes(&self) -> impl Iterator<Item = &PeerId> {
        self.nodes.iter().take(NODES_KNOWN_MAX)
    }

    /// The members of a partition, where known.
    pub fn members(&self, partition: PartitionId) -> Option<&Members> {
        self.known.get(&partition).map(|known| &known.members)
    }

    /// Who coordinates a partition: the campaigner of the newest epoch that was heard of, so that
    /// all who heard of one epoch name the same peer.
    pub fn coordinator(&self, partition: PartitionId) -> Option<PeerId> {
        self.reign(partition).coordinator()
    }

    /// The newest epoch of a partition that was heard of, in the newest generation.
    pub fn reign(&self, partition: PartitionId) -> Reign {
        self.known.get(&partition).map_or_else(Reign::default, |known| known.reign)
    }

    /// Takes note of an epoch. Says whether it is newer than what was known.
    pub fn hint(&mut self, partition: PartitionId, reign: Reign) -> bool {
        let Some(known) = self.entry(partition) else { return false };
        let is_newer = known.reign < reign;
        known.reign = known.reign.max(reign);
        is_newer
    }

    /// Takes note of one partition, as far as it is newer. Says whether anything changed. A part
    /// with more members than a partition can have is ignored.
    pub fn learn(&mut self, part: &Part) -> bool {
        if part.members.count() > MEMBERS_MAX {
            return false;
        }
        let mut is_changed = self.segments.lay(part.range, part.partition, part.version);
        let Some(known) = self.entry(part.partition) else { return is_changed };
        if known.version < part.version {
            is_changed |= known.members != part.members;
            known.version = part.version;
            known.members = part.members.clone();
        }
        is_changed |= known.reign < part.reign;
        known.reign = known.reign.max(part.reign);
        self.version = self.version.max(part.version);
        is_changed
    }

    /// Takes a whole map that was computed from committed state, if that state is not older than
    /// what this map was last computed from. It overrules all parts, however new they said they
    /// are, so a peer's lie does not last; epochs are kept where they are newer.
    pub fn adopt(&mut self, map: Self) -> bool {
        if map.base < self.base || map.known.len() > PARTITIONS_MAX {
            return false;
        }
        let before = std::mem::replace(self, map);
        for (partition, known) in &mut self.known {
            known.reign = known.reign.max(before.reign(*partition));
        }
        true
    }

    /// What this map tells of the partition that has `key`.
    pub fn part(&self, key: PlacementKey) -> Part {
        let partition = self.partition(key);
        let known = self.known.get(&partition).cloned().unwrap_or_default();
        let range = self.segments.piece(key);
        Part {
            version: known.version,
            partition,
            range,
            members: known.members,
            reign: known.reign,
        }
    }

    /// What `me` answers to a request for `key` before anything else is done with it: `None` when it
    /// coordinates the partition and so may propose the request. Whoever is not a member never takes
    /// it, and a member that does not coordinate sends it on.
    pub fn answer(&self, me: &PeerId, key: PlacementKey) -> Option<Answer> {
        let partition = self.partition(key);
        let is_member = self.members(partition).is_some_and(|members| members.contains(me));
        match self.coordinator(partition) {
            _ if !is_member => Some(Answer::NotMine(Box::new(self.part(key)))),
            Some(coordinator) if coordinator == *me => None,
            Some(_) => Some(Answer::Redirect { partition, reign: self.reign(partition) }),
            None => Some(Answer::Unavailable { retry_after_ms: 0 }),
        }
    }

    /// The entry of a partition, unless there are as many as a network can have.
    fn entry(&mut self, partition: PartitionId) -> Option<&mut Known> {
        let is_full = self.known.len() >= PARTITIONS_MAX;
        if is_full && !self.known.contains_key(&partition) {
            return None;
        }
        Some(self.known.entry(partition).or_default())
    }
}

#[cfg(test)]
mod tests;
