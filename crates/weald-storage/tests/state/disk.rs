//! Full and failing disks, budgets, and what reaches the disk.

use std::sync::atomic::Ordering;

use weald_core::{At, Fault, LogIndex, StateError, StateStore};
use weald_storage::state::{Compression, StateConfig};

use crate::{
    crash::CrashEngine,
    world::{Edit, Model, assert_latest, commit, open, replay},
};

#[test]
fn d58_a_full_disk_refuses_checkpoints_and_loses_nothing() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let config = StateConfig { dirty_bytes_max: 64 * 1024, ..StateConfig::default() };
    let store = open(&engine, config);
    commit(&store, &mut model, &[(0, Edit::Put(vec![1; 100]))]);
    store.checkpoint(LogIndex(1)).unwrap();
    engine.is_full.store(true, Ordering::SeqCst);
    let mut refused = 0;
    while !store.pressure().is_full() {
        let byte = u8::try_from(refused % 250).unwrap();
        commit(&store, &mut model, &[(byte % 6, Edit::Put(vec![byte; 900]))]);
        if store.pressure().is_high() {
            let error = store.checkpoint(store.applied()).unwrap_err();
            assert!(matches!(error, StateError::DiskFull(_)), "{error}");
        }
        refused += 1;
        assert!(refused < 10_000, "the budget is reached");
    }
    assert_eq!(store.checkpointed(), LogIndex(1));
    // Reads go on, and what the log has committed can still be applied.
    assert_latest(&store, &model);
    commit(&store, &mut model, &[(1, Edit::Splice(0, 1, vec![9]))]);
    engine.is_full.store(false, Ordering::SeqCst);
    assert_eq!(store.checkpoint(store.applied()), Ok(model.applied()));
    assert_eq!(store.dirty_bytes(), 0);
    assert!(!store.pressure().is_high());
    assert_latest(&store, &model);
    drop(store);
    assert_latest(&open(&engine.cut_power(0), config), &model);
}

#[test]
fn d58_a_disk_that_is_full_when_it_syncs_heals_too() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, StateConfig::default());
    for round in 0..20_u8 {
        commit(&store, &mut model, &[(round % 3, Edit::Put(vec![round; 50]))]);
        commit(&store, &mut model, &[(round % 3, Edit::Splice(round.into(), 2, vec![round; 3]))]);
        engine.is_full_at_sync.store(round % 4 != 3, Ordering::SeqCst);
        let covered = store.checkpoint(store.applied());
        assert_eq!(covered.is_ok(), round % 4 == 3);
        assert_latest(&store, &model);
    }
    drop(store);
    let store = open(&engine.cut_power(0), StateConfig::default());
    assert_latest(&store, &model);
    assert_eq!(store.verify(|_| true).unwrap().damages, []);
}

#[test]
fn after_a_failed_sync_no_checkpoint_is_tried_until_the_store_is_opened_again() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, StateConfig::default());
    commit(&store, &mut model, &[(0, Edit::Put(vec![1; 100]))]);
    engine.is_broken.store(true, Ordering::SeqCst);
    let broken = |result| matches!(result, Err(StateError::Fault(Fault::Storage(_))));
    assert!(broken(store.checkpoint(store.applied())));
    engine.is_broken.store(false, Ordering::SeqCst);
    let before = engine.unsynced();
    assert!(broken(store.checkpoint(store.applied())));
    assert_eq!(engine.unsynced(), before, "nothing more is written");
    assert_latest(&store, &model);
    drop(store);
    for kept in [0, 1] {
        let store = open(&engine.cut_power(kept), StateConfig::default());
        replay(&store, &model);
        assert_latest(&store, &model);
        assert_eq!(store.checkpoint(store.applied()), Ok(LogIndex(1)));
    }
}

