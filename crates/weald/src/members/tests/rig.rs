//! Nodes of a test, each with its own key, log and engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::sync::oneshot::Receiver;
use weald_cluster::{
    configuration::{Configuration, Member},
    recovery::{Act, Authority, Beginning, Recovery, plan},
    replica::{Change, ChangeError},
};
use weald_collections::{
    CollectionExecutor, DiaryType, RawTree, ReadError, Registry, SourceReader,
    tree::{TreeOptions, TreeType},
};
use weald_core::{
    Action, At, Clock, CollectionPolicy, Context, CreateMode, Executed, Executor, Halt, Handlers,
    LogBatch, LogError, LogIndex, LogRecord, LogStore, Overlay, PartitionId,
    PartitionStatus as LogStatus, Payload, PlacementKey, RecoveredPartition, Rejection,
    SeededEntropy, StateStore as _, StoreId, SyncTicket, Synced, TransactionBody, TransactionId,
    TransactionRequest, TypeName, TypeVersion,
    identity::{Identity, KeyStore},
};
use weald_storage::{
    engine::{self, Engine, EngineConfig, EngineKind},
    log::{Disk, DiskLog, FolderDisk, LogHome, LogOptions, MemoryLog, testing::SimDisk},
    state::BlockCache,
    testing::{FaultEngine, FaultSchedule},
};

use crate::{
    consistency::Consistency,
    members::{
        Answer, BeginError, Caller, ChangeRefused, Letterbox, Members, MembersConfig, MembersParts,
        PartitionStatus, Proposal, ReadAsk, ReadRefused, STATE_PAGE, Terms, left,
        loopback::Loopback, stores::Stores,
    },
    node::{SystemClock, SystemEntropy},
    write::Ack,
};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Several nodes and the network between them.
pub(super) struct Cluster {
    pub(super) network: Loopback,
    pub(super) config: MembersConfig,
    nodes: Vec<Node>,
}

/// One node: what outlives its process, and the process.
pub(super) struct Node {
    identity: Identity,
    pub(super) store: StoreId,
    pub(super) directory: Option<TempDir>,
    /// In the place of the log's folder on the disk.
    pub(super) disk: Option<Arc<SimDisk>>,
    stall: Arc<Stall>,
    /// In the place of the engine's folder, over restarts.
    engine: Option<Arc<FaultEngine>>,
    incarnation: u64,
    is_skewed: Arc<AtomicBool>,
    members: Option<Members>,
}

impl Cluster {
    pub(super) fn in_memory(count: u64) -> Self {
        Self::new(count, MembersConfig::default(), |_| None)
    }

    pub(super) fn on_disks(count: u64) -> Self {
        Self::on_disks_with(count, MembersConfig::default())
    }

    pub(super) fn on_disks_with(count: u64, config: MembersConfig) -> Self {
        Self::new(count, config, |_| Some(tempfile::tempdir().unwrap()))
    }

    /// Nodes whose logs are on simulated disks.
    pub(super) fn on_simulated_disks(count: u64) -> Self {
        let directory = |_| Some(tempfile::tempdir().unwrap());
        Self::build(count, (MembersConfig::default(), true), directory)
    }

    pub(super) fn in_memory_with(count: u64, config: MembersConfig) -> Self {
        Self::new(count, config, |_| None)
    }

    fn new(count: u64, config: MembersConfig, directory: impl Fn(u64) -> Option<TempDir>) -> Self {
        Self::build(count, (config, false), directory)
    }

    fn build(
        count: u64,
        (config, are_simulated): (MembersConfig, bool),
        directory: impl Fn(u64) -> Option<TempDir>,
    ) -> Self {
        let node = |number| Node {
            identity: Identity::generate(&mut SeededEntropy::new(number)),
            store: store_of(number, 0),
            directory: directory(number),
            disk: None,
            stall: Arc::default(),
            engine: are_simulated.then(|| Arc::new(FaultEngine::new(FaultSchedule::new()))),
            incarnation: 0,
            is_skewed: Arc::default(),
            members: None,
        };
        let nodes = (0..count).map(node).collect();
        let mut cluster = Self { network: Loopback::default(), config, nodes };
        if are_simulated {
            for (seed, node) in (0..).zip(&mut cluster.nodes) {
                node.disk = Some(Arc::new(SimDisk::new(seed)));
            }
        }
        (0..cluster.nodes.len()).for_each(|node| cluster.start(node));
        cluster
    }

