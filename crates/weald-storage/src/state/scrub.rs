//! Scrubbing: reads every stored record and puts every block together, a page at a time.
//!
//! Blocks are visited from the highest id down, the records of each oldest first, so that one
//! block is in memory and no more, however long its history.

use weald_core::{BlockId, LogIndex, StateError};

use super::{
    Shared,
    record::{Record, RecordKey},
    replay::Replay,
    storage_error,
};
use crate::engine::{Direction, KeyRange, Keyspace};

/// Records in a page of a whole scrub.
pub(crate) const PAGE_RECORDS: usize = 4096;
/// Damages that a page lists; more are counted.
const DAMAGE_LISTED_MAX: usize = 1024;

/// A record that does not hold what was stored, or that cannot be read without one that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The block; `None` when the key itself names none.
    pub block: Option<BlockId>,
    /// The index at which the record ends.
    pub index: LogIndex,
    /// What does not hold.
    pub detail: String,
}

/// What a scrub has found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubPage {
    /// Records read.
    pub records: u64,
    /// Blocks put together.
    pub blocks: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Damaged records, all of them.
    pub damaged: u64,
    /// Damaged records, at most 1,024 of them.
    pub damages: Vec<Damage>,
    /// Where the next page begins; `None`: everything was read.
    pub next: Option<BlockId>,
}

impl ScrubPage {
    /// Adds the page that follows this one.
    pub(crate) fn add(&mut self, page: Self) {
        self.records += page.records;
        self.blocks += page.blocks;
        self.bytes += page.bytes;
        self.damaged += page.damaged;
        self.next = page.next;
        let room = DAMAGE_LISTED_MAX.saturating_sub(self.damages.len());
        self.damages.extend(page.damages.into_iter().take(room));
    }

    fn damage(&mut self, block: Option<BlockId>, index: LogIndex, detail: String) {
        self.damaged += 1;
        if self.damages.len() < DAMAGE_LISTED_MAX {
            self.damages.push(Damage { block, index, detail });
        }
    }
}

/// Scrubs blocks from `from` down until `records_max` records were read, whole blocks only.
pub(crate) fn scrub(
    shared: &Shared,
    from: Option<BlockId>,
    records_max: usize,
) -> Result<ScrubPage, StateError> {
    let range = range_down(shared, from);
    let snapshot = shared.engine.snapshot().map_err(|error| storage_error(error.to_string()))?;
    let mut page = ScrubPage::default();
    let mut current: Option<Visit> = None;
    for entry in snapshot.scan(Keyspace::Blocks, &range, Direction::Backward) {
        let (key, value) = entry.map_err(|error| storage_error(error.to_string()))?;
        let Some(found) = RecordKey::from_bytes(&key) else {
            page.damage(None, LogIndex::ZERO, format!("not the key of a block: {key:02x?}"));
            continue;
        };
        if current.as_ref().is_none_or(|visit| visit.block != found.block) {
            if page.records >= u64::try_from(records_max).unwrap_or(u64::MAX) {
                page.next = Some(found.block);
                return Ok(page);
            }
            page.blocks += 1;
            current = Some(Visit::new(found));
        }
        page.records += 1;
        page.bytes += u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX);
        if let Some(visit) = &mut current
            && let Err(detail) = visit.record(found, &value)
        {
            page.damage(Some(found.block), found.last, detail);
        }
    }
    Ok(page)
}

fn range_down(shared: &Shared, from: Option<BlockId>) -> KeyRange {
    let all = RecordKey::partition_range(shared.partition);
    let Some(block) = from else { return all };
    let key = RecordKey { partition: shared.partition, block, last: LogIndex(u64::MAX) };
    match key.block_range().end() {
        Some(end) => KeyRange::new(all.start().clone(), end.clone()),
        None => all,
    }
}

/// One block on its way from its oldest record to its newest.
#[derive(Debug)]
struct Visit {
    block: BlockId,
    replay: Replay,
}

impl Visit {
    fn new(key: RecordKey) -> Self {
        Self { block: key.block, replay: Replay::new(key) }
    }

    fn record(&mut self, key: RecordKey, value: &[u8]) -> Result<(), String> {
        let record = Record::decode(key, value).map_err(|fault| {
            self.replay = Replay::new(key);
            fault.to_string()
        })?;
        let checked = self.replay.check(&record);
        if checked.is_err() {
            self.replay = Replay::new(key);
        }
        checked.map_err(|fault| fault.to_string())
    }
}
