//! What the members of a node work with.

use std::{sync::Arc, time::Duration};

use weald_cluster::{partition::PartitionLimits, replica};
use weald_core::{
    Clock, Executor, FeatureLevel, LogStore, StateError, StoreId, Transport, TypeName, TypeVersion,
    identity::KeyStore,
};
use weald_storage::{
    engine::Engine,
    state::{BlockCache, StateConfig},
};

use super::Letterbox;

/// Everything that members need of their node.
pub(crate) struct MembersParts {
    /// Settings.
    pub(crate) config: MembersConfig,
    /// Where frames, news and questions arrive. Made before everything else: the network is given
    /// it as a sink, and the log calls [`Letterbox::notifier`].
    pub(crate) letterbox: Arc<Letterbox>,
    /// Signs for this node; its key is the peer.
    pub(crate) keys: Arc<dyn KeyStore>,
    /// The id of the store on the disk.
    pub(crate) store: StoreId,
    /// The run: above every earlier one of this store, durable (rule C11).
    pub(crate) incarnation: u64,
    /// The log, opened with the letterbox's notifier.
    pub(crate) log: Arc<dyn LogStore>,
    /// Holds the state of all partitions.
    pub(crate) engine: Arc<dyn Engine>,
    /// The cache of blocks, shared by all partitions.
    pub(crate) cache: Arc<BlockCache>,
    /// Sends to peers, and asks them for snapshots.
    pub(crate) network: Arc<dyn Transport>,
    /// The time of day.
    pub(crate) clock: Arc<dyn Clock>,
    /// Runs actions.
    pub(crate) executor: Arc<dyn Executor>,
    /// Random; elections draw from it.
    pub(crate) seed: u64,
}

/// Settings of a node's members.
#[derive(Clone, Debug)]
pub(crate) struct MembersConfig {
    /// Of the replicas: timeouts and windows. Default a sign of life in 125 ms, four within an election
    /// timeout, since a frame costs an idle node a millisecond; and, for a node has many members, 256 KiB
    /// of each one's entries for others that lag, who are fed from the log beyond it.
    pub(crate) replica: replica::Config,
    /// Of the state stores. Its `dirty_bytes_max` is what all partitions may take together.
    pub(crate) state: StateConfig,
    /// What this node admits to a log.
    pub(crate) limits: PartitionLimits,
    /// Types that a partition's first coordinator registers, beside the built-in ones.
    pub(crate) types: Vec<(TypeName, TypeVersion)>,
    /// The feature level that a partition's first coordinator raises it to, default the newest.
    pub(crate) level: FeatureLevel,
    /// Bytes of a partition's log after which it is checkpointed, default 8 MiB: so much a start
    /// has to apply anew.
    pub(crate) checkpoint_log_bytes: u64,
    /// Time after which a partition is checkpointed if anything was applied, default 60 s.
    pub(crate) checkpoint_interval: Duration,
    /// Entries kept in the log before a checkpoint, for members that lag, default 1024.
    pub(crate) log_entries_kept: u64,
    /// A sync that takes longer is slow, default 250 ms (rule C9).
    pub(crate) slow_sync: Duration,
    /// A disk, or an apply, that is slow for so long is unhealthy, default 2 s (rule C9).
    pub(crate) slow_for: Duration,
}

impl Default for MembersConfig {
    fn default() -> Self {
        Self {
            replica: replica::Config {
                heartbeat: Duration::from_millis(125),
                tail_bytes_max: 256 * 1024,
                ..replica::Config::default()
            },
            state: StateConfig::default(),
            limits: PartitionLimits::default(),
            types: Vec::new(),
            level: FeatureLevel::NEWEST,
            checkpoint_log_bytes: 8 * 1024 * 1024,
            checkpoint_interval: Duration::from_secs(60),
            log_entries_kept: 1024,
            slow_sync: Duration::from_millis(250),
            slow_for: Duration::from_secs(2),
        }
    }
}

/// Why the members did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The state of a partition cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// What the log or the state has of a partition does not parse.
    #[error("a partition's records do not parse: {0}")]
    Damaged(String),
    /// No thread could be started.
    #[error("no thread could be started: {0}")]
    Thread(#[from] std::io::Error),
}
