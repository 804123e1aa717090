//! The same entries in the same order give the same blocks, rows and effect hash, whatever engine
//! holds them, however little is cached and whenever checkpoints are written.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use weald_cluster::partition::Partition;
use weald_collections::{
    CollectionExecutor, DiaryType, ExpectedVersion, RawDiary, RawTree, Registry, TreeType,
    btree::NodeCapacity,
    tree::{Expectation, IndexDefinition, KeyChange, TreeOptions},
};
use weald_core::{
    Action, At, CollectionPolicy, CreateMode, Digest, Entry, Halt, PartitionId, Payload,
    PlacementKey, Retention, SessionStamp, StateStore, Time, TransactionBody, TransactionId,
    TransactionRequest,
};
use weald_storage::{
    engine::{self, EngineConfig, EngineKind},
    state::{BlockCache, Compression, PartitionStore, StateConfig},
};

/// What one member has of its own.
#[derive(Clone, Copy, Debug)]
struct Member {
    engine: EngineKind,
    cache_bytes: usize,
    /// Entries between two checkpoints; zero for none.
    checkpoint_every: usize,
    /// Entries between two restarts; zero for none.
    restart_every: usize,
    compression: Compression,
}

const MEMBERS: &[Member] = &[
    Member {
        engine: EngineKind::Memory,
        cache_bytes: 64 << 20,
        checkpoint_every: 0,
        restart_every: 0,
        compression: Compression::Lz4,
    },
    Member {
        engine: EngineKind::Memory,
        cache_bytes: 4096,
        checkpoint_every: 1,
        restart_every: 7,
        compression: Compression::Off,
    },
    Member {
        engine: EngineKind::Redb,
        cache_bytes: 0,
        checkpoint_every: 5,
        restart_every: 20,
        compression: Compression::Lz4,
    },
    Member {
        engine: EngineKind::Redb,
        cache_bytes: 1 << 20,
        checkpoint_every: 17,
        restart_every: 0,
        compression: Compression::Off,
    },
    #[cfg(feature = "rocksdb")]
    Member {
        engine: EngineKind::RocksDb,
        cache_bytes: 4096,
        checkpoint_every: 3,
        restart_every: 11,
        compression: Compression::Lz4,
    },
];

fn tree() -> RawTree {
    RawTree::new("group/tree".parse().unwrap())
}

fn diary() -> RawDiary {
    RawDiary::new("group/diary".parse().unwrap())
}

/// One step of a schedule that every member runs.
#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<(u8, Option<u16>)>),
    Conditional(u8, u8),
    Append(Vec<u16>),
    Both(u8, u16),
    Repeat,
    Wait(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key_value = (any::<u8>(), proptest::option::weighted(0.7, any::<u16>()));
    let step = prop_oneof![
        4 => proptest::collection::vec(key_value, 1..6).prop_map(Step::Batch),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(key, found)| Step::Conditional(key, found)),
        3 => proptest::collection::vec(any::<u16>(), 1..4).prop_map(Step::Append),
        2 => (any::<u8>(), any::<u16>()).prop_map(|(key, value)| Step::Both(key, value)),
        1 => Just(Step::Repeat),
        1 => (1_u32..60_000).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..80)
}

fn value(number: u16) -> Bytes {
    number.to_string().repeat(usize::from(number % 40) + 1).into()
}

fn change(key: u8, new: Option<u16>) -> KeyChange {
    let key = vec![b'k', key];
    match new {
        Some(number) => KeyChange::put(key, Expectation::Any, value(number))
            .indexed("last digit", vec![u8::try_from(number % 10).unwrap()]),
        None => KeyChange::delete(key, Expectation::Any),
    }
}

fn actions(step: &Step) -> Vec<Action> {
    match step {
        Step::Batch(changes) => {
            vec![tree().batch(changes.iter().map(|(key, new)| change(*key, *new)).collect())]
        }
        Step::Conditional(key, found) => {
            let expected = Expectation::Revision(weald_core::Revision(u64::from(*found)));
            vec![tree().batch(vec![KeyChange::put(vec![b'k', *key], expected, value(1))])]
        }
        Step::Append(numbers) => {
            let entries = numbers.iter().map(|number| value(*number)).collect();
            vec![diary().append(ExpectedVersion::Any, entries)]
        }
        Step::Both(key, number) => vec![
            tree().batch(vec![change(*key, Some(*number))]),
            diary().append(ExpectedVersion::Any, vec![value(*number)]),
        ],
        Step::Repeat | Step::Wait(_) => Vec::new(),
    }
}

