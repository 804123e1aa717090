//! Opening: what recovery found becomes a log that can be written, or a new one is begun.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize},
    },
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use weald_core::{Entropy, PartitionId, RecoveredPartition};

use super::{
    LogHome, LogOpenError, LogOptions,
    ailment::Ailment,
    catalog::Catalog,
    depot::{Depot, DepotStart, DepotState},
    image::Segment,
    log_core::LogCore,
    partition::{LogEnd, PartitionLog},
    queue::Queue,
    recovery::{FIRST_POSITION, Recovery, recover},
    tail::TailCache,
    writer::{Writer, WriterStart, mend},
};

/// The parts of a log that are made ready one after the other.
struct Opening {
    home: LogHome,
    options: LogOptions,
    found: Recovery,
    depot: Depot,
    catalog: Catalog,
}

impl LogCore {
    pub(super) fn open(mut home: LogHome, options: LogOptions) -> Result<Self, LogOpenError> {
        let mut found = recover(home.disk.as_ref(), home.store)?;
        let is_empty = found.live.is_empty() && found.obsolete.is_empty();
        let is_new = is_empty && !options.must_exist;
        if is_new {
            found.end = LogEnd::Whole;
        }
        let depot = depot(&mut home, &mut found, &options);
        if is_new {
            found.live.push(first_segment(&depot)?);
            found.position = FIRST_POSITION;
        }
        Opening::new(home, options, found, depot).finish()
    }
}

fn depot(home: &mut LogHome, found: &mut Recovery, options: &LogOptions) -> Depot {
    let is_lost = found.end == LogEnd::Lost;
    let next_number = match is_lost {
        // One is left out: what is prepared behind a lost end must not look as if it continued it.
        true => found.last_number() + 2,
        false => found.stock.last().or(found.live.last()).map_or(0, |s| s.header.number) + 1,
    };
    let entropy = std::mem::replace(&mut home.entropy, Box::new(NoEntropy));
    let start = DepotStart {
        store: home.store,
        sectors: options.sectors(),
        spare_max: options.spare_segments,
        stock: std::mem::take(&mut found.stock),
        spare: std::mem::take(&mut found.spare),
        next_number,
        // A log that is lost stays as it is until there is a new life to write.
        is_resting: is_lost,
        entropy,
    };
    Depot::new(Arc::clone(&home.disk), start)
}

/// Makes the first segment of a new log.
fn first_segment(depot: &Depot) -> Result<Segment, LogOpenError> {
    depot.work();
    depot.take().ok_or_else(|| match depot.state() {
        DepotState::Full(reason) => LogOpenError::DiskFull(reason),
        DepotState::Failed(reason) => LogOpenError::Io(io::Error::other(reason)),
        DepotState::Ready => LogOpenError::Io(io::Error::other("no segment was prepared")),
    })
}

impl Opening {
    fn new(home: LogHome, options: LogOptions, mut found: Recovery, depot: Depot) -> Self {
        match found.end {
            LogEnd::Lost => {
                found.partitions.values_mut().for_each(PartitionLog::forget);
                found.is_forgetful = true;
            }
            LogEnd::Whole | LogEnd::Torn => {
                found.partitions.values_mut().for_each(PartitionLog::keep_verdict);
            }
        }
        let catalog = Catalog {
            segments: found.live.iter().map(|s| (s.header.number, s.clone())).collect(),
            partitions: std::mem::take(&mut found.partitions),
            tail: TailCache::new(options.cache_bytes),
        };
        Self { home, options, found, depot, catalog }
    }

    fn finish(mut self) -> Result<LogCore, LogOpenError> {
        let recovered = self.recovered();
        let queue = self.queue(&recovered);
        let writer = match self.found.end {
            LogEnd::Lost => None,
            LogEnd::Whole | LogEnd::Torn => self.writer()?,
        };
        if writer.is_some() {
            self.depot.give_back(std::mem::take(&mut self.found.obsolete));
        }
        Ok(LogCore {
            disk: self.home.disk,
            store: self.home.store,
            end: self.found.end,
            head_found: self.found.head,
            next_sequence_found: self.found.next_sequence,
            recovered,
            notifier: self.home.notifier,
            queue: Mutex::new(queue),
            work: Condvar::new(),
            active_room: AtomicUsize::new(writer.as_ref().map_or(0, Writer::remaining)),
            writer: writer.map(Mutex::new).map_or_else(OnceLock::new, OnceLock::from),
            catalog: RwLock::new(self.catalog),
            depot: self.depot,
            synced: AtomicU64::new(0),
            figures: Mutex::default(),
            failure: OnceLock::new(),
            is_forgetful: self.found.is_forgetful,
            damaged_segment: AtomicU64::new(0),
            sync_us: AtomicU64::new(u64::MAX),
            options: self.options,
        })
    }

    fn recovered(&self) -> BTreeMap<PartitionId, RecoveredPartition> {
        let end = self.found.end;
        let known = self.catalog.partitions.iter();
        let mut recovered: BTreeMap<_, _> =
            known.map(|(partition, known)| (*partition, known.recovered(end))).collect();
        if self.found.is_forgetful {
            // Every node has partition 0; it is amnesiac even when nothing is left that names it.
            let forgotten = || PartitionLog::forgotten().recovered(end);
            recovered.entry(PartitionId(0)).or_insert_with(forgotten);
        }
        recovered
    }

    fn queue(&self, recovered: &BTreeMap<PartitionId, RecoveredPartition>) -> Queue {
        let mut queue = Queue::new(self.options.queue_limits());
        for (partition, known) in recovered {
            let state_bytes = known.state.as_ref().map_or(0, Bytes::len);
            let ailment = match self.catalog.partitions.get(partition) {
                Some(known) => Ailment::of(known),
                None => Some(Ailment::Amnesiac),
            };
            queue.adopt(*partition, (known.first, known.last), state_bytes, ailment);
        }
        queue
    }

    fn writer(&mut self) -> Result<Option<Writer>, LogOpenError> {
        let found = &self.found;
        let Some(active) = found.live.last() else { return Ok(None) };
        let last_batch = found.last_batch.and_then(|(site, extent)| {
            Some((self.catalog.segments.get(&site.segment)?.clone(), site.offset, extent))
        });
        let torn = found.needs_fill.then_some((active, found.position));
        mend(last_batch, torn)?;
        let mut writer = Writer::new(WriterStart {
            active: active.clone(),
            position: found.position,
            next_sequence: found.next_sequence,
            head: found.head,
            is_forgetful: found.is_forgetful,
        });
        if writer.needs_summary() {
            writer.write_summary(&self.catalog)?;
        }
        Ok(Some(writer))
    }
}

/// Stands where an entropy source was taken from.
struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&mut self, _: &mut [u8]) {}
}
