//! Damage inside the log is repaired from peers; what was forgotten begins a new life (rule C11).

use bytes::Bytes;
use weald_core::{
    LogBatch, LogError, LogIndex, LogPoint, LogRecord, LogStore, PartitionHealth, PartitionId,
};

use super::rig::{
    P0, P1, batch_offset, entries, entry, epoch, first, health, health_now, missing, open,
    read_all, repair, segment_names, small, state, try_open, try_write, write,
};
use crate::log::{
    DiskLog, LogEnd, LogOptions, ScrubCursor,
    testing::{PowerCut, SimDisk},
};

const INTACT: PartitionHealth = PartitionHealth::Intact;

fn damaged(known_end: u64) -> PartitionHealth {
    PartitionHealth::Damaged { known_end: LogIndex(known_end) }
}

/// What peers hold.
fn of_peers(indexes: impl IntoIterator<Item = u64>) -> Vec<LogRecord> {
    indexes.into_iter().map(|index| entry(index, 1, 100)).collect()
}

/// A log with a promise and `count` entries, each in a batch of its own, and the fifth to the seventh
/// entry damaged.
fn damaged_log(disk: &SimDisk, count: u64) -> DiskLog {
    let log = open(disk);
    write(&log, state(P0, "promise"));
    of_peers(1..=count).into_iter().for_each(|entry| {
        write(&log, LogBatch { partition: P0, entries: vec![entry], ..LogBatch::default() });
    });
    drop(log);
    disk.rot(&first(disk), batch_offset(6), 3 * 4096);
    open(disk)
}

#[test]
fn w138_c11_what_is_missing_is_told_exactly_and_the_rest_is_served() {
    let disk = SimDisk::new(1);
    let log = damaged_log(&disk, 9);
    assert_eq!((health(&log, P0), health_now(&log, P0)), (damaged(9), damaged(9)));
    assert_eq!(missing(&log, P0), [(5, 7)]);
    assert_eq!(log.read(P0, LogIndex(1), 10_000).unwrap(), of_peers(1..=4));
    assert_eq!(log.read(P0, LogIndex(8), 10_000).unwrap(), of_peers(8..=9));
    assert!(matches!(log.read(P0, LogIndex(5), 10_000), Err(LogError::Damaged(_))));
    let status = log.status(P0).unwrap();
    assert_eq!((status.base.index, status.last.index), (LogIndex(0), LogIndex(9)));
    assert_eq!(status.last.epoch, epoch(1));
}

#[test]
fn c11_a_damaged_partition_keeps_promises_and_takes_entries_once_it_is_repaired() {
    let disk = SimDisk::new(1);
    let log = damaged_log(&disk, 9);
    write(&log, state(P0, "another promise"));
    let refused = log.submit(entries(P0, [10], 10)).unwrap_err();
    assert!(matches!(refused, LogError::Damaged(_)) && refused.to_string().contains("known_end=9"));
    let outside = log.repair(P0, of_peers([10]));
    assert_eq!(outside, Err(LogError::NotHeld { partition: P0, index: LogIndex(10) }));
    // Half of it, out of order, and some that are held.
    repair(&log, P0, of_peers([7, 5, 4, 9]));
    assert_eq!((missing(&log, P0), health_now(&log, P0)), (vec![(6, 6)], damaged(9)));
    assert!(log.submit(entries(P0, [10], 10)).is_err());
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    let log = open(&disk);
    assert_eq!((missing(&log, P0), health(&log, P0)), (vec![(6, 6)], damaged(9)));
    repair(&log, P0, of_peers([6]));
    assert_eq!((missing(&log, P0), health_now(&log, P0)), (vec![], INTACT));
    write(&log, entries(P0, 10..=11, 100));
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    let log = open(&disk);
    assert_eq!(health(&log, P0), INTACT);
    assert_eq!(read_all(&log, P0, 1), of_peers(1..=11));
    assert_eq!(log.recovered()[&P0].state.as_deref(), Some(b"another promise".as_slice()));
    assert_eq!(log.verify().unwrap().damages.len(), 1, "the bytes are as they are");
}

