//! The reach of a node: whatever handles ask for is done wherever it can be done.
//!
//! ```text
//! handle --Backend--> reach --member here---------------------> members
//!                        `--asker (router)--> network --> server of another node --> its members
//! ```
//!
//! A write is stamped and encoded once; what is retransmitted are these bytes, so that it happens
//! once wherever they arrive (rule C10). Where this node coordinates the partition the write goes to
//! its own member and nothing else is in the way; otherwise, and after a takeover, the router finds
//! the coordinator. A read sees the state of a member here, or a place in the log of another's.

mod asker;
mod cache;
mod confirming;
mod courier;
mod far;
mod figures;
mod following;
pub(crate) mod limits;
mod locks;
mod mapping;
pub(crate) mod message;
mod numbers;
mod server;
mod topics;
mod trouble;
mod whole;
mod writing;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
};
use weald_cluster::{
    partition::{collection_of, collections_prefix},
    routing::{self, Map, Router},
};
use weald_core::{
    AdmissionPolicy, At, BlockId, Clock, CollectionName, Digest, LogIndex, Outcome, PartitionId,
    PeerId, PlacementKey, ReadDependency, StateError, StateStore, Time, TransactionId, Transport,
};
use weald_pubsub::{BodyAnswer, BodyRequest, TopicAddress};

use crate::{
    Config, Consistency, Error, ErrorKind, Metric, NodeStatus, Result,
    backend::{Backend, Kept, Plight, Promise, Reading, Rehearsal, Version},
    driver::{Proposal, ProposeError, Standing},
    members::{Hosted, Members, PartitionStatus, ReadAsk, ReadRefused},
    node::{Home, closed, read_disk, state_error},
    topic::{Duty, Link, Shelf},
};
use asker::Asker;
use courier::Courier;
use far::{Far, unfitting};
use following::Followers;
use limits::CACHE_BYTES_MAX;
use mapping::Search;
use message::{Answered, BLOCKS, Question, VIEW};
use numbers::Numbers;
use trouble::{refused_error, route_error};
use whole::Whole;

pub(crate) use server::{Server, Services};

/// The pause before a member here is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// What a reach works with.
pub(crate) struct ReachParts {
    /// Settings.
    pub(crate) config: Config,
    /// Whom to ask while nothing is known of partitions.
    pub(crate) seeds: Vec<PeerId>,
    /// The members of this node; `None` for one that stores nothing.
    pub(crate) members: Option<Members>,
    /// Where they keep their data.
    pub(crate) home: Option<Arc<Home>>,
    /// Whether a secret or a list keeps everybody else from connecting.
    pub(crate) is_guarded: bool,
    /// The network.
    pub(crate) transport: Arc<dyn Transport>,
    /// What runs tasks.
    pub(crate) runtime: Handle,
    /// The time of day.
    pub(crate) clock: Arc<dyn Clock>,
    /// Random: names the session.
    pub(crate) session: [u8; 16],
    /// Random: spreads retries.
    pub(crate) seed: u64,
}

/// The reach of a node, as its handles stand on it.
pub(crate) struct Reach {
    core: Arc<Core>,
    home: Option<Arc<Home>>,
    server: Option<Arc<Server>>,
    /// What has come of asking where partitions are; for a node without members.
    search: Option<watch::Receiver<Search>>,
}

/// What is shared with the requests under way.
struct Core {
    asker: Arc<Asker>,
    far: Arc<Far>,
    members: Option<Members>,
    numbers: Mutex<Numbers>,
    followers: Followers,
    clock: Arc<dyn Clock>,
    read_timeout: Duration,
    /// The newest log time that was heard of, in milliseconds.
    log_time: AtomicU64,
    /// Writes under way.
    writes: AtomicU64,
}

