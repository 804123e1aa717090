//! Power cuts at any point of any schedule: what was acknowledged is there, what is there was
//! submitted, in order, and nothing old comes back.

use std::collections::BTreeMap;

use bytes::Bytes;
use weald_core::{
    LogBatch, LogIndex, LogPoint, LogRecord, LogStore, PartitionHealth, PartitionId, SyncTicket,
    Synced,
};

use super::rig::{
    Choices, P0, P1, STORE, entries, entry, health, open, read_all, small, state, try_open, write,
};
use crate::log::{
    DiskLog, LogEnd,
    testing::{PowerCut, SimDisk},
};

/// A partition as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Model {
    first: u64,
    entries: Vec<LogRecord>,
    state: Option<Bytes>,
}

/// Everything a partition has been, record by record.
struct History {
    models: Vec<Model>,
    /// The ticket of a batch and how many models there were after it.
    tickets: Vec<(SyncTicket, usize)>,
}

impl Model {
    fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn restart(&mut self, at: Option<LogPoint>) {
        let Some(base) = at else { return };
        self.first = base.index.0 + 1;
        self.entries.clear();
    }
}

impl History {
    fn new() -> Self {
        let model = Model { first: 1, entries: Vec::new(), state: None };
        Self { models: vec![model], tickets: Vec::new() }
    }

    fn now(&self) -> &Model {
        self.models.last().unwrap()
    }

    fn change(&mut self, change: impl FnOnce(&mut Model)) {
        let mut model = self.now().clone();
        change(&mut model);
        self.models.push(model);
    }

    /// A batch that fits one sync takes effect as a whole; of a larger one what stands before the
    /// entries does, then entry by entry.
    fn submitted(&mut self, batch: LogBatch, ticket: SyncTicket) {
        let sizes = batch.entries.iter().map(|entry| entry.bytes.len() + 55);
        let is_whole = sizes.sum::<usize>() + batch.state.as_ref().map_or(0, Bytes::len) < 15_000;
        let has_head =
            batch.restart_at.is_some() || batch.cut_from.is_some() || batch.state.is_some();
        let LogBatch { restart_at, cut_from, state, mut entries, .. } = batch;
        let whole = if is_whole { std::mem::take(&mut entries) } else { Vec::new() };
        if has_head || is_whole {
            self.change(|model| {
                model.restart(restart_at);
                model.entries.retain(|entry| cut_from.is_none_or(|from| entry.index < from));
                model.state = state.or(model.state.take());
                model.entries.extend(whole);
            });
        }
        for entry in entries {
            self.change(|model| model.entries.push(entry));
        }
        self.tickets.push((ticket, self.models.len()));
    }

    fn released(&mut self, below: u64) {
        self.change(|model| {
            if below > model.first {
                model.entries.retain(|entry| entry.index.0 >= below);
                model.first = below;
            }
        });
    }

    /// Checks that what was recovered is a state at or after the last acknowledged one, and goes on
    /// from it.
    fn recovered(&mut self, log: &DiskLog, partition: PartitionId, acked: SyncTicket, seed: u64) {
        let Some(found) = log.recovered().get(&partition).cloned() else {
            let acked = self.tickets.iter().any(|(ticket, _)| *ticket <= acked);
            assert!(!acked, "a partition is gone, seed={seed}");
            *self = Self::new();
            return;
        };
        assert!(
            matches!(found.health, PartitionHealth::Intact | PartitionHealth::Torn),
            "{found:?} seed={seed}"
        );
        let entries = read_all(log, partition, found.first.0);
        assert_eq!(found.last.0 + 1, found.first.0 + entries.len() as u64, "seed={seed}");
        let model = Model { first: found.first.0, entries, state: found.state };
        let acked =
            self.tickets.iter().filter(|(ticket, _)| *ticket <= acked).map(|(_, at)| *at - 1);
        let allowed = &self.models[acked.max().unwrap_or(0)..];
        assert!(allowed.contains(&model), "seed={seed} found={model:#?} allowed={allowed:#?}");
        *self = Self { models: vec![model], tickets: Vec::new() };
    }
}

struct Run {
    choices: Choices,
    histories: BTreeMap<PartitionId, History>,
    seed: u64,
}