    pub(super) fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    /// Puts an empty disk in the place of a node's, whose process has ended. The key is kept.
    pub(super) fn replace_disk(&mut self, node: usize) {
        let replaced = &mut self.nodes[node];
        replaced.directory = Some(tempfile::tempdir().unwrap());
        replaced.store = store_of(u64::try_from(node).unwrap(), 1);
        replaced.incarnation = 0;
    }

    /// Takes all segments of a node's log away but the first `kept`, which are full. The process has ended.
    pub(super) fn lose_tail(&self, node: usize, kept: usize) {
        let log = self.nodes[node].directory.as_ref().expect("it is on a disk").path().join("log");
        let files = std::fs::read_dir(log).unwrap().map(|file| file.unwrap().path());
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "seg");
        let segments: BTreeSet<_> = files.filter(is_segment).collect();
        // One more than are written to is kept ready.
        assert!(segments.len() > 2, "the log has no tail: {segments:?}");
        segments.iter().skip(kept).for_each(|segment| std::fs::remove_file(segment).unwrap());
    }

    /// Starts the process of a node.
    pub(super) fn start(&mut self, node: usize) {
        let (network, config) = (self.network.clone(), self.config.clone());
        self.nodes[node].start(&network, config);
    }

    /// Ends it without any warning.
    pub(super) fn kill(&mut self, node: usize) {
        self.network.disconnect(self.nodes[node].peer());
        self.nodes[node].members = None;
    }

    /// Cuts a node off from all others.
    pub(super) fn isolate(&self, node: usize) {
        let alone = self.nodes[node].peer();
        for other in self.nodes.iter().map(Node::peer).filter(|other| *other != alone) {
            self.network.cut(alone, other);
        }
    }

    pub(super) fn heal(&self) {
        self.network.heal();
    }

    /// Founds a partition with the first `voters` nodes.
    pub(super) fn found(&self, partition: PartitionId, voters: usize) {
        let members = self.nodes[..voters].iter().map(Node::member);
        let configuration = Configuration::founding(members, []).unwrap();
        let begun: Vec<_> = self.nodes[..voters]
            .iter()
            .map(|node| node.members().found(partition, configuration.clone()))
            .collect();
        for founded in begun {
            founded.blocking_recv().unwrap().unwrap();
        }
    }

    /// Changes the members of a partition, again and again until the change is in force.
    pub(super) fn change(&self, partition: PartitionId, change: &Change) {
        let mut place = None;
        wait(|| {
            let coordinator = &self.nodes[self.coordinator(partition)];
            let Some(status) = coordinator.status(partition) else { return false };
            let from = status.configuration.id;
            let changed = coordinator.members().reconfigure(partition, from, change.clone());
            match changed.blocking_recv().unwrap() {
                Ok(index) => place = Some(index),
                Err(ChangeRefused::Change(ChangeError::Unchanged)) => {
                    place = place.or(Some(LogIndex::ZERO))
                }
                Err(error) => assert!(is_retryable(&error), "{error}"),
            }
            place.is_some()
        });
        wait(|| {
            let status = self.nodes[self.coordinator(partition)].status(partition).unwrap();
            // What follows a joint one is committed, too: until then its outgoing voters are needed.
            let is_over = status.may_change && !status.configuration.is_joint();
            is_over && place.is_some_and(|p| status.watermark >= p)
        });
    }

    /// Lets a node whose process has ended go on alone, if `signer` may say so.
    pub(super) fn recover(
        &self,
        node: usize,
        partition: PartitionId,
        by: (&Authority, &Identity),
    ) -> Result<Act, BeginError> {
        self.recover_accepting(node, partition, by, false)
    }

    /// As [`Cluster::recover`], and whether it goes on though it has lost what it promised.
    pub(super) fn recover_accepting(
        &self,
        node: usize,
        partition: PartitionId,
        (authority, signer): (&Authority, &Identity),
        accepts_loss: bool,
    ) -> Result<Act, BeginError> {
        let node = &self.nodes[node];
        let log = node.open_log(&Letterbox::new());
        let engine = open_engine(node.directory.as_ref().map(TempDir::path));
        let stores = Stores {
            engine,
            cache: Arc::new(BlockCache::new(16 << 20)),
            config: self.config.state,
        };
        let applied = |partition| {
            let opened = stores.open(partition);
            opened.map(|(store, _)| store.applied()).map_err(|error| error.to_string())
        };
        let all = left(&*log, applied).unwrap();
        let left = all.iter().find(|left| left.partition() == partition).unwrap();
        let at = weald_core::Time::from_millis(1);
        let beginning = Beginning { partition, at, nonce: [7; 16] };
        let act = plan(authority, beginning, &left.remains(accepts_loss)?, &[])?;
        let recovery = Recovery::sign(act.clone(), signer).unwrap();
        left.begin(&*log, authority, recovery)?;
        Ok(act)
    }

    fn running(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.members.is_some())
    }

    /// Waits until a node coordinates.
    pub(super) fn coordinator(&self, partition: PartitionId) -> usize {
        self.wait_coordinator_but(partition, usize::MAX)
    }

    /// Waits until another node than `but` coordinates.
    pub(super) fn wait_coordinator_but(&self, partition: PartitionId, but: usize) -> usize {
        let mut found = None;
        wait(|| {
            let is_it = |node: &Node| {
                node.status(partition).is_some_and(|s| s.is_coordinator() && s.applied.0 > 0)
            };
            found = self.running().find(|(n, node)| *n != but && is_it(node)).map(|(n, _)| n);
            found.is_some()
        });
        found.unwrap()
    }

    /// Writes through whoever coordinates, again and again until it is committed.
    pub(super) fn write(&mut self, partition: PartitionId, payload: Payload) {
        let until = Instant::now() + PATIENCE;
        loop {
            let coordinator = self.coordinator(partition);
            let answer = self.nodes[coordinator].write(partition, payload.clone());
            if let Answer::Settled(weald_core::Outcome::Committed(_)) = answer {
                return;
            }
            assert!(Instant::now() < until, "not committed: {answer:?}");
            thread::yield_now();
        }
    }

    /// Waits until all running nodes have applied the same.
    pub(super) fn wait_equal(&self, partition: PartitionId) {
        self.wait_equal_among(partition, self.running().count());
    }

    /// Waits until `count` nodes have applied the same.
    pub(super) fn wait_equal_among(&self, partition: PartitionId, count: usize) {
        wait_for(|| {
            let statuses: Vec<_> =
                self.running().filter_map(|(_, node)| node.status(partition)).collect();
            let is_same = |s: &PartitionStatus| {
                s.effect == statuses[0].effect && s.last == s.applied && s.watermark == s.applied
            };
            if statuses.len() == count && statuses.iter().all(is_same) {
                return Ok(());
            }
            Err(format!("{statuses:#?}"))
        });
    }
}

