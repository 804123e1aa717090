//! Starting a node: open the stores, restore the partition, replay the log, spawn the driver.

use std::{path::Path, sync::Arc, time::Instant};

use parking_lot::{Mutex, RwLock};
use weald_cluster::partition::Partition;
use weald_collections::{CollectionExecutor, CollectionType, DiaryType, Registry, TreeType};
use weald_core::{
    Clock, Entropy, Executor, LogIndex, PlacementKey, SettingsChange, SettingsEntry, StateStore,
    TransactionId, TypeName, TypeVersion,
};
use weald_pubsub::TopicType;
use weald_storage::{log::Notifier, state::PartitionStore};

use super::{
    Running,
    embedded::Embedded,
    home::{Home, PARTITION, refuse_networks, state_error},
};
use crate::{
    Config, Error, ErrorKind, Result,
    driver::{
        Applier, Ask, Driver, EventQueue, Intake, IntakeLimits, LocalProposer, Parts, Proposal,
        Relay, Tuning, Waiter, Watchers, replay,
    },
    topic::Topics,
};

/// What a builder hands over.
pub(super) struct Start {
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Box<dyn Entropy + Send>,
    pub(super) types: Vec<Arc<dyn CollectionType>>,
}

impl Start {
    /// Opens and starts; blocks on the disk. `None` for a node in memory.
    pub(super) fn run(self, path: Option<&Path>) -> Result<Running> {
        self.run_on(|start, notifier| {
            let home = match path {
                Some(path) => {
                    refuse_networks(path)?;
                    let entropy = &mut *start.entropy;
                    Home::open(path, &start.config, &*start.clock, entropy, notifier)?
                }
                None => Home::in_memory(&start.config, notifier)?,
            };
            let store = home.store(PARTITION, &start.config)?;
            Ok((home, store))
        })
    }

    /// Starts on the stores that `open` gives.
    pub(super) fn run_on(
        mut self,
        open: impl FnOnce(&mut Self, Notifier) -> Result<(Home, Arc<PartitionStore>)>,
    ) -> Result<Running> {
        self.config.check()?;
        let executor = Arc::new(CollectionExecutor::new(registry(&self.types)?));
        let queue = Arc::new(EventQueue::default());
        let relay = Arc::new(Relay::new(Arc::clone(&queue)));
        let told = Arc::clone(&relay);
        let (home, store) = open(&mut self, Arc::new(move || told.handle_news()))?;
        let log = home.log.store();
        let mut applier = Applier {
            partition: restore(&*store)?,
            store: Arc::clone(&store) as Arc<dyn StateStore>,
            executor: Arc::clone(&executor) as Arc<dyn Executor>,
        };
        let recovery = replay(&mut applier, &*log);
        let read_only = Arc::new(RwLock::new(recovery.damage.clone()));
        let watchers = Arc::new(Watchers::default());
        let mut session = [0; 16];
        self.entropy.fill(&mut session);
        let clock = Arc::clone(&self.clock);
        let proposer =
            LocalProposer::new(PARTITION, Arc::clone(&log), clock, session, recovery.last);
        let limits = IntakeLimits {
            writes_max: self.config.writes_waiting_max,
            bytes_max: self.config.writes_waiting_bytes,
        };
        let intake = Arc::new(Intake::new(Box::new(proposer), limits));
        if recovery.damage.is_none() {
            self.register_types(&applier, executor.registry(), &intake);
        }
        let parts = Parts {
            applier,
            intake,
            log,
            queue,
            watchers: Arc::clone(&watchers),
            clock: Arc::clone(&self.clock),
            read_only: Arc::clone(&read_only),
            tuning: self.tuning(),
        };
        let driver = Driver::spawn(&relay, parts).map_err(|error| {
            Error::caused(ErrorKind::Unavailable, format!("no thread: {error}"), error)
        })?;
        let home = Arc::new(home);
        let topics = Topics::new(home.keys(&mut *self.entropy));
        let backend = Arc::new(Embedded {
            driver,
            store,
            home,
            watchers,
            read_only,
            clock: Arc::clone(&self.clock),
            lone_writers_sync: self.config.lone_writers_sync,
        });
        Ok(Running {
            backend,
            executor,
            config: self.config,
            clock: self.clock,
            entropy: Mutex::new(self.entropy),
            topics,
        })
    }

    /// Has the log register the types that this node has code for, before any write can come: only
    /// what the log registers is executed. The types that come with Weald always are.
    fn register_types(&self, applier: &Applier, registry: &Registry, intake: &Intake) {
        let known = &applier.partition.settings().types;
        let added = registry.names().filter(|(name, version)| !known.contains(name, *version));
        let register = |(type_name, version): &(TypeName, TypeVersion)| SettingsChange::Register {
            type_name: type_name.clone(),
            version: *version,
        };
        let changes: Vec<_> = added.map(register).collect();
        if changes.is_empty() {
            return;
        }
        let ask = Ask::Settings(SettingsEntry { decided: LogIndex::ZERO, changes });
        let waiter = Waiter::nobody(Instant::now() + self.config.write_timeout);
        let id = TransactionId::new(PlacementKey::from_u64(0), [0; 16]);
        let proposal = Proposal { id, ask, bytes: 0, waiter, may_lead: false };
        intake.propose(proposal).expect("a new intake has room for one");
    }

    fn tuning(&self) -> Tuning {
        Tuning {
            dirty_bytes_max: self.config.effect_bytes_max(),
            log_bytes: self.config.checkpoint_log_bytes,
            interval: self.config.checkpoint_interval,
        }
    }
}

fn restore(store: &dyn StateStore) -> Result<Partition> {
    let rows = store.rows(&[]).map_err(state_error)?;
    Partition::restore(PARTITION, store.applied(), rows)
        .map_err(|error| Error::caused(ErrorKind::Damaged, error.to_string(), error))
}

pub(super) fn registry(types: &[Arc<dyn CollectionType>]) -> Result<Registry> {
    let mut registry = Registry::new();
    let own: [Arc<dyn CollectionType>; 3] =
        [Arc::new(TreeType), Arc::new(DiaryType), Arc::new(TopicType::default())];
    for added in own.iter().chain(types) {
        registry
            .register(Arc::clone(added))
            .map_err(|error| Error::caused(ErrorKind::Invalid, error.to_string(), error))?;
    }
    Ok(registry)
}
