//! A node of a network: its members, its reach, its place in the network, and what it tells of them.

mod anew;
mod assembly;
mod events;
mod seeking;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinHandle};
use weald_cluster::{
    configuration::{Configuration, Member},
    founding::Readiness,
    replica::{Role, TransferError},
};
use weald_collections::CollectionType;
use weald_core::{
    BlockId, Clock, CollectionName, Digest, Entropy, LogIndex, PartitionId, PeerId, PeerInfo,
    ReadDependency, TransactionId, Transport,
};
use weald_p2p::{Network, Reachable};
use weald_pubsub::{BodyAnswer, BodyRequest, TopicAddress};

use super::{
    Home, MemberInfo, PartitionInfo, PartitionRole, Reachability, RecoveryInfo, Weald, closed,
    system::{SystemClock, SystemEntropy},
};
use crate::{
    Error, ErrorKind, Metric, NodeConfig, NodeStatus, Result, Voters,
    backend::{self, Backend, Kept, Plight, Promise, Reading, Rehearsal, Version},
    driver::{Proposal, ProposeError, Standing},
    founding::Founding,
    members::{MemberHealth, Members, PartitionStatus, TransferRefused},
    reach::Reach,
    topic::{Duty, Link, Shelf},
};

/// How long a node counts as ready while nobody coordinates any of its partitions.
const LEADERLESS_MAX: Duration = Duration::from_secs(3);

/// Starts a node of a network.
///
/// ```no_run
/// # #[tokio::main] async fn main() -> weald::Result<()> {
/// use weald::{NodeConfig, Weald};
/// let config = NodeConfig {
///     data_dir: "./data".into(),
///     bootstrap: vec!["/ip4/10.0.0.7/tcp/4001".into()],
///     ..NodeConfig::default()
/// };
/// let node = Weald::node(config).start().await?;
/// node.raw_tree("stock").open_or_create().await?.put("apple", "3").await?;
/// # Ok(()) }
/// ```
pub struct NodeBuilder {
    config: NodeConfig,
    clock: Arc<dyn Clock>,
    types: Vec<Arc<dyn CollectionType>>,
}

impl Weald {
    /// A node of a network, with these settings.
    pub fn node(config: NodeConfig) -> NodeBuilder {
        NodeBuilder { config, clock: Arc::new(SystemClock), types: Vec::new() }
    }
}

impl NodeBuilder {
    /// The clock. Default: the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Adds a collection type beside `Tree` and `Diary`. All nodes of a network need its code.
    #[must_use]
    pub fn register(mut self, collection_type: Arc<dyn CollectionType>) -> Self {
        self.types.push(collection_type);
        self
    }

    /// Starts the node on the tokio runtime that this is awaited in. It listens when this returns;
    /// whether it belongs to a network yet is told by [`Weald::readiness`].
    ///
    /// # Errors
    /// `Invalid` for settings out of range, `Unavailable` when another process uses the directory
    /// or an address cannot be listened on, `Damaged` when the data cannot be read.
    pub async fn start(self) -> Result<Weald> {
        self.config.check()?;
        let entropy: Box<dyn Entropy + Send> = Box::new(SystemEntropy);
        assembly::Assembly { config: self.config, clock: self.clock, types: self.types, entropy }
            .start()
            .await
    }
}

impl std::fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A running node of a network. The parts end in the order of the fields.
struct Mesh {
    /// What follows the state of the network.
    tasks: Vec<JoinHandle<()>>,
    /// `None` for a node that takes part in nothing.
    founding: Option<Founding>,
    reach: Arc<Reach>,
    members: Option<Members>,
    network: Network,
    home: Option<Arc<Home>>,
    /// Since when no partition here has had a coordinator, as whoever asks for readiness has seen it.
    leaderless_since: Mutex<Option<Instant>>,
}

impl Mesh {
    fn statuses(&self) -> Vec<PartitionStatus> {
        self.members.as_ref().map(Members::partitions).unwrap_or_default()
    }

    /// Whether a node that belongs to its network serves, or why not. That one coordinator is gone and
    /// the next not chosen is no reason until it lasts.
    fn serves(&self) -> std::result::Result<(), String> {
        let NodeStatus { read_only, partitions, leaderless, .. } = self.reach.status();
        if let Some(reason) = read_only.or_else(|| self.log_loss()) {
            return Err(reason);
        }
        let mut since = self.leaderless_since.lock();
        if leaderless == 0 || leaderless < partitions {
            *since = None;
            return Ok(());
        }
        match since.get_or_insert_with(Instant::now).elapsed() >= LEADERLESS_MAX {
            true => Err("no partition kept here has a majority of its voters up".to_owned()),
            false => Ok(()),
        }
    }

    /// What is wrong with the log where its end is lost and none of the others has given a next life yet
    /// (rule C11).
    fn log_loss(&self) -> Option<String> {
        let is_lost = self.home.as_ref().is_some_and(|home| home.log.is_lost());
        let what = "the end of the log is missing; the others give this node its next life once a \
                    majority of them is up (docs/recovery.md)";
        is_lost.then(|| what.to_owned())
    }

