//! What an engine with files keeps over reopening, crashes and full disks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use weald_storage::engine::{
    self, Batch, Direction, Durability, EngineConfig, EngineError, EngineKind, KeyRange, Keyspace,
};

use crate::subject::{Subject, config, open, version_key};

/// The unit in which a disk loses writes.
const PAGE: usize = 4096;

/// Blocks of a batch; the first is an image of many pages, the others are small deltas.
const BLOCKS: u64 = 6;

fn value_of(block: u64, number: u64) -> Vec<u8> {
    number.to_be_bytes().repeat(if block == 0 { 2500 } else { 50 })
}

/// Batch `number` of a history: a handful of blocks, and the number under one key.
fn numbered_batch(number: u64) -> Batch {
    let mut batch = Batch::new();
    for block in 0..BLOCKS {
        batch.put(Keyspace::Blocks, version_key(1, block, number), value_of(block, number));
    }
    batch.put(Keyspace::Meta, &b"last"[..], number.to_be_bytes().to_vec());
    batch
}

fn write_numbered(subject: &Subject, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        subject.engine.write(numbered_batch(number), Durability::Unsynced).unwrap();
    }
}

/// Checks that `subject` holds exactly the first batches of the history, and says how many.
fn prefix_length(subject: &Subject) -> u64 {
    let last = subject.value(Keyspace::Meta, b"last");
    let last = last.map_or(0, |bytes| u64::from_be_bytes((*bytes).try_into().unwrap()));
    let expect: BTreeSet<Vec<u8>> =
        (1..=last).flat_map(|n| (0..BLOCKS).map(move |block| version_key(1, block, n))).collect();
    let entries = subject.entries(Keyspace::Blocks);
    let found: BTreeSet<Vec<u8>> = entries.iter().map(|(key, _)| key.to_vec()).collect();
    assert_eq!(found, expect, "batches 1..={last} and nothing else");
    for (key, value) in &entries {
        let block = u64::from_be_bytes(key[20..28].try_into().unwrap());
        let number = !u64::from_be_bytes(key[28..].try_into().unwrap());
        assert!(*value == value_of(block, number), "block={block} number={number}");
    }
    last
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The folder's files as a process that was killed leaves them.
fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for path in files(folder) {
        let target = copy.path().join(path.strip_prefix(folder).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, &target).unwrap();
    }
    copy
}

fn reopened(kind: EngineKind, folder: tempfile::TempDir) -> Subject {
    let engine = open(kind, folder.path()).unwrap();
    Subject { kind, folder, engine }
}

pub(crate) fn a_closed_engine_reopens_with_everything(kind: EngineKind) {
    let mut subject = Subject::new(kind);
    for round in 0..3 {
        write_numbered(&subject, round * 10 + 1..=round * 10 + 10);
        subject.engine.sync().unwrap();
        subject = subject.reopen();
        assert_eq!(prefix_length(&subject), round * 10 + 10);
    }
    subject.write(|batch| batch.delete_range(Keyspace::Blocks, KeyRange::all()));
    subject.engine.sync().unwrap();
    assert_eq!(subject.reopen().entries(Keyspace::Blocks), vec![], "deletes survive too");
}

pub(crate) fn a_synced_batch_is_in_a_copy_taken_while_open(kind: EngineKind) {
    let subject = Subject::new(kind);
    for (synced, written) in [(5, 9), (30, 30), (31, 60)] {
        let from = subject.value(Keyspace::Meta, b"last");
        let from = from.map_or(0, |bytes| u64::from_be_bytes((*bytes).try_into().unwrap()));
        write_numbered(&subject, from + 1..=synced);
        subject.engine.sync().unwrap();
        write_numbered(&subject, synced + 1..=written);
        let kept = prefix_length(&reopened(kind, copy_of(subject.folder.path())));
        assert!((synced..=written).contains(&kept), "{synced} <= {kept} <= {written}");
    }
}

pub(crate) fn a_synced_write_needs_no_sync_of_its_own(kind: EngineKind) {
    let subject = Subject::new(kind);
    write_numbered(&subject, 1..=4);
    subject.engine.write(numbered_batch(5), Durability::Synced).unwrap();
    write_numbered(&subject, 6..=6);
    let kept = prefix_length(&reopened(kind, copy_of(subject.folder.path())));
    assert!((5..=6).contains(&kept), "{kept}");
}

/// A power cut: of the pages written since the last sync, any may be missing.
pub(crate) fn pages_lost_since_the_last_sync_leave_a_prefix(kind: EngineKind) {
    let subject = Subject::new(kind);
    write_numbered(&subject, 1..=20);
    subject.engine.sync().unwrap();
    let synced = copy_of(subject.folder.path());
    write_numbered(&subject, 21..=40);
    let written = copy_of(subject.folder.path());
    for seed in 1..=40_u64 {
        let cut = copy_of(written.path());
        lose_pages(synced.path(), cut.path(), seed);
        let kept = prefix_length(&reopened(kind, cut));
        assert!((20..=40).contains(&kept), "seed={seed} kept={kept}");
    }
}

