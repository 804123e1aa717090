//! The committed list of nodes: what placement is computed from, and nothing else.

use std::{collections::BTreeMap, fmt, num::NonZeroU16, str::FromStr};

use serde::{Deserialize, Serialize};
use weald_core::{PeerId, StoreId};

use super::limits::{DOMAIN_BYTES_MAX, NODES_MAX};

/// A node's share of the partitions, relative to the others', 1 to 65,535; default 100.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Weight(NonZeroU16);

impl Weight {
    /// The weight of a node that says nothing about itself.
    pub const DEFAULT: Self = Self(NonZeroU16::new(100).expect("100 is not zero"));

    /// A weight; `None` for 0. A node that shall hold nothing is drained instead.
    pub fn new(weight: u16) -> Option<Self> {
        NonZeroU16::new(weight).map(Self)
    }

    /// The weight as a number.
    pub const fn as_u16(self) -> u16 {
        self.0.get()
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What fails together: a rack, a site, a power supply. Nodes that state none share the domain "".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

impl Domain {
    /// The domain's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = NodesError;

    fn from_str(text: &str) -> Result<Self, NodesError> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for Domain {
    type Error = NodesError;

    fn try_from(text: String) -> Result<Self, NodesError> {
        if text.len() > DOMAIN_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(NodesError::Domain { bytes: text.len() });
        }
        Ok(Self(text))
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a node takes part in placement.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub enum NodeState {
    /// It holds partitions.
    #[default]
    Up,
    /// It is being emptied: it holds a partition only where fewer than three voters would be left.
    Draining,
    /// It does not come back with what it held; it is in the list so that its identity is known.
    Gone,
}

/// What a node has, as it says itself. A hint to whoever sets weights: placement looks only at
/// [`Node::weight`], so that a disk that fills up moves no data.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Capacity {
    /// Bytes of disk given to Weald; 0 when not stated.
    pub disk_bytes: u64,
    /// Bytes of memory given to Weald; 0 when not stated.
    pub memory_bytes: u64,
}

/// One node of the list. Its life is counted per partition and is no part of this.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Node {
    /// The formatting of its disk (rule C11). It takes no part in placement: a node with a replaced
    /// disk belongs where it was.
    pub store: StoreId,
    /// Its share.
    pub weight: Weight,
    /// What it fails together with.
    pub domain: Domain,
    /// Whether it takes part.
    pub state: NodeState,
    /// What it has.
    pub capacity: Capacity,
}

impl Node {
    /// A node that is up, with the default weight and no domain.
    pub fn new(store: StoreId) -> Self {
        Self {
            store,
            weight: Weight::DEFAULT,
            domain: Domain::default(),
            state: NodeState::Up,
            capacity: Capacity::default(),
        }
    }
}

/// Why a node list or a part of one was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NodesError {
    /// A peer stands in the list twice.
    #[error("the peer is in the list already: peer={0}")]
    Duplicate(PeerId),
    /// The list is full.
    #[error("the list of nodes is full: max={NODES_MAX}")]
    Full,
    /// There is no such node.
    #[error("no such node: peer={0}")]
    NoSuchNode(PeerId),
    /// The name of a failure domain is too long or has control characters.
    #[error("a domain has at most {DOMAIN_BYTES_MAX} bytes of printable text: bytes={bytes}")]
    Domain {
        /// Bytes of the refused name.
        bytes: usize,
    },
}

/// The node list as the system partition has committed it. A peer stands in it once: a new identity
/// of the same key takes the place of the old one, whatever else is still said about that.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<(PeerId, Node)>", into = "Vec<(PeerId, Node)>")]
pub struct Nodes(BTreeMap<PeerId, Node>);

impl Nodes {
    /// Takes nodes in any order.
    ///
    /// # Errors
    /// When a peer is there twice or there are over [`NODES_MAX`].
    pub fn new(nodes: impl IntoIterator<Item = (PeerId, Node)>) -> Result<Self, NodesError> {
        let mut list = Self::default();
        for (peer, node) in nodes {
            if list.put(peer, node)?.is_some() {
                return Err(NodesError::Duplicate(peer));
            }
        }
        Ok(list)
    }

    /// Adds a node, or replaces what was there for this peer and returns it.
    ///
    /// # Errors
    /// [`NodesError::Full`].
    pub fn put(&mut self, peer: PeerId, node: Node) -> Result<Option<Node>, NodesError> {
        if self.0.len() >= NODES_MAX && !self.0.contains_key(&peer) {
            return Err(NodesError::Full);
        }
        Ok(self.0.insert(peer, node))
    }

    /// Sets whether a node takes part.
    ///
    /// # Errors
    /// [`NodesError::NoSuchNode`].
    pub fn set_state(&mut self, peer: PeerId, state: NodeState) -> Result<(), NodesError> {
        self.0.get_mut(&peer).ok_or(NodesError::NoSuchNode(peer))?.state = state;
        Ok(())
    }

    /// Sets a node's share.
    ///
    /// # Errors
    /// [`NodesError::NoSuchNode`].
    pub fn set_weight(&mut self, peer: PeerId, weight: Weight) -> Result<(), NodesError> {
        self.0.get_mut(&peer).ok_or(NodesError::NoSuchNode(peer))?.weight = weight;
        Ok(())
    }

    /// Takes a node off the list.
    pub fn remove(&mut self, peer: &PeerId) -> Option<Node> {
        self.0.remove(peer)
    }

    /// A node by its peer id.
    pub fn node(&self, peer: &PeerId) -> Option<&Node> {
        self.0.get(peer)
    }

    /// All nodes in the order of their peer ids.
    pub fn iter(&self) -> impl Iterator<Item = (&PeerId, &Node)> {
        self.0.iter()
    }

    /// Nodes in the list, whatever their state.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Nodes in one state.
    pub fn count_in(&self, state: NodeState) -> usize {
        self.0.values().filter(|node| node.state == state).count()
    }
}

impl TryFrom<Vec<(PeerId, Node)>> for Nodes {
    type Error = NodesError;

    fn try_from(nodes: Vec<(PeerId, Node)>) -> Result<Self, NodesError> {
        Self::new(nodes)
    }
}

impl From<Nodes> for Vec<(PeerId, Node)> {
    fn from(nodes: Nodes) -> Self {
        nodes.0.into_iter().collect()
    }
}