impl Node {
    pub(super) fn peer(&self) -> weald_core::PeerId {
        self.identity.public().peer_id()
    }

    pub(super) fn member(&self) -> Member {
        Member { peer: self.peer(), store: self.store, life: 0 }
    }

    pub(super) fn members(&self) -> &Members {
        self.members.as_ref().expect("the node runs")
    }

    fn start(&mut self, network: &Loopback, config: MembersConfig) {
        self.incarnation += 1;
        let letterbox = Letterbox::new();
        let handlers = Handlers {
            frames: letterbox.clone(),
            services: BTreeMap::from([(STATE_PAGE, letterbox.clone() as _)]),
            events: letterbox.clone(),
        };
        let directory = self.directory.as_ref().map(TempDir::path);
        let parts = MembersParts {
            config,
            keys: Arc::new(self.identity.clone()),
            store: self.store,
            incarnation: self.incarnation,
            log: Arc::new(StallingLog {
                log: self.open_log(&letterbox),
                stall: Arc::clone(&self.stall),
            }),
            engine: match &self.engine {
                Some(engine) => engine.clone(),
                None => open_engine(directory),
            },
            cache: Arc::new(BlockCache::new(16 << 20)),
            network: network.connect(self.peer(), handlers),
            clock: Arc::new(SystemClock),
            executor: Arc::new(Skewing {
                executor: CollectionExecutor::new(registry()),
                is_skewed: Arc::clone(&self.is_skewed),
            }),
            // Far apart: what a run has sent must not be taken for the next one's.
            seed: self.incarnation << 32 ^ u64::from(self.store.0[0]) << 8,
            letterbox,
        };
        self.members = Some(Members::start(parts).unwrap());
    }

    fn open_log(&self, letterbox: &Arc<Letterbox>) -> Arc<dyn LogStore> {
        let disk: Arc<dyn Disk> = match (&self.disk, &self.directory) {
            (Some(disk), _) => disk.clone(),
            (None, Some(directory)) => {
                Arc::new(FolderDisk::open(directory.path().join("log")).unwrap())
            }
            (None, None) => return Arc::new(MemoryLog::new(letterbox.notifier())),
        };
        let home = LogHome {
            disk,
            store: self.store,
            entropy: Box::new(SystemEntropy),
            notifier: letterbox.notifier(),
        };
        let must_exist = self.incarnation > 1;
        let options = LogOptions { segment_bytes: 1 << 20, must_exist, ..LogOptions::default() };
        Arc::new(DiskLog::open(home, options).unwrap())
    }

