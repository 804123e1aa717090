//! Damage is found on reading and by scrubbing, and is never taken for data.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use weald_core::{At, BlockRead, Fault, LogIndex, StateError, StateStore};
use weald_storage::{
    engine::{Durability, Engine, Keyspace},
    state::{BlockCache, Compression, PartitionStore, StateConfig, decode_record},
};

use crate::{
    crash::{CrashEngine, entries, records},
    world::{Edit, Model, PARTITION, commit, id, open, read},
};

/// A store with whole records, lists of splices on the record before, and a deletion.
fn stored(compression: Compression) -> (Arc<CrashEngine>, Model) {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, StateConfig { compression, ..StateConfig::default() });
    for round in 0..6_u8 {
        for number in 0..3 {
            let edit = match round {
                0 => Edit::Put(vec![number; 400]),
                5 if number == 2 => Edit::Delete,
                _ => Edit::Splice(3, 2, vec![round; 7]),
            };
            commit(&store, &mut model, &[(number, edit)]);
        }
        store.checkpoint(store.applied()).unwrap();
    }
    (engine, model)
}

#[test]
fn a34_any_flipped_byte_of_a_stored_record_is_damage_that_names_the_block() {
    for compression in [Compression::Off, Compression::Lz4] {
        let (engine, _) = stored(compression);
        for (key, value) in engine.records() {
            let whole = decode_record(&key, &value).unwrap();
            for position in 0..value.len() {
                let mut flipped = value.to_vec();
                flipped[position] ^= 1 << (position % 8);
                let fault = decode_record(&key, &flipped).unwrap_err();
                assert!(matches!(fault, Fault::Damaged { id, .. } if id == whole.block), "{fault}");
            }
            for length in 0..value.len() {
                assert!(decode_record(&key, &value[..length]).is_err());
            }
        }
    }
}

#[test]
fn a34_a_damaged_record_is_met_by_every_read_that_needs_it_and_by_the_scrub() {
    let (engine, model) = stored(Compression::Lz4);
    for (key, value) in engine.records() {
        let mut flipped = value.to_vec();
        *flipped.last_mut().unwrap() ^= 0x10;
        engine.set(Keyspace::Blocks, key.clone(), flipped);
        let store = open(&engine, StateConfig::default());
        let block = decode_record(&key, &value).unwrap().block;
        let page = store.verify(|_| true).unwrap();
        assert!(page.damages.iter().any(|damage| damage.block == Some(block)), "{page:?}");
        let view = store.view(At::Latest).unwrap();
        for number in 0..3 {
            match read(&*view, id(number)) {
                Err(Fault::Damaged { id: named, .. }) => {
                    assert_eq!((named, id(number)), (block, block))
                }
                Err(fault) => panic!("{fault}"),
                // Older than the newest whole record, or of another block.
                Ok(found) => assert_eq!(found.as_ref(), model.at(view.index()).get(&id(number))),
            }
        }
        engine.set(Keyspace::Blocks, key, value);
    }
    let store = open(&engine, StateConfig::default());
    assert_eq!(store.verify(|_| true).unwrap().damaged, 0);
}

#[test]
fn a34_a_record_under_another_key_is_damage() {
    let (engine, _) = stored(Compression::Off);
    let records = engine.records();
    for (key, _) in &records {
        for (other, value) in records.iter().filter(|(other, _)| other != key) {
            assert!(decode_record(key, value).is_err(), "{other:?}");
        }
    }
}

#[test]
fn a_list_of_splices_without_the_record_before_is_damage() {
    let (engine, _) = stored(Compression::Lz4);
    let (base, _) = engine
        .records()
        .into_iter()
        .rfind(|(key, value)| {
            let summary = decode_record(key, value).unwrap();
            summary.block == id(0) && summary.is_self_contained
        })
        .unwrap();
    let mut batch = weald_storage::engine::Batch::new();
    batch.delete(Keyspace::Blocks, base);
    engine.write(batch, Durability::Synced).unwrap();
    let store = open(&engine, StateConfig::default());
    let view = store.view(At::Latest).unwrap();
    assert!(matches!(read(&*view, id(0)), Err(Fault::Damaged { .. })));
    assert_eq!(view.block(id(0)), Ok(BlockRead::NotHere), "damage is not remembered as absence");
    let page = store.verify(|_| true).unwrap();
    assert!(page.damages.iter().all(|damage| damage.block == Some(id(0))));
    assert!(page.damaged > 0);
}

