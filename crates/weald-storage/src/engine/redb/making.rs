//! A process that is killed while it makes the engine's file.

use super::recording_disk::{Event, RecordingDisk, at, put};
use super::*;

/// What the file holds after each step of its making.
fn stages() -> Vec<Vec<u8>> {
    let disk = RecordingDisk::default();
    drop(RedbEngine::on_disk(disk.clone(), Path::new("in memory"), &small()).unwrap());
    let mut bytes = Vec::new();
    let mut stages = Vec::new();
    for event in disk.events() {
        match event {
            Event::Length(length) => bytes.resize(at(length), 0),
            Event::Write(place, data) => put(&mut bytes, place, &data),
            Event::Sync | Event::Acknowledged(_) => continue,
        }
        stages.push(bytes.clone());
    }
    stages
}

fn small() -> EngineConfig {
    EngineConfig { cache_bytes: 64 << 10, disk_reserve_bytes: 0, ..EngineConfig::default() }
}

fn is_refused(folder: &Path) -> bool {
    RedbEngine::open(folder, &small()).is_err()
}

#[test]
fn a_kill_while_the_file_is_made_leaves_a_store_that_opens() {
    let mut refused_count = 0;
    for stage in stages() {
        let folder = tempfile::tempdir().unwrap();
        // It is for this that the file is not made under its own name.
        std::fs::write(folder.path().join(FILE_NAME), &stage).unwrap();
        refused_count += usize::from(is_refused(folder.path()));
        std::fs::remove_file(folder.path().join(FILE_NAME)).unwrap();
        std::fs::write(folder.path().join(UNFINISHED_NAME), &stage).unwrap();
        let engine = RedbEngine::open(folder.path(), &small()).unwrap();
        let mut batch = Batch::new();
        batch.put(Keyspace::Meta, &b"key"[..], b"value".to_vec());
        engine.write(batch, Durability::Synced).unwrap();
        drop(engine);
        let engine = RedbEngine::open(folder.path(), &small()).unwrap();
        assert_eq!(engine.get(Keyspace::Meta, b"key").unwrap().unwrap(), "value");
        assert!(!folder.path().join(UNFINISHED_NAME).exists());
    }
    assert!(refused_count > 0, "a half-made file under its own name would be refused");
}
