//! Space: segments are used again, the disk fills up and heals, large entries share with small ones.

use bytes::Bytes;
use weald_core::{
    LogBatch, LogError, LogIndex, LogStore, PartitionHealth, PartitionId, SyncTicket, Synced,
};

use super::rig::{
    P0, P1, entries, entry, health, open, read_all, segment_names, small, state, try_open,
    try_write, write,
};
use crate::log::{
    LogEnd, LogOptions,
    testing::{PowerCut, SimDisk},
};

#[test]
fn released_segments_are_used_again_and_the_disk_stops_growing() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    write(&log, state(P1, "idle, but not in the way"));
    for index in 1..=400 {
        write(&log, entries(P0, [index], 3000));
        log.release(P0, LogIndex(index.saturating_sub(10).max(1))).unwrap();
    }
    log.run();
    // Two or three in use, one prepared, two spare.
    assert!(disk.used() <= 6 * 128 * 1024, "used={}", disk.used());
    assert!(segment_names(&disk)[0].as_str() > "00000006.seg", "{:?}", segment_names(&disk));
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    let log = open(&disk);
    let found = log.recovered();
    assert_eq!((found[&P0].first, found[&P0].last), (LogIndex(390), LogIndex(400)));
    assert_eq!(found[&P1].state.as_deref(), Some(b"idle, but not in the way".as_slice()));
    assert!(found.values().all(|found| found.health == PartitionHealth::Intact));
    assert_eq!(log.verify().unwrap().damages, []);
}

#[test]
fn a_recycled_segment_shows_nothing_of_its_earlier_use() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    for index in 1..=200 {
        let secret = entry(index, 7, 3000);
        write(&log, LogBatch { partition: P0, entries: vec![secret], ..Default::default() });
        log.release(P0, LogIndex(index)).unwrap();
    }
    log.run();
    drop(log);
    for name in segment_names(&disk) {
        let bytes = disk.bytes(&name).unwrap();
        for index in 1..150_u64 {
            let old = format!("entry {index} of epoch 7;").into_bytes();
            assert!(!bytes.windows(old.len()).any(|window| window == old), "{name} index={index}");
        }
    }
    assert_eq!(open(&disk).recovered()[&P0].last, LogIndex(200));
}

#[test]
fn an_idle_partition_with_entries_pins_its_segment_until_it_is_released() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    write(&log, entries(P1, [1], 10));
    assert_eq!(log.pinned(), None, "it is in the segment being written");
    for index in 1..=60 {
        write(&log, entries(P0, [index], 3000));
        log.release(P0, LogIndex(index)).unwrap();
    }
    log.run();
    let pinned = log.pinned().unwrap();
    assert_eq!((pinned.segment, pinned.partitions.as_slice()), (1, &[(P1, LogIndex(2))][..]));
    for (partition, below) in pinned.partitions {
        log.release(partition, below).unwrap();
    }
    log.run();
    assert!(log.pinned().is_none_or(|pinned| pinned.segment > 1));
    assert!(segment_names(&disk)[0].as_str() > "00000001.seg");
}

#[test]
fn d58_a_full_disk_is_refused_heals_and_leaves_room_for_promises() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    disk.set_capacity(disk.used());
    let mut index = 0;
    let refused = loop {
        match try_write(&log, entries(P0, [index + 1], 1000)) {
            Ok(_) => index += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LogError::DiskFull(_)) && refused.is_retryable(), "{refused}");
    assert!(index > 10, "two segments hold more");
    assert!(matches!(log.poll_synced(), Synced::UpTo(_)), "nothing has failed");
    assert_eq!(read_all(&log, P0, 1).len() as u64, index);
    write(&log, state(P0, "a vote on a full disk"));
    assert!(try_write(&log, entries(P0, [index + 1], 1000)).is_err(), "it is still full");
    disk.set_capacity(u64::MAX);
    write(&log, entries(P0, [index + 1], 1000));
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    assert_eq!(open(&disk).recovered()[&P0].last, LogIndex(index + 1));
}

#[test]
fn d58_a_full_disk_heals_by_releasing() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    disk.set_capacity(disk.used());
    let mut last = 0;
    while try_write(&log, entries(P0, [last + 1], 3000)).is_ok() {
        last += 1;
    }
    log.release(P0, LogIndex(last)).unwrap();
    log.run();
    for index in last + 1..last + 10 {
        write(&log, entries(P0, [index], 3000));
    }
    assert_eq!(log.end(), LogEnd::Whole);
}

