//! Forced recovery of members that do not run: what is left of them on the disk, and how one of
//! them begins a new generation (rule C16).

use std::{
    thread,
    time::{Duration, Instant},
};

use weald_cluster::{
    recovery::{Authority, Recovery, RecoveryError, Remains},
    replica::{Health, LogEntry, Point, Stored},
};
use weald_core::{Digest, LogBatch, LogError, LogIndex, LogRecord, LogStore, PartitionId, Synced};

use super::{
    StartError,
    desk::{Kept, log_point, release_below},
    opening::{Begun, found},
};

/// How often is looked whether what was handed to the log is durable.
const SYNC_PAUSE: Duration = Duration::from_millis(1);

/// Bytes of entries that are written together, at most, so that the smallest log takes them; at least
/// one entry: 256 KiB.
const PAGE_BYTES: usize = 256 << 10;
/// How long the log may be busy.
const BUSY_MAX: Duration = Duration::from_secs(30);

/// What is left of one member.
pub(crate) struct Left {
    partition: PartitionId,
    begun: Begun,
}

/// Why a member did not begin a new generation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    /// The recovery is not to be believed here.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The log does not take it.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What is left of every member that `log` knows. `applied` gives what a partition's state has
/// applied.
///
/// # Errors
/// When a state cannot be read, or a record of the log does not parse.
pub(crate) fn left(
    log: &dyn LogStore,
    applied: impl Fn(PartitionId) -> Result<LogIndex, String>,
) -> Result<Vec<Left>, StartError> {
    let mut all = Vec::new();
    for (partition, recovered) in log.recovered() {
        let Some(state) = &recovered.state else { continue };
        let kept = Kept::decode(state)
            .map_err(|error| StartError::Damaged(format!("partition={partition} {error}")))?;
        let applied = applied(partition).map_err(StartError::Damaged)?;
        let mut begun = found(log, (partition, &recovered), kept, applied);
        if begun.log.0.index < applied && begun.log.1.is_empty() {
            begun.log.0 = state_point(partition, &begun.kept.stored, applied);
        }
        all.push(Left { partition, begun });
    }
    Ok(all)
}

impl Left {
    /// The partition.
    pub(crate) fn partition(&self) -> PartitionId {
        self.partition
    }

    /// What a recovery is planned from.
    ///
    /// # Errors
    /// When the end of the log or the promises of the member are lost, unless the loss is accepted.
    pub(crate) fn remains(&self, accepts_loss: bool) -> Result<Remains, RecoveryError> {
        if self.begun.health == Health::Amnesiac && !accepts_loss {
            return Err(RecoveryError::Lossy);
        }
        let (before, entries) = &self.begun.log;
        Ok(Remains::new(self.begun.kept.stored.clone(), (*before, entries), self.begun.health))
    }

    /// Begins the generation of `recovery`, durably. Until that is so, nothing has changed, except where
    /// a log that has lost its end is written anew: what comes of an interruption is amnesiac then.
    ///
    /// # Errors
    /// See [`BeginError`].
    pub(crate) fn begin(
        &self,
        log: &dyn LogStore,
        authority: &Authority,
        recovery: Recovery,
    ) -> Result<(), BeginError> {
        let stored = self.begun.kept.stored.recovered((authority, self.partition), recovery)?;
        match (self.begun.health, self.begun.restarts) {
            (Health::Whole, false) => write(log, &self.state(Kept::whole(stored))),
            (Health::Damaged { .. }, false) => self.begin_before_gap(log, stored),
            _ => self.begin_anew(log, stored),
        }
    }

    /// The log goes on behind what is readable. What is missing before the state is wanted no more, and
    /// all from the first gap on is cut as the generation begins: there is nothing between the two.
    fn begin_before_gap(&self, log: &dyn LogStore, stored: Stored) -> Result<(), BeginError> {
        let (before, _) = &self.begun.log;
        let below = release_below(before.index, 0);
        patiently(|| log.release(self.partition, below))?;
        let cut_from = Some(self.end().next());
        write(log, &LogBatch { cut_from, ..self.state(Kept::whole(stored)) })
    }

