//! What one sync writes, and the units of which it is made.

use weald_core::{LogIndex, LogPoint, LogRecord, PartitionId, SyncTicket};

use super::record::{Record, part_size_max};

/// The least that a partition gets of a sync when many wait: 16 KiB.
const SHARE_BYTES_MIN: usize = 16 * 1024;
/// No smaller part of an entry is written: 1 KiB.
const PART_BYTES_MIN: usize = 1024;

/// What one sync writes.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) sections: Vec<PlannedSection>,
    /// Tickets that this completes.
    pub(crate) tickets: Vec<u64>,
    /// Bytes of the batches that have them.
    pub(crate) bytes: usize,
}

/// What it writes of one partition.
pub(crate) struct PlannedSection {
    pub(crate) partition: PartitionId,
    pub(crate) records: Vec<Record>,
    /// What changes in the cache of the tail once the section is durable.
    pub(crate) tail: Vec<TailChange>,
    /// Up to which ticket the partition is durable then, if that changes.
    pub(crate) synced: Option<SyncTicket>,
}

pub(crate) enum TailChange {
    Push(LogRecord),
    Cut(LogIndex),
    Release(LogIndex),
}

/// Room in a batch that is being planned.
pub(crate) struct Room {
    pub(crate) left: usize,
    share: usize,
    /// Units up to this size are written in one piece.
    pub(crate) whole_max: usize,
    /// Whose turn it is has one unit whatever its share.
    pub(crate) is_first: bool,
}

/// Records that become durable together. A larger entry is a unit of its own and written in parts.
pub(crate) struct Unit {
    pub(crate) records: Vec<Record>,
    pub(crate) size: usize,
    /// Of the batch that this unit completes, with the batch's bytes.
    pub(crate) ticket: Option<(u64, usize)>,
}

impl PlannedSection {
    pub(crate) fn new(partition: PartitionId) -> Self {
        Self { partition, records: Vec::new(), tail: Vec::new(), synced: None }
    }
}

impl Room {
    pub(crate) fn new(left: usize, partitions: usize, whole_max: usize) -> Self {
        let share = (left / partitions.max(1)).max(SHARE_BYTES_MIN);
        Self { left, share, whole_max, is_first: false }
    }

    /// Gives what is left to whoever asks.
    pub(crate) fn open(&mut self) {
        (self.share, self.is_first) = (usize::MAX, false);
    }

    pub(crate) fn share(&self) -> usize {
        self.share.min(self.left)
    }
}

impl Unit {
    /// The units of a batch.
    pub(crate) fn of(mut head: Vec<Record>, entries: Vec<Record>, whole_max: usize) -> Vec<Self> {
        let size = head.iter().chain(&entries).map(Record::size_max).sum::<usize>();
        if size <= whole_max {
            head.extend(entries);
            return vec![Self::new(head)];
        }
        let mut units = Vec::with_capacity(entries.len() + 1);
        if !head.is_empty() {
            units.push(Self::new(head));
        }
        units.extend(entries.into_iter().map(|entry| Self::new(vec![entry])));
        units
    }

    fn new(records: Vec<Record>) -> Self {
        let size = records.iter().map(Record::size_max).sum();
        Self { records, size, ticket: None }
    }

    /// Takes as much of a large entry, of which `written` bytes are written, as `room` allows. Returns
    /// what that takes; `written` is zero again once the entry is complete.
    pub(crate) fn take_part(
        &self,
        written: &mut usize,
        section: &mut PlannedSection,
        room: usize,
    ) -> usize {
        let [Record::Entry { index, epoch, bytes, is_fill }] = self.records.as_slice() else {
            return 0;
        };
        let rest = bytes.slice(*written..);
        let count = room.saturating_sub(part_size_max(0)).min(rest.len());
        if count < PART_BYTES_MIN.min(rest.len()) {
            return 0;
        }
        section.records.push(Record::Part {
            index: *index,
            epoch: *epoch,
            total: u32::try_from(bytes.len()).expect("entries are below 4 GiB"),
            offset: u32::try_from(*written).expect("entries are below 4 GiB"),
            bytes: rest.slice(..count),
            is_fill: *is_fill,
        });
        *written = if count == rest.len() { 0 } else { *written + count };
        part_size_max(count)
    }

    /// Notes what follows from the unit's being in `section` as a whole.
    pub(crate) fn finish(self, section: &mut PlannedSection, plan: &mut Plan) {
        section.tail.extend(self.records.into_iter().filter_map(tail_change));
        if let Some((ticket, bytes)) = self.ticket {
            section.synced = Some(SyncTicket(ticket));
            plan.tickets.push(ticket);
            plan.bytes += bytes;
        }
    }
}

fn tail_change(record: Record) -> Option<TailChange> {
    match record {
        Record::Entry { index, epoch, bytes, is_fill: false } => {
            Some(TailChange::Push(LogRecord { index, epoch, bytes }))
        }
        Record::Cut { from } => Some(TailChange::Cut(from)),
        Record::Release { below } => Some(TailChange::Release(below)),
        Record::Restart { base: LogPoint { .. } } => Some(TailChange::Cut(LogIndex::ZERO)),
        Record::Entry { .. }
        | Record::Part { .. }
        | Record::State { .. }
        | Record::Summary { .. } => None,
    }
}