#[test]
fn c11_a_repair_that_was_never_synced_leaves_the_damage() {
    let disk = SimDisk::new(1);
    let log = damaged_log(&disk, 9);
    let ticket = log.repair(P0, of_peers(5..=7)).unwrap();
    assert!(log.status(P0).unwrap().synced < ticket);
    assert_eq!(health_now(&log, P0), damaged(9), "not before it is durable");
    disk.stop_after(0);
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    assert_eq!(missing(&open(&disk), P0), [(5, 7)]);
}

#[test]
fn a_large_entry_is_repaired_in_parts() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    write(&log, entries(P0, [1], 10));
    write(&log, entries(P0, [2], 30_000));
    write(&log, entries(P0, [3], 10));
    drop(log);
    disk.rot(&first(&disk), batch_offset(5), 512);
    let log = open(&disk);
    assert_eq!(missing(&log, P0), [(2, 2)]);
    repair(&log, P0, vec![entry(2, 1, 30_000)]);
    (4..=60).for_each(|index| write(&log, entries(P0, [index], 3000)));
    drop(log);
    let log = open(&disk);
    assert_eq!((health(&log, P0), missing(&log, P0)), (INTACT, vec![]));
    assert_eq!(log.read(P0, LogIndex(2), 0).unwrap(), [entry(2, 1, 30_000)]);
}

#[test]
fn what_was_repaired_is_kept_from_the_recycled_segments() {
    let disk = SimDisk::new(1);
    let log = damaged_log(&disk, 9);
    repair(&log, P0, of_peers(5..=7));
    log.release(P0, LogIndex(5)).unwrap();
    log.begin_anew(state(P1, "")).unwrap();
    for index in 10..=150 {
        write(&log, entries(P0, [index], 100));
        write(&log, entries(P1, [index - 9], 3000));
        log.release(P1, LogIndex(index - 9)).unwrap();
    }
    log.run();
    assert_eq!(read_all(&log, P0, 5), of_peers(5..=150));
    drop(log);
    let log = open(&disk);
    assert_eq!((health(&log, P0), log.recovered()[&P0].first), (INTACT, LogIndex(5)));
    assert_eq!(read_all(&log, P0, 5), of_peers(5..=150));
}

#[test]
fn c15_a_snapshot_or_a_cut_takes_the_damage_away() {
    let disk = SimDisk::new(1);
    let base = |index| LogPoint { index: LogIndex(index), epoch: epoch(3) };
    let jump = |index, entries| LogBatch {
        partition: P0,
        restart_at: Some(base(index)),
        entries,
        ..LogBatch::default()
    };
    damaged_log(&disk, 9);
    let log = open(&disk.copy());
    assert!(log.submit(jump(8, vec![])).is_err(), "it would forget what was acknowledged");
    write(&log, jump(9, of_peers([10])));
    assert_eq!((health_now(&log, P0), log.status(P0).unwrap().base), (INTACT, base(9)));
    write(&log, entries(P0, [11], 10));
    let log = open(&disk.copy());
    let cut = |from, entries| LogBatch {
        partition: P0,
        cut_from: Some(LogIndex(from)),
        entries,
        ..LogBatch::default()
    };
    assert!(log.submit(cut(6, of_peers([6]))).is_err(), "the fifth is missing still");
    write(&log, cut(6, vec![]));
    assert_eq!((missing(&log, P0), health_now(&log, P0)), (vec![(5, 5)], damaged(5)));
    write(&log, cut(5, of_peers([5])));
    write(&log, entries(P0, [6], 10));
    assert_eq!(health_now(&log, P0), INTACT);
    let log = open(&disk);
    log.release(P0, LogIndex(8)).unwrap();
    log.run();
    assert_eq!((missing(&log, P0), health_now(&log, P0)), (vec![], INTACT), "a snapshot has it");
}

