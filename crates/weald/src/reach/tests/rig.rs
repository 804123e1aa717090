//! Several nodes in one process on a network in memory.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use weald_cluster::{
    configuration::{Configuration, Member},
    placement::{Node as PlacedNode, Nodes, Ranges, ResponsibilityK},
    routing::{Map, Version},
};
use weald_collections::{CollectionExecutor, DiaryType, Registry, TreeType};
use weald_core::{
    AdmissionPolicy, Clock, Digest, Executor, Handlers, LogIndex, PartitionId, PeerId,
    SeededEntropy, StoreId, Transport,
    identity::{Identity, KeyStore},
};
use weald_pubsub::TopicType;
use weald_storage::{
    engine::{self, EngineConfig, EngineKind},
    log::MemoryLog,
    state::BlockCache,
};

use super::super::{Reach, ReachParts, Services};
use crate::{
    Config, Metric, Weald,
    members::{Letterbox, Members, MembersConfig, MembersParts, STATE_PAGE},
    node::{Running, SystemClock, SystemEntropy},
    topic::{Outboxes, Topics},
};

mod wire;

use wire::Wire;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A network of nodes that all are members of all partitions.
pub(super) struct Rig {
    wire: Arc<Wire>,
    config: Config,
    nodes: Vec<Option<RigNode>>,
    map: Map,
    /// What nodes queue, each in a folder of its own.
    outboxes: tempfile::TempDir,
}

struct RigNode {
    weald: Weald,
    members: Members,
    peer: PeerId,
}

/// What a node is before it starts.
struct Seed {
    keys: Arc<Identity>,
    store: StoreId,
}

impl Seed {
    fn new(number: u8) -> Self {
        let keys = Identity::generate(&mut SeededEntropy::new(u64::from(number) + 1));
        Self { keys: Arc::new(keys), store: StoreId([number + 1; 16]) }
    }

    fn peer(&self) -> PeerId {
        self.keys.public().peer_id()
    }

    fn member(&self) -> Member {
        Member { peer: self.peer(), store: self.store, life: 0 }
    }
}

impl Rig {
    /// A network of `count` nodes.
    pub(super) async fn start(count: u8, partitions: u32) -> Self {
        Self::with(count, partitions, |_| {}).await
    }

    /// The same with other settings.
    pub(super) async fn with(count: u8, partitions: u32, set: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        set(&mut config);
        let seeds: Vec<_> = (0..count).map(Seed::new).collect();
        let placed = seeds.iter().map(|seed| (seed.peer(), PlacedNode::new(seed.store)));
        let nodes = Nodes::new(placed).unwrap();
        let ranges = Ranges::founded(partitions).unwrap();
        let version = Version { generation: 0, index: LogIndex(1) };
        let map = Map::computed(version, &ranges, &nodes, ResponsibilityK::default());
        let configuration = Configuration::founding(seeds.iter().map(Seed::member), []).unwrap();
        let wire = Wire::new();
        let outboxes = tempfile::tempdir().unwrap();
        let mut rig = Self { wire, config, nodes: Vec::new(), map, outboxes };
        for seed in &seeds {
            let node = rig.start_node(seed);
            rig.nodes.push(Some(node));
        }
        for partition in (0..partitions).map(PartitionId) {
            for node in rig.nodes.iter().flatten() {
                node.members.found(partition, configuration.clone()).await.unwrap().unwrap();
            }
        }
        for partition in 0..partitions {
            rig.coordinator(partition).await;
        }
        rig
    }

