//! Damage after the fact: told apart as rule C11 says, found by the scrub, never a panic.

use std::collections::BTreeSet;

use weald_core::{LogBatch, LogError, LogIndex, LogStore, PartitionHealth};

use super::rig::{
    P0, P1, batch_offset, entries, entry, first, health, open, read_all, segment_names, small,
    state, try_open, write,
};
use crate::log::{DiskLog, LogEnd, LogOpenError, LogOptions, testing::SimDisk};

fn known_end(index: u64) -> PartitionHealth {
    PartitionHealth::Damaged { known_end: LogIndex(index) }
}

/// A log of several batches in its first segment, one per entry.
fn log_of_batches(disk: &SimDisk, count: u64) -> DiskLog {
    let log = open(disk);
    (1..=count).for_each(|index| write(&log, entries(P0, [index], 100)));
    log
}

#[test]
fn c11_a_rotted_last_synced_record_is_amnesia_and_never_torn() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let log = log_of_batches(&disk, 3);
        write(&log, entries(P0, 4..=5, 50 + usize::try_from(seed).unwrap() * 17));
        drop(log);
        let (name, offset, count) = disk.rot_last_synced().unwrap();
        let log = open(&disk);
        let length = log.verify().unwrap();
        if log.end() == LogEnd::Lost {
            assert_eq!(health(&log, P0), PartitionHealth::Amnesiac);
            let refused = log.submit(entries(P0, [4], 1)).unwrap_err();
            assert!(matches!(refused, LogError::Damaged(_)), "{refused}");
            drop(log);
            assert_eq!(open(&disk).end(), LogEnd::Lost, "it stays so");
        } else {
            // Only padding rotted: all records are whole.
            assert_eq!(log.end(), LogEnd::Whole, "seed={seed} {name} {offset} {count}");
            assert_eq!(read_all(&log, P0, 1).len(), 5);
        }
        assert!(!length.damages.is_empty(), "seed={seed}");
    }
}

#[test]
fn c11_damage_before_an_intact_record_is_told_with_the_known_end() {
    let disk = SimDisk::new(1);
    let log = log_of_batches(&disk, 9);
    drop(log);
    disk.rot(&first(&disk), batch_offset(4), 512);
    let log = open(&disk);
    assert_eq!((log.end(), health(&log, P0)), (LogEnd::Whole, known_end(9)));
    assert_eq!(log.read(P0, LogIndex(1), 10_000).unwrap().len(), 3);
    assert!(matches!(log.read(P0, LogIndex(4), 10_000), Err(LogError::Damaged(_))));
    assert_eq!(log.read(P0, LogIndex(5), 10_000).unwrap().len(), 5);
    let refused = log.submit(entries(P0, [10], 1)).unwrap_err();
    assert!(refused.to_string().contains("known_end=9"), "{refused}");
    write(&log, state(P0, "promises go on"));
    assert_eq!(log.missing(P0), [LogIndex(4)..=LogIndex(4)]);
}

#[test]
fn w27_damage_in_one_partitions_records_leaves_the_others_intact() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    log.submit(entries(P0, 1..=3, 1000)).unwrap();
    log.submit(entries(P1, 1..=3, 1000)).unwrap();
    log.run();
    write(&log, entries(P0, [4], 10));
    write(&log, entries(P1, [4], 10));
    drop(log);
    // The records of partition 1 come after those of partition 0.
    disk.flip(&first(&disk), 4096 + 5000, 3);
    let log = open(&disk);
    assert_eq!(health(&log, P0), PartitionHealth::Intact);
    assert_eq!(health(&log, P1), known_end(4));
    assert_eq!(log.verify().unwrap().damages[0].partitions, [P1]);
}

#[test]
fn a_partition_that_may_have_lost_its_end_is_amnesiac() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    write(&log, entries(P1, [1], 10));
    write(&log, entries(P0, [1], 10));
    write(&log, entries(P0, [2], 10));
    drop(log);
    // Whose records the second batch held cannot be read any more.
    disk.rot(&first(&disk), batch_offset(2), 512);
    let log = open(&disk);
    assert_eq!(health(&log, P0), known_end(2));
    assert_eq!(health(&log, P1), PartitionHealth::Amnesiac);
}