impl Reach {
    /// Starts the reach of a node.
    ///
    /// # Errors
    /// When the settings make no sense.
    pub(crate) fn start(parts: ReachParts) -> Result<Self> {
        let config = routing::Config {
            seeds: parts.seeds,
            requests_max: parts.config.writes_waiting_max,
            payload_bytes_max: parts.config.writes_waiting_bytes,
            ..routing::Config::default()
        };
        let router = Router::new(config, parts.seed)
            .map_err(|error| Error::caused(ErrorKind::Invalid, error.to_string(), error))?;
        let asker = Asker::start(router, parts.transport, parts.runtime);
        let read_timeout = parts.config.read_timeout;
        let far = Far::new(&asker, parts.config.cache_bytes.min(CACHE_BYTES_MAX), read_timeout);
        let server = parts.members.clone();
        let server = server.map(|members| Server::new(&asker, members, parts.is_guarded));
        let core = Arc::new(Core {
            followers: Followers::new(&asker),
            asker,
            far,
            members: parts.members,
            numbers: Mutex::new(Numbers::new(parts.session)),
            clock: parts.clock,
            read_timeout,
            log_time: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        });
        if let Some(members) = &core.members {
            members.set_courier(Courier::of(&core));
        }
        let search = server.is_none().then(|| mapping::keep_map(&core.asker));
        Ok(Self { core, home: parts.home, server, search })
    }

    /// Answers what other nodes ask; `None` where there are no members.
    pub(crate) fn server(&self) -> Option<&Arc<Server>> {
        self.server.as_ref()
    }

    /// Takes a map that was computed from what the system partition has committed.
    pub(crate) fn adopt(&self, map: Map) {
        self.core.asker.adopt(map);
    }

    /// Nodes of the network and who coordinates partitions, as far as is known.
    pub(crate) fn nodes(&self) -> BTreeSet<PeerId> {
        self.core.asker.nodes()
    }

    /// Tells when a node could not be asked.
    pub(crate) fn unreached(&self) -> Arc<Notify> {
        Arc::clone(self.core.asker.unreached())
    }

    /// Learns the network's genesis, and who may join.
    pub(crate) fn know(&self, network: Digest, admission: AdmissionPolicy) {
        self.core.asker.network().send_replace(Some(network));
        if let Some(server) = &self.server {
            server.admit(admission);
        }
    }

    /// Waits until a peer has told where partitions are; a node that has members knows by itself.
    ///
    /// # Errors
    /// `Unavailable` when nobody has by then.
    #[cfg(test)]
    pub(crate) async fn wait_for_map(&self, timeout: Duration) -> Result<()> {
        let Some(mut search) = self.search.clone() else { return Ok(()) };
        let is_told = |search: &Search| *search == Search::Told;
        match tokio::time::timeout(timeout, search.wait_for(is_told)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::new(ErrorKind::Unavailable, "no node of the network has answered")
                .with_retry_after(PAUSE)),
        }
    }

    /// Whether it is known where partitions are, or why not.
    ///
    /// # Errors
    /// What is waited for, in words.
    pub(crate) fn readiness(&self) -> std::result::Result<(), String> {
        self.search.as_ref().map_or(Ok(()), |search| search.borrow().readiness())
    }

    /// A peer is gone.
    pub(crate) fn lose(&self, peer: PeerId) {
        self.core.asker.lose(peer);
        if let Some(server) = &self.server {
            server.lose(peer);
        }
    }
}

impl Core {
    fn runtime(&self) -> &Handle {
        self.asker.runtime()
    }

    fn partition(&self, key: PlacementKey) -> PartitionId {
        self.asker.partition(key)
    }

    /// The member that lives here of the partition that has `key`, if it is known which that is.
    fn hosted(&self, key: PlacementKey) -> Option<Arc<Hosted>> {
        if !self.asker.has_map() {
            return None;
        }
        self.members.as_ref()?.hosted(self.partition(key))
    }

    /// The time as logs will see it: never behind a log that was heard of.
    fn now(&self) -> Time {
        self.clock.now().max(Time::from_millis(self.log_time.load(Ordering::Relaxed)))
    }

    fn note(&self, outcome: &Outcome) {
        if let Outcome::Committed(commit) = outcome {
            self.log_time.fetch_max(commit.time.as_millis(), Ordering::Relaxed);
        }
    }

    fn view(
        self: &Arc<Self>,
        collection: BlockId,
        reading: Reading,
        rehearse: Rehearsal<'_>,
    ) -> Promise<Version> {
        let key = collection.placement();
        if let Err(error) = reading.check(self.partition(key)) {
            return Promise::Ready(Err(error));
        }
        let core = Arc::clone(self);
        match self.hosted(key) {
            Some(hosted) => Promise::later(async move { core.near(key, &hosted, reading).await }),
            None => {
                let guess = self.far.guess(rehearse);
                Promise::later(async move { core.far.view(key, reading, guess).await })
            }
        }
    }