/// A log whose batches are spread over several segments.
fn follower(disk: &SimDisk) -> (DiskLog, u64) {
    let log = open(disk);
    write(&log, state(P0, "promise"));
    write(&log, state(P1, "another"));
    let mut last = 0;
    while segment_names(disk).len() < 4 {
        last += 1;
        write(&log, entries(P0, [last], 100));
        write(&log, entries(P1, [last], 3000));
    }
    (log, last)
}

#[test]
fn w138_scrubbing_finds_a_flipped_byte_and_peers_repair_it() {
    let disk = SimDisk::new(1);
    let (log, last) = follower(&disk);
    let expected = read_all(&log, P1, 1);
    let name = first(&disk);
    assert!(disk.flip(&name, batch_offset(6) + 2000, 3));
    let (mut cursor, mut steps, mut found) = (Some(ScrubCursor::default()), 0, Vec::new());
    while let Some(from) = cursor {
        let step = log.scrub(from, 16 * 1024).unwrap();
        assert!(step.report.bytes <= 16 * 1024 + 2 * 4096 + 16 * 1024);
        found.extend(step.report.damages);
        (cursor, steps) = (step.next, steps + 1);
    }
    assert!(steps > 3 * 8, "steps={steps}");
    let [damage] = found.as_slice() else { panic!("{found:?}") };
    let (partition, range) = damage.entries[0].clone();
    assert_eq!((damage.file.as_str(), damage.entries.len()), (name.as_str(), 1));
    assert_eq!(health_now(&log, partition), damaged(last));
    assert_eq!(missing(&log, partition), [(range.start().0, range.end().0)]);
    let peers = read_all(&follower(&SimDisk::new(1)).0, partition, 1);
    let wanted = peers.into_iter().filter(|entry| range.contains(&entry.index)).collect();
    repair(&log, partition, wanted);
    assert_eq!(health_now(&log, partition), INTACT);
    assert_eq!(log.verify().unwrap().damages[0].entries, [], "nobody needs what was there");
    drop(log);
    let log = open(&disk);
    assert_eq!((health(&log, P0), health(&log, P1)), (INTACT, INTACT));
    assert_eq!(read_all(&log, P1, 1), expected);
}

#[test]
fn a_scrub_in_steps_of_any_size_finds_what_a_whole_one_does() {
    let disk = SimDisk::new(1);
    let (log, _) = follower(&disk);
    for bytes_max in [0, 5000, 20_000, 70_000] {
        let (mut cursor, mut batches) = (Some(ScrubCursor::default()), 0);
        while let Some(from) = cursor {
            let step = log.scrub(from, bytes_max).unwrap();
            assert_eq!(step.report.damages, [], "bytes_max={bytes_max}");
            (cursor, batches) = (step.next, batches + step.report.batches);
        }
        assert_eq!(batches, log.verify().unwrap().batches, "bytes_max={bytes_max}");
    }
    // Damage longer than a step in what is being written ends all the same.
    let last = segment_names(&disk).len() - 2;
    disk.rot(&segment_names(&disk)[last], batch_offset(1), 3 * 4096);
    let (mut cursor, mut steps) = (Some(ScrubCursor::default()), 0);
    while let Some(from) = cursor {
        cursor = log.scrub(from, 4096).unwrap().next;
        steps += 1;
        assert!(steps < 200, "{cursor:?}");
    }
}

