//! The state of a partition: blocks with history, and the state machine's rows.
//!
//! A commit changes memory only (`memtable`, `rows`). A checkpoint writes what memory holds up to
//! an index as one batch, one record or a few for each block, together with the index, and then
//! forgets it. Clean blocks are found in a cache shared by all partitions, older versions in the
//! records. `docs/format.md`, "Stored blocks", describes the bytes.
//!
//! **Invariant:** a version is in the memtable or durable in the engine at every moment; the
//! memtable forgets it only after the sync. **Invariant:** a cached block is the newest version
//! that the engine has. **Invariant:** no floor rises above the index of a live view.

mod cache;
mod chain;
mod checkpoint;
mod compression;
mod digest;
mod harvest;
mod horizon;
mod memtable;
mod meta;
mod record;
mod replay;
mod rows;
mod scrub;
mod splices;
mod sweep;
mod transfer;
mod view;
mod wire;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;
use weald_core::{
    At, BlockId, Digest, Effects, Fault, LogIndex, PartitionId, StateError, StateStore, StateView,
};

use self::{
    cache::Clean, horizon::Horizon, memtable::Memtable, meta::Checkpoint, rows::Rows, view::View,
};
use crate::engine::{Engine, EngineError};

pub use self::{
    cache::{BlockCache, CacheFigures},
    checkpoint::WrittenFigures,
    compression::Compression,
    record::{RecordSummary, decode_record},
    scrub::{Damage, ScrubPage},
    transfer::{InstallError, PAGE_BYTES_MAX, StateExport, StateInstall},
};

/// How a partition keeps its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateConfig {
    /// Bytes that commits may take in memory before a checkpoint frees them. Default 64 MiB. A
    /// checkpoint needs about half as much again while it runs.
    pub dirty_bytes_max: usize,
    /// Log indexes below the last checkpoint for which old versions of blocks are kept, in
    /// collections that name no floor themselves. Default 100,000. More makes the engine larger
    /// by what is written in as many entries.
    pub history_entries: u64,
    /// Bytes of checkpoints for which old versions are kept, in the same collections: the window
    /// ends where the first of both limits is reached. Counted from the last opening on. Default
    /// 256 MiB.
    pub history_bytes_max: u64,
    /// How records are compressed. Default LZ4.
    pub compression: Compression,
    /// Records that a checkpoint looks through, at least, for history to remove; it looks through
    /// twice as many as it writes. Default 256.
    pub sweep_records_min: usize,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            dirty_bytes_max: 64 * 1024 * 1024,
            history_entries: 100_000,
            history_bytes_max: 256 * 1024 * 1024,
            compression: Compression::default(),
            sweep_records_min: 256,
        }
    }
}

/// How much of the memory for commits is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// Bytes that only a checkpoint can free.
    pub dirty_bytes: usize,
    /// Bytes that there may be.
    pub dirty_bytes_max: usize,
}

impl Pressure {
    /// Time for a checkpoint: half is taken.
    pub fn is_high(&self) -> bool {
        self.dirty_bytes >= self.dirty_bytes_max / 2
    }

    /// No more writes may be admitted until a checkpoint has succeeded. What is committed in the
    /// log can still be applied.
    pub fn is_full(&self) -> bool {
        self.dirty_bytes >= self.dirty_bytes_max
    }
}

/// The state of one partition over an engine. See [`StateStore`].
#[derive(Debug)]
pub struct PartitionStore {
    shared: Arc<Shared>,
    /// Commits come one at a time.
    writer: Mutex<()>,
    /// So do checkpoints.
    checkpointer: Mutex<sweep::Cursor>,
}