    /// The log begins anew: what is readable of it is written again. Until all of that is durable the
    /// member has lost what it promised, and knows up to where there was more.
    fn begin_anew(&self, log: &dyn LogStore, mut stored: Stored) -> Result<(), BeginError> {
        let (before, entries) = &self.begun.log;
        stored.base = *before;
        let whole = self.state(Kept::whole(stored));
        let restart_at = Some(log_point(*before));
        if entries.is_empty() {
            return write(log, &LogBatch { restart_at, ..whole });
        }
        let mut lost = Kept { is_lost: true, ..Kept::whole(self.begun.kept.stored.clone()) };
        lost.stored.base = *before;
        lost.stored.watermark = lost.stored.watermark.max(self.end());
        let mut head = LogBatch { restart_at, ..self.state(lost) };
        for entries in pages(entries) {
            write(log, &LogBatch { entries, is_urgent: true, ..head })?;
            head = LogBatch { partition: self.partition, ..LogBatch::default() };
        }
        // A batch may come apart, its state first: this one holds nothing else.
        write(log, &whole)
    }

    /// The end of what is readable.
    fn end(&self) -> LogIndex {
        let (before, entries) = &self.begun.log;
        entries.last().map_or(before.index, LogEntry::index)
    }

    fn state(&self, kept: Kept) -> LogBatch {
        let (partition, state) = (self.partition, Some(kept.encode()));
        LogBatch { partition, state, ..LogBatch::default() }
    }
}

/// Where a log goes on of which nothing reaches the state at `applied`: no other log has this point.
fn state_point(partition: PartitionId, stored: &Stored, applied: LogIndex) -> Point {
    let stored_bytes = stored.encode();
    let parts: [&[u8]; 3] = [&partition.0.to_be_bytes(), &applied.0.to_be_bytes(), &stored_bytes];
    let hash = Digest::of("weald state without a log", &parts);
    Point { index: applied, epoch: stored.promised, hash }
}

/// Entries in pages that the log takes.
fn pages(entries: &[LogEntry]) -> Vec<Vec<LogRecord>> {
    let mut pages = vec![Vec::new()];
    let mut bytes = 0;
    for record in entries.iter().map(LogEntry::record) {
        bytes += record.bytes.len();
        if bytes > PAGE_BYTES && pages.last().is_some_and(|page| !page.is_empty()) {
            pages.push(Vec::new());
            bytes = record.bytes.len();
        }
        pages.last_mut().expect("there is one at least").push(record);
    }
    pages
}

/// Writes a batch and waits until it is durable; one that restarts begins a new life, whatever the log
/// lacks.
fn write(log: &dyn LogStore, batch: &LogBatch) -> Result<(), BeginError> {
    let ticket = patiently(|| match batch.restart_at {
        Some(_) => log.begin_anew(batch.clone()),
        None => log.submit(batch.clone()),
    })?;
    loop {
        match log.poll_synced() {
            Synced::UpTo(synced) | Synced::Failed(synced) if synced >= ticket => return Ok(()),
            Synced::Failed(_) => {
                return Err(LogError::SyncFailed("at a forced recovery".to_owned()).into());
            }
            Synced::UpTo(_) => thread::sleep(SYNC_PAUSE),
        }
    }
}

/// Asks the log for something until it has room for it.
fn patiently<T>(mut ask: impl FnMut() -> Result<T, LogError>) -> Result<T, LogError> {
    let until = Instant::now() + BUSY_MAX;
    loop {
        match ask() {
            Err(error) if error.is_retryable() && Instant::now() < until => {
                thread::sleep(SYNC_PAUSE);
            }
            answer => return answer,
        }
    }
}
