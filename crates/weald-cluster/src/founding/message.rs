//! What nodes say to each other about their networks: one question, one answer.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    LogIndex, PartitionId, PeerId, StoreId,
    codec::{self, CodecError},
    identity::PublicKey,
};

use super::{
    Genesis, Invitation, Map, NetworkId,
    limits::{ADDRESS_BYTES_MAX, ADDRESSES_MAX, LEADS_MAX, NAME_BYTES_MAX, REQUEST_BYTES_MAX},
};
use crate::{
    configuration::{ConfigurationId, Member},
    kinds,
    placement::limits::DOMAIN_BYTES_MAX,
};

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Introduction {
    /// The formatting of its disk.
    pub store: StoreId,
    /// Its key; the channel vouches for it.
    pub public_key: PublicKey,
    /// The share of data that it wants, relative to others; zero takes none.
    pub weight: u32,
    /// What it fails together with.
    pub domain: String,
}

impl Introduction {
    /// Who it is.
    pub fn peer(&self) -> PeerId {
        self.public_key.peer_id()
    }
}

/// How a node stands to networks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Standing {
    /// It belongs to none.
    Seeking {
        /// Whether it will found one if it finds none.
        may_found: bool,
    },
    /// It belongs to one and cannot tell yet how that stands.
    Opening {
        /// Which.
        network: NetworkId,
    },
    /// It is the only node of one that nobody has used.
    Pristine {
        /// Which.
        network: NetworkId,
    },
    /// Its network, which nobody has used, joins another.
    Dissolving {
        /// Which.
        network: NetworkId,
        /// The other.
        into: NetworkId,
    },
    /// It belongs to one that has been used or has several nodes: that one stays for good.
    Settled {
        /// Which.
        network: NetworkId,
    },
}

impl Standing {
    /// The network that the node belongs to.
    pub const fn network(&self) -> Option<NetworkId> {
        match self {
            Self::Seeking { .. } => None,
            Self::Opening { network }
            | Self::Pristine { network }
            | Self::Dissolving { network, .. }
            | Self::Settled { network } => Some(*network),
        }
    }

    /// The network that others may join through the node.
    pub const fn open(&self) -> Option<NetworkId> {
        match self {
            Self::Pristine { network } | Self::Settled { network } => Some(*network),
            Self::Seeking { .. } | Self::Opening { .. } | Self::Dissolving { .. } => None,
        }
    }
}

/// What a node wants of another.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Wish {
    /// To know each other.
    Greet,
    /// To belong to its network.
    Join {
        /// Lets it in where its address does not.
        invitation: Option<Box<Invitation>>,
    },
    /// To hold nothing any more, data moving elsewhere first.
    Drain,
    /// To be listed as gone; it holds nothing any more.
    Leave,
}

/// A question to a peer.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The name of the network that the asker seeks or belongs to.
    pub name: String,
    /// Who asks.
    pub from: Introduction,
    /// How the asker stands.
    pub standing: Standing,
    /// The state of the network that the asker has; zero for none.
    pub have: LogIndex,
    /// What it wants.
    pub wish: Wish,
}

impl Request {
    /// The bytes that are sent.
    pub fn encode(&self) -> Bytes {
        codec::encode(kinds::FOUNDING_REQUEST, self)
    }

    /// Reads them back.
    ///
    /// # Errors
    /// When they do not parse or a field is over its bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let too_large = || CodecError::TooLarge { bytes: bytes.len(), max: REQUEST_BYTES_MAX };
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(too_large());
        }
        let request: Self = codec::decode(kinds::FOUNDING_REQUEST, bytes)?;
        let (name, domain) = (&request.name, &request.from.domain);
        let is_within = name.len() <= NAME_BYTES_MAX && domain.len() <= DOMAIN_BYTES_MAX;
        if is_within { Ok(request) } else { Err(too_large()) }
    }
}

/// Where a peer may be reached. A hint.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Lead {
    /// Who.
    pub peer: PeerId,
    /// At which addresses.
    pub addresses: Vec<String>,
}

/// What the coordinator of a partition says of the asker's membership, by the configuration that is
/// committed there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Membership {
    /// The partition.
    pub partition: PartitionId,
    /// Its configuration.
    pub configuration: ConfigurationId,
    /// The asker as a member of it, in its latest life; `None` if it is none.
    pub member: Option<Member>,
}

/// Why a wish was not granted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum JoinRefusal {
    /// The asker seeks a network of another name.
    #[error("it belongs to a network of another name")]
    OtherName,
    /// The asker's introduction names another key than its channel.
    #[error("it was told another key than the channel has")]
    OtherKey,
    /// Neither its address nor a key nor an invitation lets the asker in.
    #[error("it lets in neighbours, holders of its key and invited nodes only")]
    NotAdmitted,
    /// The invitation is for another network or node, has expired, or is not signed by a node.
    #[error("the invitation does not hold")]
    BadInvitation,
    /// The asker is no node of the network.
    #[error("the asker is no node of its network")]
    NotListed,
    /// The asker belongs to a network already.
    #[error("the asker belongs to another network")]
    Belongs,
    /// The network has as many nodes as it may have.
    #[error("its network is full")]
    Full,
}

/// What became of a wish.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// It was only a greeting.
    Greeted,
    /// It is done, and committed. For a join: the genesis to pin.
    Granted {
        /// The genesis of the network.
        genesis: Box<Genesis>,
    },
    /// Another node can tell; it is among the leads.
    Elsewhere {
        /// Which.
        peer: PeerId,
    },
    /// Not now; ask again.
    Later,
    /// No.
    Refused(JoinRefusal),
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The name of the network that the answerer seeks or belongs to.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// Whether the asker would be let in without an invitation.
    pub admits: bool,
    /// What became of the wish.
    pub verdict: Verdict,
    /// Others of the network, or of the one that is joined instead.
    pub leads: Vec<Lead>,
    /// The network's state, if the asker has an older one and the answerer has it from its own
    /// replica.
    pub map: Option<Box<Map>>,
    /// Of the partitions that the answerer coordinates; for nodes of its network only.
    pub memberships: Vec<Membership>,
}

impl Answer {
    /// The bytes that are sent.
    pub fn encode(&self) -> Bytes {
        codec::encode(kinds::FOUNDING_ANSWER, self)
    }

    /// Reads them back; leads beyond their bounds are left out.
    ///
    /// # Errors
    /// When they do not parse.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut answer: Self = codec::decode(kinds::FOUNDING_ANSWER, bytes)?;
        answer.leads.truncate(LEADS_MAX);
        for lead in &mut answer.leads {
            lead.addresses.retain(|address| address.len() <= ADDRESS_BYTES_MAX);
            lead.addresses.truncate(ADDRESSES_MAX);
        }
        Ok(answer)
    }
}
