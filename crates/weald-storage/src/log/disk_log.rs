//! The log on a disk: submissions in, one thread that syncs what has gathered, reads beside it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
};

use weald_core::{
    Entropy, LogBatch, LogError, LogIndex, LogRecord, LogStore, PartitionId, RecoveredPartition,
    StoreId, SyncTicket, Synced,
};

use super::{
    LogOpenError, LogOptions, LogReport, Notifier,
    catalog::{Lookup, read_stretches},
    disk::Disk,
    log_core::{LogCore, Turn},
    partition::{LogEnd, PartitionLog},
    verify,
};

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

/// Where a partition keeps an old segment from being used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The segment.
    pub segment: u64,
    /// Partitions whose oldest entries are in it. Releasing them frees it.
    pub partitions: Vec<PartitionId>,
}

impl DiskLog {
    /// Opens the log, or creates it in an empty folder, and starts its two threads: one writes and
    /// syncs, one prepares segments.
    ///
    /// # Errors
    /// When the disk fails or is full, or the files are of another store or a later version. Damage
    /// is no error: see [`DiskLog::end`] and [`LogStore::recovered`].
    pub fn open(home: LogHome, options: LogOptions) -> Result<Self, LogOpenError> {
        let mut log = Self::open_without_threads(home, options)?;
        type Loop = fn(&LogCore);
        let loops: [(&str, Loop); 2] =
            [("weald-log", LogCore::run_writer), ("weald-log-segments", LogCore::run_depot)];
        for (name, run) in loops {
            let core = Arc::clone(&log.core);
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(&core))?;
            log.threads.push(thread);
        }
        Ok(log)
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
        loop {
            let added = self.core.depot.work();
            if self.core.turn() != Turn::Wrote && !added {
                return;
            }
            if added {
                self.core.announce();
            }
        }
    }

    /// How the log ended when it was opened. [`LogEnd::Lost`] concerns every partition, those too
    /// that nothing is left of (only partition 0 is always reported); the log is then read-only.
    pub fn end(&self) -> LogEnd {
        self.core.end
    }

    /// The oldest segment that is still needed and who needs it; `None` when it is the one written.
    pub fn pinned(&self) -> Option<Pinned> {
        let catalog = self.core.catalog.read();
        let of = |known: &PartitionLog| known.first_segment();
        let segment = catalog.partitions.values().filter_map(of).min()?;
        if self.core.active_number() == Some(segment) {
            return None;
        }
        let partitions = catalog.partitions.iter().filter(|(_, known)| of(known) == Some(segment));
        Some(Pinned { segment, partitions: partitions.map(|(partition, _)| *partition).collect() })
    }

    /// Reads all files of the log again and reports every damaged byte: in batches, in their
    /// padding, in heads and feet, and where nothing was written yet.
    ///
    /// # Errors
    /// When a file cannot be read at all.
    pub fn verify(&self) -> Result<LogReport, LogError> {
        let core = &self.core;
        let (head, last_sealed) = match &core.writer {
            Some(writer) => {
                let writer = writer.lock();
                (writer.head(), writer.active_number() - 1)
            }
            None => (core.head_found, u64::MAX),
        };
        let mut report = verify::verify(core.disk.as_ref(), core.store, head..=last_sealed)?;
        if let Some(writer) = &core.writer {
            let writer = writer.lock();
            report.forget_below(writer.head());
            let rest = writer.active_number()..=u64::MAX;
            report.join(verify::verify(core.disk.as_ref(), core.store, rest)?);
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
        let read = read_stretches(partition, from, max_bytes, stretches);
        if read.is_err() {
            // The segment may have been released and used again meanwhile.
            lookup()?;
        }
        read
    }

    fn recovered(&self) -> BTreeMap<PartitionId, RecoveredPartition> {
        self.core.recovered.clone()
    }

    fn release(&self, partition: PartitionId, below: LogIndex) -> Result<(), LogError> {
        let core = &self.core;
        core.check_writable()?;
        let mut queue = core.queue.lock();
        core.admit(&queue, queue.footprint_with_release(), false)?;
        queue.push_release(partition, below);
        drop(queue);
        core.work.notify_one();
        Ok(())
    }
}