    fn start_node(&self, seed: &Seed) -> RigNode {
        let letterbox = Letterbox::new();
        let port = self.wire.port(seed.peer());
        let network: Arc<dyn Transport> = Arc::clone(&port) as Arc<dyn Transport>;
        let engine = engine::open(EngineKind::Memory, "".as_ref(), &EngineConfig::default());
        let executor = executor();
        let parts = MembersParts {
            config: MembersConfig::default(),
            letterbox: Arc::clone(&letterbox),
            keys: Arc::clone(&seed.keys) as Arc<dyn KeyStore>,
            store: seed.store,
            incarnation: 1,
            log: Arc::new(MemoryLog::new(letterbox.notifier())),
            engine: engine.unwrap(),
            cache: Arc::new(BlockCache::new(1 << 20)),
            network: Arc::clone(&network),
            clock: Arc::new(SystemClock),
            executor: Arc::clone(&executor) as Arc<dyn Executor>,
            seed: u64::from(seed.store.0[0]),
        };
        let members = Members::start(parts).unwrap();
        let keys = Arc::clone(&seed.keys);
        let clock = Arc::new(SystemClock);
        let (weald, reach) =
            self.weald((&executor, clock), (network, keys), Some(members.clone()), true);
        reach.adopt(self.map.clone());
        reach.know(Digest::of("a rig", &[]), AdmissionPolicy::Nearby);
        let services = Services::new();
        services.open(reach.server().unwrap());
        let mut services: Vec<_> = services.handlers().collect();
        services.push((STATE_PAGE, Arc::clone(&letterbox) as _));
        port.listen(Handlers {
            frames: Arc::clone(&letterbox) as _,
            services: services.into_iter().collect(),
            events: letterbox,
        });
        RigNode { weald, members, peer: seed.peer() }
    }

    fn weald(
        &self,
        (executor, clock): (&Arc<CollectionExecutor>, Arc<dyn Clock>),
        (transport, keys): (Arc<dyn Transport>, Arc<Identity>),
        members: Option<Members>,
        queues: bool,
    ) -> (Weald, Arc<Reach>) {
        let mut topics = Topics::new(Some(Arc::clone(&keys) as _));
        if queues {
            let folder = self.outboxes.path().join(keys.public().peer_id().to_string());
            topics = topics.queueing(Outboxes::open(folder).unwrap());
        }
        let session = *transport.local_peer().digest().as_bytes().first_chunk().unwrap();
        let parts = ReachParts {
            config: self.config.clone(),
            seeds: Vec::new(),
            members,
            home: None,
            is_guarded: false,
            transport,
            runtime: Handle::current(),
            clock: Arc::clone(&clock),
            session,
            seed: u64::from(session[0]),
        };
        let reach = Arc::new(Reach::start(parts).unwrap());
        let running = Running {
            backend: Arc::clone(&reach) as _,
            executor: Arc::clone(executor),
            config: self.config.clone(),
            clock,
            entropy: Mutex::new(Box::new(SystemEntropy)),
            topics,
        };
        let weald = Weald::started(running);
        weald.running().unwrap().topics.resume(&weald);
        (weald, reach)
    }

    /// A node that stores nothing.
    pub(super) async fn light(&self) -> Weald {
        self.light_at(Arc::new(SystemClock)).await
    }

    /// The same with a clock of its own.
    pub(super) async fn light_at(&self, clock: Arc<dyn Clock>) -> Weald {
        let seed = Seed::new(200);
        let port = self.wire.port(seed.peer());
        let (weald, reach) = self.weald((&executor(), clock), (port, seed.keys), None, false);
        reach.wait_for_map(PATIENCE).await.unwrap();
        weald
    }

    /// What nodes know of where partitions are.
    pub(super) fn map(&self) -> Map {
        self.map.clone()
    }

    /// A node that stores nothing and comes from a public address.
    pub(super) fn stranger(&self) -> (Weald, Arc<Reach>) {
        let seed = Seed::new(203);
        self.wire.move_away(seed.peer());
        let port = self.wire.port(seed.peer());
        self.weald((&executor(), Arc::new(SystemClock)), (port, seed.keys), None, false)
    }

    /// A node with the members of another that was never told where partitions are, as after a restart.
    pub(super) fn unaware(&self, number: usize) -> Weald {
        let node = self.nodes[number].as_ref().expect("the node lives");
        let seed = Seed::new(201);
        let port = self.wire.port(seed.peer());
        let (executor, clock) = (executor(), Arc::new(SystemClock));
        self.weald((&executor, clock), (port, seed.keys), Some(node.members.clone()), false).0
    }

    /// A node with the members of another and a clock of its own.
    pub(super) fn beside(&self, number: usize, clock: Arc<dyn Clock>) -> Weald {
        let node = self.nodes[number].as_ref().expect("the node lives");
        let seed = Seed::new(202);
        let port = self.wire.port(seed.peer());
        let (keys, members) = (seed.keys, Some(node.members.clone()));
        let (weald, reach) = self.weald((&executor(), clock), (port, keys), members, false);
        reach.adopt(self.map.clone());
        reach.know(Digest::of("a rig", &[]), AdmissionPolicy::Nearby);
        weald
    }