    /// Lets no sync of the log end from now on, or all again.
    pub(super) fn stall(&self, is_stalled: bool) {
        self.stall.is_stalled.store(is_stalled, Ordering::SeqCst);
    }

    /// Comes to something else than other nodes from now on, or to the same again.
    pub(super) fn skew(&self, is_skewed: bool) {
        self.is_skewed.store(is_skewed, Ordering::SeqCst);
    }

    /// Which calls of the engine fail, where it is a simulated one.
    pub(super) fn engine_faults(&self) -> &FaultSchedule {
        self.engine.as_ref().expect("the disks are simulated").schedule()
    }

    pub(super) fn status(&self, partition: PartitionId) -> Option<PartitionStatus> {
        self.members().hosted(partition).map(|hosted| hosted.status())
    }

    /// Proposes and waits for the answer.
    pub(super) fn write(&self, partition: PartitionId, payload: Payload) -> Answer {
        self.write_within(partition, payload, Duration::from_secs(5))
    }

    pub(super) fn write_within(
        &self,
        partition: PartitionId,
        payload: Payload,
        patience: Duration,
    ) -> Answer {
        let (caller, receiver) = Caller::channel();
        let terms = Terms { ack: Ack::Durable, deadline: Instant::now() + patience };
        let proposal = Proposal::new(payload, terms, caller);
        match self.members().propose(partition, proposal) {
            Ok(()) => receiver.blocking_recv().unwrap(),
            Err(error) => Answer::Refused(error),
        }
    }

    /// Proposes all of them, one after the other, without waiting for any answer; what will be
    /// answered, in the same order.
    pub(super) fn propose_all(
        &self,
        partition: PartitionId,
        payloads: Vec<Payload>,
    ) -> Vec<Receiver<Answer>> {
        let deadline = Instant::now() + PATIENCE;
        let propose = |payload| {
            let (caller, receiver) = Caller::channel();
            let terms = Terms { ack: Ack::Durable, deadline };
            self.members().propose(partition, Proposal::new(payload, terms, caller)).unwrap();
            receiver
        };
        payloads.into_iter().map(propose).collect()
    }

    /// How many entries the tree of the test has here.
    pub(super) fn count(&self, partition: PartitionId) -> u64 {
        self.count_of(partition, "stock")
    }

    pub(super) fn count_of(&self, partition: PartitionId, name: &str) -> u64 {
        let tree = RawTree::new(name.parse().unwrap());
        let view = self.members().hosted(partition).unwrap().view(At::Latest).unwrap();
        let read = |reader: &mut SourceReader<'_>| {
            tree.open(reader)?.count(reader).map_err(ReadError::Halt)
        };
        loop {
            match read(&mut SourceReader(&*view)) {
                Err(ReadError::Halt(Halt::Need(ids))) => view.load(&ids).unwrap(),
                Err(ReadError::NoSuchCollection(_)) => return 0,
                count => return count.unwrap(),
            }
        }
    }

    pub(super) fn read_point(&self, partition: PartitionId) -> Result<LogIndex, ReadRefused> {
        self.read_point_within(partition, PATIENCE)
    }

    pub(super) fn read_point_within(
        &self,
        partition: PartitionId,
        patience: Duration,
    ) -> Result<LogIndex, ReadRefused> {
        self.read_as(partition, Consistency::Linearizable, patience)
    }

    pub(super) fn read_as(
        &self,
        partition: PartitionId,
        consistency: Consistency,
        patience: Duration,
    ) -> Result<LogIndex, ReadRefused> {
        let deadline = Instant::now() + patience;
        let ask = ReadAsk { consistency, at_least: LogIndex::ZERO, deadline };
        self.members().read_point(partition, ask).blocking_recv().unwrap()
    }
}

/// Executes actions; or refuses what others do not.
struct Skewing {
    executor: CollectionExecutor,
    is_skewed: Arc<AtomicBool>,
}

impl Executor for Skewing {
    fn execute(
        &self,
        context: &Context,
        actions: &[Action],
        overlay: &mut Overlay<'_>,
    ) -> Result<Executed, Halt> {
        if self.is_skewed.load(Ordering::SeqCst) {
            let collection = "skewed".parse().unwrap();
            return Ok(Executed::Refused(Rejection::NoSuchCollection { collection }));
        }
        self.executor.execute(context, actions, overlay)
    }