#[test]
fn damaged_rows_floors_and_checkpoints_are_faults() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, StateConfig::default());
    let mut effects = model.next_with_row(&[], 1, Some(9));
    effects.floors.insert(id(0), LogIndex(1));
    store.commit(LogIndex(1), effects).unwrap();
    store.checkpoint(LogIndex(1)).unwrap();
    let stored = entries(&*engine, Keyspace::Meta);
    assert_eq!(stored.len(), 3);
    for (key, value) in stored {
        for position in 0..value.len() {
            let mut flipped = value.to_vec();
            flipped[position] ^= 0x04;
            engine.set(Keyspace::Meta, key.clone(), flipped);
            let cache = Arc::new(BlockCache::new(1000));
            let engine: Arc<dyn Engine> = Arc::clone(&engine) as _;
            let rows = PartitionStore::open(PARTITION, engine, cache, StateConfig::default())
                .and_then(|store| store.rows(&[]));
            assert!(matches!(rows, Err(StateError::Fault(Fault::Storage(_)))), "{rows:?}");
        }
        engine.set(Keyspace::Meta, key, value);
    }
}

#[test]
fn a_scrub_goes_on_where_it_stopped() {
    let (engine, _) = stored(Compression::Lz4);
    let store = open(&engine, StateConfig::default());
    let whole = store.verify(|_| true).unwrap();
    assert_eq!(whole.records, u64::try_from(records(&*engine).len()).unwrap());
    assert_eq!(whole.blocks, 3);
    let (mut next, mut records, mut pages) = (None, 0, 0);
    loop {
        let page = store.scrub(next, 1).unwrap();
        assert_eq!(page.blocks, 1, "a page ends with a whole block");
        (records, pages, next) = (records + page.records, pages + 1, page.next);
        if next.is_none() {
            break;
        }
    }
    assert_eq!((records, pages), (whole.records, 3));
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(key in proptest::collection::vec(any::<u8>(), 0..40), value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_record(&key, &value);
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked(length in 4_500_000_u32..) {
        let (engine, _) = stored(Compression::Lz4);
        let (key, value) = engine.records().remove(0);
        prop_assert!(decode_record(&key, &sealed(&key, &value, length)).is_err());
    }

    #[test]
    fn bytes_with_a_good_checksum_decode_or_are_refused(
        position in any::<prop::sample::Index>(),
        bytes in proptest::collection::vec(any::<u8>(), 1..6),
    ) {
        let (engine, _) = stored(Compression::Off);
        for (key, value) in engine.records() {
            let mut changed = value.to_vec();
            let start = 10 + position.index(changed.len() - 10);
            let end = changed.len().min(start + bytes.len());
            changed.splice(start..end, bytes.iter().copied());
            let length = u32::try_from(changed.len() - 10).unwrap();
            let changed = sealed(&key, &changed, length);
            let _ = decode_record(&key, &changed);
            engine.set(Keyspace::Blocks, key, changed);
        }
        // Whatever it says: reading and scrubbing come to an end.
        let store = open(&engine, StateConfig::default());
        let _ = store.verify(|_| true).unwrap();
        let view = store.view(At::Latest).unwrap();
        for number in 0..3 {
            let _ = read(&*view, id(number));
        }
    }
}

/// `value` with another length of the content, and the checksum that makes it look stored.
fn sealed(key: &Bytes, value: &[u8], length: u32) -> Vec<u8> {
    let mut value = value.to_vec();
    value[6..10].copy_from_slice(&length.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&value[..2]);
    hasher.update(&value[6..]);
    value[2..6].copy_from_slice(&hasher.finalize().to_le_bytes());
    value
}