#[test]
fn a_read_that_meets_rot_makes_the_partition_damaged() {
    let disk = SimDisk::new(1);
    let (log, last) = follower(&disk);
    // The place of an early entry of each partition, whoever it is.
    disk.rot(&first(&disk), batch_offset(10), 512);
    let hit = [P0, P1].into_iter().find(|partition| {
        (1..=last).any(|index| log.read(*partition, LogIndex(index), 0).is_err())
    });
    let hit = hit.unwrap();
    assert_eq!((health_now(&log, hit), missing(&log, hit).len()), (damaged(last), 1));
    assert!(log.submit(entries(hit, [last + 1], 10)).is_err());
    let other = if hit == P0 { P1 } else { P0 };
    write(&log, entries(other, [last + 1], 10));
}

#[test]
fn r17_rot_that_a_scrub_finds_in_the_newest_batch_costs_neither_promises_nor_the_log() {
    let disk = SimDisk::new(4);
    let log = open(&disk);
    write(&log, state(P1, "idle"));
    write(&log, entries(P1, [1], 10));
    let batch = LogBatch { state: Some(Bytes::from_static(b"newest")), ..entries(P0, 1..=3, 100) };
    write(&log, batch);
    disk.rot(&first(&disk), batch_offset(3), 512);
    let unscrubbed = disk.copy();
    assert_eq!(open(&unscrubbed).end(), LogEnd::Lost);
    let found = log.verify().unwrap().damages;
    assert_eq!(found[0].entries, [(P0, LogIndex(1)..=LogIndex(3))]);
    log.run();
    assert_eq!(segment_names(&disk).len(), 3, "all is repeated in a new segment");
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    let log = open(&disk);
    assert_eq!(
        (log.end(), health(&log, P0), health(&log, P1)),
        (LogEnd::Whole, damaged(3), INTACT)
    );
    assert_eq!(log.recovered()[&P0].state.as_deref(), Some(b"newest".as_slice()));
    assert_eq!(missing(&log, P0), [(1, 3)]);
}

/// A log in which partition 1 may have lost its end, and others may have been forgotten.
fn amnesiac_log(disk: &SimDisk) -> DiskLog {
    let log = open(disk);
    write(&log, state(P1, "old"));
    write(&log, entries(P1, 1..=5, 10));
    write(&log, entries(P0, [1], 10));
    write(&log, entries(P0, [2], 10));
    drop(log);
    disk.rot(&first(disk), batch_offset(3), 512);
    open(disk)
}

#[test]
fn c11_amnesia_outlives_restarts_and_segments_until_a_new_life_is_begun() {
    let disk = SimDisk::new(1);
    let mut log = amnesiac_log(&disk);
    repair(&log, P0, vec![entry(1, 1, 10)]);
    log.release(P1, LogIndex(6)).unwrap();
    for round in 0..3 {
        assert_eq!(health(&log, P1), PartitionHealth::Amnesiac, "round={round}");
        assert_eq!(health_now(&log, PartitionId(7)), PartitionHealth::Amnesiac, "if it was there");
        for batch in [state(P1, "no"), entries(P1, [6], 10), state(PartitionId(7), "no")] {
            assert!(matches!(log.submit(batch), Err(LogError::Damaged(_))));
        }
        let last = log.status(P0).unwrap().last.index.0;
        for index in last + 1..last + 100 {
            write(&log, entries(P0, [index], 3000));
            log.release(P0, LogIndex(index)).unwrap();
        }
        log.run();
        assert!(first(&disk).as_str() > "00000001.seg", "what told of it is gone");
        drop(log);
        disk.power_cut(PowerCut::LoseAll);
        log = open(&disk);
    }
    for partition in [P1, PartitionId(7)] {
        let ticket = log.begin_anew(state(partition, "new life")).unwrap();
        write(&log, entries(partition, 1..=2, 50));
        assert!(log.status(partition).unwrap().synced > ticket);
    }
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    let log = open(&disk);
    for partition in [P1, PartitionId(7)] {
        let found = log.recovered()[&partition].clone();
        assert_eq!((found.health, found.first, found.last), (INTACT, LogIndex(1), LogIndex(2)));
        assert_eq!(found.state.as_deref(), Some(b"new life".as_slice()));
        assert_eq!(read_all(&log, partition, 1).len(), 2);
    }
    assert_eq!(health_now(&log, PartitionId(8)), PartitionHealth::Amnesiac);
}

