//! How far back one can read, and that what is given up goes.

use weald_core::{At, Fault, LogIndex, StateError, StateStore};
use weald_storage::state::StateConfig;

use crate::{
    crash::CrashEngine,
    world::{
        Edit, Model, PARTITION, assert_latest, assert_view, collection, commit, id, open, read,
    },
};

fn is_pruned<T>(result: &Result<T, StateError>) -> bool {
    matches!(result, Err(StateError::Fault(Fault::Pruned(_))))
}

fn window(entries: u64) -> StateConfig {
    StateConfig { history_entries: entries, sweep_records_min: 1000, ..StateConfig::default() }
}

#[test]
fn d53_a61_old_indexes_are_read_over_later_commits_and_checkpoints() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, window(1000));
    for round in 0..150_u8 {
        let edit = if round % 10 == 0 {
            Edit::Put(vec![round; 300])
        } else {
            Edit::Splice(round.into(), 3, vec![round; 4])
        };
        commit(&store, &mut model, &[(round % 3, edit)]);
        if round % 17 == 0 {
            store.checkpoint(store.applied()).unwrap();
        }
    }
    for store in [&store, &open(&engine, window(1000))] {
        for index in 0..=store.applied().0 {
            assert_view(&*store.view(At::Index(LogIndex(index))).unwrap(), &model);
        }
    }
    let ahead = LogIndex(model.applied().0 + 1);
    let behind = store.view(At::Index(ahead)).err();
    assert_eq!(behind, Some(StateError::Behind { wanted: ahead, applied: model.applied() }));
}

#[test]
fn d53_below_the_window_the_answer_is_pruned_and_the_records_go() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, window(10));
    for round in 0..200_u8 {
        commit(&store, &mut model, &[(round % 2, Edit::Put(vec![round; 300]))]);
        if round % 5 == 4 {
            store.checkpoint(store.applied()).unwrap();
        }
    }
    assert!(is_pruned(&store.view(At::Index(LogIndex(189)))));
    for index in 190..=200 {
        assert_view(&*store.view(At::Index(LogIndex(index))).unwrap(), &model);
    }
    assert!(engine.records().len() <= 10, "records={}", engine.records().len());
    assert!(store.written().pruned > 50);
    assert_latest(&open(&engine.cut_power(0), window(10)), &model);
}

#[test]
fn d53_a_collection_keeps_by_its_own_floor() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, window(5));
    model.next(&[]);
    let mut effects = model.log[0].clone();
    // Keeps everything; the other one follows the window.
    effects.floors.insert(collection(0), LogIndex::ZERO);
    model.log[0] = effects.clone();
    store.commit(LogIndex(1), effects).unwrap();
    for round in 0..60_u8 {
        commit(
            &store,
            &mut model,
            &[(0, Edit::Put(vec![round; 40])), (1, Edit::Put(vec![round; 40]))],
        );
        store.checkpoint(store.applied()).unwrap();
    }
    for store in [&store, &open(&engine, window(5))] {
        let old = store.view(At::Index(LogIndex(20))).unwrap();
        assert_eq!(read(&*old, id(0)), Ok(model.at(LogIndex(20)).get(&id(0)).cloned()));
        assert!(matches!(read(&*old, id(1)), Err(Fault::Pruned(_))));
    }
    // It gives up a part.
    model.next(&[]);
    let mut effects = model.log.last().unwrap().clone();
    effects.floors.insert(collection(0), LogIndex(40));
    *model.log.last_mut().unwrap() = effects.clone();
    store.commit(model.applied(), effects).unwrap();
    store.checkpoint(store.applied()).unwrap();
    let view = store.view(At::Index(LogIndex(40))).unwrap();
    assert_eq!(read(&*view, id(0)), Ok(model.at(LogIndex(40)).get(&id(0)).cloned()));
    assert!(is_pruned(&store.view(At::Index(LogIndex(39)))));
}

#[test]
fn d53_deletes_stay_deleted_and_leave_nothing_behind() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, window(4));
    commit(&store, &mut model, &[(0, Edit::Put(vec![1; 300])), (2, Edit::Put(vec![1; 300]))]);
    store.checkpoint(store.applied()).unwrap();
    commit(&store, &mut model, &[(0, Edit::Delete)]);
    store.checkpoint(store.applied()).unwrap();
    for _ in 0..20 {
        commit(&store, &mut model, &[(1, Edit::Put(vec![2; 10]))]);
        store.checkpoint(store.applied()).unwrap();
        assert_latest(&store, &model);
        assert_latest(&open(&engine, window(4)), &model);
    }
    let blocks = engine
        .records()
        .into_iter()
        .map(|(key, value)| weald_storage::state::decode_record(&key, &value).unwrap().block);
    assert!(!blocks.into_iter().any(|block| block == id(0)), "no record of a forgotten block");
    // Made again under the same id.
    commit(&store, &mut model, &[(0, Edit::Put(vec![3; 30]))]);
    store.checkpoint(store.applied()).unwrap();
    assert_latest(&open(&engine, window(4)), &model);
}

#[test]
fn a61_a_view_keeps_its_versions_from_being_pruned_for_as_long_as_it_lives() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, window(2));
    commit(&store, &mut model, &[(0, Edit::Put(vec![1; 300])), (1, Edit::Put(vec![2; 300]))]);
    let old = store.view(At::Latest).unwrap();
    for round in 0..30_u8 {
        commit(
            &store,
            &mut model,
            &[(0, Edit::Splice(1, 1, vec![round])), (1, Edit::Put(vec![round; 20]))],
        );
        store.checkpoint(store.applied()).unwrap();
    }
    assert_view(&*old, &model);
    drop(old);
    commit(&store, &mut model, &[]);
    store.checkpoint(store.applied()).unwrap();
    assert!(is_pruned(&store.view(At::Index(LogIndex(1)))));
}

#[test]
fn history_of_a_hot_block_is_read_from_several_records_of_one_checkpoint() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let store = open(&engine, window(100_000));
    commit(&store, &mut model, &[(0, Edit::Put(vec![0; 500]))]);
    for round in 0..2000_u16 {
        let bytes = [round.to_le_bytes(); 40].concat();
        commit(&store, &mut model, &[(0, Edit::Splice(round % 400, 80, bytes))]);
    }
    store.checkpoint(store.applied()).unwrap();
    assert!(engine.records().len() > 2);
    let store = open(&engine, window(100_000));
    for index in [1, 2, 700, 701, 1300, 1999, 2000, 2001] {
        assert_view(&*store.view(At::Index(LogIndex(index))).unwrap(), &model);
    }
    assert_eq!(store.verify(|_| true).unwrap().damages, []);
    assert_eq!(store.partition(), PARTITION);
}

#[test]
fn d53_the_window_ends_where_its_bytes_end() {
    let (engine, mut model) = (CrashEngine::new(), Model::default());
    let config = StateConfig {
        history_bytes_max: 4000,
        compression: weald_storage::state::Compression::Off,
        ..window(1000)
    };
    let store = open(&engine, config);
    for round in 0..100_u8 {
        commit(&store, &mut model, &[(0, Edit::Put(vec![round; 300]))]);
        store.checkpoint(store.applied()).unwrap();
    }
    assert!(is_pruned(&store.view(At::Index(LogIndex(80)))));
    for index in 92..=100 {
        assert_view(&*store.view(At::Index(LogIndex(index))).unwrap(), &model);
    }
    assert!(engine.records().len() < 20, "records={}", engine.records().len());
}