/// What views share with the store.
#[derive(Debug)]
struct Shared {
    partition: PartitionId,
    engine: Arc<dyn Engine>,
    cache: Arc<BlockCache>,
    config: StateConfig,
    memtable: Memtable,
    rows: Rows,
    horizon: Horizon,
    applied: AtomicU64,
    covered: AtomicU64,
    /// Raised when a checkpoint is about to move versions: what was read from the engine before
    /// must not enter the cache any more.
    turn: AtomicU64,
    /// False while the engine has never had a block of this partition: then what the memtable
    /// does not know is absent.
    has_blocks: AtomicBool,
    /// Set after a failure that leaves open what the engine holds: no checkpoint until reopened.
    is_stopped: AtomicBool,
    /// Another state takes the place of this one in the engine, or has.
    is_retired: AtomicBool,
    written: Mutex<WrittenFigures>,
}

impl PartitionStore {
    /// Opens the state of `partition` as the last durable checkpoint left it. Reads how far that
    /// was and the floors; no block and no row is read.
    ///
    /// # Errors
    /// When the engine cannot be read or what it holds is damaged.
    pub fn open(
        partition: PartitionId,
        engine: Arc<dyn Engine>,
        cache: Arc<BlockCache>,
        config: StateConfig,
    ) -> Result<Self, StateError> {
        let (checkpoint, floors) = meta::read(&*engine, partition)?;
        let Checkpoint { covered, has_blocks, .. } = checkpoint;
        let shared = Shared {
            partition,
            engine,
            cache,
            config,
            memtable: Memtable::new(),
            rows: Rows::default(),
            horizon: Horizon::new(floors),
            applied: AtomicU64::new(covered.0),
            covered: AtomicU64::new(covered.0),
            turn: AtomicU64::new(0),
            has_blocks: AtomicBool::new(has_blocks),
            is_stopped: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            written: Mutex::default(),
        };
        let (shared, checkpointer) = (Arc::new(shared), Mutex::default());
        Ok(Self { shared, writer: Mutex::new(()), checkpointer })
    }

    /// How much of the memory for commits is taken. The driver checkpoints when it is high and
    /// refuses writes when it is full.
    pub fn pressure(&self) -> Pressure {
        let dirty_bytes_max = self.shared.config.dirty_bytes_max;
        Pressure { dirty_bytes: self.dirty_bytes(), dirty_bytes_max }
    }

    /// Another state is about to take the place of this one in the engine
    /// ([`StateInstall::switch`]), after which the caller clears the cache: no checkpoint is written any
    /// more, and nothing that was read before enters the cache. Views of this store show what is in
    /// memory; what they would have to load is a fault from now on, not absent.
    pub fn retire(&self) {
        self.shared.is_retired.store(true, Ordering::SeqCst);
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        self.shared.turn.fetch_add(1, Ordering::SeqCst);
    }

    /// What checkpoints have written since the store was opened.
    pub fn written(&self) -> WrittenFigures {
        *self.shared.written.lock()
    }

    /// A digest over the newest version of every block and over every row. It depends on what was
    /// committed and on nothing else: not on the engine, the cache, the schedule of checkpoints
    /// or the compression. Reads the whole partition.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn digest(&self) -> Result<Digest, StateError> {
        digest::digest(&self.shared)
    }

    /// Checks stored records, from `from` on (`None`: from the first), about `records` of them:
    /// every checksum, and that every block can be put together. `next` of the page goes on.
    ///
    /// # Errors
    /// When the engine cannot be read. Damage is no error here, it is what the page reports.
    pub fn scrub(&self, from: Option<BlockId>, records: usize) -> Result<ScrubPage, StateError> {
        scrub::scrub(&self.shared, from, records)
    }

    /// Scrubs everything. `progress` is called after each page and ends the scrub by answering
    /// false. Gives the sum of all pages.
    ///
    /// # Errors
    /// As [`PartitionStore::scrub`].
    pub fn verify(
        &self,
        mut progress: impl FnMut(&ScrubPage) -> bool,
    ) -> Result<ScrubPage, StateError> {
        let mut sum = ScrubPage::default();
        loop {
            let page = self.scrub(sum.next, scrub::PAGE_RECORDS)?;
            let goes_on = progress(&page);
            sum.add(page);
            if sum.next.is_none() || !goes_on {
                return Ok(sum);
            }
        }
    }
}

