//! Random schedules of commits, checkpoints, crashes and reads, beside the model.

use std::sync::Arc;

use proptest::prelude::*;
use weald_core::{At, Fault, LogIndex, StateError, StateStore, StateView};
use weald_storage::{
    engine::{Engine, EngineConfig, EngineKind, MemoryEngine},
    state::{BlockCache, Compression, PartitionStore, StateConfig},
};

use crate::{
    crash::CrashEngine,
    world::{
        BLOCK_COUNT, Edit, Model, assert_latest, assert_view, commit, id, open_with, read, replay,
    },
};

#[derive(Clone, Debug)]
enum Event {
    Commit(Vec<(u8, Edit)>),
    CommitRow(u8, Option<u8>),
    /// Up to so many entries below the last.
    Checkpoint(u8),
    /// The batch is written and the power goes before the sync: it is kept, or not.
    LosePower(bool),
    /// The same while the disk says it is full.
    FullDisk,
    ClearCache,
    /// A view is opened at an index below the last and kept.
    OpenView(u8),
    CheckViews,
    DropView(u8),
    /// A collection gives up history up to an index below the last.
    Floor(u8, u8),
    Scrub,
}

fn edit() -> impl Strategy<Value = Edit> {
    let bytes = |max| proptest::collection::vec(any::<u8>(), 0..max);
    prop_oneof![
        3 => bytes(300).prop_map(Edit::Put),
        8 => (any::<u16>(), 0_u8..20, bytes(24)).prop_map(|(at, n, bytes)| Edit::Splice(at, n, bytes)),
        1 => (0_u8..7, 1_usize..6000).prop_map(|(byte, len)| Edit::Put(vec![byte; len])),
        1 => Just(Edit::Delete),
    ]
}

fn edits() -> impl Strategy<Value = Vec<(u8, Edit)>> {
    proptest::collection::vec((0..BLOCK_COUNT, edit()), 0..4)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => edits().prop_map(Event::Commit),
        4 => (0_u8..5, proptest::option::of(any::<u8>())).prop_map(|(k, v)| Event::CommitRow(k, v)),
        5 => (0_u8..4).prop_map(Event::Checkpoint),
        1 => any::<bool>().prop_map(Event::LosePower),
        1 => Just(Event::FullDisk),
        1 => Just(Event::ClearCache),
        3 => (0_u8..12).prop_map(Event::OpenView),
        2 => Just(Event::CheckViews),
        2 => any::<u8>().prop_map(Event::DropView),
        1 => (0_u8..2, 0_u8..8).prop_map(|(c, b)| Event::Floor(c, b)),
        1 => Just(Event::Scrub),
    ]
}

fn config() -> impl Strategy<Value = (StateConfig, usize)> {
    let history = prop_oneof![Just(0_u64), Just(3), Just(1000)];
    let compression = prop_oneof![Just(Compression::Off), Just(Compression::Lz4)];
    let cache = prop_oneof![Just(1_usize), Just(3000), Just(1 << 20)];
    let sweep = prop_oneof![Just(1_usize), Just(1000)];
    (history, compression, cache, sweep).prop_map(|(history, compression, cache, sweep)| {
        let config = StateConfig {
            history_entries: history,
            compression,
            sweep_records_min: sweep,
            ..StateConfig::default()
        };
        (config, cache)
    })
}

struct World {
    engine: Arc<CrashEngine>,
    cache: Arc<BlockCache>,
    config: StateConfig,
    store: PartitionStore,
    model: Model,
    views: Vec<Arc<dyn StateView>>,
    /// Below this index history may be gone.
    floor_max: LogIndex,
}

impl World {
    fn new((config, cache): (StateConfig, usize)) -> Self {
        let (engine, cache) = (CrashEngine::new(), Arc::new(BlockCache::new(cache)));
        let store = open_with(&engine, config, &cache);
        let (model, views, floor_max) = (Model::default(), Vec::new(), LogIndex::ZERO);
        Self { engine, cache, config, store, model, views, floor_max }
    }

