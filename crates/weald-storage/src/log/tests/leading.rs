//! A caller who writes and syncs in its own thread, beside the log's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use weald_core::{LogError, LogStore, PartitionId, SyncTicket, Synced};

use super::rig::{P0, entries, entry, home, open, read_all, small};
use crate::log::{DiskLog, LogHome, testing::SimDisk};

fn is_synced(log: &DiskLog, ticket: SyncTicket) -> bool {
    matches!(log.poll_synced(), Synced::UpTo(synced) if synced >= ticket)
}

/// Looks again and again; the log does it at once or never.
fn wait(log: &DiskLog, ticket: SyncTicket) {
    let late = Instant::now() + Duration::from_secs(20);
    while !is_synced(log, ticket) {
        assert!(Instant::now() < late, "nobody has synced it");
        thread::yield_now();
    }
}

#[test]
fn who_leads_makes_durable_what_waits() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    let ticket = log.submit_led(entries(P0, 1..=3, 100)).unwrap();
    assert!(!is_synced(&log, ticket));
    assert!(log.lead());
    assert!(is_synced(&log, ticket));
    assert!(!log.lead(), "nothing waits");
    drop(log);
    disk.restart();
    assert_eq!(read_all(&open(&disk), P0, 1), [1, 2, 3].map(|index| entry(index, 1, 100)));
}

#[test]
fn the_news_of_a_turn_are_its_leaders() {
    let told = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&told);
    let notifier = Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let log_home = LogHome { notifier, ..home(&SimDisk::new(1), 1) };
    let log = DiskLog::open_without_threads(log_home, small()).unwrap();
    log.run();
    let before = told.load(Ordering::SeqCst);
    log.submit_led(entries(P0, 1..=1, 100)).unwrap();
    assert!(log.lead());
    assert_eq!(told.load(Ordering::SeqCst), before);
    log.submit(entries(P0, 2..=2, 100)).unwrap();
    log.run();
    assert!(told.load(Ordering::SeqCst) > before);
}

#[test]
fn what_nobody_leads_is_left_to_the_logs_thread() {
    let log = DiskLog::open(home(&SimDisk::new(1), 1), small()).unwrap();
    let abandoned = log.submit_led(entries(P0, 1..=1, 100)).unwrap();
    log.rouse();
    wait(&log, abandoned);
    let waiting = log.submit_led(entries(P0, 2..=2, 100)).unwrap();
    let other = log.submit(entries(PartitionId(1), 1..=1, 100)).unwrap();
    wait(&log, waiting.max(other));
}

#[test]
fn a_failed_sync_ends_the_log_whoever_led_it() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    log.submit_led(entries(P0, 1..=1, 100)).unwrap();
    disk.fail_sync_after(0);
    assert!(log.lead(), "a failure is news, too");
    assert!(matches!(log.poll_synced(), Synced::Failed(_)));
    let refused = log.submit_led(entries(P0, 2..=2, 100));
    assert!(matches!(refused, Err(LogError::SyncFailed(_))));
}

#[test]
fn nothing_is_left_waiting_between_leaders_and_the_logs_thread() {
    let disk = SimDisk::new(1);
    let log = DiskLog::open(home(&disk, 1), small()).unwrap();
    let lead_all = |partition: PartitionId| {
        for index in 1..=300 {
            let ticket = loop {
                match log.submit_led(entries(partition, [index], 100)) {
                    Err(LogError::Busy { .. }) => thread::yield_now(),
                    submitted => break submitted.unwrap(),
                }
            };
            log.lead();
            wait(&log, ticket);
            log.release(partition, entry(index, 1, 0).index).unwrap_or_default();
        }
    };
    thread::scope(|scope| {
        for partition in 0..3 {
            let lead_all = &lead_all;
            scope.spawn(move || lead_all(PartitionId(partition)));
        }
    });
}
