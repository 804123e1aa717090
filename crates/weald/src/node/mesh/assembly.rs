//! Putting a node of a network together: folder, network, members, reach, founding, in this order,
//! so that nothing arrives for which nobody listens.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use parking_lot::{Mutex, RwLock};
use tokio::{runtime::Handle, sync::watch, task::JoinHandle};
use weald_cluster::{
    founding::{self, Introduction, Pin},
    routing,
};
use weald_collections::{CollectionExecutor, CollectionType};
use weald_core::{
    Clock, Entropy, Executor, FrameSink, Handlers, PeerId, Priority, Transport,
    identity::{Identity, KeyStore},
};
use weald_p2p::{
    Admission, Config as NetworkConfig, Discovery, Multicast, Network, PreSharedKey, Reachability,
};
use weald_storage::{header::OUTBOX_FOLDER, state::StateConfig};

use super::{Mesh, anew::supervise, events::Events, seeking};
use crate::{
    Config, Error, ErrorKind, NodeConfig, Probe, Result,
    founding::{Dialer, Founding, FoundingParts, Inbox, JOIN, Pins, authority, read_pin},
    members::{Letterbox, Members, MembersConfig, MembersParts, STATE_PAGE, StartError},
    node::{Drawn, Home, Running, Weald, blocking, start::registry, system::SystemEntropy},
    reach::{Reach, ReachParts, Services},
    topic::{LeftRuns, Outboxes, Topics, look_after},
};

/// The share of data that a node takes, relative to others.
const WEIGHT: u32 = 100;

/// What a node is put together from.
pub(super) struct Assembly {
    /// Settings.
    pub(super) config: NodeConfig,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) types: Vec<Arc<dyn CollectionType>>,
    pub(super) entropy: Box<dyn Entropy + Send>,
}

/// What is kept in the folder, opened.
struct Opened {
    home: Arc<Home>,
    keys: Arc<dyn KeyStore>,
    run: u64,
    pin: Pin,
    outbox: (Arc<Outboxes>, LeftRuns),
}

/// Takes no frames: a node without members is sent none.
struct NoFrames;

impl FrameSink for NoFrames {
    fn frame(&self, _: PeerId, _: Priority, _: bytes::Bytes) -> bool {
        false
    }
}

impl Assembly {
    pub(super) async fn start(self) -> Result<Weald> {
        let weald = Weald(Arc::new(RwLock::new(None)));
        let mut assembly = self;
        if assembly.config.light {
            let running = assembly.start_light().await?;
            *weald.0.write() = Some(Arc::new(running));
            return Ok(weald);
        }
        let (running, reset) = assembly.start_full().await?;
        let running = Arc::new(running);
        *weald.0.write() = Some(Arc::clone(&running));
        running.topics.resume(&weald);
        drop(running);
        supervise(&weald, assembly, reset);
        look_after(&weald);
        Ok(weald)
    }

    async fn start_light(mut self) -> Result<Running> {
        let keys: Arc<dyn KeyStore> = Arc::new(Identity::generate(&mut Drawn(&mut *self.entropy)));
        let events = Arc::new(Events { letterbox: None, inbox: None, reach: OnceLock::new() });
        let handlers = Handlers {
            frames: Arc::new(NoFrames),
            services: BTreeMap::new(),
            events: Arc::clone(&events) as _,
        };
        let network_config = self.network_config(Arc::clone(&keys))?;
        let config = NetworkConfig { listen: Vec::new(), ..network_config };
        let network = Network::start(config, handlers).await.map_err(network_error)?;
        let reach = self.reach(&network, None, None)?;
        // An error would mean that it was set before.
        events.reach.set(Arc::downgrade(&reach)).ok();
        let mesh = Mesh {
            tasks: vec![seeking::seek(network.clone(), &reach)],
            founding: None,
            reach,
            members: None,
            network,
            home: None,
            leaderless_since: Mutex::default(),
        };
        self.running(mesh, Topics::new(Some(keys)))
    }