impl Run {
    fn random_batch(&mut self, partition: PartitionId) -> LogBatch {
        let model = self.histories[&partition].now().clone();
        let choices = &mut self.choices;
        let mut batch = LogBatch { partition, ..LogBatch::default() };
        let mut next = model.next();
        if choices.below(5) == 0 && !model.entries.is_empty() {
            next -= choices.below(model.entries.len() as u64 + 1);
            batch.cut_from = Some(LogIndex(next));
        } else if choices.below(12) == 0 {
            let index = LogIndex(next - 1 + choices.below(30));
            batch.restart_at = Some(LogPoint { index, epoch: super::rig::epoch(choices.below(9)) });
            next = index.0 + 1;
        }
        if choices.below(3) == 0 {
            batch.state = Some(Bytes::from(format!("state {}", choices.below(1_000_000))));
        }
        let number = choices.below(1_000_000);
        for index in next..next + choices.below(6) {
            let size = [20, 300, 3000, 18_000][usize::try_from(choices.below(4)).unwrap()];
            batch.entries.push(entry(index, number, size));
        }
        batch
    }

    /// Does one random thing. `false` when the log has failed.
    fn step(&mut self, log: &DiskLog) -> bool {
        let partition = PartitionId(u32::try_from(self.choices.below(3)).unwrap());
        match self.choices.below(6) {
            0 => {
                let model = self.histories[&partition].now();
                let below = model.first + self.choices.below(model.entries.len() as u64 + 2);
                if log.release(partition, LogIndex(below)).is_ok() {
                    self.histories.get_mut(&partition).unwrap().released(below);
                }
            }
            1 => log.run(),
            _ => {
                let batch = self.random_batch(partition);
                let is_empty = LogBatch { partition, ..LogBatch::default() } == batch;
                if !is_empty && let Ok(ticket) = log.submit(batch.clone()) {
                    self.histories.get_mut(&partition).unwrap().submitted(batch, ticket);
                }
            }
        }
        matches!(log.poll_synced(), Synced::UpTo(_))
    }
}

fn acked(log: &DiskLog) -> SyncTicket {
    let (Synced::UpTo(ticket) | Synced::Failed(ticket)) = log.poll_synced();
    ticket
}

fn run_schedule(seed: u64) -> LogEnd {
    let disk = SimDisk::new(seed);
    let partitions = [P0, P1, PartitionId(2)];
    let histories = partitions.map(|partition| (partition, History::new())).into();
    let mut run = Run { choices: Choices(seed), histories, seed };
    let mut worst = LogEnd::Whole;
    for _ in 0..6 {
        let Ok(log) = try_open(&disk, small()) else {
            disk.power_cut(PowerCut::Tear);
            continue;
        };
        assert_ne!(log.end(), LogEnd::Lost, "seed={seed}");
        if log.end() == LogEnd::Torn {
            worst = LogEnd::Torn;
        }
        let report = log.verify().unwrap();
        assert_eq!(report.damages, [], "seed={seed}");
        let steps = run.choices.below(60);
        if run.choices.below(4) > 0 {
            disk.stop_after(run.choices.below(80));
        }
        (0..steps).all(|_| run.step(&log));
        if run.choices.below(2) == 0 {
            log.run();
        }
        let acked = acked(&log);
        // What waits is not written on the way out: the power is cut first.
        disk.stop_after(0);
        drop(log);
        let cut = [PowerCut::Tear, PowerCut::Tear, PowerCut::LoseAll, PowerCut::KeepAll];
        disk.power_cut(cut[usize::try_from(run.choices.below(4)).unwrap()]);
        check_recovery(&disk, &mut run, acked);
    }
    worst
}

/// Recovers from a copy of the disk, twice, and compares with what may be there.
fn check_recovery(disk: &SimDisk, run: &mut Run, acked: SyncTicket) {
    let seed = run.seed;
    let first = open(&disk.copy());
    let second = open(&disk.copy());
    assert_eq!(first.recovered(), second.recovered(), "seed={seed}");
    for (partition, history) in &mut run.histories {
        history.recovered(&first, *partition, acked, seed);
    }
    // Mended and synced, it stays what it is through another power cut.
    let mended = disk.copy();
    drop(open(&mended));
    mended.power_cut(PowerCut::LoseAll);
    let again = open(&mended);
    for (partition, found) in again.recovered() {
        let before = &first.recovered()[&partition];
        assert_eq!(
            (&found.state, found.first, found.last),
            (&before.state, before.first, before.last)
        );
        assert_eq!(found.health, PartitionHealth::Intact, "seed={seed}");
    }
}

#[test]
fn no_acknowledged_batch_is_lost_whenever_power_fails() {
    let torn = (0..150).filter(|seed| run_schedule(*seed) == LogEnd::Torn).count();
    assert!(torn > 20, "the schedules must tear batches: torn={torn}");
}

