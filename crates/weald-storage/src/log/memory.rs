//! A log that lives in memory: what is submitted is synced at once and gone with the process.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;
use weald_core::{
    LogBatch, LogError, LogIndex, LogRecord, LogStore, PartitionId, RecoveredPartition, SyncTicket,
    Synced, limits::ENTRY_BYTES_MAX,
};

use super::{tail::Page, writer::Notifier};

/// The log of an in-memory node.
pub struct MemoryLog {
    notifier: Notifier,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last_ticket: u64,
    partitions: BTreeMap<PartitionId, Held>,
}

struct Held {
    first: LogIndex,
    records: VecDeque<LogRecord>,
}

impl MemoryLog {
    /// An empty log that calls `notifier` after each submission.
    pub fn new(notifier: Notifier) -> Self {
        Self { notifier, inner: Mutex::default() }
    }
}

impl LogStore for MemoryLog {
    fn submit(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        let ticket = {
            let mut inner = self.inner.lock();
            inner.partitions.entry(batch.partition).or_default().append(batch)?;
            inner.last_ticket += 1;
            SyncTicket(inner.last_ticket)
        };
        (self.notifier)();
        Ok(ticket)
    }

    fn poll_synced(&self) -> Synced {
        Synced::UpTo(SyncTicket(self.inner.lock().last_ticket))
    }

    fn read(
        &self,
        partition: PartitionId,
        from: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        let inner = self.inner.lock();
        let first = inner.partitions.get(&partition).map_or(LogIndex(1), |held| held.first);
        if from < first {
            return Err(LogError::NotHeld { partition, index: from });
        }
        let skipped = usize::try_from(from.0 - first.0).unwrap_or(usize::MAX);
        let records = inner.partitions.get(&partition).into_iter().flat_map(|held| &held.records);
        let mut page = Page::new(max_bytes);
        records.skip(skipped).take_while(|record| page.push((*record).clone())).count();
        Ok(page.records)
    }

    fn recovered(&self) -> BTreeMap<PartitionId, RecoveredPartition> {
        BTreeMap::new()
    }

    fn release(&self, partition: PartitionId, below: LogIndex) -> Result<(), LogError> {
        let mut inner = self.inner.lock();
        let held = inner.partitions.entry(partition).or_default();
        let gone = held.records.partition_point(|record| record.index < below);
        held.records.drain(..gone);
        held.first = held.first.max(below);
        Ok(())
    }
}

impl Default for Held {
    fn default() -> Self {
        Self { first: LogIndex(1), records: VecDeque::new() }
    }
}

impl Held {
    fn append(&mut self, batch: LogBatch) -> Result<(), LogError> {
        let partition = batch.partition;
        let cut_from = batch.cut_from.unwrap_or(LogIndex(u64::MAX));
        if cut_from < self.first {
            return Err(LogError::NotHeld { partition, index: cut_from });
        }
        let kept = self.records.partition_point(|record| record.index < cut_from);
        let next = self.first.0 + kept as u64;
        for (entry, expected) in batch.entries.iter().zip(next..) {
            if entry.index.0 != expected {
                let expected = LogIndex(expected);
                return Err(LogError::NotContiguous { partition, expected, found: entry.index });
            }
        }
        let bytes = batch.entries.iter().map(|entry| entry.bytes.len()).sum();
        if bytes > ENTRY_BYTES_MAX {
            return Err(LogError::TooLarge { bytes, max: ENTRY_BYTES_MAX });
        }
        self.records.truncate(kept);
        self.records.extend(batch.entries);
        Ok(())
    }
}
