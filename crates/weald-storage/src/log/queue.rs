//! What waits for the log thread, by partition, and how a sync's share is taken from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use weald_core::{LogBatch, LogError, LogIndex, LogPoint, LogRecord, PartitionId, SyncTicket};

use super::{
    ailment::Ailment,
    batch::{BATCH_HEADER_BYTES, SECTION_LINE_BYTES},
    plan::{Plan, PlannedSection, Room, Unit},
    record::{Record, entry_size_max},
    segment::SECTOR,
};

/// What a partition costs in a summary beside its state.
const SUMMARY_OVERHEAD: usize = SECTION_LINE_BYTES + 16;
/// What a batch costs beside its entries and its state: restart, cut, frames and a line of the table.
const BATCH_OVERHEAD: usize = SECTION_LINE_BYTES + 160;

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
    /// There is something to do for the log thread beside what waits.
    pub(crate) is_nudged: bool,
}

/// One partition as it will be once all that waits is written.
struct Waiting {
    /// The first index held and the last submitted.
    first: LogIndex,
    last: LogIndex,
    state_bytes: usize,
    ailment: Option<Ailment>,
    units: VecDeque<Unit>,
    /// Bytes of the front unit's entry that are written already as parts.
    written: usize,
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
            is_nudged: false,
        }
    }

    /// Makes a recovered partition known.
    pub(crate) fn adopt(
        &mut self,
        partition: PartitionId,
        bounds: (LogIndex, LogIndex),
        state_bytes: usize,
        ailment: Option<Ailment>,
    ) {
        let (first, last) = bounds;
        let waiting = Waiting { first, last, state_bytes, ailment, ..Waiting::new() };
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

    /// What keeps a partition from going on; `None` too for one that is not known.
    pub(crate) fn ailment(&self, partition: PartitionId) -> Option<Ailment> {
        self.partitions.get(&partition)?.ailment
    }

    /// Whether anything was ever written or submitted for the partition.
    pub(crate) fn knows(&self, partition: PartitionId) -> bool {
        self.partitions.contains_key(&partition)
    }

    /// Notes what was found about a partition, or that it is well again.
    pub(crate) fn set_ailment(&mut self, partition: PartitionId, ailment: Option<Ailment>) {
        if let Some(waiting) = self.partitions.get_mut(&partition) {
            waiting.ailment = ailment;
        }
    }

    /// What all that waits takes on disk, at most, and `bytes` with it.
    fn footprint_with(&self, bytes: usize) -> usize {
        self.limits.footprint(self.bytes + bytes)
    }

    /// What all that waits takes on disk, at most, and a release with it.
    pub(crate) fn footprint_with_release(&self) -> usize {
        self.footprint_with(BATCH_OVERHEAD)
    }

    /// Checks whether `batch` continues the log. Returns what all that waits would take on disk with
    /// it.
    pub(crate) fn check(&self, batch: &LogBatch) -> Result<usize, LogError> {
        let partition = batch.partition;
        let known = self.partitions.get(&partition);
        let (first, last) = known.map_or((LogIndex(1), LogIndex::ZERO), |p| (p.first, p.last));
        if let Some(ailment) = known.and_then(|known| known.ailment) {
            ailment.check(batch, last)?;
        }
        self.check_after(batch, (first, last))
    }

    /// Checks entries that fill gaps. Returns what all that waits would take on disk with them.
    pub(crate) fn check_fill(
        &self,
        partition: PartitionId,
        entries: &[LogRecord],
    ) -> Result<usize, LogError> {
        let known = self.partitions.get(&partition);
        let range = known.map_or(LogIndex(1)..=LogIndex::ZERO, |p| p.first..=p.last);
        if let Some(outside) = entries.iter().find(|entry| !range.contains(&entry.index)) {
            return Err(LogError::NotHeld { partition, index: outside.index });
        }
        let bytes = entries.iter().map(|entry| entry.bytes.len()).sum();
        let max = self.limits.submit_bytes_max;
        if bytes > max {
            return Err(LogError::TooLarge { bytes, max });
        }
        Ok(self.footprint_with(entries_bytes(entries) + BATCH_OVERHEAD))
    }

    /// Checks the batch that begins a new life. Returns what all that waits would take on disk with it.
    pub(crate) fn check_anew(&self, batch: &LogBatch) -> Result<usize, LogError> {
        self.check_after(batch, (LogIndex(1), LogIndex::ZERO))
    }

    /// Whether a batch continues entries up to `last`, the first of which is `first`.
    fn check_after(
        &self,
        batch: &LogBatch,
        (first, last): (LogIndex, LogIndex),
    ) -> Result<usize, LogError> {
        let partition = batch.partition;
        let last = next_after(batch, first, last)?;
        for (entry, offset) in batch.entries.iter().zip(1..) {
            let (expected, found) = (LogIndex(last.0 + offset), entry.index);
            if expected != found {
                return Err(LogError::NotContiguous { partition, expected, found });
            }
        }
        self.check_sizes(batch, self.partitions.get(&partition))?;
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

    /// Takes in a batch that was checked: as one unit if it fits one sync. Otherwise what comes before
    /// the entries is a unit, and each entry is one: promises must not be the part that is missing.
    pub(crate) fn push(&mut self, batch: LogBatch) -> SyncTicket {
        let bytes = batch_bytes(&batch);
        let mut head = Vec::with_capacity(batch.entries.len() + 3);
        head.extend(batch.restart_at.map(|base| Record::Restart { base }));
        head.extend(batch.cut_from.map(|from| Record::Cut { from }));
        head.extend(batch.state.map(|bytes| Record::State { bytes }));
        let entries = batch.entries.into_iter().map(|entry| entry_record(entry, false));
        self.enqueue(batch.partition, head, entries.collect(), bytes)
    }

    /// Takes in entries that fill gaps.
    pub(crate) fn push_fill(
        &mut self,
        partition: PartitionId,
        entries: Vec<LogRecord>,
    ) -> SyncTicket {
        let bytes = entries_bytes(&entries) + BATCH_OVERHEAD;
        let entries = entries.into_iter().map(|entry| entry_record(entry, true));
        self.enqueue(partition, Vec::new(), entries.collect(), bytes)
    }

    /// Takes in a release.
    pub(crate) fn push_release(&mut self, partition: PartitionId, below: LogIndex) -> SyncTicket {
        self.enqueue(partition, vec![Record::Release { below }], Vec::new(), BATCH_OVERHEAD)
    }

    fn enqueue(
        &mut self,
        partition: PartitionId,
        head: Vec<Record>,
        entries: Vec<Record>,
        bytes: usize,
    ) -> SyncTicket {
        if head.is_empty() && entries.is_empty() {
            return SyncTicket(self.last_ticket);
        }
        self.last_ticket += 1;
        self.unsynced.insert(self.last_ticket);
        self.bytes += bytes;
        if !self.partitions.contains_key(&partition) {
            self.adopt(partition, (LogIndex(1), LogIndex::ZERO), 0, None);
        }
        let whole_max = self.limits.whole_max();
        let waiting = self.partitions.get_mut(&partition).expect("it was just made known");
        if waiting.units.is_empty() {
            self.turns.push_back(partition);
        }
        self.summary_bytes -= waiting.summary_bytes();
        head.iter().chain(&entries).for_each(|record| waiting.note(record));
        self.summary_bytes += waiting.summary_bytes();
        waiting.units.extend(Unit::of(head, entries, whole_max));
        if let Some(unit) = waiting.units.back_mut() {
            unit.ticket = Some((self.last_ticket, bytes));
        }
        SyncTicket(self.last_ticket)
    }

    /// Takes what goes into the next batch of at most `bytes_max`. Each partition gets its share first,
    /// the one whose turn it is at least one unit; what is left goes to whoever has more. So none waits
    /// for another's large entries.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Plan {
        let mut plan = Plan::default();
        let left = bytes_max.saturating_sub(BATCH_HEADER_BYTES);
        let mut room = Room::new(left, self.turns.len(), self.limits.whole_max());
        for at in 0..self.turns.len() {
            room.is_first = at == 0;
            self.take_turn(&mut plan, &mut room);
        }
        room.open();
        loop {
            let before = room.left;
            for _ in 0..self.turns.len() {
                self.take_turn(&mut plan, &mut room);
            }
            if room.left == before || self.turns.is_empty() {
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
        if room.left > line {
            let mut section = known
                .map_or_else(|| PlannedSection::new(partition), |at| plan.sections.swap_remove(at));
            room.left -= line;
            waiting.take(&mut section, plan, room);
            match section.records.is_empty() {
                true => room.left += line,
                false => plan.sections.push(section),
            }
        }
        if !waiting.units.is_empty() {
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
            ailment: None,
            units: VecDeque::new(),
            written: 0,
        }
    }

    fn summary_bytes(&self) -> usize {
        SUMMARY_OVERHEAD + self.state_bytes
    }

    /// Takes note of a record that will be written.
    fn note(&mut self, record: &Record) {
        match record {
            Record::Entry { index, is_fill: false, .. } => self.last = *index,
            Record::Cut { from } => {
                self.last = self.last.min(LogIndex(from.0 - 1));
                self.ailment = self.ailment.and_then(|ailment| ailment.after_cut(*from));
            }
            Record::Release { below } => {
                self.first = self.first.max(*below);
                self.last = self.last.max(LogIndex(self.first.0 - 1));
            }
            Record::State { bytes } => self.state_bytes = bytes.len(),
            Record::Restart { base: LogPoint { index, .. } } => {
                (self.first, self.last) = (LogIndex(index.0 + 1), *index);
                self.ailment = None;
            }
            Record::Entry { .. } | Record::Part { .. } | Record::Summary { .. } => {}
        }
    }

    fn take(&mut self, section: &mut PlannedSection, plan: &mut Plan, room: &mut Room) {
        let mut share = room.share();
        let mut is_first = room.is_first;
        while let Some(unit) = self.units.front() {
            if unit.size > room.whole_max {
                let taken = unit.take_part(&mut self.written, section, share);
                share -= taken;
                room.left -= taken;
                if taken == 0 || self.written > 0 {
                    return;
                }
            } else if unit.size <= if is_first { room.left } else { share } {
                share = share.saturating_sub(unit.size);
                room.left -= unit.size;
                section.records.extend(unit.records.iter().cloned());
            } else {
                return;
            }
            is_first = false;
            self.units.pop_front().into_iter().for_each(|unit| unit.finish(section, plan));
        }
    }
}

/// The last index after what stands before the entries of `batch`.
fn next_after(batch: &LogBatch, first: LogIndex, last: LogIndex) -> Result<LogIndex, LogError> {
    let partition = batch.partition;
    let (mut first, mut last) = (first, last);
    if let Some(LogPoint { index, .. }) = batch.restart_at {
        if index.0.checked_add(1).is_none_or(|next| next < first.0) {
            return Err(LogError::NotHeld { partition, index });
        }
        (first, last) = (LogIndex(index.0 + 1), index);
    }
    if let Some(from) = batch.cut_from {
        if from < first {
            return Err(LogError::NotHeld { partition, index: from });
        }
        last = last.min(LogIndex(from.0 - 1));
    }
    Ok(last)
}

fn entry_record(entry: LogRecord, is_fill: bool) -> Record {
    let LogRecord { index, epoch, bytes } = entry;
    Record::Entry { index, epoch, bytes, is_fill }
}

fn entries_bytes(entries: &[LogRecord]) -> usize {
    entries.iter().map(|entry| entry_size_max(entry.bytes.len())).sum()
}

fn batch_bytes(batch: &LogBatch) -> usize {
    entries_bytes(&batch.entries) + batch.state.as_ref().map_or(0, Bytes::len) + BATCH_OVERHEAD
}

impl QueueLimits {
    /// What `bytes` that wait take on disk, at most: while more waits, two batches in a row hold a
    /// full one's worth.
    pub(crate) fn footprint(&self, bytes: usize) -> usize {
        bytes + (2 * bytes / self.batch_bytes_max + 2) * SECTOR
    }

    /// Units up to this size are written in one piece.
    fn whole_max(&self) -> usize {
        self.batch_bytes_max - BATCH_HEADER_BYTES - SECTION_LINE_BYTES
    }
}
