//! What waits for the log thread, by partition, and how a sync's share is taken from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use weald_core::{LogBatch, LogError, LogIndex, LogRecord, PartitionId, SyncTicket};

use super::{
    batch::{BATCH_HEADER_BYTES, SECTION_LINE_BYTES},
    record::{Record, entry_size_max, part_size_max},
    segment::SECTOR,
};

/// The least that a partition gets of a sync when many wait: 16 KiB.
const SHARE_BYTES_MIN: usize = 16 * 1024;
/// No smaller part of an entry is written: 1 KiB.
const PART_BYTES_MIN: usize = 1024;
/// What a partition costs in a summary beside its state.
const SUMMARY_OVERHEAD: usize = 160;

/// Sizes that the queue keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    /// The most bytes of one submitted batch, and so of one entry.
    pub(crate) submit_bytes_max: usize,
    /// The most bytes of one written batch.
    pub(crate) batch_bytes_max: usize,
    /// The most bytes of a summary of all partitions.
    pub(crate) summary_bytes_max: usize,
}

/// Submitted records that are not written yet.
pub(crate) struct Queue {
    limits: QueueLimits,
    partitions: BTreeMap<PartitionId, Waiting>,
    /// Partitions with something to write, next in turn first.
    turns: VecDeque<PartitionId>,
    last_ticket: u64,
    unsynced: BTreeSet<u64>,
    /// Bytes that wait or are being written.
    bytes: usize,
    summary_bytes: usize,
    pub(crate) is_closing: bool,
}

struct Waiting {
    /// The first index held and the last submitted.
    first: LogIndex,
    last: LogIndex,
    state_bytes: usize,
    items: VecDeque<Item>,
    /// Bytes of the front entry that are written already as parts.
    written: usize,
}

struct Item {
    record: Record,
    /// Of the batch that this record completes, with the batch's bytes.
    ticket: Option<(u64, usize)>,
}

/// What one sync writes.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) sections: Vec<PlannedSection>,
    /// Tickets that this completes.
    pub(crate) tickets: Vec<u64>,
    /// Bytes of the batches that have them.
    pub(crate) bytes: usize,
}

pub(crate) struct PlannedSection {
    pub(crate) partition: PartitionId,
    pub(crate) records: Vec<Record>,
    /// What changes in the cache of the tail once the section is durable.
    pub(crate) tail: Vec<TailChange>,
}

pub(crate) enum TailChange {
    Push(LogRecord),
    Cut(LogIndex),
    Release(LogIndex),
}

/// Room in a batch that is being planned.
struct Room {
    batch: usize,
    share: usize,
    /// Entries up to this size are written in one piece.
    whole_max: usize,
}

