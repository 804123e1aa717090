//! Versions in memory: views beside commits and checkpoints, and what a commit refuses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use weald_core::{
    At, Base, BlockEffect, BlockId, BlockRead, Change, Effects, Fault, LogIndex, Overlay, Revision,
    Splice, StateError, StateStore, StateView, StoredBlock, TransformError,
};
use weald_storage::{
    engine::MemoryEngine,
    state::{BlockCache, PartitionStore, StateConfig},
};

use crate::{
    crash::CrashEngine,
    world::{Edit, Model, assert_latest, assert_view, block, commit, id, open, open_with, read},
};

#[test]
fn a61_views_of_different_indexes_do_not_disturb_each_other() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, StateConfig::default());
    let empty = store.view(At::Latest).unwrap();
    let mut views = Vec::new();
    for round in 0..200_u8 {
        let edit = if round % 50 == 0 {
            Edit::Put(vec![round; 600])
        } else {
            Edit::Splice(round.into(), 2, vec![round; 2])
        };
        commit(&store, &mut model, &[(round % 2, edit)]);
        views.push(store.view(At::Latest).unwrap());
        if round % 60 == 59 {
            store.checkpoint(store.applied()).unwrap();
        }
    }
    assert_view(&*empty, &model);
    views.iter().for_each(|view| assert_view(&**view, &model));
    views.iter().for_each(|view| assert_view(&**view, &model));
}

#[test]
fn a61_what_cannot_be_read_is_an_error_of_the_view_and_never_absence() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let cache = Arc::new(BlockCache::new(1 << 20));
    let store = open_with(&engine, StateConfig::default(), &cache);
    commit(&store, &mut model, &[(0, Edit::Put(vec![1; 100]))]);
    store.checkpoint(store.applied()).unwrap();
    cache.clear();
    let (key, value) = engine.records().remove(0);
    engine.set(weald_storage::engine::Keyspace::Blocks, key.clone(), &b"garbage"[..]);
    let view = store.view(At::Latest).unwrap();
    assert!(matches!(view.load(&[id(0)]), Err(Fault::Damaged { .. })));
    assert_eq!(view.block(id(0)), Ok(BlockRead::NotHere));
    engine.set(weald_storage::engine::Keyspace::Blocks, key, value);
    assert!(read(&*view, id(0)).unwrap().is_some(), "it can be read once it is repaired");
}

fn effects(number: u8, base: Base, revision: u64) -> Effects {
    let block = block(number, vec![1; 10]);
    let revision = Revision(revision);
    let after = Some(Arc::new(StoredBlock { block: block.clone(), revision }));
    let change = Change::Insert(block);
    let blocks = vec![BlockEffect { id: id(number), base, revision, change, after }];
    Effects { blocks, ..Effects::default() }
}

#[test]
fn a54_a_revision_is_never_lowered_and_a_wrong_base_changes_nothing() {
    let engine = CrashEngine::new();
    let store = open(&engine, StateConfig::default());
    store.commit(LogIndex(1), effects(0, Base::Absent, 5)).unwrap();
    let lowered = store.commit(LogIndex(2), effects(0, Base::At(Revision(5)), 4)).unwrap_err();
    assert!(matches!(
        lowered,
        StateError::Fault(Fault::Transform(TransformError::Mismatch { .. }))
    ));
    for base in [Base::Absent, Base::At(Revision(4)), Base::At(Revision(6))] {
        let mut both = effects(1, Base::Absent, 6);
        both.blocks.extend(effects(0, base, 6).blocks);
        let refused = store.commit(LogIndex(2), both).unwrap_err();
        assert!(matches!(
            refused,
            StateError::Fault(Fault::Transform(TransformError::BaseMismatch { .. }))
        ));
    }
    assert_eq!(store.applied(), LogIndex(1));
    let view = store.view(At::Latest).unwrap();
    assert_eq!(read(&*view, id(1)), Ok(None), "nothing of a refused entry is there");
    assert_eq!(read(&*view, id(0)).unwrap().unwrap().revision, Revision(5));
    store.commit(LogIndex(2), effects(0, Base::At(Revision(5)), 9)).unwrap();
    store.checkpoint(LogIndex(2)).unwrap();
    drop(view);
    let reopened = open(&engine, StateConfig::default());
    let view = reopened.view(At::Latest).unwrap();
    assert_eq!(read(&*view, id(0)).unwrap().unwrap().revision, Revision(9));
    reopened.commit(LogIndex(3), effects(0, Base::At(Revision(9)), 10)).unwrap();
}

#[test]
fn a_commit_that_does_not_go_forward_is_refused() {
    let store = open(&CrashEngine::new(), StateConfig::default());
    store.commit(LogIndex(3), effects(0, Base::Absent, 1)).unwrap();
    for index in [0, 1, 3] {
        let refused = store.commit(LogIndex(index), Effects::default()).unwrap_err();
        let (index, applied) = (LogIndex(index), LogIndex(3));
        assert_eq!(refused, StateError::OutOfOrder { index, applied });
    }
}

