//! What a driver tells the founding machine.

use std::collections::BTreeSet;

use weald_core::{PartitionId, PeerId, Rejection, SystemState};

use super::{Answer, Request};
use crate::{
    configuration::{Configuration, Member},
    partition::Dissolution,
};

/// Names a question that a peer asked; chosen by the driver, unique within a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QuestionId(pub u64);

/// Names a proposal of this machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Ticket(pub u64);

/// A replica of this node, as the machine needs to know it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PartitionView {
    /// The member that lives here.
    pub member: Member,
    /// The configuration that counts.
    pub configuration: Configuration,
    /// Whether this node coordinates the partition.
    pub is_coordinator: bool,
    /// Who coordinates, as far as it is known.
    pub coordinator: Option<PeerId>,
    /// At the coordinator: whether a change of the members may be begun. The configuration is
    /// committed then.
    pub may_change: bool,
    /// At the coordinator: the other members whose logs are complete enough for a vote.
    pub caught_up: BTreeSet<Member>,
    /// Whether it has lost what it promised; it asks for its next life by itself (rule C11).
    pub is_amnesiac: bool,
    /// What was applied about the end of the network.
    pub dissolution: Dissolution,
}

/// What became of a proposal.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Proposed {
    /// It was applied.
    Applied,
    /// It was logged, and apply refused it.
    Refused(Rejection),
    /// Another node coordinates the partition.
    NotCoordinator(Option<PeerId>),
    /// It was not logged, or that is not known.
    Failed,
}

/// What a driver tells the machine.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// Time has passed. Spurious calls are harmless.
    Timeout,
    /// A peer is connected, or something about it has changed.
    PeerUp {
        /// Who.
        peer: PeerId,
        /// Where it listens.
        addresses: Vec<String>,
        /// Whether it comes, not over a relay, from a loopback or private address.
        is_near: bool,
    },
    /// A peer is connected no more.
    PeerDown(PeerId),
    /// A peer asks. Each question gets one [`Output::Reply`](super::Output::Reply), in time.
    Asked {
        /// The question's name.
        question: QuestionId,
        /// Whose; the channel vouches for it.
        from: PeerId,
        /// What.
        request: Box<Request>,
    },
    /// The answer to [`Output::Ask`](super::Output::Ask); `None` when there is none by a deadline of
    /// the driver's.
    Answered {
        /// Who was asked.
        peer: PeerId,
        /// What it said.
        answer: Option<Box<Answer>>,
    },
    /// The last [`Output::Pin`](super::Output::Pin) is durable.
    Pinned,
    /// The replicas asked for by [`Output::Found`](super::Output::Found) are there, durable.
    Founded,
    /// The state of the system partition, as applied by this node's own replica.
    System(Box<SystemState>),
    /// A replica of this node; `None` when it is none any more.
    Replica(PartitionId, Option<Box<PartitionView>>),
    /// What became of a proposal. Each gets one such answer.
    Proposed(Ticket, Proposed),
    /// An operator wants this node to hold nothing any more. It leaves once that is so.
    Drain,
    /// An operator calls that off.
    Stay,
}
