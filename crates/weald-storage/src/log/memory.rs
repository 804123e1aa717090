//! A log that lives in memory: what is submitted is synced at once and gone with the process.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;
use weald_core::{
    LogBatch, LogError, LogIndex, LogPoint, LogRecord, LogStore, PartitionHealth, PartitionId,
    PartitionStatus, RecoveredPartition, SyncTicket, Synced, limits::ENTRY_BYTES_MAX,
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

#[derive(Default)]
struct Held {
    /// The point before the first record.
    base: LogPoint,
    synced: SyncTicket,
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
            let ticket = SyncTicket(inner.last_ticket + 1);
            let held = inner.partitions.entry(batch.partition).or_default();
            held.append(batch)?;
            held.synced = ticket;
            inner.last_ticket = ticket.0;
            ticket
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
        let first = inner.partitions.get(&partition).map_or(LogIndex(1), Held::first);
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
        held.release(below);
        Ok(())
    }

    fn status(&self, partition: PartitionId) -> Option<PartitionStatus> {
        let inner = self.inner.lock();
        let held = inner.partitions.get(&partition)?;
        let Held { base, synced, .. } = *held;
        let last = held.last();
        Some(PartitionStatus { health: PartitionHealth::Intact, base, last, synced })
    }

    fn repair(
        &self,
        partition: PartitionId,
        entries: Vec<LogRecord>,
    ) -> Result<SyncTicket, LogError> {
        let inner = self.inner.lock();
        let range = inner
            .partitions
            .get(&partition)
            .map_or(LogIndex(1)..=LogIndex::ZERO, |held| held.first()..=held.last().index);
        match entries.iter().find(|entry| !range.contains(&entry.index)) {
            Some(outside) => Err(LogError::NotHeld { partition, index: outside.index }),
            None => Ok(SyncTicket(inner.last_ticket)),
        }
    }

    fn begin_anew(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        self.inner.lock().partitions.remove(&batch.partition);
        self.submit(batch)
    }
}

impl Held {
    fn first(&self) -> LogIndex {
        self.base.index.next()
    }

    fn last(&self) -> LogPoint {
        self.records.back().map_or(self.base, point)
    }

    fn append(&mut self, batch: LogBatch) -> Result<(), LogError> {
        let partition = batch.partition;
        let base = batch.restart_at.unwrap_or(self.base);
        if base.index < self.base.index {
            return Err(LogError::NotHeld { partition, index: base.index });
        }
        let cut_from = batch.cut_from.unwrap_or(LogIndex(u64::MAX));
        if cut_from <= base.index {
            return Err(LogError::NotHeld { partition, index: cut_from });
        }
        let kept = match batch.restart_at {
            Some(_) => 0,
            None => self.records.partition_point(|record| record.index < cut_from),
        };
        let next = base.index.0 + 1 + kept as u64;
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
        self.base = base;
        self.records.truncate(kept);
        self.records.extend(batch.entries);
        Ok(())
    }

    fn release(&mut self, below: LogIndex) {
        if below < self.first() {
            return;
        }
        let gone = self.records.partition_point(|record| record.index < below);
        let before = LogIndex(below.0 - 1);
        let released = self.records.drain(..gone).last();
        self.base = match released.filter(|record| record.index == before) {
            Some(record) => point(&record),
            None => LogPoint { index: before, ..LogPoint::default() },
        };
    }
}

fn point(record: &LogRecord) -> LogPoint {
    LogPoint { index: record.index, epoch: record.epoch }
}
