//! The log on a disk: submissions in, one thread that syncs what has gathered, reads beside it.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
};

use weald_core::{
    Entropy, LogBatch, LogError, LogIndex, LogRecord, LogStore, PartitionId, PartitionStatus,
    RecoveredPartition, StoreId, SyncTicket, Synced,
};

use super::{
    LogOpenError, LogOptions, LogReport, Notifier, ScrubCursor, ScrubStep,
    catalog::{Lookup, ReadFault, read_stretches},
    disk::Disk,
    log_core::{LogCore, Turn},
    partition::{LogEnd, PartitionLog},
    scrub::scrub,
    writer::LogFigures,
};

/// What a whole scrub reads in one step: 1 MiB.
const VERIFY_BYTES: usize = 1024 * 1024;

/// The durable log of a node.
pub struct DiskLog {
    core: Arc<LogCore>,
    threads: Vec<JoinHandle<()>>,
}

/// Where a log lives and whom it tells.
pub struct LogHome {
    /// The folder of its files.
    pub disk: Arc<dyn Disk>,
    /// The store that it belongs to.
    pub store: StoreId,
    /// Draws the secret salt of each segment.
    pub entropy: Box<dyn Entropy + Send>,
    /// Called when more is durable, the log has failed, or there is room again.
    pub notifier: Notifier,
}

/// The oldest segment that is needed, and what has to happen for it to be used again (rule C15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The segment.
    pub segment: u64,
    /// Segments in use, this one and the one being written included.
    pub segments: usize,
    /// Partitions that have entries in it, each with the index that frees it: once every partition is
    /// checkpointed up to there and [`LogStore::release`] was called with that index.
    pub partitions: Vec<(PartitionId, LogIndex)>,
}

impl DiskLog {
    /// Opens the log, or creates it in an empty folder, and starts its two threads: one writes and
    /// syncs, one prepares segments.
    ///
    /// # Errors
    /// When the disk fails or is full, or the files are of another store or another version. Damage
    /// is no error: see [`DiskLog::end`] and [`LogStore::recovered`].
    pub fn open(home: LogHome, options: LogOptions) -> Result<Self, LogOpenError> {
        Self::open_without_threads(home, options)?.start_threads()
    }

    fn start_threads(mut self) -> Result<Self, LogOpenError> {
        type Loop = fn(&LogCore);
        let loops: [(&str, Loop); 2] =
            [("weald-log", LogCore::run_writer), ("weald-log-segments", LogCore::run_depot)];
        for (name, run) in loops {
            let core = Arc::clone(&self.core);
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(&core))?;
            self.threads.push(thread);
        }
        Ok(self)
    }

    /// Opens the log without threads: [`DiskLog::run`] does their work. For simulations.
    ///
    /// # Errors
    /// Those of [`DiskLog::open`].
    pub fn open_without_threads(home: LogHome, options: LogOptions) -> Result<Self, LogOpenError> {
        options.check()?;
        let core = LogCore::open(home, options)?;
        Ok(Self { core: Arc::new(core), threads: Vec::new() })
    }

    /// Does all that the threads would do now.
    pub fn run(&self) {
        while self.step() {}
    }

    /// Does one piece of what the threads would do: prepares a segment if one is wanted, writes and
    /// syncs one batch of what waits. Returns whether there was anything to do.
    pub fn step(&self) -> bool {
        let is_added = self.core.depot.work();
        if is_added {
            self.core.announce();
        }
        self.core.turn() == Turn::Wrote || is_added
    }

    /// What the log has done since it was opened.
    pub fn figures(&self) -> LogFigures {
        *self.core.figures.lock()
    }

    /// How the log ended when it was opened. [`LogEnd::Lost`] concerns every partition, those too
    /// that nothing is left of (only partition 0 is always reported): all are amnesiac, and the log
    /// takes nothing until [`LogStore::begin_anew`]. With the first new life it goes on behind what is
    /// lost; partitions whose new life is still to come keep what is left of them.
    pub fn end(&self) -> LogEnd {
        self.core.end
    }

    /// Whether the end is lost and no new life has begun since: the log takes nothing then.
    pub fn is_lost(&self) -> bool {
        self.core.end == LogEnd::Lost && self.core.writer.get().is_none()
    }

    /// Whether partitions may have been in the log that nothing names any more. One that is not known
    /// is amnesiac then, until [`LogStore::begin_anew`].
    pub fn is_forgetful(&self) -> bool {
        self.core.is_forgetful
    }

    /// The oldest segment that is still needed and who needs it; `None` when it is the one written.
    pub fn pinned(&self) -> Option<Pinned> {
        let active = self.core.active_number();
        let catalog = self.core.catalog.read();
        let known = catalog.partitions.iter();
        let of = |(_, known): (_, &PartitionLog)| known.first_segment();
        let segment = known.clone().filter_map(of).min()?;
        if active == Some(segment) {
            return None;
        }
        let partitions = known
            .filter_map(|(partition, known)| Some((*partition, known.release_from(segment)?)))
            .collect();
        Some(Pinned { segment, segments: catalog.segments.len(), partitions })
    }

    /// One step of a scrub: reads `bytes_max` on from `cursor`, or one batch if that is larger, and
    /// reports every byte that is not as it was written. The log goes on meanwhile, but for the time
    /// of a step in the segment that is written. Entries that are found damaged are missing from then
    /// on ([`LogStore::missing`]), and what else was damaged is written again.
    ///
    /// # Errors
    /// When a file cannot be read at all.
    pub fn scrub(&self, cursor: ScrubCursor, bytes_max: usize) -> Result<ScrubStep, LogError> {
        scrub(&self.core, cursor, bytes_max)
    }

    /// Reads all files of the log again and reports every damaged byte: in batches, in their
    /// padding, in heads and feet, and where nothing was written yet. A whole scrub at once.
    ///
    /// # Errors
    /// When a file cannot be read at all.
    pub fn verify(&self) -> Result<LogReport, LogError> {
        let mut report = LogReport::default();
        let mut cursor = Some(ScrubCursor::default());
        while let Some(from) = cursor {
            let step = self.scrub(from, VERIFY_BYTES)?;
            report.join(step.report);
            cursor = step.next;
        }
        Ok(report)
    }

    /// The segments that hold the log and bytes in each, for reports on space.
    pub fn segments(&self) -> (usize, u64) {
        let catalog = self.core.catalog.read();
        (catalog.segments.len(), self.core.options.segment_bytes)
    }
}