    /// The state of a member here, once it is as fresh as the reading wants it.
    async fn near(
        &self,
        key: PlacementKey,
        hosted: &Arc<Hosted>,
        reading: Reading,
    ) -> Result<Version> {
        let deadline = Instant::now() + self.read_timeout;
        let Some(members) = &self.members else { return Err(closed()) };
        let at_least = reading.at_least.map_or(LogIndex::ZERO, |position| position.index);
        let ask = ReadAsk { consistency: reading.consistency, at_least, deadline };
        loop {
            match members.read_point(hosted.partition(), ask).await {
                Ok(Ok(_)) => {
                    if locks::may_be_locked(hosted, reading.consistency) {
                        locks::unlocked(members, hosted, key, deadline).await?;
                    }
                    let view = hosted.view(At::Latest).map_err(state_error)?;
                    return Ok(hosted.version(view));
                }
                Ok(Err(ReadRefused::NotMember | ReadRefused::Stopped)) => {
                    return self.far.view(key, reading, Vec::new()).await;
                }
                Ok(Err(refused)) if Instant::now() + PAUSE >= deadline => {
                    return Err(refused_error(&refused, &reading, hosted));
                }
                Ok(Err(_)) => tokio::time::sleep(PAUSE).await,
                Err(_) => return Err(closed()),
            }
        }
    }

    async fn past(self: Arc<Self>, collection: BlockId, index: LogIndex) -> Result<Version> {
        let key = collection.placement();
        let Some(hosted) = self.hosted(key).filter(|hosted| hosted.shows()) else {
            return self.far.past(collection, index).await;
        };
        let view = match hosted.view(At::Index(index)) {
            Err(StateError::Behind { .. }) => {
                let position = weald_core::Position { partition: hosted.partition(), index };
                let reading = Reading { consistency: Consistency::Local, at_least: Some(position) };
                self.near(key, &hosted, reading).await?;
                hosted.view(At::Index(index))
            }
            other => other,
        };
        Ok(hosted.version(view.map_err(state_error)?))
    }

    /// What the partition of the transaction's home knows of it.
    async fn standing(self: Arc<Self>, id: TransactionId) -> Result<Standing> {
        let question = Question::Standing(id);
        let answered = self.far.ask(VIEW, id.home(), &question).await;
        match answered.map_err(|error| route_error(&error))? {
            Answered::Pending => Ok(Standing::Pending),
            Answered::Settled(outcome) => Ok(Standing::Settled(outcome)),
            // It may still be on its way there.
            Answered::Unheard if self.numbers.lock().stamp_of(&id).is_some() => {
                Ok(Standing::Pending)
            }
            Answered::Unheard => Ok(Standing::Unheard),
            _ => Err(unfitting()),
        }
    }

    async fn collections(self: Arc<Self>) -> Result<Vec<BlockId>> {
        if !self.asker.has_map() {
            let what = "where partitions are is not known yet";
            return Err(Error::new(ErrorKind::Unavailable, what).with_retry_after(PAUSE));
        }
        let keys = self.asker.with_map(Map::partitions);
        let mut all = Vec::new();
        for (partition, key) in keys {
            let hosted = self.members.as_ref().and_then(|members| members.hosted(partition));
            match hosted {
                Some(hosted) => {
                    self.near(key, &hosted, Reading::default()).await?;
                    let rows = read_disk(move || hosted.store().rows(collections_prefix())).await?;
                    let rows = rows.map_err(state_error)?;
                    all.extend(rows.iter().filter_map(|(key, _)| collection_of(key)));
                }
                None => self.far_collections(key, &mut all).await?,
            }
        }
        Ok(all)
    }

    async fn far_collections(&self, key: PlacementKey, all: &mut Vec<BlockId>) -> Result<()> {
        let mut after = None;
        loop {
            let answered = self.far.ask(BLOCKS, key, &Question::Collections { after }).await;
            let Answered::Collections { ids, has_more } = answered.map_err(|e| route_error(&e))?
            else {
                return Err(unfitting());
            };
            after = ids.last().copied();
            all.extend(ids);
            if !has_more || after.is_none() {
                return Ok(());
            }
        }
    }
}