#[test]
fn r34_on_a_full_disk_configurations_votes_and_releases_fit_and_it_heals() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    let before = entries(P1, 1..=3, 10);
    write(&log, before);
    disk.set_capacity(disk.used());
    let mut last = 0;
    while try_write(&log, entries(P0, [last + 1], 1000)).is_ok() {
        last += 1;
    }
    let configuration = |index| LogBatch { is_urgent: true, ..entries(P0, [index], 500) };
    write(&log, state(P1, "a vote"));
    write(&log, configuration(last + 1));
    last += 1;
    while try_write(&log, configuration(last + 1)).is_ok() {
        last += 1;
    }
    assert!(matches!(log.submit(state(P1, "one too many")), Err(LogError::DiskFull(_))));
    assert_eq!(log.poll_synced(), Synced::UpTo(SyncTicket(last + 2)), "nothing has failed");
    for partition in [P0, P1] {
        let end = log.status(partition).unwrap().last.index;
        log.release(partition, end.next()).unwrap();
        log.run();
    }
    for index in last + 1..last + 20 {
        write(&log, entries(P0, [index], 1000));
    }
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    let log = open(&disk);
    assert_eq!(
        (health(&log, P0), log.recovered()[&P0].last.0),
        (PartitionHealth::Intact, last + 19)
    );
    assert_eq!(log.recovered()[&P1].state.as_deref(), Some(b"a vote".as_slice()));
}

#[test]
fn d58_a_disk_too_small_for_a_log_is_refused_when_it_is_created() {
    let disk = SimDisk::new(1);
    disk.set_capacity(10_000);
    let refused = try_open(&disk, small()).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("the disk is full"), "{refused}");
    assert_eq!(disk.used(), 0, "nothing is left behind");
    disk.set_capacity(u64::MAX);
    write(&open(&disk), entries(P0, [1], 1));
}

#[test]
fn an_error_while_preparing_a_segment_is_not_the_end() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    write(&log, entries(P0, 1..=10, 3000));
    let (mut index, mut errors) = (10, 0);
    while segment_names(&disk).len() < 3 {
        index += 1;
        write(&log, entries(P0, [index], 3000));
    }
    // The segment after the one now prepared.
    disk.fail_creation();
    while index < 100 && errors < 10 {
        match try_write(&log, entries(P0, [index + 1], 3000)) {
            Ok(_) => index += 1,
            Err(error) => {
                assert!(matches!(error, LogError::Io(_)), "{error}");
                errors += 1;
                log.run();
            }
        }
    }
    assert_eq!(errors, 1);
    drop(log);
    assert_eq!(health(&open(&disk), P0), PartitionHealth::Intact);
}

#[test]
fn large_entries_do_not_hold_up_other_partitions() {
    let disk = SimDisk::new(1);
    let options = LogOptions { segment_bytes: 1 << 20, ..small() };
    let log = try_open(&disk, options.clone()).unwrap();
    log.submit(entries(P0, [1], 400 * 1024)).unwrap();
    for partition in 1..=3 {
        log.submit(entries(PartitionId(partition), [1], 100)).unwrap();
    }
    let before = disk.counts().syncs;
    disk.stop_after(2);
    log.run();
    assert_eq!(disk.counts().syncs, before + 1, "one batch was written");
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    let log = try_open(&disk, options).unwrap();
    for partition in 1..=3 {
        assert_eq!(read_all(&log, PartitionId(partition), 1).len(), 1, "it shared the first batch");
    }
    assert_eq!(log.recovered()[&P0].last, LogIndex::ZERO, "an entry counts with its last part");
    write(&log, entries(P0, [1], 10));
    assert_eq!(read_all(&log, P0, 1), [entry(1, 1, 10)]);
}

#[test]
fn an_entry_larger_than_a_sync_spans_segments_and_survives() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    write(&log, entries(P0, 1..=10, 3000));
    write(&log, entries(P0, [11], 32 * 1024));
    write(&log, entries(P0, 12..=20, 3000));
    drop(log);
    let log = open(&disk);
    assert_eq!(read_all(&log, P0, 11)[0], entry(11, 1, 32 * 1024));
    assert_eq!(log.recovered()[&P0].last, LogIndex(20));
}

#[test]
fn w172_gathered_submissions_share_one_sync() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    let before = disk.counts().syncs;
    for index in 1..=30 {
        log.submit(entries(P0, [index], 100)).unwrap();
    }
    log.run();
    assert_eq!(disk.counts().syncs, before + 1);
}

#[test]
fn what_waits_is_bounded() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    let refused = (1..).find_map(|index| log.submit(entries(P0, [index], 3000)).err()).unwrap();
    assert!(matches!(refused, LogError::Busy { .. }) && refused.is_retryable());
    log.run();
    let last = log.read(P0, LogIndex(1), usize::MAX).unwrap().len() as u64;
    write(&log, entries(P0, [last + 1], 3000));
}

#[test]
fn a_state_too_large_for_a_summary_is_refused() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    let state = Some(Bytes::from(vec![0; 9000]));
    let refused = log.submit(LogBatch { partition: P0, state, ..LogBatch::default() });
    assert!(matches!(refused, Err(LogError::TooLarge { .. })));
    let many = |partition| LogBatch {
        partition: PartitionId(partition),
        state: Some(Bytes::from(vec![0; 1000])),
        ..LogBatch::default()
    };
    let refused = (0..20).find_map(|partition| try_write(&log, many(partition)).err());
    assert!(matches!(refused, Some(LogError::TooLarge { .. })), "{refused:?}");
    write(&log, entries(P0, 1..=2, 10));
    let reserve: Vec<_> =
        (3..100).map(|index| try_write(&log, entries(P1, [index - 2], 3000))).collect();
    assert!(reserve.iter().all(Result::is_ok), "segments go on being switched");
}
