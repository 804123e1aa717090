//! What becomes of a full disk: refused before it is, and what happens if it is after all.

use std::sync::atomic::{AtomicU64, Ordering};

use super::recording_disk::RecordingDisk;
use super::*;

fn open(disk: &RecordingDisk) -> RedbEngine {
    let config =
        EngineConfig { cache_bytes: 64 << 10, disk_reserve_bytes: 0, ..EngineConfig::default() };
    RedbEngine::on_disk(disk.clone(), Path::new("in memory"), &config).unwrap()
}

fn batch(number: u64) -> Batch {
    let mut batch = Batch::new();
    for key in 0..8_u64 {
        let key = [number.to_be_bytes(), key.to_be_bytes()].concat();
        batch.put(Keyspace::Blocks, key, vec![7; 3000]);
    }
    batch.put(Keyspace::Meta, &b"last"[..], number.to_be_bytes().to_vec());
    batch
}

fn last(engine: &RedbEngine) -> u64 {
    let bytes = engine.get(Keyspace::Meta, b"last").unwrap().unwrap();
    u64::from_be_bytes((*bytes).try_into().unwrap())
}

#[test]
fn d58_a_full_disk_refuses_batches_reads_go_on_and_freed_space_heals_it() {
    static FREE: AtomicU64 = AtomicU64::new(u64::MAX);

    let mut engine = open(&RecordingDisk::default());
    let config = EngineConfig::default();
    engine.space = DiskSpace::new(Path::new("in memory"), &config)
        .asking(|_| Ok(FREE.load(Ordering::Relaxed)));
    engine.write(batch(1), Durability::Unsynced).unwrap();
    FREE.store(config.disk_reserve_bytes, Ordering::Relaxed);
    for _ in 0..3 {
        let refused = engine.write(batch(2), Durability::Synced).unwrap_err();
        assert!(matches!(refused, EngineError::Full { .. }), "{refused}");
        assert!(refused.is_retryable());
        assert_eq!(last(&engine), 1);
    }
    engine.sync().unwrap();
    FREE.store(u64::MAX, Ordering::Relaxed);
    engine.write(batch(2), Durability::Synced).unwrap();
    assert_eq!(last(&engine), 2);
}

#[test]
fn d58_a_disk_that_fills_up_in_a_commit_is_told_and_loses_nothing_synced() {
    let disk = RecordingDisk::default();
    let engine = open(&disk);
    let mut synced = 0;
    for number in 1..=5 {
        engine.write(batch(number), Durability::Synced).unwrap();
        synced = number;
    }
    disk.set_capacity(disk.bytes().len() + 40_000);
    let refused = (6..).find_map(|number| {
        let written = engine.write(batch(number), Durability::Synced);
        if written.is_ok() {
            synced = number;
        }
        written.err()
    });
    let refused = refused.unwrap();
    assert!(matches!(refused, EngineError::Full { .. }), "{refused}");
    let stopped = engine.write(batch(99), Durability::Unsynced).unwrap_err();
    assert!(matches!(stopped, EngineError::Stopped { .. }), "{stopped}");
    assert!(!stopped.is_retryable());
    drop(engine);
    disk.set_capacity(usize::MAX);
    let engine = open(&disk);
    assert!((synced..=synced + 1).contains(&last(&engine)));
    engine.verify().unwrap();
    engine.write(batch(100), Durability::Synced).unwrap();
    assert_eq!(last(&engine), 100);
}