    pub(super) async fn start_full(&mut self) -> Result<(Running, watch::Receiver<Option<Pin>>)> {
        let letterbox = Letterbox::new();
        let opened = self.open(&letterbox).await?;
        let (services, inbox) = (Services::new(), Arc::new(Inbox::new()));
        let events = Arc::new(Events {
            letterbox: Some(Arc::clone(&letterbox)),
            inbox: Some(Arc::clone(&inbox)),
            reach: OnceLock::new(),
        });
        let mut handlers: BTreeMap<_, _> = services.handlers().collect();
        handlers.insert(STATE_PAGE, Arc::clone(&letterbox) as _);
        handlers.insert(JOIN, Arc::clone(&inbox) as _);
        let handlers = Handlers {
            frames: Arc::clone(&letterbox) as _,
            services: handlers,
            events: Arc::clone(&events) as _,
        };
        let config = self.network_config(Arc::clone(&opened.keys))?;
        let network = Network::start(config, handlers).await.map_err(network_error)?;
        let members = self.members(&opened, letterbox, &network).await?;
        let reach = self.reach(&network, Some(members.clone()), Some(Arc::clone(&opened.home)))?;
        // An error would mean that it was set before.
        events.reach.set(Arc::downgrade(&reach)).ok();
        services.open(reach.server().expect("a node with members has a server"));
        let (peer, run) = (opened.keys.public().peer_id(), opened.run);
        let (name, addresses) = (&self.config.network, network.listen_addresses());
        tracing::info!(
            target: "weald::node", %peer, run, network = name, ?addresses, "the node has started"
        );
        let (home, keys) = (Arc::clone(&opened.home), Arc::clone(&opened.keys));
        let topics = Topics::new(Some(Arc::clone(&keys))).queueing(opened.outbox);
        let parts = (opened.home, opened.keys, opened.pin);
        let founding = self.founding(parts, inbox, &network, &members)?;
        let following = follow(&reach, founding.map());
        let seeking = seeking::seek(network.clone(), &reach);
        let reset = founding.reset();
        let (founding, members) = (Some(founding), Some(members));
        let mesh = Mesh {
            tasks: vec![following, seeking],
            founding,
            reach,
            members,
            network,
            home: Some(home),
            leaderless_since: Mutex::default(),
        };
        Ok((self.running(mesh, topics)?, reset))
    }

    async fn open(&mut self, letterbox: &Arc<Letterbox>) -> Result<Opened> {
        let (path, config) = (self.config.data_dir.clone(), self.config.store.clone());
        let (clock, notifier) = (Arc::clone(&self.clock), letterbox.notifier());
        let opened = blocking(move || -> Result<Opened> {
            let home = Home::open(&path, &config, &*clock, &mut SystemEntropy, notifier)?;
            let (keys, run) = home.begin_run()?;
            let pin = read_pin(home.folder()?)?;
            let outbox = Outboxes::open(home.folder()?.path().join(OUTBOX_FOLDER))?;
            Ok(Opened { home: Arc::new(home), keys, run, pin, outbox })
        });
        opened.await?
    }

