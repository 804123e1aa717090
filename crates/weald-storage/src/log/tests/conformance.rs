//! What every implementation of `LogStore` does: run on memory, the simulated disk and real files.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use weald_core::{
    Entropy, LogBatch, LogError, LogIndex, LogPoint, LogStore, PartitionHealth, PartitionId,
    SeededEntropy, SyncTicket, Synced,
};

use super::rig::{P0, P1, STORE, entries, entry, epoch, home, missing, read_all, state};
use crate::log::{DiskLog, FolderDisk, LogHome, LogOptions, MemoryLog, Notifier, testing::SimDisk};

/// A log under test and the news from its notifier.
struct Subject {
    name: &'static str,
    log: Box<dyn LogStore>,
    news: mpsc::Receiver<()>,
    _folder: Option<tempfile::TempDir>,
}

fn notifier() -> (Notifier, mpsc::Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    (Arc::new(move || sender.send(()).unwrap_or_default()), receiver)
}

fn disk_options() -> LogOptions {
    LogOptions { segment_bytes: 256 * 1024, cache_bytes: 4000, ..LogOptions::default() }
}

fn subjects() -> Vec<Subject> {
    let options = disk_options();
    let (notifier_1, news_1) = notifier();
    let (notifier_2, news_2) = notifier();
    let (notifier_3, news_3) = notifier();
    let simulated = LogHome { notifier: notifier_2, ..home(&SimDisk::new(1), 1) };
    let folder = tempfile::tempdir().unwrap();
    let entropy: Box<dyn Entropy + Send> = Box::new(SeededEntropy::new(1));
    let disk = Arc::new(FolderDisk::open(folder.path().join("log")).unwrap());
    let real = LogHome { disk, store: STORE, entropy, notifier: notifier_3 };
    vec![
        Subject {
            name: "memory",
            log: Box::new(MemoryLog::new(notifier_1)),
            news: news_1,
            _folder: None,
        },
        Subject {
            name: "simulated disk",
            log: Box::new(DiskLog::open(simulated, options.clone()).unwrap()),
            news: news_2,
            _folder: None,
        },
        Subject {
            name: "files",
            log: Box::new(DiskLog::open(real, options).unwrap()),
            news: news_3,
            _folder: Some(folder),
        },
    ]
}

impl Subject {
    fn wait(&self, ticket: SyncTicket) {
        while !matches!(self.log.poll_synced(), Synced::UpTo(synced) if synced >= ticket) {
            self.news.recv_timeout(std::time::Duration::from_secs(20)).expect(self.name);
        }
    }

    fn submit(&self, batch: LogBatch) -> SyncTicket {
        loop {
            match self.log.submit(batch.clone()) {
                Err(LogError::Busy { .. }) => {
                    self.news.recv_timeout(std::time::Duration::from_secs(20)).expect(self.name);
                }
                submitted => return submitted.unwrap(),
            }
        }
    }

    fn write(&self, batch: LogBatch) {
        let ticket = self.submit(batch);
        self.wait(ticket);
    }
}

fn indexes(log: &dyn LogStore, from: u64, max: usize) -> Vec<u64> {
    let page = log.read(P0, LogIndex(from), max).unwrap();
    page.iter().map(|record| record.index.0).collect()
}

#[test]
fn entries_are_read_back_as_submitted() {
    for subject in subjects() {
        subject.write(entries(P0, 1..=40, 100));
        subject.write(entries(P1, 1..=3, 10));
        subject.write(entries(P0, 41..=50, 5000));
        let expected: Vec<_> =
            (1..=50).map(|index| entry(index, 1, if index <= 40 { 100 } else { 5000 })).collect();
        assert_eq!(read_all(&*subject.log, P0, 1), expected, "{}", subject.name);
        assert_eq!(read_all(&*subject.log, P1, 2).len(), 2);
        assert_eq!(indexes(&*subject.log, 3, 0), [3]);
        assert_eq!(indexes(&*subject.log, 3, 250), [3, 4]);
        assert_eq!(indexes(&*subject.log, 51, 250), []);
    }
}

#[test]
fn gaps_are_refused_and_nothing_of_the_batch_is_taken() {
    for subject in subjects() {
        subject.write(entries(P0, 1..=3, 10));
        let (expected, found) = (LogIndex(4), LogIndex(5));
        let refused = subject.log.submit(entries(P0, [5], 10));
        assert_eq!(refused, Err(LogError::NotContiguous { partition: P0, expected, found }));
        let (expected, found) = (LogIndex(5), LogIndex(6));
        let refused = subject.log.submit(entries(P0, [4, 6], 10));
        assert_eq!(refused, Err(LogError::NotContiguous { partition: P0, expected, found }));
        subject.write(entries(P0, [4], 10));
        assert_eq!(indexes(&*subject.log, 1, 1000), [1, 2, 3, 4], "{}", subject.name);
    }
}

