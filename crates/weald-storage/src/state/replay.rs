//! From records to a block: finds the version of a block at a log index and replays the steps that
//! lead to it.

use std::sync::Arc;

use weald_core::{Block, BlockId, BlockKind, Fault, LogIndex, Revision, StoredBlock};

use super::{
    record::{Debt, Latest, Op, Record, RecordKey, Step, read_record},
    splices::apply_splices,
};
use crate::engine::{Direction, EngineError, Keyspace, Snapshot};

/// A block as an index wrote it; `None` for a deletion.
pub(crate) type Dated = (LogIndex, Option<Arc<StoredBlock>>);

/// What the engine knows of a block at an index.
#[derive(Debug)]
pub(crate) struct Found {
    /// The block's collection.
    pub(crate) collection: BlockId,
    /// The index that last wrote the block, and what it wrote; `None`: no version so old is stored.
    pub(crate) version: Option<Dated>,
    /// Set when the version is the newest that is stored.
    pub(crate) newest: Option<Debt>,
}

/// The block `key.block` right after the index `key.last`; `None`: nothing is stored of it at all.
///
/// The caller makes sure that the index is not below the collection's floor: there the answer may
/// be too old, or damage where there is none.
pub(crate) fn find(snapshot: &dyn Snapshot, key: RecordKey) -> Result<Option<Found>, Fault> {
    let all = RecordKey { last: LogIndex(u64::MAX), ..key };
    let mut newest_first = scan(snapshot, all, Direction::Forward);
    let Some(newest) = newest_first.next().transpose()? else { return Ok(None) };
    if newest.key().last <= key.last {
        let (debt, collection) = (newest.debt(), newest.collection());
        let version = version_at(key, Some(newest), newest_first)?;
        return Ok(Some(Found { collection, version, newest: Some(debt) }));
    }
    let collection = newest.collection();
    drop(newest_first);
    // The oldest record that ends above the index may hold steps up to it.
    let above = scan(snapshot, key, Direction::Backward).next().transpose()?;
    let version = version_at(key, above, scan(snapshot, key, Direction::Forward))?;
    Ok(Some(Found { collection, version, newest: None }))
}

/// What the newest record of a block says of the cost of reading it, without reading it.
pub(crate) fn newest(snapshot: &dyn Snapshot, key: RecordKey) -> Result<Option<Record>, Fault> {
    let all = RecordKey { last: LogIndex(u64::MAX), ..key };
    scan(snapshot, all, Direction::Forward).next().transpose()
}

/// Forward: records that end at `key.last` or before, newest first. Backward: those that end
/// above, oldest first.
fn scan(
    snapshot: &dyn Snapshot,
    key: RecordKey,
    direction: Direction,
) -> impl Iterator<Item = Result<Record, Fault>> {
    let range = match direction {
        Direction::Forward => key.block_range(),
        Direction::Backward => key.newer_range(),
    };
    snapshot.scan(Keyspace::Blocks, &range, direction).map(move |entry| {
        let (found, value) = entry.map_err(|error| engine_fault(key, &error))?;
        read_record(&found, &value)
    })
}

/// What an engine's error means for a block.
pub(crate) fn engine_fault(key: RecordKey, error: &EngineError) -> Fault {
    match error {
        EngineError::Corrupt { what } => key.damaged(what),
        other => Fault::Storage(other.to_string()),
    }
}

/// The version at `key.last`, from `first` and then ever older records.
pub(crate) fn version_at(
    key: RecordKey,
    first: Option<Record>,
    older: impl Iterator<Item = Result<Record, Fault>>,
) -> Result<Option<Dated>, Fault> {
    let at = key.last;
    let mut records = Vec::new();
    for record in first.map(Ok).into_iter().chain(older) {
        let record = record?;
        let is_base = if record.key().last <= at {
            record.is_self_contained()
        } else {
            record.steps().any(|step| step.index <= at && !matches!(step.op, Op::Splices(_)))
        };
        records.push(record);
        if is_base {
            break;
        }
    }
    let mut replay = Replay::new(key);
    records.iter().rev().try_for_each(|record| replay.record(record, at))?;
    replay.finish()
}