#[test]
fn a41_reading_and_changing_a_hot_block_fetches_it_once_and_drift_is_a_wrong_base() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let cache = Arc::new(BlockCache::new(1 << 20));
    let store = open_with(&engine, StateConfig::default(), &cache);
    commit(&store, &mut model, &[(0, Edit::Put(vec![1; 100]))]);
    store.checkpoint(store.applied()).unwrap();
    let view = store.view(At::Latest).unwrap();
    let source: &dyn weald_core::BlockSource = &view;
    let before = cache.figures().hits;
    let mut overlay = Overlay::new(source);
    for round in 0..50_u8 {
        overlay.splice(id(0), vec![Splice::new(usize::from(round), 1, vec![round])]).unwrap();
        assert_eq!(overlay.read(id(0)).unwrap().unwrap().block.payload[usize::from(round)], round);
    }
    assert_eq!(cache.figures().hits, before + 1);
    // Somebody else is first.
    commit(&store, &mut model, &[(0, Edit::Splice(0, 1, vec![9]))]);
    store.checkpoint(store.applied()).unwrap();
    commit(&store, &mut model, &[(0, Edit::Splice(1, 1, vec![9]))]);
    let stale = overlay.into_effects(|_| Revision(9));
    let refused = store.commit(LogIndex(4), Effects { blocks: stale, ..Effects::default() });
    assert!(matches!(
        refused,
        Err(StateError::Fault(Fault::Transform(TransformError::BaseMismatch { .. })))
    ));
    assert_latest(&store, &model);
}

#[test]
fn a41_what_was_read_before_a_checkpoint_never_hides_what_the_checkpoint_wrote() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let cache = Arc::new(BlockCache::new(1 << 20));
    let store = Arc::new(open_with(&engine, StateConfig::default(), &cache));
    commit(&store, &mut model, &[(0, Edit::Put(vec![1; 100])), (1, Edit::Put(vec![1; 100]))]);
    store.checkpoint(store.applied()).unwrap();
    cache.clear();
    let before = model.clone();
    let later = model.next(&[(0, Edit::Splice(0, 1, vec![2])), (1, Edit::Delete)]);
    let old = store.view(At::Latest).unwrap();
    let other = Arc::clone(&store);
    engine.after_snapshot.set(move || {
        other.commit(LogIndex(2), later).unwrap();
        other.checkpoint(LogIndex(2)).unwrap();
    });
    // Reads the old versions from its snapshot while the new ones become the newest.
    old.load(&[id(0), id(1)]).unwrap();
    assert_eq!(store.checkpointed(), LogIndex(2), "it happened in between");
    assert_view(&*old, &before);
    assert_latest(&store, &model);
    assert_latest(&store, &model);
}

/// Every block holds the index that wrote it, 64 times; all of one entry are written together.
fn paired(index: u64, numbers: &[u8]) -> Effects {
    let revision = Revision(index);
    let base = if index == 1 { Base::Absent } else { Base::At(Revision(index - 1)) };
    let payload = index.to_le_bytes().repeat(64);
    let effect = |number: &u8| {
        let block = block(*number, payload.clone());
        let change = match index {
            1 => Change::Insert(block.clone()),
            _ => Change::Update(vec![Splice::new(0, payload.len(), payload.clone())]),
        };
        let after = Some(Arc::new(StoredBlock { block, revision }));
        BlockEffect { id: id(*number), base, revision, change, after }
    };
    let mut blocks: Vec<_> = numbers.iter().map(effect).collect();
    blocks.sort_by_key(|effect| effect.id);
    Effects { blocks, ..Effects::default() }
}

fn written_at(view: &dyn StateView, id: BlockId) -> u64 {
    let found = read(view, id).unwrap();
    found.map_or(0, |stored| {
        let first = stored.block.payload[..8].try_into().unwrap();
        assert_eq!(stored.block.payload[..], u64::from_le_bytes(first).to_le_bytes().repeat(64));
        u64::from_le_bytes(first)
    })
}

#[test]
fn w28_a41_a61_readers_beside_commits_and_checkpoints_see_whole_entries_at_their_index() {
    const ENTRIES: u64 = 4000;
    for cache_bytes in [1, 1 << 20] {
        let engine = Arc::new(MemoryEngine::new());
        let cache = Arc::new(BlockCache::new(cache_bytes));
        let config =
            StateConfig { history_entries: 50, sweep_records_min: 16, ..StateConfig::default() };
        let store = open_with(&engine, config, &cache);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| watch(&store, &done));
            }
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    store.checkpoint(LogIndex(store.applied().0.saturating_sub(2))).unwrap();
                }
            });
            for index in 1..=ENTRIES {
                store.commit(LogIndex(index), paired(index, &[0, 1, 2, 3])).unwrap();
                if index % 64 == 0 {
                    thread::yield_now();
                }
            }
            done.store(true, Ordering::Release);
        });
        store.checkpoint(store.applied()).unwrap();
        assert_eq!(store.dirty_bytes(), 0);
        assert_eq!(store.verify(|_| true).unwrap().damages, []);
    }
}

fn watch(store: &PartitionStore, done: &AtomicBool) {
    let mut last = LogIndex::ZERO;
    while !done.load(Ordering::Acquire) {
        let view = store.view(At::Latest).unwrap();
        assert!(view.index() >= last, "what was seen does not go back");
        last = view.index();
        for _ in 0..2 {
            for number in [3, 0, 1, 2] {
                assert_eq!(written_at(&*view, id(number)), view.index().0);
            }
        }
        assert_eq!(read(&*view, id(5)), Ok(None));
    }
}

#[test]
fn memory_grows_by_what_changed_and_not_by_the_size_of_blocks() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, StateConfig::default());
    commit(&store, &mut model, &[(0, Edit::Put(vec![1; 100_000]))]);
    let before = store.dirty_bytes();
    for round in 0..1000_u16 {
        let byte = u8::try_from(round % 251).unwrap();
        let effects = model.next(&[(0, Edit::Splice(round * 60, 30, vec![byte; 30]))]);
        store.commit(model.applied(), effects).unwrap();
        // The model need not remember 100 MB.
        let last = model.states.len() - 1;
        model.states[last - 1].clear();
    }
    let grown = store.dirty_bytes() - before;
    assert!(grown < 1000 * 250 + 32 * 100_000, "grown={grown}");
    assert!(grown > 1000 * 30, "grown={grown}");
}