#[test]
fn a_crash_between_the_batch_and_the_sync_replays_to_the_same_state() {
    let mut model = Model::default();
    let engine = CrashEngine::new();
    let store = open(&engine, StateConfig::default());
    for round in 0..9_u8 {
        let effects =
            model.next_with_row(&[(round % 4, Edit::Put(vec![round; 30]))], round % 2, Some(round));
        store.commit(model.applied(), effects).unwrap();
    }
    store.checkpoint(LogIndex(4)).unwrap();
    engine.is_broken.store(true, Ordering::SeqCst);
    store.checkpoint(LogIndex(8)).unwrap_err();
    let digest = store.digest().unwrap();
    for (kept, checkpointed) in [(0, 4), (1, 8)] {
        let store = open(&engine.cut_power(kept), StateConfig::default());
        assert_eq!(
            (store.checkpointed(), store.applied()),
            (LogIndex(checkpointed), LogIndex(checkpointed))
        );
        replay(&store, &model);
        assert_latest(&store, &model);
        assert_eq!(store.digest().unwrap(), digest);
    }
}

#[test]
fn a_checkpoint_covers_only_what_the_log_has_synced() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, StateConfig::default());
    for round in 0..5_u8 {
        let effects = model.next_with_row(&[(0, Edit::Put(vec![round; 30]))], 0, Some(round));
        store.commit(model.applied(), effects).unwrap();
    }
    assert_eq!(store.checkpoint(LogIndex(3)), Ok(LogIndex(3)));
    assert_eq!(store.checkpoint(LogIndex(2)), Ok(LogIndex(3)));
    assert_latest(&store, &model);
    let reopened = open(&engine.cut_power(0), StateConfig::default());
    assert_eq!(reopened.applied(), LogIndex(3));
    let view = reopened.view(At::Latest).unwrap();
    crate::world::assert_view(&*view, &model);
    assert_eq!(reopened.rows(&[]).unwrap()[0].1[..], [2, 2, 2]);
}

#[test]
fn d12_text_is_compressed_and_what_does_not_compress_is_stored_raw() {
    let text = b"{\"name\":\"weald\",\"kind\":\"tree\",\"count\":17},".repeat(90);
    let noise: Vec<u8> = (0_u32..1000)
        .flat_map(|n| weald_core::Digest::of("noise", &[&n.to_le_bytes()]).prefix::<4>())
        .collect();
    let bytes = |compression, payload: &Vec<u8>| {
        let (engine, mut model) = (CrashEngine::new(), Model::default());
        let store = open(&engine, StateConfig { compression, ..StateConfig::default() });
        commit(&store, &mut model, &[(0, Edit::Put(payload.clone()))]);
        store.checkpoint(store.applied()).unwrap();
        // Read with another setting: the flag is the record's own.
        let other = StateConfig { compression: Compression::Off, ..StateConfig::default() };
        assert_latest(&open(&engine, other), &model);
        engine.records()[0].1.len()
    };
    assert!(bytes(Compression::Lz4, &text) * 4 < bytes(Compression::Off, &text));
    assert_eq!(bytes(Compression::Lz4, &noise), bytes(Compression::Off, &noise));
}

#[test]
fn a_put_costs_the_disk_its_delta_and_now_and_then_an_image() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let config = StateConfig { compression: Compression::Off, ..StateConfig::default() };
    let store = open(&engine, config);
    commit(&store, &mut model, &[(0, Edit::Put(vec![7; 20_000]))]);
    store.checkpoint(store.applied()).unwrap();
    let before = store.written();
    let splices = 2000_u64;
    for round in 0..splices {
        let at = u16::try_from(round * 7).unwrap();
        commit(&store, &mut model, &[(0, Edit::Splice(at, 200, vec![3; 200]))]);
        if round % 50 == 49 {
            store.checkpoint(store.applied()).unwrap();
        }
    }
    let written = store.written();
    let bytes_each = (written.bytes - before.bytes) / splices;
    // The splice itself, an image's share of about as much, frames.
    assert!((200..500).contains(&bytes_each), "bytes={bytes_each}");
    assert!(written.images > before.images);
    assert_latest(&store, &model);
}