impl Queue {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            partitions: BTreeMap::new(),
            turns: VecDeque::new(),
            last_ticket: 0,
            unsynced: BTreeSet::new(),
            bytes: 0,
            summary_bytes: 0,
            is_closing: false,
        }
    }

    /// Makes a recovered partition known.
    pub(crate) fn adopt(
        &mut self,
        partition: PartitionId,
        bounds: (LogIndex, LogIndex),
        state_bytes: usize,
    ) {
        let mut waiting = Waiting::new();
        (waiting.first, waiting.last) = bounds;
        waiting.state_bytes = state_bytes;
        self.summary_bytes += waiting.summary_bytes();
        self.partitions.insert(partition, waiting);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.turns.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What all that waits takes on disk, at most, and `bytes` with it.
    fn footprint_with(&self, bytes: usize) -> usize {
        self.limits.footprint(self.bytes + bytes)
    }

    /// What all that waits takes on disk, at most, and a release with it.
    pub(crate) fn footprint_with_release(&self) -> usize {
        self.footprint_with(RECORDS_OVERHEAD)
    }

    /// Checks whether `batch` continues the log. Returns what all that waits would take on disk with
    /// it.
    pub(crate) fn check(&self, batch: &LogBatch) -> Result<usize, LogError> {
        let partition = batch.partition;
        let known = self.partitions.get(&partition);
        let (first, mut last) = known.map_or((LogIndex(1), LogIndex::ZERO), |p| (p.first, p.last));
        if let Some(from) = batch.cut_from {
            if from < first {
                return Err(LogError::NotHeld { partition, index: from });
            }
            last = last.min(LogIndex(from.0 - 1));
        }
        for (entry, offset) in batch.entries.iter().zip(1..) {
            let (expected, found) = (LogIndex(last.0 + offset), entry.index);
            if expected != found {
                return Err(LogError::NotContiguous { partition, expected, found });
            }
        }
        self.check_sizes(batch, known)?;
        Ok(self.footprint_with(batch_bytes(batch)))
    }

    fn check_sizes(&self, batch: &LogBatch, known: Option<&Waiting>) -> Result<(), LogError> {
        let state = batch.state.as_ref().map_or(0, Bytes::len);
        let entries = batch.entries.iter().map(|entry| entry.bytes.len()).sum::<usize>();
        let (bytes, max) = (state + entries, self.limits.submit_bytes_max);
        if bytes > max {
            return Err(LogError::TooLarge { bytes, max });
        }
        let (bytes, max) = (state, self.limits.batch_bytes_max / 2);
        if bytes > max {
            return Err(LogError::TooLarge { bytes, max });
        }
        let before = known.map_or(0, Waiting::summary_bytes);
        let (bytes, max) =
            (self.summary_bytes - before + SUMMARY_OVERHEAD + state, self.limits.summary_bytes_max);
        if bytes > max {
            return Err(LogError::TooLarge { bytes, max });
        }
        Ok(())
    }

    /// Takes in a batch that was checked. The state goes before the entries: of a batch that needs
    /// several syncs, promises must not be the part that is missing.
    pub(crate) fn push(&mut self, batch: LogBatch) -> SyncTicket {
        let bytes = batch_bytes(&batch);
        let mut records = Vec::with_capacity(batch.entries.len() + 2);
        records.extend(batch.cut_from.map(|from| Record::Cut { from }));
        records.extend(batch.state.map(|bytes| Record::State { bytes }));
        let entries = batch.entries.into_iter();
        records.extend(entries.map(|LogRecord { index, epoch, bytes }| Record::Entry {
            index,
            epoch,
            bytes,
        }));
        self.enqueue(batch.partition, records, bytes)
    }

    /// Takes in a release.
    pub(crate) fn push_release(&mut self, partition: PartitionId, below: LogIndex) -> SyncTicket {
        self.enqueue(partition, vec![Record::Release { below }], RECORDS_OVERHEAD)
    }

    fn enqueue(
        &mut self,
        partition: PartitionId,
        records: Vec<Record>,
        bytes: usize,
    ) -> SyncTicket {
        if records.is_empty() {
            return SyncTicket(self.last_ticket);
        }
        self.last_ticket += 1;
        self.unsynced.insert(self.last_ticket);
        self.bytes += bytes;
        if !self.partitions.contains_key(&partition) {
            self.adopt(partition, (LogIndex(1), LogIndex::ZERO), 0);
        }
        let waiting = self.partitions.get_mut(&partition).expect("it was just made known");
        if waiting.items.is_empty() {
            self.turns.push_back(partition);
        }
        self.summary_bytes -= waiting.summary_bytes();
        records.into_iter().for_each(|record| waiting.push(record));
        self.summary_bytes += waiting.summary_bytes();
        if let Some(item) = waiting.items.back_mut() {
            item.ticket = Some((self.last_ticket, bytes));
        }
        SyncTicket(self.last_ticket)
    }

    /// Takes what goes into the next batch of at most `bytes_max`. Partitions take turns, so that
    /// none waits for another's large entries.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Plan {
        let mut plan = Plan::default();
        let room = bytes_max.saturating_sub(BATCH_HEADER_BYTES);
        let share = (room / self.turns.len().max(1)).max(SHARE_BYTES_MIN);
        let whole_max = self.limits.batch_bytes_max - BATCH_HEADER_BYTES - SECTION_LINE_BYTES;
        let mut room = Room { batch: room, share, whole_max };
        loop {
            let before = room.batch;
            for _ in 0..self.turns.len() {
                self.take_turn(&mut plan, &mut room);
            }
            if room.batch == before || self.turns.is_empty() {
                break;
            }
        }
        if !self.turns.is_empty() {
            self.turns.rotate_left(1);
        }
        plan
    }

    fn take_turn(&mut self, plan: &mut Plan, room: &mut Room) {
        let Some(partition) = self.turns.pop_front() else { return };
        let known = plan.sections.iter().position(|section| section.partition == partition);
        let line = if known.is_some() { 0 } else { SECTION_LINE_BYTES };
        let waiting = self.partitions.get_mut(&partition).expect("who has a turn is known");
        if room.batch > line {
            let mut section = known.map_or_else(
                || PlannedSection { partition, records: Vec::new(), tail: Vec::new() },
                |at| plan.sections.swap_remove(at),
            );
            room.batch -= line;
            waiting.take(&mut section, plan, room);
            match section.records.is_empty() {
                true => room.batch += line,
                false => plan.sections.push(section),
            }
        }
        if !waiting.items.is_empty() {
            self.turns.push_back(partition);
        }
    }

    /// Notes that a plan is durable. Returns the ticket up to which all is.
    pub(crate) fn complete(&mut self, plan: &Plan) -> SyncTicket {
        self.bytes -= plan.bytes;
        plan.tickets.iter().for_each(|ticket| {
            self.unsynced.remove(ticket);
        });
        SyncTicket(self.unsynced.first().map_or(self.last_ticket, |first| first - 1))
    }
}

