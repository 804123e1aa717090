//! The threads that wait for disks, so that the loop never does. One reads, one writes.

use std::{
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use weald_cluster::{
    configuration::Member,
    partition::Partition,
    replica::{LogEntry, SnapshotMeta},
};
use weald_core::{
    BlockId, Fault, LogIndex, LogStore, PartitionId, PeerId, Refusal, Reply, StateError, StateView,
    Transport,
};
use weald_storage::state::{PartitionStore, StateInstall};

use super::{
    desk::release_below,
    event::Event,
    letterbox::Letterbox,
    snapshot::{self, Exports, PageAnswer},
    stores::Stores,
};
use crate::upkeep;

/// What a clerk is asked. There is at most one of each kind under way for a partition, or for a
/// member that is fed.
pub(super) enum Job {
    /// Read entries for a member that lags.
    Fetch { partition: PartitionId, to: Member, from: LogIndex, max_bytes: usize },
    /// Bring blocks into memory, for a view that an entry is to be applied on.
    Load { partition: PartitionId, view: Arc<dyn StateView>, ids: Vec<BlockId> },
    /// Write a checkpoint.
    Checkpoint { partition: PartitionId, store: Arc<PartitionStore>, upto: LogIndex },
    /// Read entries that are to be applied and are not in memory.
    Recall { partition: PartitionId, from: LogIndex },
    /// Fetch a state from a peer that covers at least an index.
    Install { partition: PartitionId, from: PeerId, at_least: LogIndex },
    /// Put a fetched state in the place of the one in the store.
    Switch { partition: PartitionId, old: Arc<PartitionStore>, install: Box<StateInstall> },
    /// Answer a peer that asks for the first page of a state.
    Open { asker: PeerId, store: Arc<PartitionStore>, meta: Box<SnapshotMeta>, reply: Reply },
    /// Answer a peer that asks for another page: session and number.
    Page { asker: PeerId, page: (u64, u64), reply: Reply },
    /// Let go of a log below what a checkpoint covers, but for some entries.
    Release { partition: PartitionId, covered: LogIndex, kept: u64 },
}

/// What a clerk has done.
pub(super) enum Report {
    /// Entries for a member that lags; none if the log does not hold the first.
    Fetched { partition: PartitionId, to: Member, entries: Vec<LogEntry> },
    /// The blocks are in memory, or cannot be.
    Loaded { partition: PartitionId, view: Arc<dyn StateView>, loaded: Result<(), Fault> },
    /// A checkpoint has ended; it covers this index.
    Checkpointed { partition: PartitionId, covered: Result<LogIndex, StateError> },
    /// Entries to be applied; none if the log does not hold the first.
    Recalled { partition: PartitionId, entries: Vec<LogEntry> },
    /// A state has come, or could not be had.
    StateFetched { partition: PartitionId, fetched: Option<Box<(SnapshotMeta, StateInstall)>> },
    /// A state has taken the place of another, or could not.
    Switched { partition: PartitionId, switched: Result<Box<Switched>, StateError> },
}

/// A state that has taken the place of another: its store, and the state machine on it.
pub(super) type Switched = (Arc<PartitionStore>, Partition);

/// Bytes of entries that are read at once to be applied.
const RECALL_BYTES: usize = 1 << 20;

/// A thread that waits for a disk. Dropping this ends it.
#[derive(Debug)]
pub(super) struct Clerk {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What a clerk works with.
#[derive(Clone)]
pub(super) struct Desks {
    pub(super) log: Arc<dyn LogStore>,
    pub(super) letterbox: Arc<Letterbox>,
    pub(super) network: Arc<dyn Transport>,
    pub(super) stores: Stores,
}

struct Work {
    desks: Desks,
    exports: Exports,
}

impl Clerk {
    pub(super) fn spawn(name: &str, desks: Desks) -> io::Result<Self> {
        let (jobs, asked) = mpsc::channel();
        let mut work = Work { desks, exports: Exports::default() };
        let thread =
            thread::Builder::new().name(name.to_owned()).spawn(move || work.run(&asked))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Asks for something; the answer is an [`Event::Report`].
    pub(super) fn ask(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("a clerk has its channel until it is dropped");
        // A clerk that has panicked answers nothing more, as a disk that hangs.
        jobs.send(job).ok();
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Work {
    fn run(&mut self, asked: &mpsc::Receiver<Job>) {
        while let Ok(job) = asked.recv() {
            if let Some(report) = self.carry_out(job) {
                self.desks.letterbox.push(Event::Report(report));
            }
        }
    }

    fn carry_out(&mut self, job: Job) -> Option<Report> {
        match job {
            Job::Fetch { partition, to, from, max_bytes } => {
                let entries = self.fetch(partition, from, max_bytes);
                Some(Report::Fetched { partition, to, entries })
            }
            Job::Load { partition, view, ids } => {
                let loaded = view.load(&ids);
                Some(Report::Loaded { partition, view, loaded })
            }
            Job::Checkpoint { partition, store, upto } => {
                Some(Report::Checkpointed { partition, covered: upkeep::checkpoint(&*store, upto) })
            }
            Job::Recall { partition, from } => {
                let entries = self.fetch(partition, from, RECALL_BYTES);
                Some(Report::Recalled { partition, entries })
            }
            Job::Install { partition, from, at_least } => {
                let fetched = self.fetch_state(partition, from, at_least).map(Box::new);
                Some(Report::StateFetched { partition, fetched })
            }
            Job::Switch { partition, old, install } => {
                let switched = self.desks.stores.switch(&old, *install).map(Box::new);
                Some(Report::Switched { partition, switched })
            }
            Job::Open { asker, store, meta, reply } => {
                let opened = store.export().and_then(|e| self.exports.open(asker, *meta, e));
                answer(reply, opened);
                None
            }
            Job::Page { asker, page, reply } => {
                answer(reply, self.exports.page(asker, page));
                None
            }
            Job::Release { partition, covered, kept } => {
                let below = release_below(covered, kept);
                upkeep::release(&*self.desks.log, partition, below);
                None
            }
        }
    }

    fn fetch(&self, partition: PartitionId, from: LogIndex, max_bytes: usize) -> Vec<LogEntry> {
        read_entries(&*self.desks.log, partition, from, max_bytes).unwrap_or_else(|error| {
            tracing::debug!(target: "weald::storage", %partition, %from, %error, "cannot feed a member");
            Vec::new()
        })
    }

    fn fetch_state(
        &self,
        partition: PartitionId,
        from: PeerId,
        at_least: LogIndex,
    ) -> Option<(SnapshotMeta, StateInstall)> {
        let fetched = snapshot::fetch(&*self.desks.network, from, (partition, at_least));
        let log = |error: &snapshot::FetchError| {
            tracing::info!(target: "weald::members", %partition, %from, %error, "no state was fetched");
        };
        fetched.inspect_err(log).ok()
    }
}

fn answer(reply: Reply, page: Result<PageAnswer, StateError>) {
    reply.send(match page {
        Ok(page) => Ok(page.encode()),
        Err(error) => Err(Refusal::Failed(error.to_string())),
    });
}

/// Entries from `from` on, as many as fit `max_bytes` but at least one if there is one.
///
/// # Errors
/// When the log does not hold them, or what it holds does not parse.
pub(super) fn read_entries(
    log: &dyn LogStore,
    partition: PartitionId,
    from: LogIndex,
    max_bytes: usize,
) -> Result<Vec<LogEntry>, String> {
    let records = log.read(partition, from, max_bytes).map_err(|error| error.to_string())?;
    let parse = |record: weald_core::LogRecord| {
        LogEntry::parse(record.index, record.epoch, record.bytes)
            .map_err(|error| format!("an entry does not parse: index={} {error}", record.index))
    };
    records.into_iter().map(parse).collect()
}
