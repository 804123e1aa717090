//! Cuts, continuations and snapshot jumps: whole or not at all, whenever the machine stops.

use bytes::Bytes;
use weald_core::{LogBatch, LogError, LogIndex, LogPoint, LogRecord, LogStore, PartitionHealth};

use super::rig::{P0, P1, entries, entry, epoch, open, read_all, state, try_write, write};
use crate::log::{
    DiskLog,
    testing::{PowerCut, SimDisk},
};

fn base(index: u64, number: u64) -> LogPoint {
    LogPoint { index: LogIndex(index), epoch: epoch(number) }
}

fn jump(index: u64, number: u64, entries: Vec<LogRecord>) -> LogBatch {
    let state = Some(Bytes::from_static(b"snapshot"));
    LogBatch {
        partition: P0,
        restart_at: Some(base(index, number)),
        state,
        entries,
        ..Default::default()
    }
}

/// What a partition is after a restart.
type Found = (Option<Bytes>, LogIndex, LogPoint, Vec<LogRecord>);

fn found(log: &DiskLog) -> Found {
    let found = log.recovered()[&P0].clone();
    let last = LogPoint { index: found.last, epoch: found.last_epoch };
    (found.state, found.first, last, read_all(log, P0, found.first.0))
}

/// Writes `batch` with the machine stopping after each number of changes, and checks that what is
/// found is as before or as after. Returns how often it was each.
fn stop_anywhere(prepared: &SimDisk, batch: &LogBatch) -> [usize; 2] {
    let before = found(&open(&prepared.copy()));
    let done = prepared.copy();
    write(&open(&done), batch.clone());
    let after = found(&open(&done));
    assert_ne!(before, after);
    let mut seen = [0; 2];
    for (stop, cut) in (0..12).flat_map(|stop| [(stop, PowerCut::Tear), (stop, PowerCut::KeepAll)])
    {
        for _ in 0..6 {
            let disk = prepared.copy();
            let log = open(&disk);
            disk.stop_after(stop);
            try_write(&log, batch.clone()).ok();
            drop(log);
            disk.power_cut(cut);
            let now = found(&open(&disk));
            assert!(now == before || now == after, "stop={stop} {now:?}");
            seen[usize::from(now == after)] += 1;
        }
    }
    seen
}

fn log_of_eight(disk: &SimDisk) {
    let log = open(disk);
    write(&log, LogBatch { state: Some(Bytes::from_static(b"old")), ..entries(P0, 1..=8, 500) });
}

#[test]
fn w196_r10_a_cut_its_continuation_and_the_state_are_durable_together() {
    for size in [20, 2000] {
        let disk = SimDisk::new(size);
        log_of_eight(&disk);
        let size = usize::try_from(size).unwrap();
        let batch = LogBatch {
            partition: P0,
            cut_from: Some(LogIndex(5)),
            state: Some(Bytes::from_static(b"promise")),
            entries: (5..=9).map(|index| entry(index, 2, size)).collect(),
            ..LogBatch::default()
        };
        let seen = stop_anywhere(&disk, &batch);
        assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
    }
}

#[test]
fn w196_c15_a_snapshot_jump_is_durable_as_a_whole() {
    let disk = SimDisk::new(1);
    log_of_eight(&disk);
    for batch in [jump(100, 7, vec![]), jump(100, 7, vec![entry(101, 7, 50)]), jump(3, 7, vec![])] {
        let seen = stop_anywhere(&disk, &batch);
        assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
    }
}

#[test]
fn c15_after_a_snapshot_jump_the_log_begins_behind_its_point() {
    let disk = SimDisk::new(1);
    log_of_eight(&disk);
    let log = open(&disk);
    write(&log, jump(100, 7, vec![]));
    assert_eq!(log.read(P0, LogIndex(8), 10), Err(not_held(8)));
    assert_eq!(log.read(P0, LogIndex(101), 10), Ok(vec![]));
    let status = log.status(P0).unwrap();
    assert_eq!(
        (status.base, status.last, status.health),
        (base(100, 7), base(100, 7), PartitionHealth::Intact)
    );
    assert!(matches!(log.submit(entries(P0, [102], 10)), Err(LogError::NotContiguous { .. })));
    assert_eq!(log.submit(jump(99, 9, vec![])), Err(not_held(99)), "never back");
    let (state, first, last, held) = found(&open(&disk.copy()));
    assert_eq!((state.as_deref(), first), (Some(b"snapshot".as_slice()), LogIndex(101)));
    assert_eq!((last, held), (base(100, 7), vec![]));
    write(&log, entries(P0, 101..=103, 10));
    // A cut down to the point keeps its epoch, also over segments that tell nothing else of it.
    write(&log, LogBatch { partition: P0, cut_from: Some(LogIndex(101)), ..LogBatch::default() });
    for index in 1..=100 {
        write(&log, entries(P1, [index], 3000));
        log.release(P1, LogIndex(index)).unwrap();
    }
    drop(log);
    let (_, first, last, _) = found(&open(&disk));
    assert_eq!((first, last), (LogIndex(101), base(100, 7)));
}

fn not_held(index: u64) -> LogError {
    LogError::NotHeld { partition: P0, index: LogIndex(index) }
}

#[test]
fn c15_a_jump_frees_the_segments_of_what_it_forgets() {
    let disk = SimDisk::new(1);
    let log = open(&disk);
    write(&log, state(P1, "idle"));
    write(&log, entries(P0, 1..=8, 3000));
    (9..=200).for_each(|index| write(&log, entries(P0, [index], 3000)));
    assert_eq!(log.pinned().unwrap().segment, 1);
    write(&log, jump(500, 2, vec![]));
    assert_eq!(log.pinned(), None);
    log.run();
    drop(log);
    let log = open(&disk);
    assert_eq!(log.segments().0, 1);
    assert_eq!(log.recovered()[&P1].state.as_deref(), Some(b"idle".as_slice()));
}

#[test]
fn r8_a_promise_is_there_or_not_whenever_the_machine_stops() {
    let disk = SimDisk::new(3);
    log_of_eight(&disk);
    let seen = stop_anywhere(&disk, &state(P0, "a watermark, or a vote"));
    assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
}