impl Backend for Reach {
    fn propose(&self, proposal: Proposal) -> std::result::Result<bool, ProposeError> {
        self.core.propose(proposal).map(|()| false)
    }

    fn standing(&self, id: TransactionId) -> Promise<Standing> {
        Promise::later(Arc::clone(&self.core).standing(id))
    }

    fn view(
        &self,
        collection: BlockId,
        reading: &Reading,
        rehearse: Rehearsal<'_>,
    ) -> Promise<Version> {
        self.core.view(collection, *reading, rehearse)
    }

    fn past(&self, collection: BlockId, index: LogIndex) -> Promise<Version> {
        Promise::later(Arc::clone(&self.core).past(collection, index))
    }

    fn whole(&self) -> Promise<Version> {
        let whole = Whole::new(Arc::clone(&self.core));
        Promise::Ready(Ok(Version::remote(PartitionId::default(), Arc::new(whole), Time::ZERO)))
    }

    fn follow(&self, collection: &CollectionName) -> Result<watch::Receiver<()>> {
        match self.core.hosted(BlockId::header(collection).placement()) {
            Some(hosted) => Ok(hosted.follow(BlockId::header(collection))),
            None => self.core.followers.follow(collection),
        }
    }

    fn confirm(&self, reads: Vec<ReadDependency>) -> Promise<bool> {
        Promise::later(confirming::confirm(Arc::clone(&self.core), reads))
    }

    fn collections(&self) -> Promise<Vec<BlockId>> {
        Promise::later(Arc::clone(&self.core).collections())
    }

    fn network(&self) -> Promise<Digest> {
        Promise::later(topics::network(Arc::clone(&self.core)))
    }

    fn shelf(&self, collection: &CollectionName) -> Option<Arc<dyn Shelf>> {
        topics::shelf(&self.core, collection)
    }

    fn duties(&self) -> Vec<Duty> {
        topics::duties(&self.core)
    }

    fn plight(&self, collection: &CollectionName) -> Option<Plight> {
        let hosted = self.core.hosted(BlockId::header(collection).placement())?;
        hosted.with_status(PartitionStatus::plight)
    }

    fn members(&self, collection: &CollectionName) -> Vec<PeerId> {
        topics::members(&self.core, collection)
    }

    fn link(&self, peer: PeerId, topic: TopicAddress, stream: u64) -> Promise<Link> {
        Promise::later(topics::link(Arc::clone(&self.core), peer, (topic, stream)))
    }

    fn body(&self, peer: PeerId, topic: TopicAddress, request: BodyRequest) -> Promise<BodyAnswer> {
        Promise::later(topics::body(Arc::clone(&self.core), peer, (topic, request)))
    }

    fn kept(&self) -> Option<Kept> {
        let home = Arc::clone(self.home.as_ref()?);
        let statuses = self.statuses();
        let stores = statuses.iter().filter_map(|status| {
            Some(self.core.members.as_ref()?.hosted(status.partition)?.store())
        });
        Some(Kept { home, stores: stores.collect() })
    }

    fn status(&self) -> NodeStatus {
        figures::status(&self.statuses(), self.core.writes.load(Ordering::Relaxed))
    }

    /// How requests have found whom they were for, and what was checked for others.
    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = figures::metrics(&self.core.asker);
        metrics.extend(self.server.iter().flat_map(|server| server.metrics()));
        metrics
    }

    fn checkpoint(&self) -> Promise<()> {
        let Some(members) = self.core.members.clone() else { return Promise::Ready(Ok(())) };
        Promise::later(async move {
            members.checkpoint().await.map_err(|_| closed())?.map_err(state_error)
        })
    }

    fn close(self: Arc<Self>) -> Promise<()> {
        self.core.followers.end();
        let Some(members) = self.core.members.clone() else { return Promise::Ready(Ok(())) };
        Promise::later(
            async move { members.close().await.map_err(|_| closed())?.map_err(state_error) },
        )
    }
}

impl Reach {
    fn statuses(&self) -> Vec<PartitionStatus> {
        self.core.members.as_ref().map(Members::partitions).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
