//! The checkpoint: memory up to an index becomes one batch in the engine, and then is forgotten.
//!
//! In this order: history that the floors of the *last* checkpoint gave up is removed; floors
//! rise; the batch is written and synced; then, block by block, the cache gets the new version and
//! the memtable forgets. A failure before the last step leaves memory as it was, and the next
//! checkpoint writes everything again: records may overlap, so it does no harm if the engine had
//! taken the first batch.

use std::sync::{Arc, atomic::Ordering};

use weald_core::{BlockId, LogIndex, StateError};

use super::{
    Shared,
    cache::Clean,
    chain::{Chain, Stored},
    harvest::{Harvest, Harvester},
    horizon::Floors,
    meta::{self, Checkpoint},
    record::{Debt, Op, RecordKey},
    replay, storage_error, sweep, write_error,
};
use crate::engine::{Batch, Durability, EngineError, Keyspace, Snapshot};

/// What checkpoints have written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WrittenFigures {
    /// Checkpoints that succeeded.
    pub checkpoints: u64,
    /// Records of blocks.
    pub records: u64,
    /// Of these, records that hold their block as a whole besides its steps.
    pub images: u64,
    /// Bytes of keys and values handed to the engine.
    pub bytes: u64,
    /// Records removed because nobody can ask for them any more.
    pub pruned: u64,
}