#[test]
fn lost_promises_are_amnesia_unless_later_ones_are_there() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    write(&log, state(P0, "first"));
    write(&log, state(P0, "second"));
    write(&log, entries(P0, [1], 10));
    drop(log);
    let later = disk.copy();
    disk.rot(&first(&disk), batch_offset(2), 512);
    assert_eq!(health(&open(&disk), P0), PartitionHealth::Amnesiac);
    write(&open(&later), state(P0, "third"));
    later.rot(&first(&later), batch_offset(2), 512);
    let log = open(&later);
    assert_eq!(health(&log, P0), PartitionHealth::Intact, "nothing is missing that counts");
    assert_eq!(log.recovered()[&P0].state.as_deref(), Some(b"third".as_slice()));
}

/// A log of several segments.
fn long_log(disk: &SimDisk) -> u64 {
    let log = open(disk);
    write(&log, state(P1, "idle"));
    write(&log, state(P0, "promise"));
    let mut index = 0;
    while segment_names(disk).len() < 5 {
        write(&log, entries(P0, [index + 1], 3000));
        index += 1;
    }
    index
}

#[test]
fn a_missing_segment_in_the_middle_is_damage_and_promises_are_repeated_after_it() {
    let disk = SimDisk::new(1);
    let last = long_log(&disk);
    let names = segment_names(&disk);
    disk.lose_file(&names[1]);
    let log = open(&disk);
    assert_eq!((log.end(), health(&log, P0)), (LogEnd::Whole, known_end(last)));
    assert_eq!(log.recovered()[&P0].state.as_deref(), Some(b"promise".as_slice()));
    assert_eq!(health(&log, P1), PartitionHealth::Intact, "its last records are before and after");
    assert_eq!(log.verify().unwrap().damages[0].what, "a segment before this one is missing");
    disk.lose_file(&names[0]);
    let log = open(&disk);
    assert_eq!((health(&log, P0), health(&log, P1)), (known_end(last), PartitionHealth::Intact));
    assert_eq!(log.missing(P0)[0].start(), &LogIndex(1), "later segments tell from where on");
}

#[test]
fn a_missing_end_is_amnesia() {
    let disk = SimDisk::new(1);
    long_log(&disk);
    let names = segment_names(&disk);
    // The last is only prepared; the one before is written.
    let active = &names[names.len() - 2];
    let without_active = disk.copy();
    without_active.lose_file(active);
    let log = open(&without_active);
    assert_eq!((log.end(), health(&log, P0)), (LogEnd::Lost, PartitionHealth::Amnesiac));
    disk.lose_file(&names[names.len() - 1]);
    assert_eq!(open(&disk).end(), LogEnd::Whole, "a prepared segment is no loss");
}

#[test]
fn a_missing_log_is_a_loss_only_where_one_must_be() {
    let disk = SimDisk::new(1);
    let must_exist = LogOptions { must_exist: true, ..small() };
    let log = try_open(&disk, must_exist.clone()).unwrap();
    assert_eq!((log.end(), health(&log, P0)), (LogEnd::Lost, PartitionHealth::Amnesiac));
    assert!(log.submit(entries(P0, [1], 1)).is_err());
    drop(log);
    write(&open(&disk), entries(P0, [1], 1));
    assert_eq!(try_open(&disk, must_exist).unwrap().end(), LogEnd::Whole);
}

#[test]
fn c11_the_only_batch_rotted_is_amnesia_though_nothing_names_the_partition() {
    let disk = SimDisk::new(1);
    drop(log_of_batches(&disk, 1));
    disk.rot(&first(&disk), batch_offset(1), 4096);
    assert_eq!(health(&open(&disk), P0), PartitionHealth::Amnesiac);
}

#[test]
fn either_copy_of_a_header_will_do() {
    let disk = SimDisk::new(1);
    drop(log_of_batches(&disk, 5));
    let name = first(&disk);
    let foot = disk.bytes(&name).unwrap().len() - 4096;
    disk.rot(&name, 0, 512);
    assert_eq!(health(&open(&disk), P0), PartitionHealth::Intact);
    disk.rot(&name, foot, 512);
    assert_eq!(open(&disk).end(), LogEnd::Lost);
}

#[test]
fn d57_a_log_of_another_format_is_refused_with_both_versions() {
    let newer = refusal_of_version(9);
    assert!(matches!(newer, LogOpenError::NewerFormat { version: 9, supported: 2, .. }));
    assert!(newer.to_string().contains("version=9 supported=2"));
    let older = refusal_of_version(1);
    assert!(matches!(older, LogOpenError::OlderFormat { version: 1, supported: 2, .. }));
    assert!(older.to_string().contains("version=1 supported=2"));
}

