//! Where a node keeps its data: the folder with log and engine, or memory.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use weald_core::{
    Clock, Entropy, LogError, LogStore, PartitionHealth, PartitionId, PeerId, RecoveredPartition,
    StateError, StoreId,
    identity::{Identity, KeyStore},
};
use weald_storage::{
    engine::{self, Engine, EngineConfig, EngineError, EngineKind},
    header::{IDENTITY_FILE, RUNS_FILE, StoreFolder, StoreFolderError, StoreHeader},
    identity::{FileKeyError, FileKeyStore},
    log::{
        DiskLog, FolderDisk, LogFigures, LogHome, LogOpenError, LogOptions, LogReport, MemoryLog,
        Notifier,
    },
    state::{BlockCache, PartitionStore, StateConfig},
};

use super::system::Drawn;
use crate::{Config, Error, ErrorKind, Metric, Result};

/// The one partition of an embedded node.
pub(crate) const PARTITION: PartitionId = PartitionId(0);

/// Recent entries of the log that are kept in memory, at most: 8 MiB.
const LOG_CACHE_BYTES_MAX: usize = 8 << 20;

/// The stores of an open node.
pub(crate) struct Home {
    pub(crate) engine: Arc<dyn Engine>,
    /// Blocks of all partitions.
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) log: Log,
    /// Holds the lock; let go last.
    pub(super) folder: Option<Arc<StoreFolder>>,
}

/// The node's log.
pub(crate) enum Log {
    Memory(Arc<MemoryLog>),
    Disk(Arc<DiskLog>),
    /// One that fails on demand.
    #[cfg(test)]
    Faulty(Arc<super::tests::FaultyLog>),
}

impl Log {
    /// The log as the driver uses it.
    pub(crate) fn store(&self) -> Arc<dyn LogStore> {
        match self {
            Self::Memory(log) => Arc::clone(log) as Arc<dyn LogStore>,
            Self::Disk(log) => Arc::clone(log) as Arc<dyn LogStore>,
            #[cfg(test)]
            Self::Faulty(log) => Arc::clone(log) as Arc<dyn LogStore>,
        }
    }

    /// Whether its end is lost, so that it takes nothing.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::Disk(log) => log.is_lost(),
            Self::Memory(_) => false,
            #[cfg(test)]
            Self::Faulty(_) => false,
        }
    }

    /// Reads all of it and reports what is damaged.
    pub(crate) fn verify(&self) -> std::result::Result<LogReport, LogError> {
        match self {
            Self::Memory(_) => Ok(LogReport::default()),
            Self::Disk(log) => log.verify(),
            #[cfg(test)]
            Self::Faulty(_) => Ok(LogReport::default()),
        }
    }
}

impl Home {
    /// Opens the folder `path`, making it if it is not there.
    pub(crate) fn open(
        path: &Path,
        config: &Config,
        clock: &dyn Clock,
        entropy: &mut (dyn Entropy + Send),
        notifier: Notifier,
    ) -> Result<Self> {
        let begun = Instant::now();
        std::fs::create_dir_all(path).map_err(|error| {
            let what = format!("the directory cannot be made: {error} path={}", path.display());
            Error::caused(ErrorKind::Unavailable, what, error)
        })?;
        let folder = open_folder(path, config, clock, entropy)?;
        let header = *folder.header();
        let caches = Caches::of(config);
        let engine_config = EngineConfig { cache_bytes: caches.engine, ..EngineConfig::default() };
        let engine = engine::open(header.engine, &folder.engine_path(), &engine_config)
            .map_err(engine_error)?;
        let log_home = LogHome {
            disk: Arc::new(FolderDisk::open(folder.log_path()).map_err(|error| {
                Error::caused(ErrorKind::Unavailable, format!("the log: {error}"), error)
            })?),
            store: header.store,
            entropy: Box::new(super::system::SystemEntropy),
            notifier,
        };
        let options = LogOptions {
            segment_bytes: config.log_segment_bytes,
            cache_bytes: caches.log,
            must_exist: !folder.is_formatting().map_err(folder_error)?,
            ..LogOptions::default()
        };
        let log = DiskLog::open(log_home, options).map_err(log_error)?;
        folder.finish_formatting().map_err(folder_error)?;
        let cache = Arc::new(BlockCache::new(caches.blocks));
        tell_opened(path, header.engine, &log, begun.elapsed());
        Ok(Self { engine, cache, log: Log::Disk(Arc::new(log)), folder: Some(Arc::new(folder)) })
    }