impl StateStore for PartitionStore {
    fn partition(&self) -> PartitionId {
        self.shared.partition
    }

    fn view(&self, at: At) -> Result<Arc<dyn StateView>, StateError> {
        if let At::Index(wanted) = at {
            let applied = self.applied();
            if wanted > applied {
                return Err(StateError::Behind { wanted, applied });
            }
        }
        let view = View::open(&self.shared, || match at {
            At::Latest => self.shared.applied(),
            At::Index(index) => index,
        })?;
        Ok(Arc::new(view))
    }

    fn commit(&self, index: LogIndex, effects: Effects) -> Result<(), StateError> {
        let _writer = self.writer.lock();
        let applied = self.applied();
        if index <= applied {
            return Err(StateError::OutOfOrder { index, applied });
        }
        self.shared.check(&effects)?;
        for effect in effects.blocks {
            self.shared.memtable.push(index, effect);
        }
        self.shared.rows.commit(index, effects.rows);
        self.shared.horizon.want(&effects.floors);
        self.shared.applied.store(index.0, Ordering::Release);
        Ok(())
    }

    fn rows(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        self.shared.rows(prefix)
    }

    fn applied(&self) -> LogIndex {
        self.shared.applied()
    }

    fn checkpointed(&self) -> LogIndex {
        LogIndex(self.shared.covered.load(Ordering::Acquire))
    }

    fn dirty_bytes(&self) -> usize {
        self.shared.memtable.bytes() + self.shared.rows.bytes()
    }

    fn checkpoint(&self, synced: LogIndex) -> Result<LogIndex, StateError> {
        let mut cursor = self.checkpointer.lock();
        checkpoint::checkpoint(&self.shared, &mut cursor, synced)
    }
}

impl Shared {
    fn applied(&self) -> LogIndex {
        LogIndex(self.applied.load(Ordering::Acquire))
    }

    /// Whether what the engine or the cache has may be of another state by now. To be asked after that
    /// was read.
    fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::SeqCst)
    }

    /// Refuses effects that do not follow what is there, before any of them is applied.
    fn check(&self, effects: &Effects) -> Result<(), StateError> {
        for effect in &effects.blocks {
            self.memtable.check(effect).map_err(Fault::from)?;
        }
        if let Some(key) = effects.rows.keys().find(|key| key.len() > meta::ROW_KEY_BYTES_MAX) {
            let (bytes, max) = (key.len(), meta::ROW_KEY_BYTES_MAX);
            return Err(storage_error(format!(
                "the key of a row is too long bytes={bytes} max={max}"
            )));
        }
        Ok(())
    }

    /// Puts a block that was read from the engine in the cache, unless a checkpoint has begun to
    /// move versions since `turn`: then it may be old.
    fn offer(&self, id: BlockId, turn: u64, clean: Clean) {
        let _held = self.memtable.hold(id);
        if self.turn.load(Ordering::Acquire) == turn {
            self.cache.put((self.partition, id), clean);
        }
    }

    fn rows(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        // The snapshot is taken while no row can be committed or released, so that both fit.
        let held = self.rows.hold();
        let newer = held.with_prefix(prefix);
        let snapshot = self.engine.snapshot().map_err(|e| storage_error(e.to_string()))?;
        drop(held);
        let mut merged = std::collections::BTreeMap::new();
        for entry in meta::rows(&*snapshot, self.partition, prefix) {
            let (key, value) = entry?;
            merged.insert(key, Some(value));
        }
        merged.extend(newer);
        Ok(merged.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
    }
}

fn storage_error(text: String) -> StateError {
    StateError::Fault(Fault::Storage(text))
}

/// What an engine's refusal of a write means for the store.
fn write_error(error: &EngineError) -> StateError {
    match error {
        EngineError::Full { .. } => StateError::DiskFull(error.to_string()),
        other => storage_error(other.to_string()),
    }
}
