//! The members of partitions that live on this node: they agree with their peers on the logs, apply
//! them and answer.
//!
//! ```text
//! caller --Proposal--> letterbox --> loop --frames--> peers
//! peers ---frames----> letterbox      |  --LogBatch-> log thread --news--> letterbox
//! clerks --what was read from disks-->|  --commit---> state store
//!                                     `---answers---> callers
//! ```
//!
//! One loop drives all partitions: it hands inputs to their [`State`](weald_cluster::replica::State)s
//! and carries outputs out. It decides nothing about the protocol and never waits for a disk; two
//! clerks do. Nothing here knows how peers are reached or who asks.

mod caller;
mod clerk;
mod event;
mod figures;
mod hosted;
mod letterbox;
mod limits;
mod parts;
mod proposal;
mod reading;
mod status;

use std::sync::Arc;

use tokio::sync::oneshot;
use weald_cluster::{
    configuration::{Configuration, Member},
    replica::{Change, ChangeError, TransferError},
};
use weald_core::{LogIndex, PartitionId, Service, StateError, TransactionId};

pub(crate) use caller::Caller;
use event::{Event, Hosting};
pub(crate) use event::{ChangeRefused, HostError, TransferRefused};
pub(crate) use figures::Figures;
pub(crate) use hosted::Hosted;
pub(crate) use letterbox::Letterbox;
pub(crate) use parts::{MembersConfig, MembersParts, StartError};
pub(crate) use proposal::{Answer, Proposal, ProposeError, Standing, Terms};
pub(crate) use reading::{ReadAsk, ReadRefused};
pub(crate) use status::{MemberHealth, PartitionStatus};

/// The service by which a member hands its state to another, page by page.
pub(crate) const STATE_PAGE: Service = Service(7);

/// The members of partitions that live on this node. Cheap to clone; dropping the last clone stops
/// them as if the process had been killed.
#[derive(Clone)]
pub(crate) struct Members(Arc<Running>);

impl Members {
    /// Starts the members that the log knows, as recovery found them, and the threads that drive
    /// them.
    ///
    /// # Errors
    /// When a state cannot be read, or no thread can be started.
    pub(crate) fn start(parts: MembersParts) -> Result<Self, StartError> {
        Running::start(parts).map(|running| Self(Arc::new(running)))
    }

    /// This node as a member in its first life.
    pub(crate) fn me(&self) -> Member {
        self.0.me
    }

    /// Begins `partition` with these members, of which this node is one. Every one of them calls
    /// this with the same configuration; when a majority has, one of them coordinates. The answer
    /// comes when the membership is durable here.
    pub(crate) fn found(
        &self,
        partition: PartitionId,
        configuration: Configuration,
    ) -> oneshot::Receiver<Result<Member, HostError>> {
        self.adopt(partition, configuration)
    }

    /// Lets a member of `partition` live here that the others feed, beginning with nothing.
    /// `configuration` is what the node was told of its members; it may name this node already.
    /// Where it names this node with another store, what was promised there is lost: the member
    /// asks for a new life and is a learner until the coordinator has swapped it in (rule C11).
    /// The answer, who the member is, comes when that is durable here.
    pub(crate) fn adopt(
        &self,
        partition: PartitionId,
        configuration: Configuration,
    ) -> oneshot::Receiver<Result<Member, HostError>> {
        let (caller, receiver) = Caller::channel();
        self.push(Event::Host(Hosting { partition, configuration }, caller));
        receiver
    }

    /// Lets the member of `partition` live here no more. Its log and state stay on the disk; it is
    /// forgotten with the next start.
    pub(crate) fn retire(&self, partition: PartitionId) -> oneshot::Receiver<()> {
        let (caller, receiver) = Caller::channel();
        self.push(Event::Retire(partition, caller));
        receiver
    }

    /// How all members here stand, by partition.
    pub(crate) fn partitions(&self) -> Vec<PartitionStatus> {
        self.0.hosted.read().values().map(|hosted| hosted.status()).collect()
    }