/// A block on its way through its versions.
#[derive(Debug)]
pub(crate) struct Replay {
    key: RecordKey,
    index: Option<LogIndex>,
    revision: Revision,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No step was seen.
    Unknown,
    /// Splices were seen and no image before them.
    Baseless,
    Absent,
    Present {
        collection: BlockId,
        kind: BlockKind,
        payload: Vec<u8>,
    },
}

impl State {
    /// Whether this may be what `latest` says.
    fn agrees(&self, latest: Latest<'_>) -> bool {
        match (self, latest) {
            (Self::Unknown | Self::Baseless, _) => true,
            (Self::Absent, Latest::Tombstone { .. }) => true,
            (Self::Present { kind, payload, .. }, Latest::Image { kind: k, payload: p, .. }) => {
                *kind == k && payload[..] == *p
            }
            _ => false,
        }
    }
}

impl Replay {
    pub(crate) fn new(key: RecordKey) -> Self {
        Self { key, index: None, revision: Revision::ZERO, state: State::Unknown }
    }

    /// Goes through a record up to the index `at`.
    pub(crate) fn record(&mut self, record: &Record, at: LogIndex) -> Result<(), Fault> {
        let last = record.key().last;
        if let Some(latest) = record.latest().filter(|_| last <= at) {
            self.index = Some(last);
            match latest {
                Latest::Image { revision, kind, payload } => {
                    self.revision = revision;
                    self.become_image(record.collection(), kind, payload);
                }
                Latest::Tombstone { revision } => {
                    self.revision = revision;
                    self.state = State::Absent;
                }
            }
            return Ok(());
        }
        for step in record.steps().take_while(|step| step.index <= at) {
            self.step(record.collection(), step)?;
        }
        Ok(())
    }

    /// Goes on by one step, unless it is known already.
    pub(crate) fn step(&mut self, collection: BlockId, step: Step<'_>) -> Result<(), Fault> {
        if self.index.is_some_and(|index| step.index <= index) {
            return Ok(());
        }
        (self.index, self.revision) = (Some(step.index), step.revision);
        match (step.op, &mut self.state) {
            (Op::Image { kind, payload }, _) => self.become_image(collection, kind, payload),
            (Op::Tombstone, _) => self.state = State::Absent,
            (Op::Splices(encoded), State::Present { payload, .. }) => {
                apply_splices(payload, encoded).map_err(|detail| self.key.damaged(detail))?;
            }
            (Op::Splices(_), State::Absent) => {
                return Err(self.key.damaged("splices of an absent block"));
            }
            (Op::Splices(_), state) => *state = State::Baseless,
        }
        Ok(())
    }

    /// Goes through all of a record, and checks that it fits what came before and that its image
    /// is what its steps lead to.
    pub(crate) fn check(&mut self, record: &Record) -> Result<(), Fault> {
        self.key.last = record.key().last;
        for step in record.steps() {
            self.step(record.collection(), step)?;
        }
        match (record.latest(), &self.state) {
            (None, State::Baseless | State::Unknown) => {
                return Err(self.key.damaged("splices without the record before"));
            }
            (None, _) => return Ok(()),
            (Some(latest), state) if record.step_count() > 0 && !state.agrees(latest) => {
                return Err(self.key.damaged("the image is not what the steps lead to"));
            }
            (Some(_), _) => {}
        }
        self.record(record, LogIndex(u64::MAX))
    }

    /// The index and the block at the end.
    pub(crate) fn finish(self) -> Result<Option<Dated>, Fault> {
        let stored = match self.state {
            State::Unknown => return Ok(None),
            State::Baseless => return Err(self.key.damaged("splices without the record before")),
            State::Absent => None,
            State::Present { collection, kind, payload } => {
                let block = Block { id: self.key.block, kind, collection, payload: payload.into() };
                Some(Arc::new(StoredBlock { block, revision: self.revision }))
            }
        };
        Ok(self.index.map(|index| (index, stored)))
    }

    fn become_image(&mut self, collection: BlockId, kind: BlockKind, bytes: &[u8]) {
        if let State::Present { payload, .. } = &mut self.state {
            payload.clear();
            payload.extend_from_slice(bytes);
            let payload = std::mem::take(payload);
            self.state = State::Present { collection, kind, payload };
        } else {
            self.state = State::Present { collection, kind, payload: bytes.to_vec() };
        }
    }
}