    fn below(&self, back: u8) -> LogIndex {
        LogIndex(self.model.applied().0.saturating_sub(back.into()))
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Commit(edits) => commit(&self.store, &mut self.model, &edits),
            Event::CommitRow(key, value) => {
                let effects = self.model.next_with_row(&[], key, value);
                self.store.commit(self.model.applied(), effects).unwrap();
            }
            Event::Checkpoint(back) => {
                let covered = self.store.checkpoint(self.below(back)).unwrap();
                assert_eq!(covered, self.store.checkpointed());
                self.raise_floor(LogIndex(covered.0.saturating_sub(self.config.history_entries)));
            }
            Event::LosePower(kept) => self.lose_power(kept),
            Event::FullDisk => self.fill_disk(),
            Event::ClearCache => self.cache.clear(),
            Event::OpenView(back) => self.open_view(self.below(back)),
            Event::CheckViews => self.check_views(),
            Event::DropView(which) if !self.views.is_empty() => {
                let which = usize::from(which) % self.views.len();
                self.views.remove(which);
            }
            Event::DropView(_) => {}
            Event::Floor(number, back) => {
                let floor = self.below(back);
                self.model.next(&[]);
                let effects = self.model.log.last_mut().unwrap();
                effects.floors.insert(crate::world::collection(number), floor);
                let effects = effects.clone();
                self.store.commit(self.model.applied(), effects).unwrap();
                self.raise_floor(floor);
            }
            Event::Scrub => {
                let page = self.store.verify(|_| true).unwrap();
                assert_eq!(page.damages, []);
            }
        }
    }

    fn raise_floor(&mut self, floor: LogIndex) {
        self.floor_max = self.floor_max.max(floor);
    }

    fn lose_power(&mut self, kept: bool) {
        // A sync that never comes: the batch is in the engine's hands when the power goes.
        self.engine.is_broken.store(true, std::sync::atomic::Ordering::SeqCst);
        let target = self.below(1);
        let failed = self.store.checkpoint(target);
        assert!(failed.is_err() || failed == Ok(self.store.checkpointed()));
        self.raise_floor(target);
        self.views.clear();
        self.engine = self.engine.cut_power(if kept { self.engine.unsynced() } else { 0 });
        self.cache = Arc::new(BlockCache::new(3000));
        self.store = open_with(&self.engine, self.config, &self.cache);
        replay(&self.store, &self.model);
    }

    fn fill_disk(&mut self) {
        use std::sync::atomic::Ordering::SeqCst;
        for flag in [&self.engine.is_full, &self.engine.is_full_at_sync] {
            flag.store(true, SeqCst);
            let before = self.store.checkpointed();
            let result = self.store.checkpoint(self.model.applied());
            assert!(matches!(result, Err(StateError::DiskFull(_))) || result == Ok(before));
            assert_eq!(self.store.checkpointed(), before);
            flag.store(false, SeqCst);
        }
        let floor = self.model.applied().0.saturating_sub(self.config.history_entries);
        self.raise_floor(LogIndex(floor));
        assert_latest(&self.store, &self.model);
    }

    fn open_view(&mut self, index: LogIndex) {
        match self.store.view(At::Index(index)) {
            Ok(view) => self.check_historic(view),
            Err(StateError::Fault(Fault::Pruned(_))) => assert!(index < self.floor_max),
            Err(error) => panic!("{error}"),
        }
    }

    /// Answers are right, or "pruned" below what is kept. A view that could be read stays so.
    fn check_historic(&mut self, view: Arc<dyn StateView>) {
        let mut is_whole = true;
        for number in 0..=BLOCK_COUNT {
            match read(&*view, id(number)) {
                Ok(found) => {
                    assert_eq!(found.as_ref(), self.model.at(view.index()).get(&id(number)));
                }
                Err(Fault::Pruned(_)) => {
                    assert!(view.index() < self.floor_max);
                    is_whole = false;
                }
                Err(fault) => panic!("{fault}"),
            }
        }
        if is_whole && view.index() >= self.floor_max {
            // Opened anew, so that nothing is loaded yet when it is checked again.
            self.views.push(self.store.view(At::Index(view.index())).unwrap());
        }
    }

    fn check_views(&self) {
        self.views.iter().for_each(|view| assert_view(&**view, &self.model));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn d53_a61_any_schedule_gives_what_plain_maps_give(
        config in config(),
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new(config);
        for event in events {
            world.step(event);
        }
        world.check_views();
        assert_latest(&world.store, &world.model);
        world.views.clear();
        world.store.checkpoint(world.model.applied()).unwrap();
        assert_latest(&world.store, &world.model);
        world.cache.clear();
        assert_latest(&world.store, &world.model);
        prop_assert_eq!(world.store.verify(|_| true).unwrap().damages, vec![]);
    }

    #[test]
    fn the_digest_depends_on_what_was_committed_and_on_nothing_else(
        left in config(),
        right in config(),
        edits in proptest::collection::vec((edits(), 0_u8..5, proptest::option::of(any::<u8>())), 1..60),
        every in (1_usize..20, 1_usize..20),
    ) {
        let digests = [(left, every.0), (right, every.1)].map(|(config, every)| {
            let mut world = World::new(config);
            for (position, (edits, row, value)) in edits.iter().enumerate() {
                let effects = world.model.next_with_row(edits, *row, *value);
                world.store.commit(world.model.applied(), effects).unwrap();
                if position % every == 0 {
                    world.store.checkpoint(world.below(1)).unwrap();
                }
                if position % (every * 3) == 1 {
                    world.lose_power(true);
                }
            }
            world.store.digest().unwrap()
        });
        prop_assert_eq!(digests[0], digests[1]);
    }
}

#[test]
fn the_digest_is_the_same_on_every_engine() {
    let folder = tempfile::tempdir().unwrap();
    let redb =
        weald_storage::engine::open(EngineKind::Redb, folder.path(), &EngineConfig::default());
    let memory: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let digests = [memory, redb.unwrap()].map(|engine| {
        let cache = Arc::new(BlockCache::new(3000));
        let store =
            PartitionStore::open(crate::world::PARTITION, engine, cache, StateConfig::default());
        let (store, mut model) = (store.unwrap(), Model::default());
        for round in 0..200_u8 {
            let edits = [
                (round % 3, Edit::Put(vec![round; 40])),
                (round % 6, Edit::Splice(round.into(), 3, vec![round; 5])),
            ];
            let edits =
                if round % 17 == 0 { vec![(round % 6, Edit::Delete)] } else { edits.into() };
            let effects = model.next_with_row(&edits, round % 9, Some(round));
            store.commit(model.applied(), effects).unwrap();
            if round % 23 == 0 {
                store.checkpoint(model.applied()).unwrap();
            }
        }
        assert_latest(&store, &model);
        store.digest().unwrap()
    });
    assert_eq!(digests[0], digests[1]);
}