impl Drop for DiskLog {
    /// Writes what waits, then ends the threads.
    fn drop(&mut self) {
        self.core.queue.lock().is_closing = true;
        self.core.work.notify_all();
        self.core.depot.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing more to say.
            thread.join().ok();
        }
    }
}

impl LogStore for DiskLog {
    fn submit(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        self.core.submit(batch)
    }

    fn submit_led(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        self.core.submit_led(batch)
    }

    fn lead(&self) -> bool {
        self.core.lead()
    }

    fn is_prompt(&self) -> bool {
        self.core.is_prompt()
    }

    fn rouse(&self) {
        self.core.rouse();
    }

    fn poll_synced(&self) -> Synced {
        let ticket = SyncTicket(self.core.synced.load(Ordering::Acquire));
        match self.core.failure.get() {
            Some(_) => Synced::Failed(ticket),
            None => Synced::UpTo(ticket),
        }
    }

    fn read(
        &self,
        partition: PartitionId,
        from: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let lookup = || self.core.catalog.read().lookup(partition, from, max_bytes);
        let stretches = match lookup()? {
            Lookup::Records(records) => return Ok(records),
            Lookup::Stretches(stretches) => stretches,
        };
        read_stretches(partition, from, max_bytes, stretches).or_else(|fault| {
            // The segment may have been released and used again meanwhile.
            lookup()?;
            let ReadFault { error, place } = fault;
            if let Some(place) = place {
                self.core.note_damage(place.segment, &place.span());
            }
            Err(error)
        })
    }

    fn recovered(&self) -> BTreeMap<PartitionId, RecoveredPartition> {
        self.core.recovered.clone()
    }

    fn release(&self, partition: PartitionId, below: LogIndex) -> Result<(), LogError> {
        self.core.release(partition, below)
    }

    fn status(&self, partition: PartitionId) -> Option<PartitionStatus> {
        self.core.status(partition)
    }

    fn missing(&self, partition: PartitionId) -> Vec<RangeInclusive<LogIndex>> {
        let catalog = self.core.catalog.read();
        catalog.partitions.get(&partition).map_or_else(Vec::new, PartitionLog::missing)
    }

    fn repair(
        &self,
        partition: PartitionId,
        entries: Vec<LogRecord>,
    ) -> Result<SyncTicket, LogError> {
        self.core.repair(partition, entries)
    }

    fn begin_anew(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        self.core.begin_anew(batch)
    }
}