    /// The member of `partition` that lives here, for reading; `None` if there is none.
    pub(crate) fn hosted(&self, partition: PartitionId) -> Option<Arc<Hosted>> {
        self.0.hosted.read().get(&partition).cloned()
    }

    /// Hands in a proposal. Its caller is answered once the entry is applied, or told
    /// [`Answer::Refused`] when the coordination has ended before it was logged.
    ///
    /// # Errors
    /// Definite: nothing was logged, and the caller is not told anything.
    pub(crate) fn propose(
        &self,
        partition: PartitionId,
        proposal: Proposal,
    ) -> Result<(), ProposeError> {
        let hosted = self.hosted(partition).ok_or(ProposeError::NotMember)?;
        let hint = hosted.with_status(|status| match status.is_coordinator() {
            true => None,
            false => Some(status.coordinator),
        });
        match hint {
            Some(hint) => Err(ProposeError::NotCoordinator { hint }),
            None => self.0.letterbox.propose(partition, proposal),
        }
    }

    /// Asks from which index on `partition` may be read here. The answer comes when that index is
    /// applied and visible, so that a view taken then, or later, is fresh enough. A linearizable
    /// read works at every member: the coordinator is asked.
    pub(crate) fn read_point(
        &self,
        partition: PartitionId,
        ask: ReadAsk,
    ) -> oneshot::Receiver<Result<LogIndex, ReadRefused>> {
        let (caller, receiver) = Caller::channel();
        self.ask_read_point(partition, ask, caller);
        receiver
    }

    /// As [`Members::read_point`], for a caller of any kind.
    pub(crate) fn ask_read_point(
        &self,
        partition: PartitionId,
        ask: ReadAsk,
        caller: Caller<Result<LogIndex, ReadRefused>>,
    ) {
        let Some(hosted) = self.hosted(partition) else {
            caller.tell(Err(ReadRefused::NotMember));
            return;
        };
        match self.0.read_at_once(&hosted, &ask) {
            Some(answer) => drop(caller.tell(answer)),
            None => self.push(Event::Read(partition, ask, caller)),
        }
    }

    /// What is known here of a transaction whose home is in `partition`; closed when no member of
    /// it lives here.
    pub(crate) fn standing(
        &self,
        partition: PartitionId,
        id: TransactionId,
    ) -> oneshot::Receiver<Standing> {
        let (caller, receiver) = Caller::channel();
        self.push(Event::Standing(partition, id, caller));
        receiver
    }

    /// Begins a change of the members of `partition`. The answer is the place of its entry; it is
    /// in force once [`PartitionStatus::configuration`] shows it and the watermark covers it.
    pub(crate) fn reconfigure(
        &self,
        partition: PartitionId,
        change: Change,
    ) -> oneshot::Receiver<Result<LogIndex, ChangeRefused>> {
        let (caller, receiver) = Caller::channel();
        self.push(Event::Change(partition, change, caller));
        receiver
    }

    /// Hands the coordination of `partition` over to another voter. The answer says that it has
    /// begun; it is done when the status names the other as coordinator.
    pub(crate) fn transfer(
        &self,
        partition: PartitionId,
        to: Member,
    ) -> oneshot::Receiver<Result<(), TransferRefused>> {
        let (caller, receiver) = Caller::channel();
        self.push(Event::Transfer(partition, to, caller));
        receiver
    }

    /// Writes checkpoints of all partitions now.
    pub(crate) fn checkpoint(&self) -> oneshot::Receiver<Result<(), StateError>> {
        let (caller, receiver) = Caller::channel();
        self.push(Event::Checkpoint(caller));
        receiver
    }

    /// Hands coordinations over where somebody can take them, finishes what is under way, writes
    /// checkpoints and ends. Later calls find no member here.
    pub(crate) fn close(&self) -> oneshot::Receiver<Result<(), StateError>> {
        let (caller, receiver) = Caller::channel();
        self.push(Event::Close(caller));
        receiver
    }

    /// What the members have done since they started.
    pub(crate) fn figures(&self) -> Figures {
        self.0.figures.read()
    }

    fn push(&self, event: Event) {
        self.0.letterbox.push(event);
    }
}
