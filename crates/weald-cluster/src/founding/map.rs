//! The state of a network as nodes hand it on: what routing and placement are computed from.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weald_core::{NodeStanding, PartitionId, PeerId, SystemState, limits::NODES_MAX};

use super::{Genesis, NetworkId};
use crate::placement::{
    self, KeyRange, Node, NodeState, Nodes, Placement, Ranges, ResponsibilityK, Weight,
};

/// A network and the committed state of its system partition.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Map {
    /// The network.
    pub genesis: Genesis,
    /// The state of its system partition.
    pub system: SystemState,
}

impl Map {
    /// Which network.
    pub fn network(&self) -> NetworkId {
        self.genesis.network()
    }

    /// The cut of the key space; `None` before the first entry of the system partition, or when
    /// what a peer sent is no cut.
    pub fn ranges(&self) -> Option<Ranges> {
        let range = |(partition, bounds): (&PartitionId, &weald_core::KeyBounds)| {
            Some((*partition, KeyRange::new(bounds.first, bounds.last).ok()?))
        };
        let ranges: Option<Vec<_>> = self.system.ranges.iter().map(range).collect();
        Ranges::new(ranges?).ok()
    }

    /// How many voters a partition should have.
    pub fn responsibility_k(&self) -> ResponsibilityK {
        let asked = u8::try_from(self.system.responsibility).ok();
        asked.and_then(|asked| asked.try_into().ok()).unwrap_or(self.genesis.responsibility_k)
    }

    /// The nodes as placement sees them. One with a weight of zero, or a domain that is none, takes
    /// no part.
    pub fn nodes(&self) -> Nodes {
        let node = |(peer, record): (&PeerId, &weald_core::NodeRecord)| {
            let weight = u16::try_from(record.weight).unwrap_or(u16::MAX);
            let (weight, domain) = (Weight::new(weight)?, record.domain.parse().ok()?);
            let state = match record.standing {
                NodeStanding::Up => NodeState::Up,
                NodeStanding::Draining => NodeState::Draining,
                NodeStanding::Gone => NodeState::Gone,
            };
            Some((*peer, Node { weight, domain, state, ..Node::new(record.store) }))
        };
        let listed = self.system.nodes.iter().filter_map(node);
        Nodes::new(listed.take(placement::limits::NODES_MAX)).unwrap_or_default()
    }

    /// The nodes that are listed beside `local` and have not left.
    pub(super) fn others(&self, local: PeerId) -> BTreeSet<PeerId> {
        let nodes = self.system.nodes.iter();
        let listed = nodes.filter(|(_, record)| record.standing != NodeStanding::Gone);
        listed.map(|(peer, _)| *peer).filter(|peer| *peer != local).collect()
    }

    /// Who should hold `partition`.
    pub fn placement(&self, partition: PartitionId) -> Placement {
        placement::place(&self.nodes(), partition, self.responsibility_k())
    }

    /// Whether a map that a peer sent can be used at all.
    pub fn is_sound(&self) -> bool {
        let is_cut = self.system.ranges.is_empty() || self.ranges().is_some();
        is_cut && self.genesis.check().is_ok() && self.system.nodes.len() <= NODES_MAX
    }
}
