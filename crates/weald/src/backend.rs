//! What handles need of a node. A node that is alone stands behind it with its driver
//! ([`crate::node`]), a node of a network with its members and its reach; handles do not see which.

use std::{fmt, future::Future, ops::Deref, pin::Pin, sync::Arc};

use tokio::sync::watch;
use weald_core::{
    BlockId, BlockSource, CollectionName, Digest, Fault, LogIndex, PartitionId, PeerId, PeerInfo,
    Position, ReadDependency, StateView, Time, TransactionId,
};
use weald_pubsub::{BodyAnswer, BodyRequest, TopicAddress};
use weald_storage::state::PartitionStore;

use crate::{
    Consistency, Error, ErrorKind, Metric, NodeStatus, PartitionInfo, Result,
    driver::{Proposal, ProposeError, Standing},
    node::Home,
    topic::{Duty, Link, Shelf},
};

/// The node behind the handles.
pub(crate) trait Backend: Send + Sync {
    /// Hands in a proposal. Its waiter is answered, from any thread, by its deadline. Returns whether
    /// the caller is to call [`Backend::lead`], or [`Backend::rouse`], right after; only one that may
    /// lead is.
    ///
    /// # Errors
    /// When it was not taken; then nobody is answered.
    fn propose(&self, proposal: Proposal) -> std::result::Result<bool, ProposeError>;

    /// Whether a write may be proposed as one that its caller leads.
    fn may_lead(&self) -> bool {
        false
    }

    /// Syncs, applies and answers what was proposed, in this thread, unless another one is at it.
    fn lead(&self) {}

    /// Leaves to others what was to be led.
    fn rouse(&self) {}

    /// What is known of a transaction, without changing anything.
    fn standing(&self, id: TransactionId) -> Promise<Standing>;

    /// The state of the partition that has `collection`, as fresh as the reading wants it. Where that
    /// comes from another node, what `rehearse` reads of what is remembered comes along.
    fn view(
        &self,
        collection: BlockId,
        reading: &Reading,
        rehearse: Rehearsal<'_>,
    ) -> Promise<Version>;

    /// The state of the partition that has `collection` right after `index`.
    fn past(&self, collection: BlockId, index: LogIndex) -> Promise<Version>;

    /// The newest state of everything. Where that is several partitions, each is looked at when it
    /// is first needed.
    fn whole(&self) -> Promise<Version>;

    /// Whether what a transaction has read, and nothing written, was so at one moment.
    fn confirm(&self, reads: Vec<ReadDependency>) -> Promise<bool>;

    /// Follows a collection: the receiver sees a change after each revision from now on, and now and
    /// then one without a reason. It is closed when it is to be followed anew.
    ///
    /// # Errors
    /// When the node has ended.
    fn follow(&self, collection: &CollectionName) -> Result<watch::Receiver<()>>;

    /// The ids of all collections.
    fn collections(&self) -> Promise<Vec<BlockId>>;

    /// The network that topics' addresses name: its genesis, or the node itself where that is alone.
    fn network(&self) -> Promise<Digest>;

    /// Where the messages of a topic are in this process; `None` where they are not.
    fn shelf(&self, collection: &CollectionName) -> Option<Arc<dyn Shelf>>;

    /// The partitions that this node coordinates.
    fn duties(&self) -> Vec<Duty>;

    /// What keeps the member here of a collection's partition from serving; `None` where it serves,
    /// or there is none.
    fn plight(&self, _: &CollectionName) -> Option<Plight> {
        None
    }

    /// The members of the partition of a topic, as far as they are known.
    fn members(&self, _: &CollectionName) -> Vec<PeerId> {
        Vec::new()
    }

    /// A stream of a topic from a member on another node, under a number of this node's own.
    fn link(&self, _: PeerId, _: TopicAddress, _: u64) -> Promise<Link> {
        Promise::Ready(Err(Error::new(ErrorKind::Unavailable, "the node is alone")))
    }

    /// A part of the body of a message, from a member on another node.
    fn body(&self, _: PeerId, _: TopicAddress, _: BodyRequest) -> Promise<BodyAnswer> {
        Promise::Ready(Err(Error::new(ErrorKind::Unavailable, "the node is alone")))
    }

    /// What this node keeps on its disk; `None` for one that stores nothing.
    fn kept(&self) -> Option<Kept>;

    /// How the node is.
    fn status(&self) -> NodeStatus;

    /// What the node counts and measures of itself.
    fn metrics(&self) -> Vec<Metric> {
        self.kept().map(|kept| kept.home.metrics()).unwrap_or_default()
    }

    /// The partitions that the node knows of.
    fn partitions(&self) -> Promise<Vec<PartitionInfo>> {
        let what = "the node does not tell its partitions";
        Promise::Ready(Err(Error::new(ErrorKind::Unavailable, what)))
    }

    /// Where peers reach the node, as multiaddresses.
    fn addresses(&self) -> Vec<String> {
        Vec::new()
    }