fn creation() -> Vec<Action> {
    let retention = Retention { entries_max: Some(20), ..Retention::ALL };
    let index = IndexDefinition { name: "last digit".to_owned(), is_unique: false };
    let options = TreeOptions { capacity: NodeCapacity::new(256).unwrap(), indexes: vec![index] };
    vec![
        tree().create(CreateMode::Create, CollectionPolicy::default(), &options),
        diary().create(CreateMode::Create, CollectionPolicy { retention }),
    ]
}

/// The log that all members apply.
fn log(steps: &[Step]) -> Vec<Entry> {
    let mut time = Time::from_millis(1_000_000);
    let mut entries: Vec<Entry> = Vec::new();
    let mut number = 0_u64;
    let mut push = |time: Time, actions: Vec<Action>| {
        number += 1;
        let unique = u128::from(number).to_le_bytes();
        let session = (!number.is_multiple_of(3)).then_some(SessionStamp {
            session: [1; 16],
            number,
            low_water: number.saturating_sub(3).max(1),
        });
        let request = TransactionRequest {
            id: TransactionId::new(PlacementKey::from_u64(0), unique),
            expiry: time.after(std::time::Duration::from_secs(30)),
            session,
            body: TransactionBody { actions, ..TransactionBody::default() },
        };
        Entry { time, payload: Payload::Transaction(request) }
    };
    entries.push(push(time, creation()));
    for step in steps {
        match step {
            Step::Wait(millis) => {
                time = time.after(std::time::Duration::from_millis(u64::from(*millis)));
                entries.push(Entry { time, payload: Payload::Tick });
            }
            Step::Repeat => {
                let again = entries[entries.len() / 2].payload.clone();
                entries.push(Entry { time, payload: again });
            }
            step => entries.push(push(time, actions(step))),
        }
    }
    entries
}

fn executor() -> CollectionExecutor {
    let mut registry = Registry::new();
    registry.register(Arc::new(TreeType)).unwrap();
    registry.register(Arc::new(DiaryType)).unwrap();
    CollectionExecutor::new(registry)
}

/// Applies the log as `member` does and returns its state digest and effect hash.
fn run(member: &Member, entries: &[Entry]) -> (Digest, Digest) {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine::open(member.engine, folder.path(), &EngineConfig::default()).unwrap();
    let config = StateConfig { compression: member.compression, ..StateConfig::default() };
    let open = || {
        let cache = Arc::new(BlockCache::new(member.cache_bytes));
        PartitionStore::open(PartitionId(0), Arc::clone(&engine), cache, config).unwrap()
    };
    let restore = |store: &PartitionStore| {
        let rows = store.rows(&[]).unwrap();
        Partition::restore(PartitionId(0), store.applied(), rows).unwrap()
    };
    let executor = executor();
    let mut store = open();
    let mut partition = restore(&store);
    for (count, entry) in (1_usize..).zip(entries) {
        apply(&mut partition, &store, &executor, entry);
        let every = |period: usize| period > 0 && count.is_multiple_of(period);
        if every(member.checkpoint_every) {
            store.checkpoint(partition.applied()).unwrap();
        }
        if every(member.restart_every) {
            // What no checkpoint covers is replayed from the log.
            store = open();
            partition = restore(&store);
            let from = usize::try_from(partition.applied().0).unwrap();
            for entry in &entries[from..count] {
                apply(&mut partition, &store, &executor, entry);
            }
        }
    }
    (store.digest().unwrap(), partition.effect_hash())
}

fn apply(
    partition: &mut Partition,
    store: &PartitionStore,
    executor: &CollectionExecutor,
    entry: &Entry,
) {
    let index = partition.applied().next();
    let view = store.view(At::Latest).unwrap();
    let applied = loop {
        match partition.apply(index, entry, &*view, executor) {
            Ok(applied) => break applied,
            Err(Halt::Need(ids)) => view.load(&ids).unwrap(),
            Err(halt) => panic!("{halt}"),
        }
    };
    store.commit(index, applied.effects).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_same_log_gives_the_same_state_on_every_engine_cache_and_schedule(steps in steps()) {
        let entries = log(&steps);
        let expected = run(&MEMBERS[0], &entries);
        for member in &MEMBERS[1..] {
            prop_assert_eq!(run(member, &entries), expected, "{:?}", member);
        }
    }
}

#[test]
fn another_order_gives_another_effect_hash() {
    let one = log(&[Step::Append(vec![1]), Step::Append(vec![2])]);
    let other = log(&[Step::Append(vec![2]), Step::Append(vec![1])]);
    assert_ne!(run(&MEMBERS[0], &one), run(&MEMBERS[0], &other));
}
