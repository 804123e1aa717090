//! What the founding machine asks of its driver.

use std::{fmt, sync::Arc};

use weald_core::{PartitionId, Payload, PeerId};

use super::{Answer, Genesis, JoinRefusal, Map, NetworkId, Pin, QuestionId, Request, Ticket};
use crate::{
    configuration::{ConfigurationId, Member},
    replica::Change,
};

/// What the machine asks of its driver, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Output {
    /// Ask a peer, and hand in [`Input::Answered`](super::Input::Answered), whatever comes of it. At
    /// most one question to a peer is under way.
    Ask {
        /// Whom.
        peer: PeerId,
        /// What.
        request: Box<Request>,
    },
    /// Answer a question.
    Reply {
        /// Which.
        question: QuestionId,
        /// What.
        answer: Box<Answer>,
    },
    /// Try to reach a peer at these addresses. Nothing is answered.
    Dial {
        /// Whom.
        peer: PeerId,
        /// Where.
        addresses: Vec<String>,
    },
    /// Make this durable in place of the one before, then hand in
    /// [`Input::Pinned`](super::Input::Pinned).
    Pin(Box<Pin>),
    /// Make a replica of each partition of the genesis that is not there, with
    /// [`Genesis::configuration`], durable; then hand in [`Input::Founded`](super::Input::Founded).
    Found(Box<Genesis>),
    /// The node belongs to this network: run the replicas that the log holds.
    Open(Box<Genesis>),
    /// Let a member of a partition live here that begins with nothing and is fed by the others. Where
    /// it begins is [`Genesis::configuration`]: certificates lead from there to the configuration
    /// that names it. An error is no news.
    Host {
        /// The partition.
        partition: PartitionId,
        /// Who the member is.
        member: Member,
    },
    /// Let the member of a partition live here no more: it has been removed.
    Retire(PartitionId),
    /// Log this in a partition, and hand in [`Input::Proposed`](super::Input::Proposed), whatever
    /// comes of it.
    Propose {
        /// Names it.
        ticket: Ticket,
        /// Where.
        partition: PartitionId,
        /// What.
        payload: Box<Payload>,
    },
    /// Begin a change of a partition's members, which this node coordinates, unless its configuration
    /// is another by now: what was decided for an older one may be wrong for it. An error is no news.
    Reconfigure {
        /// Which partition.
        partition: PartitionId,
        /// The configuration that it was decided for.
        from: ConfigurationId,
        /// How.
        change: Change,
    },
    /// The node's network has joined another before it was used. Stop everything, remove engine and
    /// logs, format anew under another store id with this pin, and begin with a new machine.
    /// Nothing comes after this.
    Reset(Box<Pin>),
    /// What is known of the network has changed.
    Map(Arc<Map>),
    /// Whether the node is ready has changed.
    Ready(Readiness),
    /// Something that operators want to know.
    Report(Report),
}

/// Whether a node can serve, and what it waits for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Readiness {
    /// It belongs to a network and knows who holds what.
    Ready,
    /// It looks for its network.
    Seeking {
        /// For whom it waits: addresses, and the network if that is known; empty while it looks
        /// whether there is anybody before it founds.
        whom: Vec<String>,
    },
    /// It asks to be let in.
    Joining {
        /// Whom it asks.
        peer: PeerId,
    },
    /// It was not let in; it goes on asking.
    Refused {
        /// By whom.
        peer: PeerId,
        /// Why.
        refusal: JoinRefusal,
    },
    /// It founds a network.
    Founding,
    /// It waits for the network's state or for its own place in it.
    Opening,
    /// Its network, which nobody has used, joins another.
    Dissolving {
        /// The other.
        into: NetworkId,
    },
    /// It holds nothing any more and may be stopped.
    Left,
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Seeking { whom } if whom.is_empty() => {
                f.write_str("looking for peers of the network before founding it")
            }
            Self::Seeking { whom } => write!(f, "waiting for {}", whom.join(", ")),
            Self::Joining { peer } => write!(f, "asking to join: peer={peer}"),
            Self::Refused { peer, refusal } => write!(f, "not let in: {refusal} peer={peer}"),
            Self::Founding => f.write_str("founding the network"),
            Self::Opening => f.write_str("waiting for the network's state"),
            Self::Dissolving { into } => write!(f, "joining another network: into={into}"),
            Self::Left => f.write_str("this node holds nothing any more and may be stopped"),
        }
    }
}

/// Something that operators want to know.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Report {
    /// A network was founded.
    Founded(NetworkId),
    /// The node belongs to a network that was there.
    Joined(NetworkId),
    /// The node's network begins to join another.
    Dissolving {
        /// The node's.
        network: NetworkId,
        /// The other.
        into: NetworkId,
    },
    /// It does not after all: somebody has used it.
    CalledOff {
        /// The node's.
        network: NetworkId,
    },
    /// Another network of the name exists, and both are in use: they never mix. A node of either
    /// that has no data of worth is put back by `weald leave --reset`.
    OtherNetwork {
        /// Who belongs to it.
        peer: PeerId,
        /// Which.
        network: NetworkId,
    },
    /// The node's network would join another, which does not let it in.
    NotAdmitted {
        /// Who said so.
        peer: PeerId,
        /// The other network.
        network: NetworkId,
    },
    /// A node was let in.
    Admitted(PeerId),
    /// A node was not let in.
    Refused {
        /// Who.
        peer: PeerId,
        /// Why.
        refusal: JoinRefusal,
    },
    /// A node is given up: it was silent for the grace time and another can take its place.
    GivenUp(PeerId),
}