    fn network_config(&self, keys: Arc<dyn KeyStore>) -> Result<NetworkConfig> {
        let name = self.config.network.parse().map_err(|error: weald_p2p::NetworkNameError| {
            Error::caused(ErrorKind::Invalid, error.to_string(), error)
        })?;
        let mut config = NetworkConfig::new(name, keys, Arc::clone(&self.clock));
        config.listen = self.config.listen.clone();
        config.external = self.config.external.clone();
        config.seeds = self.config.bootstrap.clone();
        if !self.config.light {
            config.address_book = Some(self.config.data_dir.join("peers"));
        }
        let allow = &self.config.allow;
        config.admission = Admission {
            allowed: (!allow.is_empty()).then(|| allow.iter().copied().collect()),
            pre_shared_key: self.config.pre_shared_key.map(PreSharedKey::new),
        };
        if self.config.pre_shared_key.is_some() {
            // Whoever gets through is meant to, however many are behind one address.
            config.connections.per_source_max = config.connections.established_max;
        }
        let multicast = if self.config.mdns { Multicast::Local } else { Multicast::Off };
        let lookups = self.config.lookups;
        config.discovery = Discovery { multicast, lookups, ..Discovery::default() };
        // Nobody has to reach a node that takes part in nothing.
        if !self.config.light {
            config.relays = self.config.relays.clone();
            config.reachability = reachability(&self.config);
        }
        Ok(config)
    }

    async fn members(
        &mut self,
        opened: &Opened,
        letterbox: Arc<Letterbox>,
        network: &Network,
    ) -> Result<Members> {
        let executor = Arc::new(CollectionExecutor::new(registry(&self.types)?));
        let types = executor.registry().names().cloned();
        let mut seed = [0; 8];
        self.entropy.fill(&mut seed);
        let mut config = members_config(&self.config.store, types.collect());
        if let Some(genesis) = &opened.pin.genesis {
            config.replica.authority = authority(genesis, &self.config.administrators);
        }
        let parts = MembersParts {
            config,
            letterbox,
            keys: Arc::clone(&opened.keys),
            store: opened.home.folder()?.header().store,
            incarnation: opened.run,
            log: opened.home.log.store(),
            engine: Arc::clone(&opened.home.engine),
            cache: Arc::clone(&opened.home.cache),
            network: Arc::new(network.clone()),
            clock: Arc::clone(&self.clock),
            executor: executor as Arc<dyn Executor>,
            seed: u64::from_le_bytes(seed),
        };
        blocking(move || Members::start(parts)).await?.map_err(start_error)
    }

    fn reach(
        &mut self,
        network: &Network,
        members: Option<Members>,
        home: Option<Arc<Home>>,
    ) -> Result<Arc<Reach>> {
        let (mut session, mut seed) = ([0; 16], [0; 8]);
        self.entropy.fill(&mut session);
        self.entropy.fill(&mut seed);
        let parts = ReachParts {
            config: self.config.store.clone(),
            seeds: Vec::new(),
            members,
            home,
            is_guarded: self.config.pre_shared_key.is_some() || !self.config.allow.is_empty(),
            transport: Arc::new(network.clone()) as Arc<dyn Transport>,
            runtime: Handle::current(),
            clock: Arc::clone(&self.clock),
            session,
            seed: u64::from_le_bytes(seed),
        };
        Reach::start(parts).map(Arc::new)
    }

    fn founding(
        &mut self,
        (home, keys, pin): (Arc<Home>, Arc<dyn KeyStore>, Pin),
        inbox: Arc<Inbox>,
        network: &Network,
        members: &Members,
    ) -> Result<Founding> {
        let folder = home.folder()?;
        let parts = FoundingParts {
            config: self.founding_config()?,
            me: Introduction {
                store: folder.header().store,
                public_key: keys.public(),
                weight: WEIGHT,
                domain: String::new(),
            },
            pin,
            pins: Pins(Arc::clone(folder)),
            inbox,
            network: Arc::new(network.clone()),
            dialer: Arc::new(Dial(network.clone())),
            members: members.clone(),
            clock: Arc::clone(&self.clock),
            administrators: self.config.administrators.clone(),
        };
        Ok(Founding::start(parts, &mut *self.entropy))
    }