    /// The handles' side of a node.
    pub(super) fn node(&self, number: usize) -> &Weald {
        &self.nodes[number].as_ref().expect("the node lives").weald
    }

    /// What a node and its members count.
    pub(super) fn metrics(&self, number: usize) -> Vec<Metric> {
        let node = self.nodes[number].as_ref().expect("the node lives");
        [node.weald.metrics(), node.members.metrics()].concat()
    }

    /// How long ago a node has heard the coordinator of a partition.
    pub(super) fn last_contact(&self, number: usize, partition: u32) -> Option<Duration> {
        let members = &self.nodes[number].as_ref().expect("the node lives").members;
        let status = members.hosted(PartitionId(partition))?.status();
        members.last_contact(&status)
    }

    /// How long ago a node that coordinates a partition has heard another.
    pub(super) fn silence(
        &self,
        number: usize,
        (partition, other): (u32, usize),
    ) -> Option<Duration> {
        let members = |number: usize| &self.nodes[number].as_ref().expect("the node lives").members;
        let status = |number| Some(members(number).hosted(PartitionId(partition))?.status());
        members(number).silence(&status(number)?, &status(other)?.member)
    }

    /// Hands the coordination of a partition over, and waits until that is done and all know it: who does
    /// not would say that nobody coordinates.
    pub(super) async fn hand_over(&self, partition: u32, (from, to): (usize, usize)) {
        let node = |number: usize| self.nodes[number].as_ref().expect("the node lives");
        let id = PartitionId(partition);
        let member = node(to).members.hosted(id).expect("a member").status().member;
        self.until(|| async {
            let begun = node(from).members.transfer(id, member).await.unwrap();
            // Right after a takeover there may be nothing to hand over yet.
            begun.ok()
        })
        .await;
        let know = || {
            let members = self.nodes.iter().flatten().map(|node| &node.members);
            let all = members
                .filter_map(|members| members.hosted(id))
                .all(|hosted| hosted.with_status(|status| status.coordinator == Some(member)));
            async move { all.then_some(()) }
        };
        self.until(know).await;
        self.until(|| async { (self.coordinator(partition).await == to).then_some(()) }).await;
    }

    /// Waits until a partition has a coordinator, and says which node it is.
    pub(super) async fn coordinator(&self, partition: u32) -> usize {
        let find = || async {
            self.nodes.iter().position(|node| {
                let statuses = node.as_ref().map(|node| node.members.partitions());
                statuses.into_iter().flatten().any(|status| {
                    status.partition == PartitionId(partition)
                        && status.is_coordinator()
                        && status.watermark > LogIndex::ZERO
                })
            })
        };
        self.until(find).await
    }

    /// Waits until there is something.
    pub(super) async fn until<T, F: Future<Output = Option<T>>>(&self, look: impl Fn() -> F) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < end, "it does not come");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends a node as if its process were killed.
    pub(super) fn kill(&mut self, number: usize) {
        let node = self.nodes[number].take().expect("the node lives");
        self.wire.remove(node.peer);
    }

    /// A node that was killed, begun again with what it has queued and without what it stored.
    pub(super) async fn returned(&self, number: u8) -> Weald {
        let seed = Seed::new(number);
        self.wire.heal(seed.peer());
        let port = self.wire.port(seed.peer());
        let (executor, clock) = (executor(), Arc::new(SystemClock));
        let (weald, reach) = self.weald((&executor, clock), (port, seed.keys), None, true);
        reach.wait_for_map(PATIENCE).await.unwrap();
        weald
    }

    /// Cuts a node off.
    pub(super) fn cut(&self, number: usize) {
        self.wire.cut(self.nodes[number].as_ref().expect("the node lives").peer);
    }

    /// Connects it again.
    pub(super) fn heal(&self, number: usize) {
        self.wire.heal(self.nodes[number].as_ref().expect("the node lives").peer);
    }
}

fn executor() -> Arc<CollectionExecutor> {
    let mut registry = Registry::new();
    registry.register(Arc::new(TreeType)).unwrap();
    registry.register(Arc::new(DiaryType)).unwrap();
    registry.register(Arc::new(TopicType::default())).unwrap();
    Arc::new(CollectionExecutor::new(registry))
}