/// Puts pages of `cut` back to what they were in `synced`, some chosen by `seed`.
fn lose_pages(synced: &Path, cut: &Path, seed: u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for path in files(cut) {
        let mut bytes = fs::read(&path).unwrap();
        let old = fs::read(synced.join(path.strip_prefix(cut).unwrap())).unwrap_or_default();
        for start in (0..bytes.len()).step_by(PAGE) {
            let end = (start + PAGE).min(bytes.len());
            let before: Vec<u8> =
                (start..end).map(|at| old.get(at).copied().unwrap_or(0)).collect();
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let is_lost = bytes[start..end] != before[..] && (random >> 60) < 1 + seed % 8;
            if is_lost {
                bytes[start..end].copy_from_slice(&before);
            }
        }
        fs::write(&path, bytes).unwrap();
    }
}

/// Damage of what was synced: whatever bit is flipped, nothing wrong is read and nothing panics.
pub(crate) fn a_flipped_bit_is_an_error_or_changes_nothing(kind: EngineKind) {
    let mut subject = Subject::new(kind);
    // Opening again moves what a log holds into tables: both are to be damaged.
    for numbers in [1..=10, 11..=20] {
        subject = subject.reopen();
        write_numbered(&subject, numbers);
        subject.engine.sync().unwrap();
    }
    let Subject { engine, folder, .. } = subject;
    drop(engine);
    let mut found = 0;
    for seed in 1..=40_u64 {
        let copy = copy_of(folder.path());
        let place = flip_a_bit(copy.path(), seed);
        let outcome = std::panic::catch_unwind(|| read_everything(kind, copy.path()));
        match outcome.unwrap_or_else(|_| panic!("panicked seed={seed} {place}")) {
            Ok(last) => assert_eq!(last, 20, "seed={seed} {place}"),
            Err(EngineError::Corrupt { .. }) => found += 1,
            Err(other) => panic!("not told as damage seed={seed} {place}: {other}"),
        }
    }
    assert!(found > 5, "most bits of these files matter found={found}");
}

/// Opens, reads and verifies; the length of the history that is there.
fn read_everything(kind: EngineKind, folder: &Path) -> Result<u64, EngineError> {
    let engine = open(kind, folder)?;
    let last = engine.get(Keyspace::Meta, b"last")?;
    let snapshot = engine.snapshot()?;
    let range = KeyRange::all();
    let mut count = 0;
    for entry in snapshot.scan(Keyspace::Blocks, &range, Direction::Forward) {
        let (key, value) = entry?;
        let block = u64::from_be_bytes(key[20..28].try_into().unwrap());
        let number = !u64::from_be_bytes(key[28..].try_into().unwrap());
        assert!(value == value_of(block, number), "a wrong value was read");
        count += 1;
    }
    drop(snapshot);
    let last = last.map_or(0, |bytes| u64::from_be_bytes((*bytes).try_into().unwrap()));
    assert_eq!(count, last * BLOCKS, "a wrong number of entries was read");
    engine.verify()?;
    Ok(last)
}

/// Flips one bit of one file, chosen by `seed` among the bytes that are not zero.
fn flip_a_bit(folder: &Path, seed: u64) -> String {
    let mut files = files(folder);
    files.sort();
    let mut places = Vec::new();
    for path in files {
        let bytes = fs::read(&path).unwrap();
        let used = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at);
        places.extend(used.map(|at| (path.clone(), at)));
    }
    let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let (path, at) = &places[usize::try_from(random).unwrap() % places.len()];
    let mut bytes = fs::read(path).unwrap();
    bytes[*at] ^= 1 << (seed % 8);
    fs::write(path, bytes).unwrap();
    format!("file={} at={at}", path.display())
}

pub(crate) fn d57_a_second_handle_is_refused_as_locked(kind: EngineKind) {
    let subject = Subject::new(kind);
    let refused = open(kind, subject.folder.path()).unwrap_err();
    assert!(matches!(refused, EngineError::Locked { .. }), "{refused}");
    assert!(refused.is_retryable());
    let folder = subject.folder.path().display().to_string();
    assert!(refused.to_string().contains(&folder), "{refused}");
    subject.reopen();
}

/// A store with three batches, opened again as if its file system had no room.
fn subject_on_full_disk(kind: EngineKind) -> Subject {
    let subject = Subject::new(kind);
    write_numbered(&subject, 1..=3);
    subject.engine.sync().unwrap();
    let Subject { engine, folder, .. } = subject;
    drop(engine);
    let full = EngineConfig { disk_reserve_bytes: u64::MAX, ..config() };
    let engine = engine::open(kind, folder.path(), &full).unwrap();
    Subject { kind, folder, engine }
}

pub(crate) fn d58_a_full_disk_refuses_writes_and_reads_go_on(kind: EngineKind) {
    let subject = subject_on_full_disk(kind);
    let refused = subject.engine.write(numbered_batch(4), Durability::Unsynced).unwrap_err();
    assert!(matches!(refused, EngineError::Full { .. }), "{refused}");
    assert!(refused.is_retryable());
    assert_eq!(prefix_length(&subject), 3, "reads go on and nothing was written");
}

pub(crate) fn d58_deletes_pass_on_a_full_disk(kind: EngineKind) {
    let subject = subject_on_full_disk(kind);
    subject.write(|batch| batch.delete_range(Keyspace::Blocks, KeyRange::all()));
    assert_eq!(subject.entries(Keyspace::Blocks), vec![]);
}
