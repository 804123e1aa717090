//! What a node keeps of the network that it belongs to, beside its data.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    PartitionId, PeerId,
    codec::{self, CodecError},
};

use super::{Genesis, Lead, NetworkId};
use crate::kinds;

/// A node's network. It is made durable before the node acts on it, and only a reset lets it go.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Pin {
    /// The network that the node belongs to.
    pub genesis: Option<Genesis>,
    /// Whether the replicas of the network are still being made: nothing was promised in them.
    pub is_founding: bool,
    /// The network that the node's former one has joined.
    pub sought: Option<Sought>,
    /// The highest life of this node that was ended in each partition.
    pub lived: BTreeMap<PartitionId, u32>,
    /// The nodes that were listed when the state of the network was heard of last: what they say of
    /// it counts.
    pub nodes: BTreeSet<PeerId>,
}

/// What early builds kept.
#[derive(Deserialize)]
struct EarlyPin {
    genesis: Option<Genesis>,
    is_founding: bool,
    sought: Option<Sought>,
    lived: BTreeMap<PartitionId, u32>,
}

/// A network that is waited for.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Sought {
    /// Which.
    pub network: NetworkId,
    /// Where it was met.
    pub leads: Vec<Lead>,
}

impl Pin {
    /// The network that the node belongs to.
    pub fn network(&self) -> Option<NetworkId> {
        self.genesis.as_ref().map(Genesis::network)
    }

    /// The bytes that are kept.
    pub fn encode(&self) -> Bytes {
        codec::encode(kinds::PIN, self)
    }

    /// Reads them back.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kinds::PIN, bytes).or_else(|error| {
            let early = codec::decode(kinds::EARLY_PIN, bytes).map_err(|_| error)?;
            let EarlyPin { genesis, is_founding, sought, lived } = early;
            Ok(Self { genesis, is_founding, sought, lived, nodes: BTreeSet::new() })
        })
    }
}