    /// The peers that are connected.
    fn peers(&self) -> Vec<PeerInfo> {
        Vec::new()
    }

    /// Whether the node takes reads and writes, or why not.
    fn readiness(&self) -> std::result::Result<(), String> {
        self.status().read_only.map_or(Ok(()), Err)
    }

    /// Hands the coordination of a partition over.
    fn transfer(&self, _: PartitionId, _: PeerId) -> Promise<()> {
        alone()
    }

    /// Hands everything over.
    fn drain(&self) -> Promise<()> {
        alone()
    }

    /// Writes a checkpoint now.
    fn checkpoint(&self) -> Promise<()>;

    /// Finishes what is under way and ends.
    fn close(self: Arc<Self>) -> Promise<()>;
}

/// The answer of a node that is alone to what takes two.
pub(crate) fn alone() -> Promise<()> {
    let what = "the node is alone: there is nobody to hand over to";
    Promise::Ready(Err(Error::new(ErrorKind::Invalid, what)))
}

/// What a node keeps.
pub(crate) struct Kept {
    pub(crate) home: Arc<Home>,
    pub(crate) stores: Vec<Arc<PartitionStore>>,
}

/// Why a member does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plight {
    /// It is being repaired, or fed after a forced recovery.
    Mending,
    /// It cannot read what it keeps.
    Broken,
}

/// An answer that is here, or comes.
pub(crate) enum Promise<T> {
    /// It is here.
    Ready(Result<T>),
    /// It comes.
    Later(Pin<Box<dyn Future<Output = Result<T>> + Send>>),
}

impl<T> Promise<T> {
    /// The answer that `future` will have.
    pub(crate) fn later(future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }

    /// Waits for it.
    pub(crate) async fn wait(self) -> Result<T> {
        match self {
            Self::Ready(answer) => answer,
            Self::Later(future) => future.await,
        }
    }
}

/// A read that is tried on blocks as they were some time ago, some of them missing, to see which
/// blocks it wants. What it finds out there means nothing.
pub(crate) type Rehearsal<'a> = &'a mut dyn FnMut(&dyn BlockSource);

/// What a read asks of the state that it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    pub(crate) consistency: Consistency,
    /// It must show at least this.
    pub(crate) at_least: Option<Position>,
}

impl Reading {
    /// Checks that a partition can show what is wanted of it.
    pub(crate) fn check(&self, partition: PartitionId) -> Result<()> {
        match self.at_least {
            Some(wanted) if wanted.partition != partition => {
                let what = format!(
                    "the position is of another partition: wanted={} partition={partition}",
                    wanted.partition
                );
                Err(Error::new(ErrorKind::Invalid, what))
            }
            _ => Ok(()),
        }
    }
}

/// One version of the state of one partition, or of all.
#[derive(Clone)]
pub(crate) struct Version {
    view: Arc<dyn StateView>,
    /// The view again where its blocks may come over the network.
    remote: Option<Arc<dyn Remote>>,
    partition: PartitionId,
    log_time: Time,
}

/// A view whose blocks may come over the network.
pub(crate) trait Remote: StateView {
    /// As [`StateView::load`], without blocking a thread.
    fn fetch(self: Arc<Self>, ids: Vec<BlockId>) -> Fetching;
}

/// Blocks that are on their way.
pub(crate) type Fetching = Pin<Box<dyn Future<Output = std::result::Result<(), Fault>> + Send>>;

impl Version {
    /// The state that `view` shows of a partition whose log has come to `log_time`.
    pub(crate) fn new(partition: PartitionId, view: Arc<dyn StateView>, log_time: Time) -> Self {
        Self { view, remote: None, partition, log_time }
    }

    /// As [`Version::new`], where another node may hold the partition.
    pub(crate) fn remote(partition: PartitionId, view: Arc<dyn Remote>, log_time: Time) -> Self {
        Self { view: Arc::clone(&view) as _, remote: Some(view), partition, log_time }
    }

    /// Brings blocks into memory; `None` where that waits for a disk.
    pub(crate) fn fetch(&self, ids: &[BlockId]) -> Option<Fetching> {
        Some(Arc::clone(self.remote.as_ref()?).fetch(ids.to_vec()))
    }

    /// What has expired by then is not shown. Means nothing for a version of all partitions, or of
    /// the past.
    pub(crate) const fn log_time(&self) -> Time {
        self.log_time
    }

    /// Right after which place this is the state. Means nothing for a version of all partitions.
    pub(crate) fn position(&self) -> Position {
        Position { partition: self.partition, index: self.view.index() }
    }
}

impl Deref for Version {
    type Target = dyn StateView;

    fn deref(&self) -> &Self::Target {
        &*self.view
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Version").field(&self.position()).finish()
    }
}

/// The error of a node that has not come to where a read wants it.
pub(crate) fn behind(wanted: LogIndex, applied: LogIndex) -> Error {
    let what = format!("the state is behind: wanted={wanted} applied={applied}");
    Error::new(ErrorKind::Behind, what)
}