/// What a log says whose first segment has a whole header of this version.
fn refusal_of_version(version: u8) -> LogOpenError {
    let disk = SimDisk::new(1);
    drop(log_of_batches(&disk, 1));
    let name = first(&disk);
    let mut header = disk.bytes(&name).unwrap()[..60].to_vec();
    header[8] = version;
    let crc = crc32fast::hash(&header[..56]).to_le_bytes();
    header[56..].copy_from_slice(&crc);
    let before = disk.bytes(&name).unwrap();
    for (at, byte) in header.iter().enumerate() {
        let changed = before[at] ^ byte;
        (0..8).filter(|bit| changed & (1 << bit) != 0).for_each(|bit| {
            disk.flip(&name, at, bit);
        });
    }
    disk.rot(&name, before.len() - 4096, 512);
    try_open(&disk, small()).map(|_| ()).unwrap_err()
}

/// A small log with everything in it: a cut, a state, a large entry, two partitions.
fn small_log(disk: &SimDisk) -> DiskLog {
    let log = open(disk);
    write(&log, state(P0, "promise"));
    write(&log, entries(P0, 1..=3, 40));
    write(&log, entries(P1, [1], 9000));
    let cut_from = Some(LogIndex(3));
    let replaced = vec![entry(3, 2, 40)];
    write(&log, LogBatch { partition: P0, cut_from, entries: replaced, ..Default::default() });
    log
}

#[test]
fn a_flipped_bit_is_found_by_the_scrub_wherever_it_is() {
    let disk = SimDisk::new(1);
    let log = small_log(&disk);
    assert_eq!(log.verify().unwrap().damages, []);
    let names = segment_names(&disk);
    assert_eq!(names.len(), 2, "one is written and one prepared");
    for name in &names {
        let size = disk.bytes(name).unwrap().len();
        // Every byte where the header, records and their frames begin, every seventh within the large entry, and
        // every 353rd where nothing was written yet.
        let written = (0..28 * 1024).filter(|at| at % 4096 < 1024 || at % 7 == 0);
        let bytes = written.chain((28 * 1024..size).step_by(353)).chain(size - 4096..size);
        for at in bytes.filter(|at| name == &names[0] || at % 97 == 0) {
            let bit = u8::try_from(at % 8).unwrap();
            assert!(disk.flip(name, at, bit));
            let damages = log.verify().unwrap().damages;
            assert_eq!(damages.len(), 1, "{name} at={at} {damages:?}");
            assert!(damages[0].file == *name && damages[0].offset <= at as u64);
            // A prepared segment was filled anew, so that it is whole again.
            match name == &names[0] {
                true => assert!(disk.flip(name, at, bit)),
                false => assert_eq!(log.verify().unwrap().damages, []),
            }
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_never_loses_an_entry_silently() {
    let disk = SimDisk::new(1);
    let log = small_log(&disk);
    let whole = (log.read(P0, LogIndex(1), 10_000).unwrap(), read_all(&log, P1, 1));
    drop(log);
    let mut seen = BTreeSet::new();
    for at in (0..28 * 1024).step_by(7).chain((28 * 1024..128 * 1024).step_by(1211)) {
        disk.flip(&first(&disk), at, u8::try_from(at % 8).unwrap());
        let copy = disk.copy();
        let log = open(&copy);
        let healths = [P0, P1].map(|p| log.recovered().get(&p).map(|found| found.health));
        seen.insert(format!("{:?}", healths[0]));
        if healths == [Some(PartitionHealth::Intact); 2] {
            let found = (read_all(&log, P0, 1), read_all(&log, P1, 1));
            assert_eq!(found, whole, "at={at}");
        } else {
            assert_ne!(log.end(), LogEnd::Torn, "at={at}: nothing was torn");
        }
        disk.flip(&first(&disk), at, u8::try_from(at % 8).unwrap());
    }
    assert!(seen.len() >= 3, "{seen:?}");
}

#[test]
fn any_bytes_in_the_files_are_survived() {
    for seed in 0..150 {
        let disk = SimDisk::new(seed);
        drop(small_log(&disk));
        let name = first(&disk);
        let at = usize::try_from(seed * 7919 % 30_000).unwrap();
        disk.rot(&name, at, 1 + usize::try_from(seed * 31 % 9000).unwrap());
        if let Ok(log) = try_open(&disk, small()) {
            log.verify().unwrap();
            for partition in [P0, P1] {
                log.read(partition, LogIndex(1), 100_000).ok();
                log.submit(state(partition, "still here")).ok();
            }
            log.run();
        }
    }
}