/// Begins a new life of a partition; the first in a log that is lost waits for a segment.
fn begin_life(log: &DiskLog, partition: PartitionId, life: &str) {
    let begin = || log.begin_anew(state(partition, life));
    if let Err(error) = begin() {
        assert!(error.is_retryable(), "{error}");
        log.run();
        begin().unwrap();
    }
    log.run();
}

#[test]
fn c11_a_log_whose_end_is_lost_goes_on_with_the_first_new_life() {
    let disk = SimDisk::new(2);
    let log = open(&disk);
    write(&log, state(P0, "old"));
    write(&log, entries(P1, 1..=5, 10));
    write(&log, entries(P0, 1..=2, 10));
    drop(log);
    disk.rot(&first(&disk), batch_offset(3), 512);
    let log = open(&disk);
    assert_eq!((log.end(), log.is_forgetful()), (LogEnd::Lost, true));
    assert!(log.submit(entries(P1, [6], 10)).is_err(), "what is left may still be looked at");
    begin_life(&log, P0, "life 2");
    let other = PartitionId(7);
    let check = |log: &DiskLog| {
        assert_eq!(health_now(log, P0), INTACT);
        assert_eq!(health_now(log, P1), PartitionHealth::Amnesiac, "it has no new life yet");
        assert_eq!(health_now(log, other), PartitionHealth::Amnesiac, "it may be forgotten");
        assert_eq!(read_all(log, P1, 1).len(), 5, "what is left of it stays");
        assert!(try_write(log, entries(P1, [6], 10)).is_err());
        assert!(try_write(log, entries(other, [1], 10)).is_err());
    };
    check(&log);
    write(&log, entries(P0, [1], 10));
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    let log = open(&disk);
    assert_eq!((log.end(), log.is_forgetful()), (LogEnd::Whole, true));
    check(&log);
    let found = log.recovered()[&P0].clone();
    assert_eq!(found.state.as_deref(), Some(b"life 2".as_slice()));
    assert_eq!(read_all(&log, P0, 1), [entry(1, 1, 10)]);
    for partition in [P1, other] {
        begin_life(&log, partition, "life 2");
        write(&log, entries(partition, 1..=3, 10));
    }
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    let log = open(&disk);
    for (partition, count) in [(P0, 1), (P1, 3), (other, 3)] {
        assert_eq!(health_now(&log, partition), INTACT);
        assert_eq!(read_all(&log, partition, 1).len(), count);
    }
}

#[test]
fn c16_what_is_left_of_a_lost_log_can_be_gone_on_with_as_a_whole() {
    let disk = SimDisk::new(2);
    let log = open(&disk);
    write(&log, state(P0, "old"));
    write(&log, entries(P0, 1..=5, 10));
    write(&log, entries(P0, 6..=7, 10));
    drop(log);
    disk.rot(&first(&disk), batch_offset(3), 512);
    let log = open(&disk);
    let left = read_all(&log, P0, 1);
    assert_eq!((health_now(&log, P0), left.len()), (PartitionHealth::Amnesiac, 5));
    let base = LogPoint { index: LogIndex(2), epoch: epoch(1) };
    let (restart_at, entries_left) = (Some(base), left[2..].to_vec());
    let batch = LogBatch { restart_at, entries: entries_left, ..state(P0, "recovered") };
    let gap = LogBatch { entries: left[3..].to_vec(), ..batch.clone() };
    assert!(matches!(log.begin_anew(gap), Err(LogError::NotContiguous { .. })));
    if log.begin_anew(batch.clone()).is_err() {
        log.run();
        log.begin_anew(batch).unwrap();
    }
    log.run();
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    let log = open(&disk);
    let found = log.recovered()[&P0].clone();
    assert_eq!((found.health, found.first, found.last), (INTACT, LogIndex(3), LogIndex(5)));
    assert_eq!(found.state.as_deref(), Some(b"recovered".as_slice()));
    assert_eq!(read_all(&log, P0, 3), left[2..]);
}

