//! Power cuts at any moment, commits under way included: of what was written since the last sync,
//! any sectors may be missing.

use std::collections::BTreeSet;

use super::recording_disk::{Event, RecordingDisk, at, put};
use super::*;

const SECTOR: usize = 512;
const BATCHES: u64 = 40;
const BLOCKS: u64 = 6;

/// What a disk holds after a cut behind `events`: all up to the last sync, then some sectors.
fn after_cut(events: &[Event], random: &mut impl FnMut() -> u64) -> Vec<u8> {
    let synced = events.iter().rposition(|event| matches!(event, Event::Sync)).unwrap_or(0);
    let kept_of_16 = random() % 17;
    let mut bytes = Vec::new();
    for (number, event) in events.iter().enumerate() {
        match event {
            Event::Length(length) => bytes.resize(at(*length), 0),
            Event::Write(place, data) => {
                for (sector, data) in data.chunks(SECTOR).enumerate() {
                    if number < synced || random() % 16 < kept_of_16 {
                        let offset = u64::try_from(sector * SECTOR).unwrap();
                        put(&mut bytes, place + offset, data);
                    }
                }
            }
            Event::Sync | Event::Acknowledged(_) => {}
        }
    }
    bytes
}

fn version_key(block: u64, batch: u64) -> Vec<u8> {
    [block.to_be_bytes(), (!batch).to_be_bytes()].concat()
}

fn value_of(block: u64, batch: u64) -> Vec<u8> {
    batch.to_be_bytes().repeat(if block == 0 { 2500 } else { 40 })
}

/// Batch `number`: a version of each block, and the fifth-last versions pruned.
fn numbered_batch(number: u64) -> Batch {
    let mut batch = Batch::new();
    for block in 0..BLOCKS {
        batch.put(Keyspace::Blocks, version_key(block, number), value_of(block, number));
        if let Some(old) = number.checked_sub(5) {
            batch.delete(Keyspace::Blocks, version_key(block, old));
        }
    }
    batch.put(Keyspace::Meta, &b"last"[..], number.to_be_bytes().to_vec());
    batch
}

/// The last batch, after checking that it and those before it are there and nothing else.
fn prefix_length(engine: &RedbEngine) -> u64 {
    let last = engine.get(Keyspace::Meta, b"last").unwrap();
    let last = last.map_or(0, |bytes| u64::from_be_bytes((*bytes).try_into().unwrap()));
    let versions = (last.saturating_sub(4).max(1))..=last;
    let expect: BTreeSet<Vec<u8>> = versions
        .flat_map(|batch| (0..BLOCKS).map(move |block| version_key(block, batch)))
        .collect();
    let snapshot = engine.snapshot().unwrap();
    let mut found = BTreeSet::new();
    for entry in snapshot.scan(Keyspace::Blocks, &KeyRange::all(), Direction::Forward) {
        let (key, value) = entry.unwrap();
        let block = u64::from_be_bytes(key[..8].try_into().unwrap());
        let batch = !u64::from_be_bytes(key[8..].try_into().unwrap());
        assert!(*value == value_of(block, batch), "block={block} batch={batch}");
        found.insert(key.to_vec());
    }
    assert!(found == expect, "last={last}");
    last
}

fn open(disk: RecordingDisk, cache_bytes: usize) -> Result<RedbEngine, EngineError> {
    let config = EngineConfig { cache_bytes, disk_reserve_bytes: 0, ..EngineConfig::default() };
    RedbEngine::on_disk(disk, Path::new("in memory"), &config)
}

/// Everything that happens to the disk during a history with a sync after every third batch.
fn recorded(cache_bytes: usize) -> Vec<Event> {
    let disk = RecordingDisk::default();
    let engine = open(disk.clone(), cache_bytes).unwrap();
    disk.acknowledge(0);
    for number in 1..=BATCHES {
        let durability = if number % 7 == 0 { Durability::Synced } else { Durability::Unsynced };
        engine.write(numbered_batch(number), durability).unwrap();
        if number % 3 == 0 {
            engine.sync().unwrap();
        }
        if number % 3 == 0 || number % 7 == 0 {
            disk.acknowledge(number);
        }
    }
    // The events of closing come too.
    drop(engine);
    disk.events()
}

/// Cuts `events` at a moment chosen by `seed`, opens what is left and checks it.
fn check_cut(events: &[Event], seed: u64, cache_bytes: usize) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 40
    };
    let created = events.iter().position(|e| matches!(e, Event::Acknowledged(0))).unwrap();
    let cut = created + 1 + usize::try_from(random()).unwrap() % (events.len() - created);
    let before = &events[..cut];
    let acknowledged = before.iter().rev().find_map(|event| match event {
        Event::Acknowledged(batch) => Some(*batch),
        _ => None,
    });
    let acknowledged = acknowledged.unwrap_or(0);
    let disk = RecordingDisk::holding(after_cut(before, &mut random));
    let engine = open(disk, cache_bytes).unwrap_or_else(|e| panic!("seed={seed} cut={cut}: {e}"));
    let last = prefix_length(&engine);
    assert!((acknowledged..=BATCHES).contains(&last), "seed={seed} {acknowledged} {last}");
    engine.write(numbered_batch(last + 1), Durability::Synced).unwrap();
    assert_eq!(prefix_length(&engine), last + 1, "it goes on from there");
    last
}

fn check_cuts(cache_bytes: usize, cuts: u64) {
    let events = recorded(cache_bytes);
    let early = (1..=cuts).filter(|seed| check_cut(&events, *seed, cache_bytes) < BATCHES).count();
    assert!(early > 0, "most cuts come before the end");
}

#[test]
fn any_power_cut_keeps_the_acknowledged_batches_and_a_prefix() {
    check_cuts(1 << 20, 300);
}

#[test]
fn any_power_cut_keeps_a_prefix_when_the_cache_spills_before_a_sync() {
    check_cuts(16 << 10, 300);
}

/// The checker itself: a disk whose syncs do nothing must not pass.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let mut events = recorded(1 << 20);
    events.retain(|event| !matches!(event, Event::Sync));
    let failed = |seed| std::panic::catch_unwind(|| check_cut(&events, seed, 1 << 20)).is_err();
    assert!((1..=40).any(failed));
}

/// The checker itself: a disk that loses one synced sector must not pass.
#[test]
fn a_lost_synced_sector_is_not_taken_for_a_prefix() {
    let events = recorded(1 << 20);
    let whole = after_cut(&events, &mut || 0);
    let mut refused = 0;
    for sector in (0..whole.len() / SECTOR).step_by(7) {
        let mut bytes = whole.clone();
        bytes[sector * SECTOR..][..SECTOR].fill(0);
        if bytes == whole {
            continue;
        }
        let Ok(engine) = open(RecordingDisk::holding(bytes), 1 << 20) else {
            refused += 1;
            continue;
        };
        let snapshot = engine.snapshot();
        let is_whole = snapshot.is_ok_and(|snapshot| {
            snapshot
                .scan(Keyspace::Blocks, &KeyRange::all(), Direction::Forward)
                .all(|entry| entry.is_ok())
        });
        if is_whole {
            assert_eq!(prefix_length(&engine), BATCHES, "sector={sector}");
        } else {
            refused += 1;
        }
    }
    assert!(refused > 0, "sectors in use were among them");
}
