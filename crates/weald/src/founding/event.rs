//! Everything that can happen to the founding task.

use weald_cluster::founding::{Answer, Proposed, Request, Ticket};
use weald_core::{PartitionId, PeerId, PeerInfo, Reply};

/// What reaches the task.
#[derive(Debug)]
pub(super) enum Event {
    /// A peer is connected.
    Connected(Box<PeerInfo>),
    /// A peer is connected no more.
    Disconnected(PeerId),
    /// A peer asks.
    Asked(PeerId, Box<Request>, Reply),
    /// What a peer has answered; `None` if nothing came.
    Answered(PeerId, Option<Box<Answer>>),
    /// The replicas of a new network are there.
    Founded,
    /// What became of a proposal.
    Proposed(PartitionId, Ticket, Proposed),
    /// This node is to be drained, or is to stay.
    Drain(bool),
    /// The task is to end.
    Close,
}

impl Event {
    /// Whether a peer has caused it, so that there may be any number.
    pub(super) const fn is_peers(&self) -> bool {
        match self {
            Self::Connected(_) | Self::Disconnected(_) | Self::Asked(..) => true,
            Self::Answered(..)
            | Self::Founded
            | Self::Proposed(..)
            | Self::Drain(_)
            | Self::Close => false,
        }
    }
}
