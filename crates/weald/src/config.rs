//! Settings of a node: plain values with documented defaults, checked once when it is built.

use std::time::Duration;

use weald_storage::{engine::EngineKind, state::Compression};

use crate::{Error, ErrorKind, Result};

/// What a process takes beside its state and its caches: the program, connections, the ends of its logs, what waits
/// for thousands of subscribers, and what the allocator keeps of all that was freed.
const MEMORY_BESIDE: usize = 160 << 20;
/// The least memory that a process is laid out for.
const MEMORY_MIN: usize = 192 << 20;

/// Settings of a node.
///
/// ```
/// let config = weald::Config { cache_bytes: 256 << 20, ..Default::default() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The engine of a new store. Default redb, pure Rust; RocksDB needs a build with the feature
    /// `rocksdb`. An existing store keeps its own.
    pub engine: EngineKind,
    /// Bytes of one segment file of the log. Default 16 MiB; larger entries (half of it, up to
    /// 8 MiB) need larger ones, smaller ones free space sooner.
    pub log_segment_bytes: u64,
    /// Bytes of effects in memory that wait for a checkpoint, and of what a checkpoint takes while it
    /// runs, half as much again. Default 64 MiB. A checkpoint starts at a third of it; writers wait at
    /// two thirds.
    pub dirty_bytes: usize,
    /// Bytes of caches for reading. Default 128 MiB: an eighth is the engine's, an eighth, up to
    /// 8 MiB, holds the log's latest entries, the rest blocks.
    pub cache_bytes: usize,
    /// Log entries below the last checkpoint for which old versions of blocks are kept, in
    /// collections without a retention of their own. Default 100,000.
    pub history_entries: u64,
    /// Compression of blocks on the disk. Default LZ4.
    pub compression: Compression,
    /// Bytes of log after which a checkpoint starts. Default 128 MiB; more makes a restart replay
    /// longer.
    pub checkpoint_log_bytes: u64,
    /// Time after which a checkpoint starts if anything was written. Default 60 s.
    pub checkpoint_interval: Duration,
    /// How long a write waits for its outcome before it is `Unknown`. Default 10 s.
    pub write_timeout: Duration,
    /// How long a read waits for the state that it wants to see before it is `Behind` or
    /// `Unavailable`. Default 10 s.
    pub read_timeout: Duration,
    /// Writes that wait in the node at once. Default 65,536; more are `Busy`.
    pub writes_waiting_max: usize,
    /// Bytes of writes that wait in the node at once. Default 64 MiB; more are `Busy`.
    pub writes_waiting_bytes: usize,
    /// Whether a writer that finds the log at rest syncs it in its own thread instead of waking the
    /// log's, which saves two switches of threads, some 60 us, a write. Default yes. It holds a worker
    /// of the runtime for one sync, and is done only on a runtime with several and while a sync takes
    /// less than 1 ms.
    pub lone_writers_sync: bool,
    /// Attempts of one `transact` call before it gives up with `Conflict`. Default 32.
    pub transact_attempts_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: EngineKind::Redb,
            log_segment_bytes: 16 << 20,
            dirty_bytes: 64 << 20,
            cache_bytes: 128 << 20,
            history_entries: 100_000,
            compression: Compression::default(),
            checkpoint_log_bytes: 128 << 20,
            checkpoint_interval: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(10),
            writes_waiting_max: 65_536,
            writes_waiting_bytes: 64 << 20,
            lone_writers_sync: true,
            transact_attempts_max: 32,
        }
    }
}

impl Config {
    /// These settings with `dirty_bytes` and `cache_bytes` as a process of `bytes` in all has room for: each half of
    /// what 160 MiB leave, which the rest of a node stays within.
    ///
    /// ```
    /// let config = weald::Config::default().with_memory(256 << 20)?;
    /// assert_eq!((config.dirty_bytes, config.cache_bytes), (48 << 20, 48 << 20));
    /// # Ok::<_, weald::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` below 192 MiB.
    pub fn with_memory(self, bytes: usize) -> Result<Self> {
        in_range(bytes >= MEMORY_MIN, "memory_bytes must be at least 192 MiB")?;
        let share = (bytes - MEMORY_BESIDE) / 2;
        Ok(Self { dirty_bytes: share, cache_bytes: share, ..self })
    }

    /// Of `dirty_bytes`, what effects may take: the rest is for a checkpoint of them.
    pub(crate) fn effect_bytes_max(&self) -> usize {
        self.dirty_bytes - self.dirty_bytes / 3
    }

    /// Checks the relations between settings.
    pub(crate) fn check(&self) -> Result<()> {
        let what = "engine: this build has no rocksdb; build it with `--features rocksdb`";
        in_range(self.engine.is_in_build(), what)?;
        in_range(self.writes_waiting_max > 0, "writes_waiting_max must be at least 1")?;
        in_range(self.transact_attempts_max > 0, "transact_attempts_max must be at least 1")?;
        in_range(!self.write_timeout.is_zero(), "write_timeout must not be zero")?;
        in_range(!self.read_timeout.is_zero(), "read_timeout must not be zero")?;
        in_range(
            self.writes_waiting_bytes >= weald_core::limits::ENTRY_BYTES_MAX,
            "writes_waiting_bytes must hold one entry of 8 MiB",
        )
    }
}

/// Refuses settings of which `holds` is not true; `what` says what is to hold.
pub(crate) fn in_range(holds: bool, what: &str) -> Result<()> {
    let error = || Error::new(ErrorKind::Invalid, format!("setting out of range: {what}"));
    if holds { Ok(()) } else { Err(error()) }
}