    fn founding_config(&self) -> Result<founding::Config> {
        let k = u8::try_from(self.config.responsibility_k).unwrap_or(u8::MAX);
        let responsibility_k = k.try_into().map_err(|error| {
            let error: weald_cluster::placement::ResponsibilityKError = error;
            Error::caused(ErrorKind::Invalid, error.to_string(), error)
        })?;
        let has_shared_key = self.config.pre_shared_key.is_some();
        Ok(founding::Config {
            name: self.config.network.clone(),
            bootstrap: self.config.bootstrap.clone(),
            init: self.config.init,
            responsibility_k,
            partition_count: self.config.partitions,
            has_shared_key,
            admission: match has_shared_key {
                true => weald_core::AdmissionPolicy::SharedKey,
                false => weald_core::AdmissionPolicy::Nearby,
            },
            timing: founding::Timing {
                found_after: self.config.found_after,
                ..founding::Timing::default()
            },
            ..founding::Config::default()
        })
    }

    fn running(&self, mesh: Mesh, topics: Topics) -> Result<Running> {
        Ok(Running {
            topics,
            backend: Arc::new(mesh),
            executor: Arc::new(CollectionExecutor::new(registry(&self.types)?)),
            config: self.config.store.clone(),
            clock: Arc::clone(&self.clock),
            entropy: Mutex::new(Box::new(SystemEntropy)),
        })
    }
}

/// Hands the reach every map of the network that comes.
fn follow(
    reach: &Arc<Reach>,
    mut maps: watch::Receiver<Option<Arc<founding::Map>>>,
) -> JoinHandle<()> {
    let reach = Arc::downgrade(reach);
    tokio::spawn(async move {
        loop {
            let map = maps.borrow_and_update().clone();
            let Some(reach) = reach.upgrade() else { return };
            if let Some(map) = &map {
                reach.know(map.network().0, map.system.admission);
            }
            if let Some(map) = map.and_then(|map| routing_map(&map)) {
                reach.adopt(map);
            }
            drop(reach);
            if maps.changed().await.is_err() {
                return;
            }
        }
    })
}

fn routing_map(map: &founding::Map) -> Option<routing::Map> {
    let version = routing::Version { generation: 0, index: map.system.changed };
    Some(routing::Map::computed(version, &map.ranges()?, &map.nodes(), map.responsibility_k()))
}

fn reachability(config: &NodeConfig) -> Reachability {
    let probe = config.probe != Probe::Off;
    Reachability {
        relay_server: config.serve_relay,
        relay_client: probe || !config.relays.is_empty(),
        probe,
        probe_local: config.probe == Probe::All,
        ..Reachability::default()
    }
}

/// Connects to what founding wants to be connected to.
struct Dial(Network);

impl Dialer for Dial {
    fn dial(&self, address: &str) {
        if let Err(error) = self.0.dial(address) {
            tracing::debug!(target: "weald::node", %error, address, "not dialled");
        }
    }
}

fn members_config(
    config: &Config,
    types: Vec<(weald_core::TypeName, weald_core::TypeVersion)>,
) -> MembersConfig {
    MembersConfig {
        state: StateConfig {
            dirty_bytes_max: config.effect_bytes_max(),
            compression: config.compression,
            history_entries: config.history_entries,
            ..StateConfig::default()
        },
        types,
        checkpoint_log_bytes: config.checkpoint_log_bytes,
        checkpoint_interval: config.checkpoint_interval,
        ..MembersConfig::default()
    }
}

fn network_error(error: weald_p2p::StartError) -> Error {
    let kind = match &error {
        weald_p2p::StartError::Address { .. }
        | weald_p2p::StartError::QuicWithKey(_)
        | weald_p2p::StartError::TooManySeeds(_)
        | weald_p2p::StartError::NoRelay(_)
        | weald_p2p::StartError::TooManyRelays(_) => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    Error::caused(kind, error.to_string(), error)
}

fn start_error(error: StartError) -> Error {
    let kind = match &error {
        StartError::Thread(_) => ErrorKind::Unavailable,
        StartError::State(_) | StartError::Damaged(_) => ErrorKind::Damaged,
    };
    Error::caused(kind, error.to_string(), error)
}
