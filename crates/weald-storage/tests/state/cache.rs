//! The cache of clean blocks, as readers of a store see it.
//!
//! How the rows were read: a *fold* of a change into a cached block is a commit followed by a
//! checkpoint, which puts the new version in the cache; the *purpose* of a dependency has no
//! counterpart, a block has one revision. Dependencies are noted by the overlay over a view.

use std::sync::Arc;

use weald_core::{At, Base, BlockRead, LogIndex, Overlay, ReadDependency, Revision, StateStore};
use weald_storage::{
    engine::{Batch, Durability, Engine, Keyspace},
    state::{BlockCache, PartitionStore, StateConfig},
};

use crate::{
    crash::CrashEngine,
    world::{Edit, Model, assert_latest, assert_view, commit, id, open_with, read},
};

fn store(bytes: usize) -> (Arc<CrashEngine>, Arc<BlockCache>, PartitionStore, Model) {
    let (engine, cache) = (CrashEngine::new(), Arc::new(BlockCache::new(bytes)));
    let store = open_with(&engine, StateConfig::default(), &cache);
    (engine, cache, store, Model::default())
}

/// Takes every record away: what is read now is read from memory.
fn empty(engine: &CrashEngine) {
    let mut batch = Batch::new();
    engine.records().into_iter().for_each(|(key, _)| batch.delete(Keyspace::Blocks, key));
    engine.write(batch, Durability::Synced).unwrap();
}

#[test]
fn a39_d9_a_miss_loads_and_a_hit_is_served_without_the_engine() {
    let (engine, cache, store, mut model) = store(1 << 20);
    commit(&store, &mut model, &[(0, Edit::Put(vec![1; 100])), (1, Edit::Put(vec![2; 100]))]);
    store.checkpoint(store.applied()).unwrap();
    cache.clear();
    let view = store.view(At::Latest).unwrap();
    assert_eq!(view.block(id(0)), Ok(BlockRead::NotHere));
    let missed = cache.figures();
    assert!(missed.misses > 0);
    assert_eq!(missed.blocks, 0);
    assert!(read(&*view, id(0)).unwrap().is_some());
    empty(&engine);
    let another = store.view(At::Latest).unwrap();
    assert!(matches!(another.block(id(0)), Ok(BlockRead::Present(_))));
    assert_eq!(cache.figures().hits, missed.hits + 1);
    assert_eq!(another.block(id(1)), Ok(BlockRead::NotHere));
}

#[test]
fn a39_absence_is_not_cached_but_kept_by_the_view_that_asked() {
    let (_engine, cache, store, mut model) = store(1 << 20);
    commit(&store, &mut model, &[(0, Edit::Put(vec![1; 100]))]);
    let fresh = store.view(At::Latest).unwrap();
    assert_eq!(fresh.block(id(3)), Ok(BlockRead::Absent), "nothing was ever stored: known");
    store.checkpoint(store.applied()).unwrap();
    cache.clear();
    let view = store.view(At::Latest).unwrap();
    assert_eq!(view.block(id(3)), Ok(BlockRead::NotHere));
    view.load(&[id(3)]).unwrap();
    assert_eq!(view.block(id(3)), Ok(BlockRead::Absent));
    assert_eq!(cache.figures().blocks, 0);
    commit(&store, &mut model, &[(3, Edit::Put(vec![3; 10]))]);
    store.checkpoint(store.applied()).unwrap();
    assert_eq!(view.block(id(3)), Ok(BlockRead::Absent), "at its index there was none");
    assert_latest(&store, &model);
}

#[test]
fn a39_a_change_folds_into_the_cached_block_and_a_delete_removes_it() {
    let (engine, cache, store, mut model) = store(1 << 20);
    commit(&store, &mut model, &[(0, Edit::Put(vec![1; 100])), (1, Edit::Put(vec![1; 100]))]);
    store.checkpoint(store.applied()).unwrap();
    commit(
        &store,
        &mut model,
        &[(0, Edit::Splice(3, 2, vec![7; 9])), (1, Edit::Delete), (2, Edit::Put(vec![5; 9]))],
    );
    store.checkpoint(store.applied()).unwrap();
    assert_eq!(cache.figures().blocks, 2);
    empty(&engine);
    let view = store.view(At::Latest).unwrap();
    assert_view(&*view, &model);
}

#[test]
fn a39_clearing_the_cache_loses_nothing() {
    let (_engine, cache, store, mut model) = store(1 << 20);
    for round in 0..40_u8 {
        commit(&store, &mut model, &[(round % 6, Edit::Put(vec![round; 100]))]);
        if round % 7 == 0 {
            store.checkpoint(store.applied()).unwrap();
        }
        cache.clear();
        assert_latest(&store, &model);
    }
}

#[test]
fn a39_a_cache_of_one_byte_or_one_block_works_and_loaded_blocks_stay_with_their_view() {
    for bytes in [0, 1, 450] {
        let (_engine, cache, store, mut model) = store(bytes);
        for round in 0..12_u8 {
            commit(&store, &mut model, &[(round % 6, Edit::Put(vec![round; 100]))]);
        }
        store.checkpoint(store.applied()).unwrap();
        let view = store.view(At::Latest).unwrap();
        let all: Vec<_> = (0..6).map(id).collect();
        view.load(&all).unwrap();
        for id in &all {
            assert!(matches!(view.block(*id), Ok(BlockRead::Present(_))), "bytes={bytes}");
        }
        assert!(cache.figures().bytes <= u64::try_from(bytes).unwrap());
        assert_latest(&store, &model);
    }
}