#[test]
fn c11_a_log_that_is_gone_goes_on_with_the_first_new_life() {
    let disk = SimDisk::new(2);
    let must_exist = || try_open(&disk, LogOptions { must_exist: true, ..small() }).unwrap();
    let log = must_exist();
    assert_eq!(log.end(), LogEnd::Lost);
    begin_life(&log, P1, "life 2");
    write(&log, entries(P1, 1..=3, 10));
    drop(log);
    disk.power_cut(PowerCut::LoseAll);
    let log = must_exist();
    assert_eq!((log.end(), log.is_forgetful()), (LogEnd::Whole, true));
    assert_eq!((health_now(&log, P0), health_now(&log, P1)), (PartitionHealth::Amnesiac, INTACT));
    assert_eq!(read_all(&log, P1, 1).len(), 3);
}

#[test]
fn c11_a_lost_log_is_found_lost_at_every_opening_until_a_new_life_begins() {
    let disk = SimDisk::new(5);
    let log = open(&disk);
    write(&log, state(P0, "old"));
    (1..=60).for_each(|index| write(&log, entries(P0, [index], 3000)));
    drop(log);
    let names = segment_names(&disk);
    for kept in 0..names.len() - 1 {
        let disk = disk.copy();
        names.iter().skip(kept).for_each(|name| disk.lose_file(name));
        for _ in 0..3 {
            let log = try_open(&disk, LogOptions { must_exist: true, ..small() }).unwrap();
            // What threads would do meanwhile.
            log.run();
            assert_eq!(log.end(), LogEnd::Lost, "kept={kept}");
            assert_eq!(segment_names(&disk).len(), kept, "nothing is written behind it");
        }
    }
}

#[test]
fn c11_a_crash_while_a_log_goes_on_leaves_it_lost_or_gone_on() {
    let lost = SimDisk::new(5);
    let log = open(&lost);
    write(&log, state(P0, "old"));
    (1..=60).for_each(|index| write(&log, entries(P0, [index], 3000)));
    drop(log);
    let without_tail = lost.copy();
    let names = segment_names(&lost);
    names.iter().skip(2).for_each(|name| without_tail.lose_file(name));
    lost.rot_last_synced().unwrap();
    let must_exist = LogOptions { must_exist: true, ..small() };
    let (mut begun, mut lost_still) = (0, 0);
    for (lost, stop) in
        [lost, without_tail].iter().flat_map(|lost| (0..40).map(move |at| (lost, at)))
    {
        let disk = lost.copy();
        let log = try_open(&disk, must_exist.clone()).unwrap();
        disk.stop_after(stop);
        let begin = || log.begin_anew(state(P0, "life 2"));
        // What the disk does not do any more is no error of the caller's.
        if begin().is_err() {
            log.run();
            begin().ok();
        }
        log.run();
        drop(log);
        disk.power_cut(PowerCut::Tear);
        let log = try_open(&disk, must_exist.clone()).unwrap();
        let found = log.recovered()[&P0].clone();
        let is_begun = found.health == INTACT;
        *if is_begun { &mut begun } else { &mut lost_still } += 1;
        if is_begun {
            assert_eq!(found.state.as_deref(), Some(b"life 2".as_slice()), "stop={stop}");
        } else {
            assert_eq!(found.health, PartitionHealth::Amnesiac, "stop={stop}");
        }
        assert!(try_write(&log, entries(P1, [1], 1)).is_err(), "stop={stop}");
        begin_life(&log, P0, "life 3");
        write(&log, entries(P0, [1], 1));
    }
    assert!(begun > 3 && lost_still > 3, "{begun} {lost_still}");
}