#[test]
fn a_cut_replaces_the_suffix() {
    for subject in subjects() {
        subject.write(entries(P0, 1..=9, 10));
        let replaced = (4..=5).map(|index| entry(index, 2, 10)).collect();
        let cut_from = Some(LogIndex(4));
        subject.write(LogBatch {
            partition: P0,
            cut_from,
            entries: replaced,
            ..Default::default()
        });
        assert_eq!(indexes(&*subject.log, 1, 1000), [1, 2, 3, 4, 5], "{}", subject.name);
        assert_eq!(subject.log.read(P0, LogIndex(4), 0).unwrap(), [entry(4, 2, 10)]);
        subject.write(LogBatch {
            partition: P0,
            cut_from: Some(LogIndex(3)),
            ..Default::default()
        });
        assert_eq!(indexes(&*subject.log, 1, 1000), [1, 2]);
    }
}

#[test]
fn released_entries_are_not_held() {
    for subject in subjects() {
        subject.write(entries(P0, 1..=9, 10));
        subject.log.release(P0, LogIndex(4)).unwrap();
        subject.write(state(P0, "later"));
        let refused = subject.log.read(P0, LogIndex(3), 10);
        assert_eq!(refused, Err(LogError::NotHeld { partition: P0, index: LogIndex(3) }));
        assert_eq!(indexes(&*subject.log, 4, 1000), [4, 5, 6, 7, 8, 9], "{}", subject.name);
        let cut_from = Some(LogIndex(3));
        let refused =
            subject.log.submit(LogBatch { partition: P0, cut_from, ..Default::default() });
        assert_eq!(refused, Err(LogError::NotHeld { partition: P0, index: LogIndex(3) }));
    }
}

#[test]
fn releasing_beyond_the_end_lets_the_log_begin_later() {
    for subject in subjects() {
        subject.write(entries(P0, 1..=3, 10));
        subject.log.release(P0, LogIndex(100)).unwrap();
        assert!(subject.log.submit(entries(P0, [4], 10)).is_err(), "{}", subject.name);
        subject.write(entries(P0, [100], 10));
        assert_eq!(indexes(&*subject.log, 100, 1000), [100]);
    }
}

#[test]
fn a_jump_forgets_entries_and_goes_on_behind_its_point() {
    let base = |index| LogPoint { index: LogIndex(index), epoch: epoch(4) };
    let jump = |index, indexes: std::ops::RangeInclusive<u64>| LogBatch {
        restart_at: Some(base(index)),
        ..entries(P0, indexes, 10)
    };
    for subject in subjects() {
        subject.write(entries(P0, 1..=9, 10));
        subject.write(jump(20, 21..=22));
        assert_eq!(indexes(&*subject.log, 21, 1000), [21, 22], "{}", subject.name);
        let not_held = |index| LogError::NotHeld { partition: P0, index: LogIndex(index) };
        assert_eq!(subject.log.read(P0, LogIndex(9), 10), Err(not_held(9)));
        assert_eq!(subject.log.submit(jump(19, 20..=21)), Err(not_held(19)));
        assert!(subject.log.submit(jump(30, 30..=31)).is_err(), "{}", subject.name);
        subject.write(jump(21, 22..=22));
        let status = subject.log.status(P0).unwrap();
        assert_eq!((status.base, status.last.index), (base(21), LogIndex(22)));
        let cut_from = Some(LogIndex(22));
        subject.write(LogBatch { partition: P0, cut_from, ..LogBatch::default() });
        assert_eq!(subject.log.status(P0).unwrap().last, base(21), "{}", subject.name);
    }
}

#[test]
fn a_status_tells_how_far_a_partition_is_durable() {
    for subject in subjects() {
        assert_eq!(subject.log.status(P0), None, "{}", subject.name);
        let first = subject.submit(entries(P0, 1..=9, 10));
        let second = subject.submit(entries(P1, 1..=2, 10));
        subject.wait(second);
        let [one, two] = [P0, P1].map(|partition| subject.log.status(partition).unwrap());
        assert_eq!((one.synced, one.last.index), (first, LogIndex(9)), "{}", subject.name);
        assert_eq!((two.synced, two.last.index), (second, LogIndex(2)));
        assert_eq!((one.last.epoch, one.health), (epoch(1), PartitionHealth::Intact));
        subject.log.release(P0, LogIndex(5)).unwrap();
        subject.write(state(P0, "later"));
        let base = LogPoint { index: LogIndex(4), epoch: epoch(1) };
        assert_eq!(subject.log.status(P0).unwrap().base, base, "{}", subject.name);
    }
}

#[test]
fn where_nothing_is_damaged_nothing_is_repaired() {
    for subject in subjects() {
        let ticket = subject.log.begin_anew(state(P0, "first life")).unwrap();
        subject.wait(ticket);
        subject.write(entries(P0, 1..=9, 10));
        assert_eq!(missing(&*subject.log, P0), []);
        let ticket = subject.log.repair(P0, vec![entry(3, 9, 10)]).unwrap();
        subject.wait(ticket);
        assert_eq!(subject.log.read(P0, LogIndex(3), 0).unwrap(), [entry(3, 1, 10)]);
        let outside = LogError::NotHeld { partition: P0, index: LogIndex(10) };
        assert_eq!(subject.log.repair(P0, vec![entry(10, 1, 10)]), Err(outside));
    }
}