    /// How many voters the partitions that are kept here have, as far as both that and how many
    /// there are to be is known.
    fn voters(&self) -> Option<Voters> {
        let wanted = self.founding.as_ref()?.map().borrow().as_ref()?.responsibility_k().count();
        let count = |status: PartitionStatus| {
            let Configuration { voters, outgoing, .. } = status.configuration;
            if outgoing.is_empty() { voters.len() } else { voters.len().min(outgoing.len()) }
        };
        let fewest = self.statuses().into_iter().map(count).min()?;
        Some(Voters { fewest, wanted })
    }

    async fn end(self: Arc<Self>) -> Result<()> {
        self.tasks.iter().for_each(JoinHandle::abort);
        let ended = Arc::clone(&self.reach).close().wait().await;
        self.network.shutdown().await;
        ended
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Backend for Mesh {
    fn propose(&self, proposal: Proposal) -> std::result::Result<bool, ProposeError> {
        self.reach.propose(proposal)
    }

    fn standing(&self, id: TransactionId) -> Promise<Standing> {
        self.reach.standing(id)
    }

    fn view(
        &self,
        collection: BlockId,
        reading: &Reading,
        rehearse: Rehearsal<'_>,
    ) -> Promise<Version> {
        self.reach.view(collection, reading, rehearse)
    }

    fn past(&self, collection: BlockId, index: LogIndex) -> Promise<Version> {
        self.reach.past(collection, index)
    }

    fn whole(&self) -> Promise<Version> {
        self.reach.whole()
    }

    fn confirm(&self, reads: Vec<ReadDependency>) -> Promise<bool> {
        self.reach.confirm(reads)
    }

    fn follow(&self, collection: &CollectionName) -> Result<watch::Receiver<()>> {
        self.reach.follow(collection)
    }

    fn collections(&self) -> Promise<Vec<BlockId>> {
        self.reach.collections()
    }

    fn network(&self) -> Promise<Digest> {
        self.reach.network()
    }

    fn shelf(&self, collection: &CollectionName) -> Option<Arc<dyn Shelf>> {
        self.reach.shelf(collection)
    }

    fn duties(&self) -> Vec<Duty> {
        self.reach.duties()
    }

    fn plight(&self, collection: &CollectionName) -> Option<Plight> {
        self.reach.plight(collection)
    }

    fn members(&self, collection: &CollectionName) -> Vec<PeerId> {
        Backend::members(&*self.reach, collection)
    }

    fn link(&self, peer: PeerId, topic: TopicAddress, stream: u64) -> Promise<Link> {
        self.reach.link(peer, topic, stream)
    }

    fn body(&self, peer: PeerId, topic: TopicAddress, request: BodyRequest) -> Promise<BodyAnswer> {
        self.reach.body(peer, topic, request)
    }

    fn kept(&self) -> Option<Kept> {
        let home = Arc::clone(self.home.as_ref()?);
        let members = self.members.as_ref()?;
        let hosted = self.statuses().into_iter().filter_map(|s| members.hosted(s.partition));
        Some(Kept { home, stores: hosted.map(|hosted| hosted.store()).collect() })
    }

    fn status(&self) -> NodeStatus {
        let reachability = Some(Reachability::of(&self.network));
        let status = self.reach.status();
        let read_only = status.read_only.or_else(|| self.log_loss());
        NodeStatus { read_only, voters: self.voters(), reachability, ..status }
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.home.as_ref().map(|home| home.metrics()).unwrap_or_default();
        metrics.extend(self.members.iter().flat_map(Members::metrics));
        if let Some(voters) = self.voters() {
            let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
            let help = "Voters of the partition kept here that has fewest.";
            metrics.push(Metric::gauge("weald_voters_fewest", help, count(voters.fewest)));
            let help = "Voters that each partition is to have.";
            metrics.push(Metric::gauge("weald_voters_wanted", help, count(voters.wanted)));
        }
        metrics.extend(self.reach.metrics());
        metrics.extend(network_metrics(&self.network.metrics()));
        metrics
    }

    fn partitions(&self) -> Promise<Vec<PartitionInfo>> {
        let info = |status: PartitionStatus| {
            let members = self.members.as_ref();
            PartitionInfo::of_member(status, members)
        };
        Promise::Ready(Ok(self.statuses().into_iter().map(info).collect()))
    }

    fn addresses(&self) -> Vec<String> {
        self.network.listen_addresses()
    }

    fn peers(&self) -> Vec<PeerInfo> {
        Transport::peers(&self.network)
    }

    fn readiness(&self) -> std::result::Result<(), String> {
        let Some(founding) = &self.founding else { return self.reach.readiness() };
        match &*founding.readiness().borrow() {
            Readiness::Ready => self.serves(),
            other => Err(other.to_string()),
        }
    }

    fn transfer(&self, partition: PartitionId, target: PeerId) -> Promise<()> {
        let Some(members) = self.members.clone() else {
            return Promise::Ready(Err(outsider(partition)));
        };
        Promise::later(transfer(members, partition, target))
    }

    fn drain(&self) -> Promise<()> {
        let statuses = self.statuses();
        let is_own = |status: &PartitionStatus| {
            status.configuration.members().all(|member| member.peer == status.member.peer)
        };
        if !statuses.is_empty() && statuses.iter().all(is_own) {
            return backend::alone();
        }
        if let Some(founding) = &self.founding {
            founding.drain();
        }
        Promise::Ready(Ok(()))
    }

    fn checkpoint(&self) -> Promise<()> {
        self.reach.checkpoint()
    }

    fn close(self: Arc<Self>) -> Promise<()> {
        Promise::later(self.end())
    }
}

impl Reachability {
    fn of(network: &Network) -> Self {
        let (direct, address) = match network.reachable() {
            Reachable::Unknown => (None, None),
            Reachable::At(address) => (Some(true), Some(address)),
            Reachable::Nowhere => (Some(false), None),
        };
        Self { direct, address, relayed: network.relayed_addresses() }
    }
}

/// What the network has done, under the names that metrics have.
fn network_metrics(metrics: &weald_p2p::Metrics) -> Vec<Metric> {
    let metric = |(name, help, count): (&str, &'static str, u64)| {
        let bare = name.trim_end_matches("_count");
        let bare = match bare.strip_prefix("bytes_") {
            Some(way) => format!("{way}_bytes"),
            None => bare.to_owned(),
        };
        Metric::counter(format!("weald_network_{bare}_total"), help.trim(), count)
    };
    metrics.described().into_iter().map(metric).collect()
}

async fn transfer(members: Members, partition: PartitionId, target: PeerId) -> Result<()> {
    let hosted = members.hosted(partition).ok_or_else(|| outsider(partition))?;
    let status = hosted.status();
    let is_other = |member: &Member| member.peer == target && target != status.member.peer;
    let Some(target) = status.configuration.voters.iter().copied().find(is_other) else {
        let what = format!("only another voter can take over: partition={partition}");
        return Err(Error::new(ErrorKind::Invalid, what));
    };
    let begun = members.transfer(partition, target).await.map_err(|_| closed())?;
    begun.map_err(|refused| {
        let what = match &refused {
            TransferRefused::Transfer(TransferError::NotCoordinator {
                coordinator: Some(coordinator),
            }) => format!(
                "another node coordinates the partition and is to be asked: partition={partition} \
                 coordinator={}",
                coordinator.peer
            ),
            refused => refused.to_string(),
        };
        Error::caused(ErrorKind::Unavailable, what, refused)
    })
}

fn outsider(partition: PartitionId) -> Error {
    let what = format!("this node is no member of the partition: partition={partition}");
    Error::new(ErrorKind::Unavailable, what)
}

impl PartitionInfo {
    /// What a member shows of its partition. The members here tell how long ago who was heard.
    fn of_member(status: PartitionStatus, here: Option<&Members>) -> Self {
        let last_contact = here.and_then(|here| here.last_contact(&status));
        let is_voter = |peer| status.configuration.voters.iter().any(|voter| voter.peer == peer);
        let role = match status.role {
            Role::Coordinator => PartitionRole::Coordinator,
            Role::PreCandidate | Role::Candidate => PartitionRole::Candidate,
            Role::Follower if is_voter(status.member.peer) => PartitionRole::Follower,
            Role::Follower => PartitionRole::Learner,
        };
        let matched = |member: &Member| match *member == status.member {
            true => Some(status.synced),
            false => status.matched.get(member).copied(),
        };
        let run = |member: &Member| status.runs.get(member).copied();
        let voters = status.configuration.voters.iter().map(|member| (member, true));
        let learners = status.configuration.learners.iter().map(|member| (member, false));
        let members = voters.chain(learners).map(|(member, is_voter)| MemberInfo {
            peer: Some(member.peer),
            life: member.life,
            is_voter,
            matched: matched(member),
            last_contact: here.and_then(|here| here.silence(&status, member)),
            started: run(member).and_then(|run| run.started),
            incarnation: run(member).and_then(|run| run.incarnation),
        });
        Self {
            members: members.collect(),
            partition: status.partition,
            role,
            coordinator: status.coordinator.map(|member| member.peer),
            last_contact,
            epoch: status.epoch.number,
            last: status.last,
            committed: status.watermark,
            applied: status.applied,
            checkpointed: status.checkpointed,
            digest_index: status.effect.index,
            digest: status.effect.hash,
            log_time: status.log_time,
            recovery: status.recovery.as_deref().map(RecoveryInfo::from),
            trouble: match status.health {
                MemberHealth::Well => None,
                MemberHealth::Damaged => Some("its log is damaged and being repaired".to_owned()),
                MemberHealth::Amnesiac => Some("what it promised is lost".to_owned()),
                MemberHealth::Stopped(reason) => Some(reason),
            },
        }
    }
}
