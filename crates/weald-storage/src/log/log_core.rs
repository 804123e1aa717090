//! What the log's threads and its users share: opening, admission, and the turns of the log thread.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::{Condvar, Mutex, RwLock};
use weald_core::{
    Entropy, LogBatch, LogError, PartitionHealth, PartitionId, RecoveredPartition, StoreId,
    SyncTicket,
};

use super::{
    LogHome, LogOpenError, LogOptions, Notifier,
    batch::{Place, Section},
    catalog::Catalog,
    depot::{Depot, DepotStart, DepotState},
    disk::Disk,
    image::Segment,
    partition::{LogEnd, PartitionLog},
    queue::{Plan, Queue},
    recovery::{FIRST_POSITION, Recovery, recover},
    segment::SECTOR,
    tail::TailCache,
    writer::{Writer, WriterStart, absorb, mend, number_sections},
};

/// What the log's threads and its users share.
pub(super) struct LogCore {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) store: StoreId,
    pub(super) options: LogOptions,
    pub(super) end: LogEnd,
    pub(super) head_found: u64,
    pub(super) recovered: BTreeMap<PartitionId, RecoveredPartition>,
    pub(super) notifier: Notifier,
    pub(super) queue: Mutex<Queue>,
    pub(super) work: Condvar,
    /// `None` when the end of the log is lost: nothing may be written behind it.
    pub(super) writer: Option<Mutex<Writer>>,
    pub(super) catalog: RwLock<Catalog>,
    pub(super) depot: Depot,
    pub(super) active_room: AtomicUsize,
    pub(super) synced: AtomicU64,
    pub(super) failure: OnceLock<String>,
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
    pub(super) fn open(mut home: LogHome, options: LogOptions) -> Result<Self, LogOpenError> {
        let mut found = recover(home.disk.as_ref(), home.store)?;
        let is_empty = found.live.is_empty() && found.obsolete.is_empty();
        let may_create = is_empty && !options.must_exist;
        let end = if may_create { LogEnd::Whole } else { found.end };
        let mut recovered: BTreeMap<_, _> =
            found.partitions.iter().map(|(id, known)| (*id, known.recovered(end))).collect();
        if end == LogEnd::Lost {
            // Every node has partition 0; it is amnesiac even when nothing is left that names it.
            let nothing = PartitionLog::default();
            recovered.entry(PartitionId(0)).or_insert_with(|| nothing.recovered(end));
        }
        let depot = Self::depot(&mut home, &mut found, &options);
        if may_create {
            Self::create(&depot, &mut found)?;
        }
        let catalog = Catalog {
            segments: found.live.iter().map(|s| (s.header.number, s.clone())).collect(),
            partitions: std::mem::take(&mut found.partitions),
            tail: TailCache::new(options.cache_bytes),
        };
        let mut queue = Queue::new(options.queue_limits());
        for (partition, known) in &recovered {
            let state_bytes = known.state.as_ref().map_or(0, bytes::Bytes::len);
            queue.adopt(*partition, (known.first, known.last), state_bytes);
        }
        let writer = match end {
            LogEnd::Lost => None,
            LogEnd::Whole | LogEnd::Torn => Self::writer(&found, &catalog)?,
        };
        if writer.is_some() {
            depot.give_back(found.obsolete);
        }
        let active_room = AtomicUsize::new(writer.as_ref().map_or(0, Writer::remaining));
        Ok(Self {
            disk: home.disk,
            store: home.store,
            end,
            head_found: found.head,
            recovered,
            notifier: home.notifier,
            queue: Mutex::new(queue),
            work: Condvar::new(),
            writer: writer.map(Mutex::new),
            catalog: RwLock::new(catalog),
            depot,
            active_room,
            synced: AtomicU64::new(0),
            failure: OnceLock::new(),
            options,
        })
    }

    fn depot(home: &mut LogHome, found: &mut Recovery, options: &LogOptions) -> Depot {
        let stock = std::mem::take(&mut found.stock);
        let last = stock.last().or(found.live.last()).map_or(0, |s| s.header.number);
        let entropy = std::mem::replace(&mut home.entropy, Box::new(NoEntropy));
        let start = DepotStart {
            store: home.store,
            sectors: options.sectors(),
            spare_max: options.spare_segments,
            stock,
            spare: std::mem::take(&mut found.spare),
            next_number: last + 1,
            entropy,
        };
        Depot::new(Arc::clone(&home.disk), start)
    }

    /// Makes the first segment of a new log.
    fn create(depot: &Depot, found: &mut Recovery) -> Result<(), LogOpenError> {
        depot.work();
        let Some(segment) = depot.take() else {
            return Err(match depot.state() {
                DepotState::Full(reason) => LogOpenError::DiskFull(reason),
                DepotState::Failed(reason) => LogOpenError::Io(io::Error::other(reason)),
                DepotState::Ready => LogOpenError::Io(io::Error::other("no segment was prepared")),
            });
        };
        found.live.push(segment);
        found.position = FIRST_POSITION;
        Ok(())
    }

    fn writer(found: &Recovery, catalog: &Catalog) -> Result<Option<Writer>, LogOpenError> {
        let Some(active) = found.live.last() else { return Ok(None) };
        let last_batch = found.last_batch.and_then(|(site, extent)| {
            Some((catalog.segments.get(&site.segment)?.clone(), site.offset, extent))
        });
        let torn = found.needs_fill.then_some((active, found.position));
        mend(last_batch, torn)?;
        let mut writer = Writer::new(WriterStart {
            active: active.clone(),
            position: found.position,
            next_sequence: found.next_sequence,
            head: found.head,
        });
        if writer.needs_summary() {
            writer.write_summary(catalog)?;
        }
        Ok(Some(writer))
    }

    pub(super) fn submit(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        self.check_writable()?;
        let health = self.recovered.get(&batch.partition).map(|known| known.health);
        if let Some(PartitionHealth::Damaged { known_end }) = health
            && (batch.cut_from.is_some() || !batch.entries.is_empty())
        {
            let partition = batch.partition;
            return Err(LogError::Damaged(format!(
                "entries before the end are missing: partition={partition} known_end={known_end}"
            )));
        }
        if health == Some(PartitionHealth::Amnesiac) {
            let partition = batch.partition;
            return Err(LogError::Damaged(format!("promises are missing: partition={partition}")));
        }
        let mut queue = self.queue.lock();
        let footprint = queue.check(&batch)?;
        self.admit(&queue, footprint, !batch.entries.is_empty())?;
        let ticket = queue.push(batch);
        drop(queue);
        self.work.notify_one();
        Ok(ticket)
    }

    pub(super) fn check_writable(&self) -> Result<(), LogError> {
        if let Some(reason) = self.failure.get() {
            return Err(LogError::SyncFailed(reason.clone()));
        }
        match self.writer {
            Some(_) => Ok(()),
            None => Err(LogError::Damaged("the end of the synced log is missing".to_owned())),
        }
    }

    /// Lets in what fits the space allocated: `footprint` is what all that waits takes with it.
    /// Entries leave a reserve for promises and releases.
    pub(super) fn admit(
        &self,
        queue: &Queue,
        footprint: usize,
        has_entries: bool,
    ) -> Result<(), LogError> {
        let reserve = if has_entries { self.options.reserve_bytes() } else { 0 };
        let stock = self.depot.stock_count() * self.options.room_per_segment();
        let active = self.active_room.load(Ordering::Acquire);
        let active = active.saturating_sub(self.options.batch_bytes_max());
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

    pub(super) fn active_number(&self) -> Option<u64> {
        self.writer.as_ref().map(|writer| writer.lock().active_number())
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
                    while queue.is_idle() && !queue.is_closing {
                        self.work.wait(&mut queue);
                    }
                    if queue.is_idle() {
                        return;
                    }
                }
            }
        }
    }

    pub(super) fn run_depot(&self) {
        while self.depot.wait_for_work() {
            if self.depot.work() {
                self.announce();
            }
        }
    }

    pub(super) fn announce(&self) {
        (self.notifier)();
    }

    /// Writes and syncs one batch of what waits.
    pub(super) fn turn(&self) -> Turn {
        let Some(writer) = &self.writer else { return Turn::Failed };
        if self.failure.get().is_some() {
            return Turn::Failed;
        }
        let mut writer = writer.lock();
        let turn = self.try_turn(&mut writer).unwrap_or_else(|error| {
            self.failure.get_or_init(|| error.to_string());
            self.announce();
            Turn::Failed
        });
        self.active_room.store(writer.remaining(), Ordering::Release);
        turn
    }

    fn try_turn(&self, writer: &mut Writer) -> io::Result<Turn> {
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
            (number_sections(&mut plan, &catalog), catalog.head(writer.active_number()))
        };
        let head_before = writer.head();
        let places = writer.write_records(head, &sections)?;
        self.active_room.store(writer.remaining(), Ordering::Release);
        let synced = self.queue.lock().complete(&plan);
        self.settle(&sections, &places, plan, head_before..head);
        self.synced.store(synced.0, Ordering::Release);
        self.announce();
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
}

/// Stands where an entropy source was taken from.
struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&mut self, _: &mut [u8]) {}
}