    /// What the log has done.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let Log::Disk(log) = &self.log else { return Vec::new() };
        let LogFigures { sync_count, written_bytes, sync_us } = log.figures();
        vec![
            Metric::counter("weald_log_syncs_total", "Syncs of the log.", sync_count),
            Metric::counter(
                "weald_log_written_bytes_total",
                "Bytes written to the log.",
                written_bytes,
            ),
            Metric::counter(
                "weald_log_sync_microseconds_total",
                "Time that writing and syncing the log took.",
                sync_us,
            ),
        ]
    }

    /// Opens the state of a partition.
    pub(crate) fn store(
        &self,
        partition: PartitionId,
        config: &Config,
    ) -> Result<Arc<PartitionStore>> {
        let state = StateConfig {
            dirty_bytes_max: config.effect_bytes_max(),
            compression: config.compression,
            history_entries: config.history_entries,
            ..StateConfig::default()
        };
        let (engine, cache) = (Arc::clone(&self.engine), Arc::clone(&self.cache));
        PartitionStore::open(partition, engine, cache, state).map(Arc::new).map_err(state_error)
    }

    /// The folder.
    ///
    /// # Errors
    /// When there is none: the stores end with the process.
    pub(super) fn folder(&self) -> Result<&Arc<StoreFolder>> {
        let what = "the node keeps nothing on a disk";
        self.folder.as_ref().ok_or_else(|| Error::new(ErrorKind::Invalid, what))
    }

    /// Counts a run of the store (rule C11), and gives the key that the store was made with.
    ///
    /// # Errors
    /// `Damaged` when the key is another one, or cannot be read.
    pub(super) fn begin_run(&self) -> Result<(Arc<dyn KeyStore>, u64)> {
        let folder = self.folder()?;
        let path = folder.path().join(IDENTITY_FILE);
        let keys = FileKeyStore::load(&path, None).map_err(identity_error)?;
        if keys.public().peer_id() != folder.header().node {
            let what = format!("another key than the store was made with path={}", path.display());
            return Err(Error::new(ErrorKind::Damaged, what));
        }
        let has_run = has_run(folder.path())?;
        if !has_run && !self.log.store().recovered().is_empty() {
            let what = "the directory holds a database that a program or `weald` itself opened; export \
                it and import it into a node of another directory";
            let what = format!("{what} path={}", folder.path().display());
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let run = folder.begin_run().map_err(folder_error)?;
        Ok((Arc::new(keys), run))
    }

    /// The key of the node, a new one where nothing is kept; `None` when it cannot be read.
    pub(super) fn keys(&self, entropy: &mut (dyn Entropy + Send)) -> Option<Arc<dyn KeyStore>> {
        let Some(folder) = &self.folder else {
            return Some(Arc::new(Identity::generate(&mut Drawn(entropy))));
        };
        let keys = FileKeyStore::load(&folder.path().join(IDENTITY_FILE), None);
        let keys = keys.ok().filter(|keys| keys.public().peer_id() == folder.header().node)?;
        Some(Arc::new(keys))
    }

    /// The node that the store was made by; `None` for one in memory.
    pub(crate) fn peer_id(&self) -> Option<PeerId> {
        self.folder.as_ref().map(|folder| folder.header().node)
    }

    /// What is wrong with the identity's file: it must hold the key that the store was made with.
    pub(crate) fn identity_damage(&self) -> Option<String> {
        let folder = self.folder.as_ref()?;
        match FileKeyStore::load(&folder.path().join(IDENTITY_FILE), None) {
            Ok(keys) if keys.public().peer_id() == folder.header().node => None,
            Ok(_) => Some("it is not the key that this store was made with".to_owned()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Stores that end with the process.
    pub(crate) fn in_memory(config: &Config, notifier: Notifier) -> Result<Self> {
        let engine = engine::open(EngineKind::Memory, Path::new(""), &EngineConfig::default())
            .map_err(engine_error)?;
        let log = Log::Memory(Arc::new(MemoryLog::new(notifier)));
        let cache = Arc::new(BlockCache::new(config.cache_bytes));
        Ok(Self { engine, cache, log, folder: None })
    }
}

/// Tells what was found, for whoever follows the start of a node.
fn tell_opened(path: &Path, engine: EngineKind, log: &DiskLog, took: Duration) {
    let recovered = log.recovered();
    let (path, partitions) = (path.display(), recovered.len());
    tracing::info!(target: "weald::storage", %path, ?engine, partitions, ?took, "the stores are open");
    for (partition, RecoveredPartition { first, last, health, .. }) in recovered {
        match health {
            PartitionHealth::Intact => tracing::debug!(
                target: "weald::storage", %partition, %first, %last, "the log is whole"
            ),
            PartitionHealth::Torn => tracing::info!(
                target: "weald::storage", %partition, %first, %last,
                "the log's last batch was torn, and nobody was answered for it: it is dropped"
            ),
            PartitionHealth::Damaged { known_end } => tracing::error!(
                target: "weald::storage", %partition, %first, %last, %known_end, "the log is damaged"
            ),
            PartitionHealth::Amnesiac => tracing::error!(
                target: "weald::storage", %partition, %first, %last,
                "the end of the log is missing: what was promised is lost"
            ),
        }
    }
}

/// Refuses a directory that belongs to a node of a network.
pub(super) fn refuse_networks(path: &Path) -> Result<()> {
    if !has_run(path)? {
        return Ok(());
    }
    let what = "the directory belongs to a node of a network; start it with `weald node` and ask it \
        with --node (`weald verify` checks it while it is stopped)";
    Err(Error::new(ErrorKind::Invalid, format!("{what} path={}", path.display())))
}

/// Whether a node of a network has run on the directory.
pub(super) fn has_run(path: &Path) -> Result<bool> {
    path.join(RUNS_FILE).try_exists().map_err(|error| {
        let what = format!("the directory cannot be read: {error} path={}", path.display());
        Error::caused(ErrorKind::Unavailable, what, error)
    })
}

fn open_folder(
    path: &Path,
    config: &Config,
    clock: &dyn Clock,
    entropy: &mut (dyn Entropy + Send),
) -> Result<StoreFolder> {
    let mut failed = None;
    let opened = StoreFolder::open(path, || {
        let identity =
            FileKeyStore::load_or_create(&path.join(IDENTITY_FILE), None, &mut Drawn(entropy));
        let node = match identity {
            Ok(keys) => keys.public().peer_id(),
            Err(error) => {
                failed = Some(error);
                weald_core::PeerId::from_digest(weald_core::Digest::ZERO)
            }
        };
        let mut store = [0; 16];
        entropy.fill(&mut store);
        StoreHeader {
            node,
            store: StoreId(store),
            engine: config.engine,
            partition_count: 1,
            created_at: clock.now(),
        }
    });
    if let Some(error) = failed {
        return Err(identity_error(error));
    }
    opened.map_err(folder_error)
}

/// What each cache gets of the node's `cache_bytes`.
struct Caches {
    blocks: usize,
    engine: usize,
    log: usize,
}

impl Caches {
    fn of(config: &Config) -> Self {
        let engine = config.cache_bytes / 8;
        let log = engine.min(LOG_CACHE_BYTES_MAX);
        Self { blocks: config.cache_bytes - engine - log, engine, log }
    }
}

fn identity_error(error: FileKeyError) -> Error {
    Error::caused(ErrorKind::Unavailable, error.to_string(), error)
}

fn folder_error(error: StoreFolderError) -> Error {
    let kind = match &error {
        StoreFolderError::Damaged { .. } => ErrorKind::Damaged,
        _ => ErrorKind::Unavailable,
    };
    Error::caused(kind, error.to_string(), error)
}

fn engine_error(error: EngineError) -> Error {
    let kind = match &error {
        EngineError::Full { .. } => ErrorKind::DiskFull,
        EngineError::Corrupt { .. } => ErrorKind::Damaged,
        _ => ErrorKind::Unavailable,
    };
    Error::caused(kind, error.to_string(), error)
}

fn log_error(error: LogOpenError) -> Error {
    let kind = match &error {
        LogOpenError::SegmentSize { .. } => ErrorKind::Invalid,
        LogOpenError::DiskFull(_) => ErrorKind::DiskFull,
        _ => ErrorKind::Unavailable,
    };
    Error::caused(kind, error.to_string(), error)
}

/// The facade's error for trouble of the state store.
pub(crate) fn state_error(error: StateError) -> Error {
    let kind = match &error {
        StateError::Behind { .. } => ErrorKind::Invalid,
        StateError::DiskFull(_) => ErrorKind::DiskFull,
        StateError::OutOfOrder { .. } => ErrorKind::Unavailable,
        StateError::Fault(fault) => super::read::fault_kind(fault),
    };
    Error::caused(kind, error.to_string(), error)
}
