//! Many partitions share the log: one big writer holds up nobody, each has its own mark (rule C6).

use weald_core::{LogBatch, LogIndex, LogPoint, LogStore, PartitionId, SyncTicket, Synced};

use super::rig::{P0, entries, entry, read_all, state, try_open};
use crate::log::{
    DiskLog, LogOptions,
    testing::{PowerCut, SimDisk},
};

/// Batches of 256 KiB at most, in segments that take entries of 8 MiB.
fn large() -> LogOptions {
    LogOptions { segment_bytes: 64 << 20, cache_bytes: 0, ..LogOptions::default() }
}

/// Writes at most `count` batches.
fn syncs(disk: &SimDisk, log: &DiskLog, count: u64) {
    let before = disk.counts().syncs;
    while disk.counts().syncs < before + count && log.step() {}
}

fn is_synced(log: &DiskLog, partition: PartitionId, ticket: SyncTicket) -> bool {
    log.status(partition).is_some_and(|status| status.synced >= ticket)
}

#[test]
fn r35_eight_megabytes_hold_up_small_writers_by_one_part_at_most() {
    let disk = SimDisk::new(1);
    let log = try_open(&disk, large()).unwrap();
    log.step();
    let big = log.submit(entries(P0, [1], 8 << 20)).unwrap();
    let (mut worst, mut rounds) = (0, 0);
    while !is_synced(&log, P0, big) {
        rounds += 1;
        let tickets: Vec<_> = (1..=64)
            .map(|partition| {
                let batch = entries(PartitionId(partition), [rounds], 500);
                (PartitionId(partition), log.submit(batch).unwrap())
            })
            .collect();
        let before = disk.counts().syncs;
        syncs(&disk, &log, 1);
        while !tickets.iter().all(|(partition, ticket)| is_synced(&log, *partition, *ticket)) {
            syncs(&disk, &log, 1);
        }
        worst = worst.max(disk.counts().syncs - before);
        assert!(rounds < 100, "the big one gets on too");
    }
    assert_eq!(worst, 1, "each round of small ones was durable with the next sync");
    assert!(rounds >= 32, "parts of 256 KiB at most: rounds={rounds}");
    assert_eq!(log.read(P0, LogIndex(1), 0).unwrap()[0], entry(1, 1, 8 << 20));
}

#[test]
fn c6_a_mark_of_its_own_lets_each_partition_acknowledge() {
    let disk = SimDisk::new(1);
    let log = try_open(&disk, large()).unwrap();
    log.step();
    let big = log.submit(entries(P0, [1], 1 << 20)).unwrap();
    let small = log.submit(entries(PartitionId(1), 1..=3, 10)).unwrap();
    syncs(&disk, &log, 1);
    let Synced::UpTo(all) = log.poll_synced() else { panic!("nothing failed") };
    assert!(all < big, "the global mark waits");
    let status = log.status(PartitionId(1)).unwrap();
    assert_eq!((status.synced, status.last.index), (small, LogIndex(3)));
    assert!(!is_synced(&log, P0, big));
    log.run();
    assert!(is_synced(&log, P0, big));
    assert_eq!(log.status(PartitionId(9)), None);
}

#[test]
fn c6_partitions_with_much_to_write_share_each_sync() {
    let disk = SimDisk::new(1);
    let log = try_open(&disk, large()).unwrap();
    log.step();
    for partition in 0..4 {
        for index in 1..=100 {
            log.submit(entries(PartitionId(partition), [index], 10_000)).unwrap();
        }
    }
    for round in 1..=4 {
        syncs(&disk, &log, 1);
        let lasts: Vec<_> = (0..4)
            .map(|partition| log.status(PartitionId(partition)).unwrap().last.index.0)
            .collect();
        let (least, most) = (lasts.iter().min().unwrap(), lasts.iter().max().unwrap());
        assert!(most - least <= 2, "round={round} {lasts:?}");
        assert!(lasts.iter().sum::<u64>() >= round * 25, "a sync is full: {lasts:?}");
    }
}

#[test]
fn c6_a_batch_that_fits_a_sync_is_never_divided() {
    let disk = SimDisk::new(1);
    let log = try_open(&disk, large()).unwrap();
    for partition in 0..20 {
        let log_entries = (1..=20).map(|index| entry(index, 1, 2000)).collect();
        let restart_at = Some(LogPoint::default());
        let partition = PartitionId(partition);
        log.submit(LogBatch { partition, restart_at, entries: log_entries, ..Default::default() })
            .unwrap();
    }
    for _ in 0..20 {
        for partition in 0..20 {
            let held = log.read(PartitionId(partition), LogIndex(1), usize::MAX).unwrap().len();
            assert!(held == 0 || held == 20, "partition={partition} held={held}");
        }
        syncs(&disk, &log, 1);
    }
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    let log = try_open(&disk, large()).unwrap();
    assert!((0..20).all(|partition| read_all(&log, PartitionId(partition), 1).len() == 20));
}

#[test]
fn promises_go_with_the_next_sync_whoever_waits() {
    let disk = SimDisk::new(1);
    let log = try_open(&disk, large()).unwrap();
    log.step();
    for partition in 0..40 {
        for index in 1..=20 {
            log.submit(entries(PartitionId(partition), [index], 10_000)).unwrap();
        }
    }
    let vote = log.submit(state(PartitionId(99), "vote")).unwrap();
    syncs(&disk, &log, 1);
    assert!(is_synced(&log, PartitionId(99), vote));
}
