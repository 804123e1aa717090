//! Handing over to a log that has gaps (rule C11).
//!
//! A replica whose log has gaps begins before the first of them and is fed from there. The log still
//! holds what lies beyond: where that is what the replica now has, it stays; from the first entry that
//! differs on, it is cut. One of a later epoch than the last that the log knows of differs from whatever was
//! there, also where that is missing: it never fills a gap, so that the log's end is always the greatest
//! of what was acknowledged.

use std::collections::VecDeque;

use weald_cluster::replica::LogEnd;
use weald_core::{
    Epoch, LogBatch, LogError, LogIndex, LogRecord, LogStore, PartitionId, SyncTicket,
};

/// Bytes read from the log at once, to be compared.
const PAGE_BYTES: usize = 256 * 1024;

/// What the log of a partition with gaps holds that its replica has not come up to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mending {
    /// The last entry that the log knows of, gaps or not, once all that was handed over is done.
    known_end: LogIndex,
    /// Nothing that the log holds, or has held, is of a later epoch.
    known_epoch: Epoch,
    /// The last entry that was handed over.
    handed: LogIndex,
}

impl Mending {
    /// Of a log whose last known entry is `known_end`.
    pub(super) fn new(known_end: LogEnd) -> Self {
        let LogEnd { index, epoch } = known_end;
        Self { known_end: index, known_epoch: epoch, handed: LogIndex::ZERO }
    }

    /// Hands one batch over. Entries at or below the known end are filled in where none is held;
    /// those beyond wait until none is missing. What was handed over leaves the batch.
    ///
    /// # Errors
    /// `Damaged` while entries before are missing; those of the log.
    pub(super) fn hand_over(
        &mut self,
        log: &dyn LogStore,
        batch: &mut LogBatch,
    ) -> Result<SyncTicket, LogError> {
        let is_plain = batch.restart_at.is_none() && batch.cut_from.is_none();
        let is_fill = batch.entries.first().is_some_and(|entry| entry.index <= self.known_end);
        if !is_plain || !is_fill {
            return self.submit(log, batch);
        }
        if let Some(state) = batch.state.take() {
            let partition = batch.partition;
            log.submit(LogBatch { partition, state: Some(state), ..LogBatch::default() })?;
        }
        let ticket = self.fill_in(log, batch)?;
        if batch.entries.is_empty() { Ok(ticket) } else { self.submit(log, batch) }
    }

    /// Whether the log has no gaps and holds nothing that the replica does not know of.
    pub(super) fn is_over(self, log: &dyn LogStore, partition: PartitionId) -> bool {
        self.handed >= self.known_end && log.missing(partition).is_empty()
    }

    fn submit(&mut self, log: &dyn LogStore, batch: &LogBatch) -> Result<SyncTicket, LogError> {
        let ticket = log.submit(batch.clone())?;
        let start = batch.restart_at.map(|base| base.index);
        let start = start.or(batch.cut_from.map(|from| LogIndex(from.0.saturating_sub(1))));
        if let Some(start) = start {
            (self.known_end, self.handed) = (start, start);
        }
        if let Some(last) = batch.entries.last() {
            (self.known_end, self.handed) = (last.index, last.index);
        }
        Ok(ticket)
    }

    /// Fills in the entries up to the known end, or up to one that differs from what the log holds;
    /// from there on the log is cut.
    fn fill_in(
        &mut self,
        log: &dyn LogStore,
        batch: &mut LogBatch,
    ) -> Result<SyncTicket, LogError> {
        let partition = batch.partition;
        let known = batch.entries.partition_point(|entry| entry.index <= self.known_end);
        let differing = differing(log, (partition, self.known_epoch), &batch.entries[..known])?;
        let same = differing.unwrap_or(known);
        let mut ticket = SyncTicket::default();
        if same > 0 {
            ticket = log.repair(partition, batch.entries[..same].to_vec())?;
            self.handed = batch.entries[same - 1].index;
            batch.entries.drain(..same);
        }
        if differing.is_some() {
            let from = batch.entries[0].index;
            tracing::info!(target: "weald::members", %partition, %from, "entries beyond the gaps are cut");
            let cut_from = Some(from);
            ticket = log.submit(LogBatch { partition, cut_from, ..LogBatch::default() })?;
            self.known_end = LogIndex(from.0 - 1);
        }
        Ok(ticket)
    }
}

