//! Any bytes in the files of a log: opening ends with a log or an error, and nothing is read from it that was never
//! written to it.

use std::sync::LazyLock;

use weald_core::{Epoch, LogBatch, LogIndex, LogRecord, LogStore, PartitionId};
use weald_storage::log::Disk;
use weald_storage::log::testing::SimDisk;

use crate::log_operations::open;
use crate::script::Script;

const PARTITIONS: u32 = 2;
const ENTRIES: u64 = 60;

static INTACT: LazyLock<SimDisk> = LazyLock::new(intact);

/// Reads `data` as writes over the files of a log of several segments.
pub fn run(data: &[u8]) {
    let disk = INTACT.copy();
    let mut script = Script::new(data);
    let mut names = disk.list().expect("a disk in memory lists its files");
    names.sort();
    while !script.is_finished() {
        let name = &names[script.below(names.len())];
        damage(&disk, name, &mut script);
    }
    let Some(log) = open(&disk, 9) else { return };
    for (partition, found) in log.recovered() {
        let mut next = found.first;
        while next <= found.last {
            let Ok(page) = log.read(partition, next, 4096) else { break };
            let Some(last) = page.last() else { break };
            next = LogIndex(last.index.0 + 1);
            let known = page.iter().all(|record| *record == entry(partition, record.index));
            assert!(known, "an entry was read that nobody wrote: {page:?}");
        }
    }
    let _ = log.verify();
    let batch = LogBatch {
        partition: PartitionId(0),
        state: Some(b"state".as_slice().into()),
        ..LogBatch::default()
    };
    let _ = log.submit(batch);
    log.run();
    let _ = log.poll_synced();
}

/// Writes, swaps or loses a stretch of a file; offsets near those of sectors are the most telling.
fn damage(disk: &SimDisk, name: &str, script: &mut Script<'_>) {
    let Ok(file) = disk.open(name) else { return };
    let size = file.size().unwrap_or(0);
    let sector = 4096 * script.below(usize::try_from(size / 4096).unwrap_or(0) + 1) as u64;
    let offset = sector + script.below(512) as u64;
    match script.byte() % 8 {
        0 => disk.lose_file(name),
        1 => {
            let mut moved = vec![0; 4096];
            let from = 4096 * script.below(usize::try_from(size / 4096).unwrap_or(0)) as u64;
            if file.read_at(from, &mut moved).is_ok() {
                let _ = file.write_at(sector.min(size.saturating_sub(4096)), &moved);
            }
        }
        _ => {
            let bytes = script.bytes(64);
            if offset + bytes.len() as u64 <= size {
                let _ = file.write_at(offset, bytes);
            }
        }
    }
    let _ = file.sync();
}

fn entry(partition: PartitionId, index: LogIndex) -> LogRecord {
    let len = if index.0.is_multiple_of(9) { 9_000 } else { 100 };
    let byte = u8::try_from(index.0 % 251).expect("below 251")
        ^ u8::try_from(partition.0).expect("few partitions");
    LogRecord { index, epoch: Epoch::default(), bytes: vec![byte; len].into() }
}

fn intact() -> SimDisk {
    let disk = SimDisk::new(1);
    let log = open(&disk, 1).expect("an empty disk takes a log");
    for index in 1..=ENTRIES {
        for partition in (0..PARTITIONS).map(PartitionId) {
            let state = (index % 10 == 0).then(|| b"promise".as_slice().into());
            let batch = LogBatch {
                partition,
                entries: vec![entry(partition, LogIndex(index))],
                state,
                ..LogBatch::default()
            };
            log.submit(batch).expect("the log takes a small batch");
        }
        log.run();
    }
    drop(log);
    disk
}