#[test]
fn a_new_life_begins_at_the_first_index_whatever_was_held_and_let_go() {
    for subject in subjects() {
        subject.write(entries(P0, 1..=9, 10));
        subject.write(entries(P1, 1..=3, 10));
        subject.log.release(P0, LogIndex(5)).unwrap();
        subject.write(state(P0, "first life"));
        let ticket = subject.log.begin_anew(state(P0, "second life")).unwrap();
        subject.wait(ticket);
        let left = subject.log.read(P0, LogIndex(6), 0).unwrap_or_default();
        assert_eq!(left, [], "{}", subject.name);
        subject.write(entries(P0, 1..=2, 10));
        let status = subject.log.status(P0).unwrap();
        assert_eq!((status.base, status.last.index), (LogPoint::default(), LogIndex(2)));
        assert_eq!(subject.log.read(P0, LogIndex(1), 1000).unwrap().len(), 2, "{}", subject.name);
        assert_eq!(subject.log.status(P1).unwrap().last.index, LogIndex(3), "others go on");
    }
}

#[test]
fn entries_of_the_largest_size_are_taken_and_larger_ones_refused() {
    for subject in subjects() {
        let max = match subject.name {
            "memory" => 8 << 20,
            _ => disk_options().queue_limits().submit_bytes_max,
        };
        subject.write(entries(P0, [1], max));
        subject.write(entries(P0, [2], 10));
        assert_eq!(read_all(&*subject.log, P0, 1), [entry(1, 1, max), entry(2, 1, 10)]);
        let refused = subject.log.submit(entries(P0, [3], max + 1));
        let bytes = max + 1;
        assert_eq!(refused, Err(LogError::TooLarge { bytes, max }), "{}", subject.name);
    }
}

#[test]
fn an_empty_batch_is_durable_at_once() {
    for subject in subjects() {
        subject.write(LogBatch::default());
    }
}

#[test]
fn many_submitters_of_many_partitions_lose_nothing() {
    for subject in subjects() {
        let (log, mut last) = (&*subject.log, SyncTicket(0));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let submit = move || {
                        let mut last = SyncTicket(0);
                        for index in 1..=100 {
                            last = loop {
                                match log.submit(entries(PartitionId(thread), [index], 300)) {
                                    Ok(ticket) => break ticket,
                                    Err(error) => assert!(error.is_retryable(), "{error}"),
                                }
                                std::thread::yield_now();
                            };
                        }
                        last
                    };
                    scope.spawn(submit)
                })
                .collect();
            threads.into_iter().for_each(|thread| last = last.max(thread.join().unwrap()));
        });
        subject.wait(last);
        for partition in 0..4 {
            let all = read_all(log, PartitionId(partition), 1);
            let expected: Vec<_> = (1..=100).map(|index| entry(index, 1, 300)).collect();
            assert_eq!(all, expected, "{}", subject.name);
        }
    }
}

#[test]
fn a_log_of_files_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes: 256 * 1024, ..LogOptions::default() };
    let open = |salt| {
        let (notifier, news) = notifier();
        let disk = Arc::new(FolderDisk::open(folder.path().join("log")).unwrap());
        let entropy: Box<dyn Entropy + Send> = Box::new(SeededEntropy::new(salt));
        let log = DiskLog::open(LogHome { disk, store: STORE, entropy, notifier }, options.clone());
        Subject { name: "files", log: Box::new(log.unwrap()), news, _folder: None }
    };
    for round in 0..4 {
        let subject = open(round);
        let (first, last) = (round * 100 + 1, round * 100 + 100);
        assert_eq!(read_all(&*subject.log, P0, 1).len() as u64, first - 1);
        subject.write(entries(P0, first..=last, 500));
        subject.write(state(P0, "promise"));
    }
    let recovered = open(9).log.recovered()[&P0].clone();
    assert_eq!((recovered.first, recovered.last), (LogIndex(1), LogIndex(400)));
    assert_eq!(recovered.state, Some(Bytes::from_static(b"promise")));
}

#[test]
fn a_scrub_beside_writing_and_recycling_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (notifier, _news) = notifier();
    let disk = Arc::new(FolderDisk::open(folder.path()).unwrap());
    let entropy: Box<dyn Entropy + Send> = Box::new(SeededEntropy::new(3));
    let home = LogHome { disk, store: STORE, entropy, notifier };
    let log = DiskLog::open(home, disk_options()).unwrap();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for index in 1..=400 {
                while let Err(error) = log.submit(entries(P0, [index], 4000)) {
                    assert!(error.is_retryable(), "{error}");
                    std::thread::yield_now();
                }
                while log.release(P0, LogIndex(index)).is_err() {
                    std::thread::yield_now();
                }
            }
            is_done.store(true, std::sync::atomic::Ordering::Release);
        });
        while !is_done.load(std::sync::atomic::Ordering::Acquire) {
            assert_eq!(log.verify().unwrap().damages, []);
        }
    });
}