impl Waiting {
    fn new() -> Self {
        Self {
            first: LogIndex(1),
            last: LogIndex::ZERO,
            state_bytes: 0,
            items: VecDeque::new(),
            written: 0,
        }
    }

    fn summary_bytes(&self) -> usize {
        SUMMARY_OVERHEAD + self.state_bytes
    }

    fn push(&mut self, record: Record) {
        match &record {
            Record::Entry { index, .. } => self.last = *index,
            Record::Cut { from } => self.last = self.last.min(LogIndex(from.0 - 1)),
            Record::Release { below } => {
                self.first = self.first.max(*below);
                self.last = self.last.max(LogIndex(self.first.0 - 1));
            }
            Record::State { bytes } => self.state_bytes = bytes.len(),
            Record::Part { .. } | Record::Summary(_) => {}
        }
        self.items.push_back(Item { record, ticket: None });
    }

    fn take(&mut self, section: &mut PlannedSection, plan: &mut Plan, room: &mut Room) {
        let mut share = room.share.min(room.batch);
        let mut is_first = true;
        while let Some(item) = self.items.front() {
            let size = item.record.size_max();
            let allowed = if is_first && size <= room.whole_max { room.batch } else { share };
            if size > room.whole_max {
                let taken = self.take_part(section, share);
                share -= taken;
                room.batch -= taken;
                if taken == 0 || self.written > 0 {
                    return;
                }
            } else if size <= allowed {
                section.records.push(item.record.clone());
                share = share.saturating_sub(size);
                room.batch -= size;
            } else {
                return;
            }
            is_first = false;
            self.finish_front(section, plan);
        }
    }

    /// Takes as much of the front entry as `room` allows. Returns what that takes.
    fn take_part(&mut self, section: &mut PlannedSection, room: usize) -> usize {
        let Some(Item { record: Record::Entry { index, epoch, bytes }, .. }) = self.items.front()
        else {
            return 0;
        };
        let rest = bytes.slice(self.written..);
        let count = room.saturating_sub(part_size_max(0)).min(rest.len());
        if count < PART_BYTES_MIN.min(rest.len()) {
            return 0;
        }
        let offset = u32::try_from(self.written).expect("entries are below 4 GiB");
        let total = u32::try_from(bytes.len()).expect("entries are below 4 GiB");
        let (index, epoch) = (*index, *epoch);
        section.records.push(Record::Part {
            index,
            epoch,
            total,
            offset,
            bytes: rest.slice(..count),
        });
        self.written = if count == rest.len() { 0 } else { self.written + count };
        part_size_max(count)
    }

    fn finish_front(&mut self, section: &mut PlannedSection, plan: &mut Plan) {
        let Some(Item { record, ticket }) = self.items.pop_front() else { return };
        section.tail.extend(match record {
            Record::Entry { index, epoch, bytes } => {
                Some(TailChange::Push(LogRecord { index, epoch, bytes }))
            }
            Record::Cut { from } => Some(TailChange::Cut(from)),
            Record::Release { below } => Some(TailChange::Release(below)),
            Record::Part { .. } | Record::State { .. } | Record::Summary(_) => None,
        });
        if let Some((ticket, bytes)) = ticket {
            plan.tickets.push(ticket);
            plan.bytes += bytes;
        }
    }
}

fn batch_bytes(batch: &LogBatch) -> usize {
    let entries = batch.entries.iter().map(|entry| entry_size_max(entry.bytes.len()));
    entries.sum::<usize>() + batch.state.as_ref().map_or(0, Bytes::len) + RECORDS_OVERHEAD
}

/// What a cut, a state's frame and a part's frame take.
const RECORDS_OVERHEAD: usize = 128;

impl QueueLimits {
    /// What `bytes` that wait take on disk, at most: while more waits, two batches in a row hold a
    /// full one's worth.
    pub(crate) fn footprint(&self, bytes: usize) -> usize {
        bytes + (2 * bytes / self.batch_bytes_max + 2) * SECTOR
    }
}
