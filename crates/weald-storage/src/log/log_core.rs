//! What the log's threads and its users share: admission, and the turns of the log thread, of which
//! a caller's thread may take one.

use std::{
    collections::BTreeMap,
    io,
    ops::{Range, RangeInclusive},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::{Condvar, Mutex, RwLock};
use weald_core::{
    LogBatch, LogError, LogIndex, LogRecord, PartitionId, PartitionStatus, RecoveredPartition,
    StoreId, SyncTicket,
};

use super::{
    LogOptions, Notifier,
    ailment::{Ailment, amnesiac},
    batch::{Place, Section},
    catalog::Catalog,
    depot::{Depot, DepotState},
    disk::Disk,
    image::Segment,
    options::Purpose,
    partition::{LogEnd, PartitionLog},
    plan::Plan,
    queue::Queue,
    recovery::FIRST_POSITION,
    segment::SECTOR,
    writer::{LogFigures, Writer, WriterStart, absorb, plan_sections},
};

/// A caller's thread is not kept by syncs that take longer: 1 ms.
const PROMPT_US_MAX: u64 = 1000;

/// What the log's threads and its users share.
pub(super) struct LogCore {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) store: StoreId,
    pub(super) options: LogOptions,
    pub(super) end: LogEnd,
    pub(super) head_found: u64,
    pub(super) next_sequence_found: u64,
    pub(super) recovered: BTreeMap<PartitionId, RecoveredPartition>,
    pub(super) notifier: Notifier,
    pub(super) queue: Mutex<Queue>,
    pub(super) work: Condvar,
    /// Unset while the end of the log is lost and no new life has begun.
    pub(super) writer: OnceLock<Mutex<Writer>>,
    pub(super) catalog: RwLock<Catalog>,
    pub(super) depot: Depot,
    pub(super) active_room: AtomicUsize,
    pub(super) synced: AtomicU64,
    /// What the writer had done after its last turn: reading it waits for no sync.
    pub(super) figures: Mutex<LogFigures>,
    pub(super) failure: OnceLock<String>,
    /// Partitions that nothing names may have been forgotten.
    pub(super) is_forgetful: bool,
    /// Damage was found in this segment: what is damaged is repeated in the next one.
    pub(super) damaged_segment: AtomicU64,
    /// How long the last write and sync took, in microseconds.
    pub(super) sync_us: AtomicU64,
}

/// What one turn of the log thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Wrote,
    Idle,
    /// There is something to write but no segment to write it to.
    Starved,
    Failed,
}

impl LogCore {
    pub(super) fn submit(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        let (ticket, _) = self.enqueue(batch)?;
        self.work.notify_one();
        Ok(ticket)
    }

    /// As [`LogCore::submit`]; the log thread sleeps on while nothing else waits.
    pub(super) fn submit_led(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        let (ticket, is_alone) = self.enqueue(batch)?;
        if !is_alone {
            self.work.notify_one();
        }
        Ok(ticket)
    }

    /// Takes a batch in; returns whether it is the only one that waits.
    fn enqueue(&self, batch: LogBatch) -> Result<(SyncTicket, bool), LogError> {
        let mut queue = self.queue.lock();
        self.check_writable(&queue, batch.partition)?;
        let footprint = queue.check(&batch)?;
        self.admit(&queue, footprint, purpose_of(&batch))?;
        let is_alone = queue.is_idle();
        Ok((queue.push(batch), is_alone))
    }

    pub(super) fn release(&self, partition: PartitionId, below: LogIndex) -> Result<(), LogError> {
        let mut queue = self.queue.lock();
        self.check_writable(&queue, partition)?;
        self.admit(&queue, queue.footprint_with_release(), Purpose::Release)?;
        queue.push_release(partition, below);
        drop(queue);
        self.work.notify_one();
        Ok(())
    }

    pub(super) fn repair(
        &self,
        partition: PartitionId,
        mut entries: Vec<LogRecord>,
    ) -> Result<SyncTicket, LogError> {
        let mut queue = self.queue.lock();
        self.check_writable(&queue, partition)?;
        if queue.ailment(partition) == Some(Ailment::Amnesiac) || !queue.knows(partition) {
            return Err(amnesiac(partition));
        }
        let footprint = queue.check_fill(partition, &entries)?;
        self.admit(&queue, footprint, Purpose::Entries)?;
        if let Some(known) = self.catalog.read().partitions.get(&partition) {
            entries.retain(|entry| known.stretch(entry.index).is_none());
        }
        let ticket = queue.push_fill(partition, entries);
        drop(queue);
        self.work.notify_one();
        Ok(ticket)
    }

    pub(super) fn begin_anew(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        self.check_sound()?;
        if self.writer.get().is_none() {
            self.depot.wake();
        }
        let mut queue = self.queue.lock();
        let restart_at = Some(batch.restart_at.unwrap_or_default());
        let batch = LogBatch { restart_at, ..batch };
        let footprint = queue.check_anew(&batch)?;
        self.admit(&queue, footprint, purpose_of(&batch))?;
        let ticket = queue.push(batch);
        drop(queue);
        self.work.notify_one();
        Ok(ticket)
    }

