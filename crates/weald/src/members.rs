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
//! clerks do. Its turns are taken by whichever thread delivers something while no other is at it,
//! otherwise by its own ([`Letterbox`]). Nothing here knows how peers are reached or who asks.

mod auditor;
mod caller;
mod clerk;
mod clocks;
mod courier;
mod desk;
mod event;
mod figures;
mod hosted;
mod letterbox;
mod limits;
#[cfg(test)]
pub(crate) mod loopback;
mod mending;
mod office;
mod opening;
mod parts;
mod post;
mod proposal;
mod reading;
mod recovery;
mod refusals;
mod replica;
mod running;
mod snapshot;
mod status;
mod stopwatch;
mod stores;
#[cfg(test)]
mod tests;
mod waiting;
mod work;

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;
use weald_cluster::{
    configuration::{Configuration, ConfigurationId, Member},
    partition::coordination::{Message, primary::Begin},
    recovery::Authority,
    replica::Change,
};
use weald_core::{Lock, LogIndex, PartitionId, Service, StateError, TransactionId};

use crate::metric::Metric;

pub(crate) use auditor::{Auditor, Logged};
pub(crate) use caller::Caller;
pub(crate) use courier::Courier;
pub(crate) use event::{ChangeRefused, HostError, TransferRefused};
use event::{Event, HostAs, Hosting};
#[cfg(test)]
pub(crate) use figures::Figures;
pub(crate) use hosted::Hosted;
pub(crate) use letterbox::Letterbox;
pub(crate) use parts::{MembersConfig, MembersParts, StartError};
pub(crate) use proposal::{Answer, Proposal, ProposeError, Standing, Terms, decode, encode};
pub(crate) use reading::{ReadAsk, ReadRefused};
#[cfg(test)]
pub(crate) use recovery::BeginError;
pub(crate) use recovery::{Left, left};
use running::Running;
pub(crate) use status::{MemberHealth, MemberRun, PartitionStatus};

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

    /// Begins `partition` with these members, of which this node is one. Every one of them calls
    /// this with the same configuration; when a majority has, one of them coordinates. The answer
    /// comes when the membership is durable here.
    pub(crate) fn found(
        &self,
        partition: PartitionId,
        configuration: Configuration,
    ) -> oneshot::Receiver<Result<Member, HostError>> {
        self.host(partition, configuration, HostAs::Named)
    }

    /// Lets `member`, which is of this node and its store, live here, beginning with nothing and fed
    /// by the others. `root` is where it begins to check who they are: certificates lead from there
    /// to the configuration that names it. Where the log may have forgotten that it lived here before,
    /// it asks the others for its next life, and is a learner until the coordinator has swapped it for
    /// its earlier one (rule C11). The answer comes when the membership is durable here.
    pub(crate) fn adopt(
        &self,
        partition: PartitionId,
        root: Configuration,
        member: Member,
    ) -> oneshot::Receiver<Result<Member, HostError>> {
        self.host(partition, root, HostAs::Member(member))
    }

    /// Members that begin from now on believe the forced recoveries of this authority. For those
    /// that the log knows it stands in the settings.
    pub(crate) fn trust(&self, authority: Authority) {
        self.push(Event::Trust(authority));
    }

    fn host(
        &self,
        partition: PartitionId,
        configuration: Configuration,
        beginning: HostAs,
    ) -> oneshot::Receiver<Result<Member, HostError>> {
        let (caller, receiver) = Caller::channel();
        let hosting = Hosting { partition, configuration, beginning };
        self.push(Event::Host(hosting, caller));
        receiver
    }

    /// Lets the member of `partition` live here no more. Its log and state stay on the disk until another life begins
    /// here, which begins with nothing.
    pub(crate) fn retire(&self, partition: PartitionId) -> oneshot::Receiver<()> {
        let (caller, receiver) = Caller::channel();
        self.push(Event::Retire(partition, caller));
        receiver
    }

    /// How all members here stand, by partition.
    pub(crate) fn partitions(&self) -> Vec<PartitionStatus> {
        self.0.hosted.read().values().map(|hosted| hosted.status()).collect()
    }

    /// How long ago a coordinator of the partition was last heard here; zero where this node coordinates,
    /// `None` while nobody was heard in this run.
    pub(crate) fn last_contact(&self, status: &PartitionStatus) -> Option<Duration> {
        match status.is_coordinator() {
            true => Some(Duration::ZERO),
            false => status.heard.map(|heard| self.0.steady().since(heard)),
        }
    }

    /// How long ago a member was last heard by this node, which coordinates its partition.
    pub(crate) fn silence(&self, status: &PartitionStatus, member: &Member) -> Option<Duration> {
        let heard = status.members_heard.get(member)?;
        Some(self.0.steady().since(*heard))
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
        self.check_coordinates(partition)?;
        self.0.letterbox.propose(partition, proposal)
    }

    /// Drives a transaction over several partitions, of which `partition` is the primary. Its caller
    /// is answered with what became of it.
    ///
    /// # Errors
    /// As [`Members::propose`].
    pub(crate) fn begin(
        &self,
        partition: PartitionId,
        begin: Begin,
        (terms, caller): (Terms, Caller<Answer>),
    ) -> Result<(), ProposeError> {
        self.check_coordinates(partition)?;
        self.0.letterbox.hand_in(Event::Begin(partition, Box::new(begin), terms, caller));
        Ok(())
    }

    /// Hands in what another coordinator says about a transaction over several partitions.
    ///
    /// # Errors
    /// When this node does not coordinate `partition`; the message is for whoever does.
    pub(crate) fn tell(
        &self,
        partition: PartitionId,
        message: Message,
    ) -> Result<(), ProposeError> {
        self.check_coordinates(partition)?;
        self.0.letterbox.hand_in(Event::Tell(partition, message));
        Ok(())
    }

    /// A reader has met `lock` in `partition` and waits for it. Of use at the coordinator only.
    ///
    /// # Errors
    /// When this node does not coordinate `partition`.
    pub(crate) fn met(&self, partition: PartitionId, lock: Lock) -> Result<(), ProposeError> {
        self.check_coordinates(partition)?;
        self.push(Event::Met(partition, lock));
        Ok(())
    }

    /// Sets who carries messages between coordinators. What is said before is lost, and said again.
    pub(crate) fn set_courier(&self, courier: Arc<dyn Courier>) {
        self.push(Event::Courier(courier));
    }

    /// Sets who looks at what other coordinators have logged. What was applied before is not looked at.
    pub(crate) fn set_auditor(&self, auditor: Arc<dyn Auditor>) {
        self.push(Event::Auditor(auditor));
    }

    fn check_coordinates(&self, partition: PartitionId) -> Result<(), ProposeError> {
        let hosted = self.hosted(partition).ok_or(ProposeError::NotMember)?;
        hosted.with_status(|status| match status.is_coordinator() {
            true => Ok(()),
            false => Err(ProposeError::NotCoordinator { hint: status.coordinator }),
        })
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
            Some(answer) => caller.tell(answer),
            None => self.0.letterbox.hand_in(Event::Read(partition, ask, caller)),
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

    /// Begins a change of the members of `partition`, if its configuration is the one that the change
    /// was decided for. The answer is the place of its entry; it is
    /// in force once [`PartitionStatus::configuration`] shows it and the watermark covers it.
    pub(crate) fn reconfigure(
        &self,
        partition: PartitionId,
        from: ConfigurationId,
        change: Change,
    ) -> oneshot::Receiver<Result<LogIndex, ChangeRefused>> {
        let (caller, receiver) = Caller::channel();
        self.push(Event::Change(partition, (from, change), caller));
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
    #[cfg(test)]
    pub(crate) fn figures(&self) -> Figures {
        self.0.figures.read()
    }

    /// The same, and how long writes took, for whoever watches over the node.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        self.0.figures.metrics()
    }

    fn push(&self, event: Event) {
        self.0.letterbox.push(event);
    }
}
