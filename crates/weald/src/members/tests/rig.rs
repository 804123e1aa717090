//! Nodes of a test, each with its own key, log and engine.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use weald_cluster::{
    configuration::{Configuration, Member},
    replica::{Change, ChangeError},
};
use weald_collections::{
    CollectionExecutor, RawTree, ReadError, Registry, SourceReader,
    tree::{TreeOptions, TreeType},
};
use weald_core::{
    At, Clock, CollectionPolicy, CreateMode, Halt, Handlers, LogIndex, LogStore, PartitionId,
    Payload, PlacementKey, SeededEntropy, StoreId, TransactionBody, TransactionId,
    TransactionRequest,
    identity::{Identity, KeyStore},
};
use weald_storage::{
    engine::{self, Engine, EngineConfig, EngineKind},
    log::{DiskLog, FolderDisk, LogHome, LogOptions, MemoryLog},
    state::BlockCache,
};

use crate::{
    consistency::Consistency,
    members::{
        Answer, Caller, ChangeRefused, Letterbox, Members, MembersConfig, MembersParts,
        PartitionStatus, Proposal, ReadAsk, ReadRefused, STATE_PAGE, Terms, loopback::Loopback,
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
    incarnation: u64,
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

    fn new(count: u64, config: MembersConfig, directory: impl Fn(u64) -> Option<TempDir>) -> Self {
        let node = |number| Node {
            identity: Identity::generate(&mut SeededEntropy::new(number)),
            store: store_of(number, 0),
            directory: directory(number),
            incarnation: 0,
            members: None,
        };
        let nodes = (0..count).map(node).collect();
        let mut cluster = Self { network: Loopback::default(), config, nodes };
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
            let changed = coordinator.members().reconfigure(partition, change.clone());
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
            !status.configuration.is_joint() && place.is_some_and(|p| status.watermark >= p)
        });
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
        let mut seen = BTreeMap::new();
        wait(|| {
            let statuses: Vec<_> =
                self.running().filter_map(|(_, node)| node.status(partition)).collect();
            seen = statuses.iter().map(|s| (s.member, (s.role, s.watermark, s.effect))).collect();
            let is_same = |s: &PartitionStatus| {
                s.effect == statuses[0].effect && s.last == s.applied && s.watermark == s.applied
            };
            statuses.len() == count && statuses.iter().all(is_same)
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
            log: open_log(directory, self.store, &letterbox),
            engine: open_engine(directory),
            cache: Arc::new(BlockCache::new(16 << 20)),
            network: network.connect(self.peer(), handlers),
            clock: Arc::new(SystemClock),
            executor: Arc::new(CollectionExecutor::new(registry())),
            seed: self.incarnation ^ u64::from(self.store.0[0]) << 8,
            letterbox,
        };
        self.members = Some(Members::start(parts).unwrap());
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

    /// How many entries the tree of the test has here.
    pub(super) fn count(&self, partition: PartitionId) -> u64 {
        let view = self.members().hosted(partition).unwrap().view(At::Latest).unwrap();
        let read = |reader: &mut SourceReader<'_>| {
            tree().open(reader)?.count(reader).map_err(ReadError::Halt)
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

fn is_retryable(error: &ChangeRefused) -> bool {
    matches!(error, ChangeRefused::Change(error) if error.is_retryable())
}

fn open_log(
    directory: Option<&Path>,
    store: StoreId,
    letterbox: &Arc<Letterbox>,
) -> Arc<dyn LogStore> {
    let Some(directory) = directory else {
        return Arc::new(MemoryLog::new(letterbox.notifier()));
    };
    let home = LogHome {
        disk: Arc::new(FolderDisk::open(directory.join("log")).unwrap()),
        store,
        entropy: Box::new(SystemEntropy),
        notifier: letterbox.notifier(),
    };
    let options = LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() };
    Arc::new(DiskLog::open(home, options).unwrap())
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
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain");
        thread::sleep(Duration::from_millis(5));
    }
}

fn tree() -> RawTree {
    RawTree::new("stock".parse().unwrap())
}

/// A transaction that puts one entry into the tree of the test, under a fresh id.
pub(super) fn put(number: u64) -> Payload {
    let tree = tree();
    let home = PlacementKey::of(tree.name());
    let key = number.to_be_bytes().to_vec();
    let create =
        tree.create(CreateMode::OpenOrCreate, CollectionPolicy::default(), &TreeOptions::default());
    let actions = vec![create, tree.put(key, vec![7; 100])];
    Payload::Transaction(TransactionRequest {
        id: TransactionId::random(home, &mut SystemEntropy),
        expiry: SystemClock.now().after(Duration::from_secs(30)),
        session: None,
        body: TransactionBody { actions, ..TransactionBody::default() },
    })
}