/// Reads one block of many as a driver does, in a view of its own.
fn touch(store: &PartitionStore, number: usize) {
    let view = store.view(At::Latest).unwrap();
    assert!(read(&*view, many(number)).unwrap().is_some());
}

fn many(number: usize) -> weald_core::BlockId {
    let digest = weald_core::Digest::of("many", &[&number.to_le_bytes()]);
    weald_core::BlockId::from_bytes(digest.prefix())
}

/// A store of `count` blocks of 1,000 bytes, none of them cached.
fn store_of_many(cache_bytes: usize, count: usize) -> (Arc<BlockCache>, PartitionStore) {
    let (_engine, cache, store, _) = store(cache_bytes);
    let insert = |number| {
        let block = weald_core::Block { id: many(number), ..crate::world::block(0, vec![1; 1000]) };
        let revision = Revision(1);
        let after = Arc::new(weald_core::StoredBlock { block: block.clone(), revision });
        let change = weald_core::Change::Insert(block);
        weald_core::BlockEffect {
            id: many(number),
            base: Base::Absent,
            revision,
            change,
            after: Some(after),
        }
    };
    let blocks = (0..count).map(insert).collect();
    store.commit(LogIndex(1), weald_core::Effects { blocks, ..Default::default() }).unwrap();
    store.checkpoint(LogIndex(1)).unwrap();
    cache.clear();
    (cache, store)
}

#[test]
fn a39_what_is_read_again_stays_and_what_was_read_once_goes() {
    let (cache, store) = store_of_many(200_000, 1000);
    for number in 10..1000 {
        touch(&store, number);
        // Read all the time: never evicted.
        touch(&store, number % 10);
    }
    let before = cache.figures();
    (0..10).for_each(|number| touch(&store, number));
    assert_eq!(cache.figures().hits, before.hits + 10);
    assert!(before.bytes <= 200_000 && before.blocks < 200);
    touch(&store, 500);
    assert_eq!(cache.figures().misses, before.misses + 1, "read once, long ago");
}

#[test]
fn d9_a_long_scan_leaves_the_hot_blocks_in_place() {
    let (cache, store) = store_of_many(400_000, 4000);
    for _ in 0..5 {
        (0..150).for_each(|number| touch(&store, number));
    }
    (150..4000).for_each(|number| touch(&store, number));
    let before = cache.figures();
    (0..150).for_each(|number| touch(&store, number));
    let hits = cache.figures().hits - before.hits;
    assert!(hits >= 120, "hits={hits} of 150");
    assert!(cache.figures().bytes <= 400_000);
}

#[test]
fn d9_one_cache_serves_several_partitions_and_tells_them_apart() {
    let (engine, cache) = (CrashEngine::new(), Arc::new(BlockCache::new(1 << 20)));
    let [mut one, mut two] = [Model::default(), Model::default()];
    let open = |partition| {
        let engine: Arc<dyn Engine> = Arc::clone(&engine) as _;
        let partition = weald_core::PartitionId(partition);
        PartitionStore::open(partition, engine, Arc::clone(&cache), StateConfig::default()).unwrap()
    };
    let stores = [open(1), open(u32::MAX)];
    for round in 0..10 {
        commit(&stores[0], &mut one, &[(0, Edit::Put(vec![round; 50]))]);
        commit(&stores[1], &mut two, &[(0, Edit::Put(vec![round + 100; 70]))]);
        for store in &stores {
            store.checkpoint(store.applied()).unwrap();
        }
    }
    for _ in 0..2 {
        assert_latest(&stores[0], &one);
        assert_latest(&stores[1], &two);
        cache.clear();
    }
    assert_eq!(stores[1].verify(|_| true).unwrap().blocks, 1);
}

/// What an overlay over the newest view notes when it reads the block.
fn noted(store: &PartitionStore, number: u8) -> Vec<ReadDependency> {
    let view = store.view(At::Latest).unwrap();
    read(&*view, id(number)).unwrap();
    let source: &dyn weald_core::BlockSource = &view;
    let mut overlay = Overlay::with_reads_noted(source);
    overlay.read_noted(id(number)).unwrap();
    overlay.noted_reads()
}

#[test]
fn a40_a_dependency_on_a_cached_block_has_the_revision_that_was_read() {
    let (_engine, cache, store, mut model) = store(1 << 20);
    let dependency = |base| vec![ReadDependency { block: id(0), base }];
    commit(&store, &mut model, &[(0, Edit::Put(vec![1; 50]))]);
    store.checkpoint(store.applied()).unwrap();
    let hits = cache.figures().hits;
    assert_eq!(noted(&store, 0), dependency(Base::At(Revision(1))));
    assert!(cache.figures().hits > hits, "read from the cache");
    commit(&store, &mut model, &[]);
    commit(&store, &mut model, &[(0, Edit::Splice(0, 0, vec![2]))]);
    assert_eq!(noted(&store, 0), dependency(Base::At(Revision(3))), "the newer one wins");
    store.checkpoint(store.applied()).unwrap();
    assert_eq!(noted(&store, 0), dependency(Base::At(Revision(3))));
    commit(&store, &mut model, &[(0, Edit::Delete)]);
    store.checkpoint(store.applied()).unwrap();
    assert_eq!(noted(&store, 0), dependency(Base::Absent));
}
