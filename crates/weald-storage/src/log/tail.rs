//! The latest durable entries, kept in memory within a byte budget: what replication and apply read
//! is nearly always here.

use std::collections::{BTreeMap, VecDeque};

use weald_core::{LogIndex, LogRecord, PartitionId};

/// What an entry costs beside its bytes.
const RECORD_OVERHEAD: usize = 120;

#[derive(Debug)]
pub(crate) struct TailCache {
    bytes_max: usize,
    bytes: usize,
    partitions: BTreeMap<PartitionId, VecDeque<LogRecord>>,
    oldest_first: VecDeque<PartitionId>,
}

impl TailCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, partitions: BTreeMap::new(), oldest_first: VecDeque::new() }
    }

    /// Adds the entry after the partition's last; a gap empties the partition's cache first.
    pub(crate) fn push(&mut self, partition: PartitionId, record: LogRecord) {
        let records = self.partitions.entry(partition).or_default();
        if records.back().is_some_and(|back| back.index.0 + 1 != record.index.0) {
            self.bytes -= records.drain(..).map(|record| cost(&record)).sum::<usize>();
        }
        self.bytes += cost(&record);
        records.push_back(record);
        self.oldest_first.push_back(partition);
        while self.bytes > self.bytes_max
            || self.oldest_first.len() > self.bytes_max / RECORD_OVERHEAD
        {
            let Some(partition) = self.oldest_first.pop_front() else { return };
            let oldest = self.partitions.get_mut(&partition).and_then(VecDeque::pop_front);
            self.bytes -= oldest.map_or(0, |record| cost(&record));
        }
    }

    /// Forgets entries from `from` on.
    pub(crate) fn cut(&mut self, partition: PartitionId, from: LogIndex) {
        let Some(records) = self.partitions.get_mut(&partition) else { return };
        let kept = records.partition_point(|record| record.index < from);
        self.bytes -= records.drain(kept..).map(|record| cost(&record)).sum::<usize>();
    }

    /// Forgets entries below `below`.
    pub(crate) fn release(&mut self, partition: PartitionId, below: LogIndex) {
        let Some(records) = self.partitions.get_mut(&partition) else { return };
        let gone = records.partition_point(|record| record.index < below);
        self.bytes -= records.drain(..gone).map(|record| cost(&record)).sum::<usize>();
    }

    /// Entries from `from` on within `bytes_max`, at least one; `None` when `from` is not cached.
    pub(crate) fn read(
        &self,
        partition: PartitionId,
        from: LogIndex,
        bytes_max: usize,
    ) -> Option<Vec<LogRecord>> {
        let records = self.partitions.get(&partition)?;
        let skipped = usize::try_from(from.0.checked_sub(records.front()?.index.0)?).ok()?;
        let mut page = Page::new(bytes_max);
        records.iter().skip(skipped).take_while(|record| page.push((*record).clone())).count();
        Some(page.records).filter(|records| !records.is_empty())
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn cost(record: &LogRecord) -> usize {
    record.bytes.len() + RECORD_OVERHEAD
}

/// Entries gathered for an answer of bounded size.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) records: Vec<LogRecord>,
    room: usize,
}

impl Page {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { records: Vec::new(), room: bytes_max }
    }

    /// Adds `record` unless the page is full; the first always fits.
    pub(crate) fn push(&mut self, record: LogRecord) -> bool {
        let bytes = record.bytes.len();
        if bytes > self.room && !self.records.is_empty() {
            return false;
        }
        self.room = self.room.saturating_sub(bytes);
        self.records.push(record);
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weald_core::Epoch;

    use super::*;

    const P: PartitionId = PartitionId(0);

    fn record(index: u64) -> LogRecord {
        LogRecord {
            index: LogIndex(index),
            epoch: Epoch::default(),
            bytes: Bytes::from(vec![0; 80]),
        }
    }

    fn indexes(records: Option<Vec<LogRecord>>) -> Vec<u64> {
        records.unwrap_or_default().iter().map(|record| record.index.0).collect()
    }

    #[test]
    fn the_oldest_leave_when_the_budget_is_met() {
        let mut cache = TailCache::new(1000);
        (1..=20).for_each(|index| cache.push(P, record(index)));
        assert_eq!(cache.bytes(), 1000);
        assert_eq!(indexes(cache.read(P, LogIndex(16), 10_000)), [16, 17, 18, 19, 20]);
        assert_eq!(cache.read(P, LogIndex(15), 10_000), None);
        assert_eq!(cache.read(P, LogIndex(21), 10_000), None);
    }

    #[test]
    fn cuts_and_releases_are_forgotten() {
        let mut cache = TailCache::new(100_000);
        (1..=9).for_each(|index| cache.push(P, record(index)));
        cache.cut(P, LogIndex(8));
        cache.release(P, LogIndex(3));
        assert_eq!(indexes(cache.read(P, LogIndex(3), 100_000)), [3, 4, 5, 6, 7]);
        assert_eq!(cache.read(P, LogIndex(2), 100_000), None);
        cache.push(P, record(20));
        assert_eq!(cache.read(P, LogIndex(7), 100_000), None);
        assert_eq!(cache.bytes(), 200);
    }

    #[test]
    fn a_page_holds_at_least_one_and_no_more_than_fits() {
        let mut cache = TailCache::new(100_000);
        (1..=9).for_each(|index| cache.push(P, record(index)));
        assert_eq!(indexes(cache.read(P, LogIndex(2), 10)), [2]);
        assert_eq!(indexes(cache.read(P, LogIndex(2), 170)), [2, 3]);
    }
}