    fn supports(&self, type_name: &TypeName, version: TypeVersion) -> bool {
        self.executor.supports(type_name, version)
    }
}

/// Whether a log's syncs end.
#[derive(Default)]
struct Stall {
    is_stalled: AtomicBool,
}

/// A log whose syncs can be held up: what it says of how far it is durable stays as it is then.
struct StallingLog {
    log: Arc<dyn LogStore>,
    stall: Arc<Stall>,
}

impl StallingLog {
    fn is_stalled(&self) -> bool {
        self.stall.is_stalled.load(Ordering::SeqCst)
    }
}

impl LogStore for StallingLog {
    fn submit(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        self.log.submit(batch)
    }

    fn poll_synced(&self) -> Synced {
        if self.is_stalled() { Synced::UpTo(SyncTicket(0)) } else { self.log.poll_synced() }
    }

    fn read(
        &self,
        partition: PartitionId,
        from: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        self.log.read(partition, from, max_bytes)
    }

    fn recovered(&self) -> BTreeMap<PartitionId, RecoveredPartition> {
        self.log.recovered()
    }

    fn release(&self, partition: PartitionId, below: LogIndex) -> Result<(), LogError> {
        self.log.release(partition, below)
    }

    fn status(&self, partition: PartitionId) -> Option<LogStatus> {
        let status = self.log.status(partition)?;
        let synced = if self.is_stalled() { SyncTicket(0) } else { status.synced };
        Some(LogStatus { synced, ..status })
    }

    fn missing(&self, partition: PartitionId) -> Vec<RangeInclusive<LogIndex>> {
        self.log.missing(partition)
    }

    fn repair(
        &self,
        partition: PartitionId,
        entries: Vec<LogRecord>,
    ) -> Result<SyncTicket, LogError> {
        self.log.repair(partition, entries)
    }

    fn begin_anew(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        self.log.begin_anew(batch)
    }
}

fn is_retryable(error: &ChangeRefused) -> bool {
    match error {
        ChangeRefused::Change(error) => error.is_retryable(),
        ChangeRefused::Outdated(_) => true,
        ChangeRefused::NotMember => false,
    }
}

fn open_engine(directory: Option<&Path>) -> Arc<dyn Engine> {
    let config = EngineConfig::default();
    match directory {
        Some(directory) => {
            engine::open(EngineKind::Redb, &directory.join("engine"), &config).unwrap()
        }
        None => engine::open(EngineKind::Memory, Path::new(""), &config).unwrap(),
    }
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.register(Arc::new(TreeType)).unwrap();
    registry.register(Arc::new(DiaryType)).unwrap();
    registry
}

/// The id of a node's store after it was replaced so often.
pub(super) fn store_of(node: u64, replaced: u8) -> StoreId {
    let mut id = [replaced; 16];
    id[0] = u8::try_from(node).unwrap();
    StoreId(id)
}

/// Waits until something holds.
pub(super) fn wait(mut holds: impl FnMut() -> bool) {
    wait_for(|| if holds() { Ok(()) } else { Err(String::new()) });
}

/// Waits until something holds; until then `look` tells what is there instead.
fn wait_for(mut look: impl FnMut() -> Result<(), String>) {
    let until = Instant::now() + PATIENCE;
    while let Err(seen) = look() {
        assert!(Instant::now() < until, "waited in vain: {seen}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An action that puts one entry into a tree, which it makes if there is none.
pub(super) fn put_into(name: &str, number: u64) -> Vec<Action> {
    let tree = RawTree::new(name.parse().unwrap());
    let (mode, options) = (CreateMode::OpenOrCreate, TreeOptions::default());
    let create = tree.create(mode, CollectionPolicy::default(), &options);
    vec![create, tree.put(number.to_be_bytes().to_vec(), vec![7; 100])]
}

/// A transaction that puts one entry into the tree of the test, under a fresh id.
pub(super) fn put(number: u64) -> Payload {
    transaction("stock", put_into("stock", number))
}

/// A transaction on a collection and those of its group, under a fresh id.
pub(super) fn transaction(name: &str, actions: Vec<Action>) -> Payload {
    let home = PlacementKey::of(&name.parse().unwrap());
    Payload::Transaction(TransactionRequest {
        id: TransactionId::random(home, &mut SystemEntropy),
        expiry: soon(),
        session: None,
        body: TransactionBody { actions, ..TransactionBody::default() },
    })
}

/// A moment at which requests made now expire.
pub(super) fn soon() -> weald_core::Time {
    SystemClock.now().after(Duration::from_secs(30))
}