    pub(super) fn status(&self, partition: PartitionId) -> Option<PartitionStatus> {
        let found = self.catalog.read().partitions.get(&partition).map(PartitionLog::status);
        found.or_else(|| self.is_forgetful.then(|| PartitionLog::forgotten().status()))
    }

    fn check_writable(&self, queue: &Queue, partition: PartitionId) -> Result<(), LogError> {
        self.check_sound()?;
        let is_known = queue.knows(partition);
        if self.is_forgetful && !is_known {
            return Err(amnesiac(partition));
        }
        let has_life = is_known && queue.ailment(partition) != Some(Ailment::Amnesiac);
        match self.writer.get() {
            None if !has_life => {
                Err(LogError::Damaged("the end of the synced log is missing".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn check_sound(&self) -> Result<(), LogError> {
        match self.failure.get() {
            Some(reason) => Err(LogError::SyncFailed(reason.clone())),
            None => Ok(()),
        }
    }

    /// Lets in what fits the space allocated: `footprint` is what all that waits takes with it. Less
    /// important purposes leave a reserve for the others.
    fn admit(&self, queue: &Queue, footprint: usize, purpose: Purpose) -> Result<(), LogError> {
        let reserve = self.options.reserve_bytes(purpose);
        let stock = self.depot.stock_count() * self.options.room_per_segment();
        let left_over = match purpose {
            Purpose::Release => 0,
            Purpose::Entries | Purpose::Promises => self.options.batch_bytes_max(),
        };
        let active = self.active_room.load(Ordering::Acquire).saturating_sub(left_over);
        let max = (active + stock).saturating_sub(reserve);
        if footprint <= max {
            return Ok(());
        }
        match self.depot.state() {
            DepotState::Ready => Err(LogError::Busy { queued_bytes: queue.bytes(), max }),
            DepotState::Full(reason) => {
                self.depot.want();
                Err(LogError::DiskFull(reason))
            }
            DepotState::Failed(reason) => {
                self.depot.want();
                Err(LogError::Io(reason))
            }
        }
    }

    /// The first segment that is needed, durably.
    pub(super) fn head(&self) -> u64 {
        self.writer.get().map_or(self.head_found, |writer| writer.lock().head())
    }

    pub(super) fn active_number(&self) -> Option<u64> {
        self.writer.get().map(|writer| writer.lock().active_number())
    }

    pub(super) fn run_writer(&self) {
        loop {
            match self.turn() {
                Turn::Wrote => {}
                Turn::Failed => return,
                Turn::Starved => {
                    if !self.depot.wait_for_stock() {
                        return;
                    }
                }
                Turn::Idle => {
                    let mut queue = self.queue.lock();
                    while queue.is_idle() && !queue.is_closing && !queue.is_nudged {
                        self.work.wait(&mut queue);
                    }
                    if queue.is_idle() && queue.is_closing {
                        return;
                    }
                    queue.is_nudged = false;
                }
            }
        }
    }

    pub(super) fn run_depot(&self) {
        while self.depot.wait_for_work() {
            if self.depot.work() {
                self.rouse();
                self.announce();
            }
        }
    }

    /// Has the log thread look whether there is something to do.
    pub(super) fn rouse(&self) {
        self.queue.lock().is_nudged = true;
        self.work.notify_one();
    }

    pub(super) fn announce(&self) {
        (self.notifier)();
    }

    /// Writes and syncs one batch of what waits, and tells of it.
    pub(super) fn turn(&self) -> Turn {
        let turn = match self.writer.get() {
            Some(writer) => self.turn_with(&mut writer.lock()),
            None => self.go_on(),
        };
        if matches!(turn, Turn::Wrote | Turn::Failed) {
            self.announce();
        }
        turn
    }

    /// Takes a turn in a caller's thread, unless the writer is in use. The caller sees to what has
    /// become durable, or failed; the log thread to what it could not take or has come meanwhile.
    pub(super) fn lead(&self) -> bool {
        let writer = self.writer.get().and_then(Mutex::try_lock);
        let turn = writer.map(|mut writer| self.turn_with(&mut writer));
        if !self.queue.lock().is_idle() {
            self.rouse();
        }
        matches!(turn, Some(Turn::Wrote | Turn::Failed))
    }

    pub(super) fn is_prompt(&self) -> bool {
        self.sync_us.load(Ordering::Relaxed) <= PROMPT_US_MAX
    }

    fn turn_with(&self, writer: &mut Writer) -> Turn {
        if self.failure.get().is_some() {
            return Turn::Failed;
        }
        let turn = self.try_turn(writer).unwrap_or_else(|error| self.fail(&error));
        self.active_room.store(writer.remaining(), Ordering::Release);
        *self.figures.lock() = writer.figures();
        turn
    }

    /// Goes on behind a lost end once there is a new life to write: in a segment that begins with what
    /// is left of each partition, and that it is amnesiac.
    fn go_on(&self) -> Turn {
        if self.failure.get().is_some() {
            return Turn::Failed;
        }
        if self.queue.lock().is_idle() {
            return Turn::Idle;
        }
        let Some(active) = self.depot.take() else { return Turn::Starved };
        self.catalog.write().segments.insert(active.header.number, active.clone());
        let mut writer = Writer::new(WriterStart {
            active,
            position: FIRST_POSITION,
            next_sequence: self.next_sequence_found,
            head: self.head_found,
            is_forgetful: self.is_forgetful,
        });
        if let Err(error) = writer.write_summary(&self.catalog.read()) {
            return self.fail(&error);
        }
        self.active_room.store(writer.remaining(), Ordering::Release);
        // Nobody else sets it.
        self.writer.set(Mutex::new(writer)).ok();
        Turn::Wrote
    }

    fn fail(&self, error: &io::Error) -> Turn {
        self.failure.get_or_init(|| error.to_string());
        Turn::Failed
    }

    fn try_turn(&self, writer: &mut Writer) -> io::Result<Turn> {
        let repeats = writer.active_number() <= self.damaged_segment.load(Ordering::Acquire);
        if repeats && let Some(next) = self.depot.take() {
            return self.switch(writer, next).map(|()| Turn::Wrote);
        }
        let room = self.options.batch_bytes_max().min(writer.remaining());
        let plan = self.queue.lock().take(room);
        if !plan.sections.is_empty() {
            return self.write(writer, plan).map(|()| Turn::Wrote);
        }
        if self.queue.lock().is_idle() {
            let head = self.catalog.read().head(writer.active_number());
            if head == writer.head() {
                return Ok(Turn::Idle);
            }
            if writer.remaining() >= SECTOR {
                return self.write(writer, plan).map(|()| Turn::Wrote);
            }
        }
        let Some(next) = self.depot.take() else { return Ok(Turn::Starved) };
        self.switch(writer, next).map(|()| Turn::Wrote)
    }

    fn switch(&self, writer: &mut Writer, next: Segment) -> io::Result<()> {
        writer.begin(next.clone(), &self.catalog.read())?;
        self.catalog.write().segments.insert(next.header.number, next);
        Ok(())
    }

    fn write(&self, writer: &mut Writer, mut plan: Plan) -> io::Result<()> {
        let (sections, head) = {
            let catalog = self.catalog.read();
            (plan_sections(&mut plan, &catalog), catalog.head(writer.active_number()))
        };
        let head_before = writer.head();
        let before = writer.figures();
        let places = writer.write_records(head, &sections)?;
        let figures = writer.figures();
        self.sync_us.store(figures.sync_us - before.sync_us, Ordering::Relaxed);
        *self.figures.lock() = figures;
        self.active_room.store(writer.remaining(), Ordering::Release);
        let synced = self.queue.lock().complete(&plan);
        self.settle(&sections, &places, plan, head_before..head);
        self.heal(&sections);
        self.synced.store(synced.0, Ordering::Release);
        Ok(())
    }

    /// Shows durable sections to readers and lets go of segments below the durable head.
    fn settle(&self, sections: &[Section], places: &[Place], plan: Plan, unneeded: Range<u64>) {
        let mut catalog = self.catalog.write();
        absorb(&mut catalog, sections, places, plan);
        if unneeded.is_empty() {
            return;
        }
        let kept = catalog.segments.split_off(&unneeded.end);
        let gone = std::mem::replace(&mut catalog.segments, kept);
        drop(catalog);
        self.depot.give_back(gone.into_keys());
    }

    /// Lets partitions go on whose last missing entry is durable.
    fn heal(&self, sections: &[Section]) {
        let mut queue = self.queue.lock();
        for Section { partition, .. } in sections {
            let Some(Ailment::Damaged { .. }) = queue.ailment(*partition) else { continue };
            let catalog = self.catalog.read();
            let ailment = catalog.partitions.get(partition).and_then(Ailment::of);
            queue.set_ailment(*partition, ailment);
        }
    }

    /// Takes note of damaged bytes: entries there are missing from here on. Returns them.
    pub(super) fn note_damage(
        &self,
        segment: u64,
        span: &Range<u64>,
    ) -> Vec<(PartitionId, RangeInclusive<LogIndex>)> {
        if self.writer.get().is_none() {
            return Vec::new();
        }
        let mut queue = self.queue.lock();
        let mut catalog = self.catalog.write();
        let lost = catalog.damage(segment, span);
        for (partition, _) in &lost {
            queue.set_ailment(*partition, catalog.partitions.get(partition).and_then(Ailment::of));
        }
        // What is only prepared holds nothing that would have to be repeated.
        if catalog.segments.contains_key(&segment) {
            self.damaged_segment.fetch_max(segment, Ordering::AcqRel);
        }
        drop(catalog);
        queue.is_nudged = true;
        drop(queue);
        self.work.notify_one();
        lost
    }
}

/// What the space is used for that a batch takes.
fn purpose_of(batch: &LogBatch) -> Purpose {
    match batch.entries.is_empty() || batch.is_urgent {
        true => Purpose::Promises,
        false => Purpose::Entries,
    }
}
