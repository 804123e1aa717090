//! Removes history that nobody can ask for.
//!
//! Each checkpoint looks through a part of the records, going round: bounded work, in proportion
//! to what is written, so the whole is gone through while it is rewritten a few times at most. Of
//! every block it keeps the newest record that ends at the floor or below, what that one needs to
//! be read, and all that is newer. Floors are those that are durable already; so a removal that
//! survives a crash is never followed by a floor that does not know of it.

use std::collections::VecDeque;

use weald_core::{BlockId, LogIndex, StateError};

use super::{
    Shared,
    horizon::Floors,
    record::{Record, RecordKey},
    storage_error,
};
use crate::engine::{Batch, Direction, Durability, Keyspace};

/// Checkpoints whose bytes are remembered one by one.
const VOLUME_LEN_MAX: usize = 256;

/// What one checkpoint leaves for the next.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// Where the sweep goes on.
    next: Option<BlockId>,
    /// Records that the last checkpoint wrote.
    pub(crate) written: usize,
    /// The highest index that a checkpoint has tried to cover.
    pub(crate) attempted: LogIndex,
    /// What the last checkpoints have written.
    pub(crate) volume: Volume,
}

/// Bytes that checkpoints have written, from which follows how far back a number of bytes reaches.
/// Counted anew when the store is opened; floors never fall, so no harm is in that.
#[derive(Debug, Default)]
pub(crate) struct Volume {
    /// Covered index and bytes of each, oldest first.
    checkpoints: VecDeque<(LogIndex, u64)>,
    /// The index covered before the first of them, and the bytes of all.
    before: LogIndex,
    sum: u64,
}

impl Volume {
    pub(crate) fn add(&mut self, cover: LogIndex, bytes: u64) {
        self.sum += bytes;
        self.checkpoints.push_back((cover, bytes));
    }

    /// The lowest index such that what was written above it is at most `bytes_max`.
    pub(crate) fn floor(&mut self, bytes_max: u64) -> LogIndex {
        while self.sum > bytes_max
            && let Some((cover, bytes)) = self.checkpoints.pop_front()
        {
            (self.before, self.sum) = (cover, self.sum - bytes);
        }
        // Many small ones are counted as fewer, so that the list stays short.
        if self.checkpoints.len() > VOLUME_LEN_MAX {
            let all: Vec<_> = self.checkpoints.drain(..).collect();
            let joined = all.chunks(2).map(|pair| {
                let (last, _) = pair[pair.len() - 1];
                (last, pair.iter().map(|(_, bytes)| bytes).sum())
            });
            self.checkpoints = joined.collect();
        }
        self.before
    }
}

/// Sweeps a part. Gives the index below which a block without any record may have been there, once
/// the sweep may remove the deletions that it met.
pub(crate) fn sweep(shared: &Shared, cursor: &mut Cursor) -> Result<LogIndex, StateError> {
    let floors = shared.horizon.durable();
    let highest =
        floors.collections.values().map(|floor| floor.holds).fold(floors.default, LogIndex::max);
    if highest == LogIndex::ZERO {
        return Ok(LogIndex::ZERO);
    }
    let records_max = shared.config.sweep_records_min.max(2 * cursor.written);
    let mut sweep = Sweep { floors: &floors, batch: Batch::new(), forgotten: LogIndex::ZERO };
    cursor.next = sweep.run(shared, cursor.next, records_max)?;
    let Sweep { batch, forgotten, .. } = sweep;
    if !batch.is_empty() {
        let pruned = u64::try_from(batch.operation_count()).unwrap_or(u64::MAX);
        let written = shared.engine.write(batch, Durability::Unsynced);
        written.map_err(|error| super::write_error(&error))?;
        shared.written.lock().pruned += pruned;
    }
    Ok(forgotten)
}

struct Sweep<'f> {
    floors: &'f Floors,
    batch: Batch,
    forgotten: LogIndex,
}

/// How far the sweep is with one block, whose records come newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// All so far end above the floor.
    Above(LogIndex),
    /// The newest below the floor needs older ones.
    NeedsBase,
    /// What is older goes.
    Removes,
    /// Something is damaged: nothing goes, reading and scrubbing tell.
    Damaged,
}

impl Sweep<'_> {
    fn run(
        &mut self,
        shared: &Shared,
        from: Option<BlockId>,
        records_max: usize,
    ) -> Result<Option<BlockId>, StateError> {
        let from = from.unwrap_or_else(|| BlockId::from_bytes([0; BlockId::LEN]));
        let range = RecordKey::range_from(shared.partition, from);
        let snapshot =
            shared.engine.snapshot().map_err(|error| storage_error(error.to_string()))?;
        let mut current: Option<(BlockId, Stage)> = None;
        let entries = snapshot.scan(Keyspace::Blocks, &range, Direction::Forward);
        for (count, entry) in entries.enumerate() {
            let (key, value) = entry.map_err(|error| storage_error(error.to_string()))?;
            let Some(key) = RecordKey::from_bytes(&key) else { continue };
            let stage = match current {
                Some((block, stage)) if block == key.block => stage,
                _ if count >= records_max => return Ok(Some(key.block)),
                _ => match Record::decode(key, &value) {
                    Ok(record) => Stage::Above(self.floors.of(record.collection())),
                    Err(_) => Stage::Damaged,
                },
            };
            current = Some((key.block, self.record(key, &value, stage)));
        }
        Ok(None)
    }

    fn record(&mut self, key: RecordKey, value: &[u8], stage: Stage) -> Stage {
        match stage {
            Stage::Above(floor) if key.last > floor => stage,
            Stage::Above(_) | Stage::NeedsBase => match Record::decode(key, value) {
                Err(_) => Stage::Damaged,
                Ok(record) if stage != Stage::NeedsBase && record.ends_in_tombstone() => {
                    self.tombstone(key);
                    Stage::Removes
                }
                Ok(record) if record.is_self_contained() => Stage::Removes,
                Ok(_) => Stage::NeedsBase,
            },
            Stage::Removes => {
                self.remove(key);
                stage
            }
            Stage::Damaged => stage,
        }
    }

    /// A deletion below the floor goes too, once it is durable that blocks without a record may
    /// have been there before it.
    fn tombstone(&mut self, key: RecordKey) {
        if key.last <= self.floors.forgotten {
            self.remove(key);
        } else {
            self.forgotten = self.forgotten.max(key.last);
        }
    }

    fn remove(&mut self, key: RecordKey) {
        self.batch.delete(Keyspace::Blocks, key.to_bytes().to_vec());
    }
}