/// The place of the first of `entries` where the log, all of which is of `known_epoch` or an earlier one,
/// holds or has held another one.
fn differing(
    log: &dyn LogStore,
    (partition, known_epoch): (PartitionId, Epoch),
    entries: &[LogRecord],
) -> Result<Option<usize>, LogError> {
    let missing = log.missing(partition);
    let is_held = |index| !missing.iter().any(|range| range.contains(&index));
    let mut held = VecDeque::<LogRecord>::new();
    for (place, entry) in entries.iter().enumerate() {
        if entry.epoch > known_epoch {
            return Ok(Some(place));
        }
        if !is_held(entry.index) {
            continue;
        }
        if held.front().is_none_or(|first| first.index != entry.index) {
            held = log.read(partition, entry.index, PAGE_BYTES)?.into();
        }
        if held.pop_front().as_ref() != Some(entry) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weald_core::{PartitionHealth, SeededEntropy, StoreId};
    use weald_storage::log::{DiskLog, LogHome, LogOptions, testing::SimDisk};

    use super::*;

    const P: PartitionId = PartitionId(0);
    const END: LogEnd = LogEnd { epoch: Epoch { number: 1, campaigner: None }, index: LogIndex(9) };

    fn open(disk: &SimDisk) -> DiskLog {
        let home = LogHome {
            disk: Arc::new(disk.clone()),
            store: StoreId([5; 16]),
            entropy: Box::new(SeededEntropy::new(disk.counts().writes)),
            notifier: Arc::new(|| {}),
        };
        let options = LogOptions { segment_bytes: 128 * 1024, ..LogOptions::default() };
        let log = DiskLog::open_without_threads(home, options).unwrap();
        log.run();
        log
    }

    fn entry(index: u64, number: u64) -> LogRecord {
        let epoch = Epoch { number, campaigner: None };
        let bytes = format!("entry {index} of epoch {number}").into_bytes().into();
        LogRecord { index: LogIndex(index), epoch, bytes }
    }

    fn of(entries: impl IntoIterator<Item = LogRecord>) -> LogBatch {
        let entries = entries.into_iter().collect();
        LogBatch { partition: P, entries, ..LogBatch::default() }
    }

    /// Entries 1 to 9 of epoch 1, of which 3 to 4 and 6 are missing.
    fn damaged(disk: &SimDisk) -> DiskLog {
        let log = open(disk);
        for index in 1..=9 {
            log.submit(of([entry(index, 1)])).unwrap();
            log.run();
        }
        drop(log);
        let name = "00000001.seg";
        disk.rot(name, 3 * 4096, 2 * 4096);
        disk.rot(name, 6 * 4096, 4096);
        let log = open(disk);
        let missing: Vec<_> = log.missing(P).iter().map(|r| (r.start().0, r.end().0)).collect();
        assert_eq!(missing, [(3, 4), (6, 6)]);
        log
    }

    /// Hands the batches over, as a desk does, and gives what the log holds after a restart.
    fn mended(batches: impl IntoIterator<Item = LogBatch>) -> Vec<LogRecord> {
        let disk = SimDisk::new(1);
        let log = damaged(&disk);
        let mut mending = Some(Mending::new(END));
        for mut batch in batches {
            for attempt in 0.. {
                assert!(attempt < 5, "it ends");
                let handed = match &mut mending {
                    Some(mending) => mending.hand_over(&log, &mut batch),
                    None => log.submit(batch.clone()),
                };
                log.run();
                mending.take_if(|mending| mending.is_over(&log, P));
                match handed {
                    Ok(_) => break,
                    Err(error) => assert!(matches!(error, LogError::Damaged(_)), "{error}"),
                }
            }
        }
        drop(log);
        let log = open(&disk);
        assert_eq!(log.recovered()[&P].health, PartitionHealth::Intact);
        log.read(P, LogIndex(1), 100_000).unwrap()
    }

    fn through(ends: &[(u64, u64)]) -> Vec<LogRecord> {
        let mut next = 1;
        let mut all = Vec::new();
        for (last, number) in ends {
            all.extend((next..=*last).map(|index| entry(index, *number)));
            next = last + 1;
        }
        all
    }

    #[test]
    fn c11_what_lies_beyond_gaps_stays_where_it_is_what_peers_hold() {
        let all = through(&[(9, 1), (12, 2)]);
        assert_eq!(mended([of(all[2..].to_vec())]), all);
        // One by one.
        assert_eq!(mended(all[2..].iter().cloned().map(|entry| of([entry]))), all);
    }

    #[test]
    fn c11_what_differs_beyond_a_gap_is_cut_and_replaced() {
        for same in 2..=9 {
            let all = through(&[(same, 1), (8.max(same), 2), (14, 3)]);
            assert_eq!(mended([of(all[2..].to_vec())]), all, "same={same}");
            let singly = all[2..].iter().cloned().map(|entry| of([entry]));
            assert_eq!(mended(singly), all, "same={same}");
        }
    }

    #[test]
    fn c11_a_log_that_is_being_mended_ends_with_the_latest_that_was_acknowledged() {
        let disk = SimDisk::new(1);
        let log = damaged(&disk);
        let mut mending = Mending::new(END);
        // 6 is missing, and what takes its place is of a later epoch.
        for entry in through(&[(5, 1), (6, 2)]).drain(2..) {
            let mut batch = of([entry]);
            while mending.hand_over(&log, &mut batch).is_err() {
                log.run();
            }
        }
        log.run();
        drop(log);
        let found = open(&disk).recovered()[&P].clone();
        assert_eq!((found.last, found.last_epoch.number), (LogIndex(6), 2));
    }

    #[test]
    fn c11_what_differs_after_the_gaps_are_filled_is_cut_too() {
        // The replica is whole again at 7, by an entry of a later epoch; what it never came up to is
        // replaced later.
        let all = through(&[(7, 1), (12, 2)]);
        let batches = [of(all[2..7].to_vec()), of(all[7..9].to_vec()), of(all[9..].to_vec())];
        assert_eq!(mended(batches), all);
    }

    #[test]
    fn c11_a_replica_that_cuts_what_it_filled_in_is_followed() {
        let first = through(&[(5, 1), (7, 2)]);
        let cut_from = Some(LogIndex(5));
        let second: Vec<_> = (5..=8).map(|index| entry(index, 3)).collect();
        let cut = LogBatch { cut_from, ..of(second.clone()) };
        let found = mended([of(first[2..].to_vec()), cut, of([entry(9, 3)])]);
        assert_eq!(found, [&first[..4], &second[..], &[entry(9, 3)]].concat());
    }
}
