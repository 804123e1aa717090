//! Everything that can happen to the members of a node.

use std::sync::Arc;

use bytes::Bytes;
use weald_cluster::{
    configuration::{Configuration, ConfigurationId, Member},
    partition::coordination::{Message, primary::Begin},
    recovery::Authority,
    replica::{Change, ChangeError, TransferError},
};
use weald_core::{
    Caller as Asker, Lock, LogError, LogIndex, PartitionId, PeerId, Reply, StateError,
    TransactionId,
};

use super::{
    Answer, Auditor, Caller, Courier, Proposal, ReadAsk, ReadRefused, Standing, Terms,
    clerk::Report,
};

/// What reaches the loop.
pub(super) enum Event {
    /// A peer's frame.
    Frame { from: PeerId, frame: Bytes },
    /// A peer is connected, or no more: what its connection remembered is void.
    Connection(PeerId),
    /// A caller wants something logged.
    Propose(PartitionId, Proposal),
    /// A caller wants to read.
    Read(PartitionId, ReadAsk, Caller<Result<LogIndex, ReadRefused>>),
    /// A caller asks what became of a transaction.
    Standing(PartitionId, TransactionId, Caller<Standing>),
    /// A transaction over several partitions is to be driven.
    Begin(PartitionId, Box<Begin>, Terms, Caller<Answer>),
    /// Another coordinator says something about such a transaction.
    Tell(PartitionId, Message),
    /// A reader has met a lock.
    Met(PartitionId, Lock),
    /// Who carries messages between coordinators.
    Courier(Arc<dyn Courier>),
    /// Who looks at what other coordinators have logged.
    Auditor(Arc<dyn Auditor>),
    /// Whose forced recoveries are believed by members that begin from now on.
    Trust(Authority),
    /// A member is to live here.
    Host(Hosting, Caller<Result<Member, HostError>>),
    /// A member is to live here no more.
    Retire(PartitionId, Caller<()>),
    /// The members of a partition are to change.
    Change(PartitionId, (ConfigurationId, Change), Caller<Result<LogIndex, ChangeRefused>>),
    /// Another member is to coordinate.
    Transfer(PartitionId, Member, Caller<Result<(), TransferRefused>>),
    /// Everything applied is to be in a durable checkpoint.
    Checkpoint(Caller<Result<(), StateError>>),
    /// A peer asks for a page of a state.
    Page(Asker, Bytes, Reply),
    /// A clerk has done something.
    Report(Report),
    /// Finish what is under way, write checkpoints, end.
    Close(Caller<Result<(), StateError>>),
    /// End now.
    Abandon,
}

/// How a member begins to live here.
#[derive(Clone, Debug)]
pub(crate) struct Hosting {
    /// The partition.
    pub(crate) partition: PartitionId,
    /// The configuration that it begins with: the founding one, or what it was told when it joined.
    pub(crate) configuration: Configuration,
    /// How it begins.
    pub(crate) beginning: HostAs,
}

/// How a member begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostAs {
    /// It is named by the configuration, or will be in its first life.
    Named,
    /// It is this one, which later configurations name.
    Member(Member),
}

/// Why a member did not begin to live here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostError {
    /// A member of the partition lives here already.
    #[error("a member of the partition lives here already: member={0}")]
    Hosted(Member),
    /// The log does not take it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state store cannot be opened.
    #[error(transparent)]
    State(#[from] StateError),
    /// The node is closing.
    #[error("the node is closing")]
    Closing,
}

/// Why the members of a partition were not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeRefused {
    /// No member of the partition lives here.
    #[error("this node is no member of the partition")]
    NotMember,
    /// The members have changed since the change was decided.
    #[error("the configuration is another by now: id={}", .0.0)]
    Outdated(ConfigurationId),
    /// The coordinator refuses.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Why the coordination was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransferRefused {
    /// No member of the partition lives here.
    #[error("this node is no member of the partition")]
    NotMember,
    /// The coordinator refuses.
    #[error(transparent)]
    Transfer(#[from] TransferError),
}
