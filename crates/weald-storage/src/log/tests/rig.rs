//! What the tests share: a log on a simulated disk without threads, and makers of batches.

use std::sync::Arc;

use bytes::Bytes;
use weald_core::{
    Epoch, LogBatch, LogError, LogIndex, LogRecord, LogStore, PartitionHealth, PartitionId,
    SeededEntropy, StoreId, SyncTicket, Synced,
};

use crate::log::{DiskLog, LogHome, LogOpenError, LogOptions, testing::SimDisk};

pub(super) const STORE: StoreId = StoreId([5; 16]);
pub(super) const P0: PartitionId = PartitionId(0);
pub(super) const P1: PartitionId = PartitionId(1);

/// Small segments: 128 KiB, batches of at most 16 KiB.
pub(super) fn small() -> LogOptions {
    LogOptions { segment_bytes: 128 * 1024, cache_bytes: 0, ..LogOptions::default() }
}

pub(super) fn home(disk: &SimDisk, salt: u64) -> LogHome {
    LogHome {
        disk: Arc::new(disk.clone()),
        store: STORE,
        entropy: Box::new(SeededEntropy::new(salt)),
        notifier: Arc::new(|| {}),
    }
}

pub(super) fn try_open(disk: &SimDisk, options: LogOptions) -> Result<DiskLog, LogOpenError> {
    let salt = disk.counts().writes;
    let log = DiskLog::open_without_threads(home(disk, salt), options)?;
    log.run();
    Ok(log)
}

pub(super) fn open(disk: &SimDisk) -> DiskLog {
    try_open(disk, small()).unwrap()
}

pub(super) fn epoch(number: u64) -> Epoch {
    Epoch { number, campaigner: None }
}

/// An entry whose bytes say which it is.
pub(super) fn entry(index: u64, number: u64, size: usize) -> LogRecord {
    let mut bytes = format!("entry {index} of epoch {number};").into_bytes();
    bytes.resize(size.max(bytes.len()), u8::try_from(index % 251).unwrap());
    LogRecord { index: LogIndex(index), epoch: epoch(number), bytes: Bytes::from(bytes) }
}

pub(super) fn entries(
    partition: PartitionId,
    indexes: impl IntoIterator<Item = u64>,
    size: usize,
) -> LogBatch {
    let entries = indexes.into_iter().map(|index| entry(index, 1, size)).collect();
    LogBatch { partition, entries, ..LogBatch::default() }
}

pub(super) fn state(partition: PartitionId, text: &str) -> LogBatch {
    let state = Some(Bytes::copy_from_slice(text.as_bytes()));
    LogBatch { partition, state, ..LogBatch::default() }
}

/// Submits and syncs one batch.
pub(super) fn write(log: &DiskLog, batch: LogBatch) {
    try_write(log, batch).unwrap();
}

pub(super) fn try_write(log: &DiskLog, batch: LogBatch) -> Result<SyncTicket, LogError> {
    let submitted = match log.submit(batch.clone()) {
        // Busy or full: what waits is written first.
        Err(error) if error.is_retryable() => {
            log.run();
            log.submit(batch)
        }
        submitted => submitted,
    };
    let ticket = submitted?;
    log.run();
    match log.poll_synced() {
        Synced::UpTo(synced) => assert!(synced >= ticket, "{synced:?} {ticket:?}"),
        Synced::Failed(_) => return Err(LogError::SyncFailed(String::new())),
    }
    Ok(ticket)
}

/// All entries from `from` on.
pub(super) fn read_all(log: &dyn LogStore, partition: PartitionId, from: u64) -> Vec<LogRecord> {
    let mut all = Vec::new();
    let mut next = LogIndex(from);
    loop {
        let page = log.read(partition, next, 10_000).unwrap();
        let Some(last) = page.last() else { return all };
        next = last.index.next();
        all.extend(page);
    }
}

/// What is missing of a partition, as plain numbers.
pub(super) fn missing(log: &dyn LogStore, partition: PartitionId) -> Vec<(u64, u64)> {
    let missing = log.missing(partition).into_iter();
    missing.map(|range| (range.start().0, range.end().0)).collect()
}

/// Health as it is now.
pub(super) fn health_now(log: &dyn LogStore, partition: PartitionId) -> PartitionHealth {
    log.status(partition).unwrap().health
}

/// Repairs and syncs.
pub(super) fn repair(log: &DiskLog, partition: PartitionId, entries: Vec<LogRecord>) {
    let ticket = log.repair(partition, entries).unwrap();
    log.run();
    assert!(log.status(partition).unwrap().synced >= ticket);
}

/// Reproducible choices.
pub(super) struct Choices(pub(super) u64);

impl Choices {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Where the `number`-th batch of one sector is in the first segment, counting from 1.
pub(super) fn batch_offset(number: usize) -> usize {
    number * 4096
}

/// The first segment's name.
pub(super) fn first(disk: &SimDisk) -> String {
    segment_names(disk).remove(0)
}

pub(super) fn health(log: &DiskLog, partition: PartitionId) -> PartitionHealth {
    log.recovered()[&partition].health
}

pub(super) fn segment_names(disk: &SimDisk) -> Vec<String> {
    use crate::log::Disk;
    let mut names = disk.list().unwrap();
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    names
}