/// Writes what was committed up to `synced`, at most. Gives the index that is covered then.
pub(crate) fn checkpoint(
    shared: &Shared,
    cursor: &mut sweep::Cursor,
    synced: LogIndex,
) -> Result<LogIndex, StateError> {
    if shared.is_stopped.load(Ordering::Acquire) {
        return Err(storage_error("checkpoints stopped after a failed write; reopen".to_owned()));
    }
    let covered = LogIndex(shared.covered.load(Ordering::Acquire));
    // What failed half way may be in the engine: it is written again as a whole.
    let cover = shared.applied().min(synced).max(cursor.attempted);
    if cover <= covered {
        return Ok(covered);
    }
    let forgotten = sweep::sweep(shared, cursor)?;
    cursor.attempted = cover;
    let by_entries = LogIndex(cover.0.saturating_sub(shared.config.history_entries));
    let default = by_entries.max(cursor.volume.floor(shared.config.history_bytes_max));
    let (mut floors, changed) = shared.horizon.rise(default, cover);
    floors.forgotten = floors.forgotten.max(forgotten);
    let written = write(shared, Plan { cover, floors: &floors, changed: &changed });
    match written {
        Ok(Written { harvests, figures }) => {
            cursor.written = harvests.iter().map(|harvest| harvest.records.len()).sum();
            cursor.volume.add(cover, figures.bytes);
            shared.horizon.stored(floors);
            release(shared, cover, harvests);
            shared.rows.release(cover);
            shared.covered.store(cover.0, Ordering::Release);
            shared.written.lock().add(figures);
            Ok(cover)
        }
        Err(error) => {
            shared.horizon.not_stored(changed);
            Err(error)
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Plan<'p> {
    cover: LogIndex,
    floors: &'p Floors,
    changed: &'p [BlockId],
}

/// What a checkpoint has made durable.
#[derive(Debug)]
struct Written {
    harvests: Vec<Harvest>,
    figures: WrittenFigures,
}

fn write(shared: &Shared, plan: Plan<'_>) -> Result<Written, StateError> {
    let mut batch = Batch::new();
    let mut figures = WrittenFigures { checkpoints: 1, ..WrittenFigures::default() };
    let harvests = harvest_blocks(shared, plan, &mut batch, &mut figures)?;
    let has_blocks = shared.has_blocks.load(Ordering::Acquire) || !harvests.is_empty();
    put_meta(shared, plan, has_blocks, &mut batch);
    figures.bytes = u64::try_from(batch.byte_count()).unwrap_or(u64::MAX);
    // Before the write: from then on, what the memtable does not know may be in the engine.
    shared.has_blocks.store(has_blocks, Ordering::Release);
    shared.engine.write(batch, Durability::Unsynced).map_err(|error| shared.failed(&error))?;
    shared.engine.sync().map_err(|error| shared.failed(&error))?;
    Ok(Written { harvests, figures })
}

fn harvest_blocks(
    shared: &Shared,
    plan: Plan<'_>,
    batch: &mut Batch,
    figures: &mut WrittenFigures,
) -> Result<Vec<Harvest>, StateError> {
    let snapshot = shared.engine.snapshot().map_err(|error| storage_error(error.to_string()))?;
    let mut harvests = Vec::new();
    for block in shared.memtable.ids() {
        let Some(chain) = shared.memtable.cut(block, plan.cover) else { continue };
        let stored = stored(shared, block, &chain, &*snapshot)?;
        let harvester = Harvester {
            partition: shared.partition,
            block,
            chain: &chain,
            floor: plan.floors.of(stored.collection),
            compression: shared.config.compression,
        };
        let mut harvest = harvester.harvest(stored)?;
        figures.records += u64::try_from(harvest.records.len()).unwrap_or(u64::MAX);
        figures.images += harvest.image_count;
        for (key, value) in &mut harvest.records {
            batch.put(Keyspace::Blocks, key.to_bytes().to_vec(), std::mem::take(value));
        }
        harvests.push(harvest);
    }
    Ok(harvests)
}

/// What the engine has of a block: from the memtable or the cache if they know, else it is read.
fn stored(
    shared: &Shared,
    block: BlockId,
    chain: &Chain,
    snapshot: &dyn Snapshot,
) -> Result<Stored, StateError> {
    if let Some(stored) = chain.stored {
        return Ok(stored);
    }
    let starts_whole = chain.steps().next().is_some_and(|step| !matches!(step.op, Op::Splices(_)));
    if let Some(collection) = chain.collection().filter(|_| starts_whole) {
        return Ok(Stored { collection, debt: Debt::default() });
    }
    if let Some(clean) = shared.cache.peek((shared.partition, block)) {
        return Ok(Stored { collection: clean.stored.block.collection, debt: clean.debt });
    }
    let key = RecordKey { partition: shared.partition, block, last: LogIndex(u64::MAX) };
    match replay::newest(snapshot, key)? {
        Some(record) => Ok(Stored { collection: record.collection(), debt: record.debt() }),
        // Nothing can be based on a block that is not there; a deletion of one says nothing.
        None => Err(key.damaged("a change of a block that is not stored").into()),
    }
}

fn put_meta(shared: &Shared, plan: Plan<'_>, has_blocks: bool, batch: &mut Batch) {
    let partition = shared.partition;
    for (row, value) in shared.rows.cut(plan.cover).rows() {
        match meta::row_entry(partition, row, value) {
            (key, Some(value)) => batch.put(Keyspace::Meta, key, value),
            (key, None) => batch.delete(Keyspace::Meta, key),
        }
    }
    for id in plan.changed {
        let floor = plan.floors.collections.get(id).copied().unwrap_or_default();
        let (key, value) = meta::floor_entry(partition, *id, floor);
        batch.put(Keyspace::Meta, key, value);
    }
    let (covered, forgotten) = (plan.cover, plan.floors.forgotten);
    let default_floor = plan.floors.default;
    let (key, value) =
        Checkpoint { covered, default_floor, forgotten, has_blocks }.entry(partition);
    batch.put(Keyspace::Meta, key, value);
}

/// Forgets what is durable. The cache gets the newest version of a block before the memtable lets
/// go of it, under the lock that readers of the engine take to offer theirs.
fn release(shared: &Shared, cover: LogIndex, harvests: Vec<Harvest>) {
    shared.turn.fetch_add(1, Ordering::AcqRel);
    for Harvest { block, index, newest, stored, .. } in harvests {
        let key = (shared.partition, block);
        let clean = newest.as_ref().map(|newest| Clean {
            index,
            debt: stored.debt,
            stored: Arc::clone(newest),
        });
        shared.memtable.release(block, cover, (newest, stored), |stays| match clean {
            Some(clean) if !stays => shared.cache.put(key, clean),
            // The block is hot, and read from the memtable.
            _ => shared.cache.remove(key),
        });
    }
}

impl Shared {
    /// Notes a failed write or sync. A full disk heals by itself; after anything else it is open
    /// what the engine holds, and a second sync would prove nothing (rule C12).
    fn failed(&self, error: &EngineError) -> StateError {
        if !matches!(error, EngineError::Full { .. } | EngineError::TooLarge { .. }) {
            self.is_stopped.store(true, Ordering::Release);
        }
        write_error(error)
    }
}

impl WrittenFigures {
    fn add(&mut self, more: Self) {
        self.checkpoints += more.checkpoints;
        self.records += more.records;
        self.images += more.images;
        self.bytes += more.bytes;
        self.pruned += more.pruned;
    }
}