#[test]
fn r10_a_cut_suffix_does_not_come_back_after_reopening_twice() {
    let disk = SimDisk::new(1);
    write(&open(&disk), entries(P0, 1..=8, 500));
    let log = open(&disk);
    let replaced = (5..=6).map(|index| entry(index, 2, 500)).collect();
    let cut_from = Some(LogIndex(5));
    write(&log, LogBatch { partition: P0, cut_from, entries: replaced, ..Default::default() });
    drop(log);
    for _ in 0..2 {
        disk.power_cut(PowerCut::LoseAll);
        let log = open(&disk);
        let all = read_all(&log, P0, 1);
        assert_eq!(all.len(), 6);
        assert_eq!(all[4], entry(5, 2, 500));
        assert_eq!(log.recovered()[&P0].last_epoch.number, 2);
    }
}

#[test]
fn c11_a_torn_last_batch_is_dropped_and_its_traces_are_filled() {
    let mut torn = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let log = open(&disk);
        write(&log, entries(P0, 1..=3, 100));
        disk.fail_sync_after(0);
        log.submit(entries(P0, 4..=5, 3000)).unwrap();
        log.run();
        drop(log);
        disk.power_cut(PowerCut::LoseAll);
        let log = open(&disk);
        if log.end() == LogEnd::Torn {
            torn += 1;
            assert_eq!(health(&log, P0), PartitionHealth::Torn);
            assert_eq!(log.recovered()[&P0].last, LogIndex(3));
        }
        assert_eq!(log.verify().unwrap().damages, []);
        let next = log.recovered()[&P0].last.0 + 1;
        write(&log, entries(P0, [next], 10));
        drop(log);
        disk.power_cut(PowerCut::LoseAll);
        let log = open(&disk);
        assert_eq!(
            (health(&log, P0), log.recovered()[&P0].last.0),
            (PartitionHealth::Intact, next)
        );
    }
    assert!(torn > 30, "torn={torn}");
}

#[test]
fn c12_after_a_failed_sync_nothing_more_is_acknowledged() {
    let disk = SimDisk::new(3);
    let log = open(&disk);
    write(&log, entries(P0, 1..=2, 10));
    let before = acked(&log);
    disk.fail_sync_after(0);
    log.submit(entries(P0, [3], 10)).unwrap();
    log.run();
    assert_eq!(log.poll_synced(), Synced::Failed(before));
    let refused = log.submit(entries(P0, [4], 10)).unwrap_err();
    assert!(matches!(refused, weald_core::LogError::SyncFailed(_)) && !refused.is_retryable());
    assert!(log.release(P0, LogIndex(2)).is_err());
    log.run();
    assert_eq!(log.poll_synced(), Synced::Failed(before));
    assert_eq!(read_all(&log, P0, 1), [entry(1, 1, 10), entry(2, 1, 10)]);
    drop(log);
    write(&open(&disk), state(P0, "after the restart"));
}

#[test]
fn c12_a_failed_write_is_as_bad_as_a_failed_sync() {
    let disk = SimDisk::new(3);
    let log = open(&disk);
    write(&log, entries(P0, 1..=2, 10));
    disk.fail_write_after(0);
    log.submit(entries(P0, [3], 10)).unwrap();
    log.run();
    assert!(matches!(log.poll_synced(), Synced::Failed(_)));
}

#[test]
fn what_recovery_found_in_memory_only_is_synced_before_it_is_trusted() {
    let disk = SimDisk::new(8);
    let log = open(&disk);
    write(&log, entries(P0, [1], 10));
    // The process dies between write and sync; the machine stays up.
    disk.stop_after(1);
    log.submit(entries(P0, [2], 10)).unwrap();
    log.run();
    drop(log);
    let unsynced = disk.copy();
    unsynced.power_cut(PowerCut::LoseAll);
    assert_eq!(open(&unsynced).recovered()[&P0].last, LogIndex(1), "it was unsynced");
    disk.restart();
    let log = open(&disk);
    assert_eq!(log.recovered()[&P0].last, LogIndex(2));
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    assert_eq!(open(&disk).recovered()[&P0].last, LogIndex(2));
}

#[test]
fn a_log_of_another_store_is_refused() {
    let disk = SimDisk::new(1);
    write(&open(&disk), entries(P0, [1], 10));
    let mut home = super::rig::home(&disk, 1);
    home.store.0[0] ^= 1;
    let refused = DiskLog::open_without_threads(home, small()).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains(&STORE.to_string()), "{refused}");
}
