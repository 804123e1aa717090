//! Random operations against an ordered map.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use weald_storage::engine::{Batch, Direction, Durability, EngineKind, KeyRange, Keyspace};

use crate::subject::{Entries, Subject, entries};

type Model = BTreeMap<(Keyspace, Bytes), Bytes>;

#[derive(Clone, Debug)]
enum Write {
    Put(Keyspace, Bytes, Bytes),
    Delete(Keyspace, Bytes),
    DeleteRange(Keyspace, KeyRange),
}

#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<Write>, bool),
    Sync,
    Scan(Keyspace, KeyRange),
    /// Compare a snapshot taken earlier with the model of that moment, then take another.
    Snapshot,
    Reopen,
}

fn keyspace() -> impl Strategy<Value = Keyspace> {
    prop_oneof![3 => Just(Keyspace::Blocks), 1 => Just(Keyspace::Meta)]
}

/// Few and short keys, so that they collide and are prefixes of each other.
fn key() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(127), Just(255)], 1..4)
        .prop_map(Bytes::from)
}

fn value() -> impl Strategy<Value = Bytes> {
    (0_usize..700, any::<u8>()).prop_map(|(length, byte)| Bytes::from(vec![byte; length]))
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        Just(KeyRange::all()),
        key().prop_map(KeyRange::from),
        key().prop_map(KeyRange::prefix),
        (key(), key()).prop_map(|(start, end)| KeyRange::new(start, end)),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        6 => (keyspace(), key(), value()).prop_map(|(k, key, value)| Write::Put(k, key, value)),
        2 => (keyspace(), key()).prop_map(|(k, key)| Write::Delete(k, key)),
        1 => (keyspace(), range()).prop_map(|(k, range)| Write::DeleteRange(k, range)),
    ]
}

fn step(with_reopen: bool) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (prop::collection::vec(write(), 0..12), any::<bool>())
            .prop_map(|(writes, synced)| Step::Batch(writes, synced)),
        1 => Just(Step::Sync),
        3 => (keyspace(), range()).prop_map(|(k, range)| Step::Scan(k, range)),
        2 => Just(Step::Snapshot),
        u32::from(with_reopen) => Just(Step::Reopen),
    ]
}

pub(crate) fn any_operations_agree_with_a_sorted_map(kind: EngineKind) {
    check(kind, false);
}

pub(crate) fn any_operations_with_reopening_agree_with_a_sorted_map(kind: EngineKind) {
    check(kind, true);
}

fn check(kind: EngineKind, with_reopen: bool) {
    let cases = if kind == EngineKind::Memory { 256 } else { 16 };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let steps = prop::collection::vec(step(with_reopen), 1..60);
    TestRunner::new(config)
        .run(&steps, |steps| {
            run(kind, &steps);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{kind}: {failure}"));
}

fn run(kind: EngineKind, steps: &[Step]) {
    let mut subject = Subject::new(kind);
    let mut model = Model::new();
    let mut held = None;
    for step in steps {
        match step {
            Step::Batch(writes, synced) => {
                let durability = if *synced { Durability::Synced } else { Durability::Unsynced };
                subject.engine.write(apply(&mut model, writes), durability).unwrap();
            }
            Step::Sync => subject.engine.sync().unwrap(),
            Step::Scan(keyspace, range) => {
                let snapshot = subject.engine.snapshot().unwrap();
                compare(&*snapshot, &model, *keyspace, range);
            }
            Step::Snapshot => {
                let next = (subject.engine.snapshot().unwrap(), model.clone());
                if let Some((snapshot, then)) = held.replace(next) {
                    compare(&*snapshot, &then, Keyspace::Blocks, &KeyRange::all());
                }
            }
            Step::Reopen => {
                held = None;
                subject = subject.reopen();
            }
        }
    }
    for keyspace in Keyspace::ALL {
        assert_eq!(subject.entries(keyspace), expected(&model, keyspace, &KeyRange::all()));
    }
    for ((keyspace, key), value) in &model {
        assert_eq!(subject.value(*keyspace, key).as_ref(), Some(value));
    }
}

/// Applies `writes` to the model and returns them as a batch.
fn apply(model: &mut Model, writes: &[Write]) -> Batch {
    let mut batch = Batch::new();
    for write in writes {
        match write.clone() {
            Write::Put(keyspace, key, value) => {
                model.insert((keyspace, key.clone()), value.clone());
                batch.put(keyspace, key, value);
            }
            Write::Delete(keyspace, key) => {
                model.remove(&(keyspace, key.clone()));
                batch.delete(keyspace, key);
            }
            Write::DeleteRange(keyspace, range) => {
                model.retain(|(space, key), _| *space != keyspace || !range.contains(key));
                batch.delete_range(keyspace, range);
            }
        }
    }
    batch
}

fn expected(model: &Model, keyspace: Keyspace, range: &KeyRange) -> Entries {
    model
        .iter()
        .filter(|((space, key), _)| *space == keyspace && range.contains(key))
        .map(|((_, key), value)| (key.clone(), value.clone()))
        .collect()
}

fn compare(
    snapshot: &dyn weald_storage::engine::Snapshot,
    model: &Model,
    keyspace: Keyspace,
    range: &KeyRange,
) {
    let mut expect = expected(model, keyspace, range);
    assert_eq!(entries(snapshot, keyspace, range, Direction::Forward), expect, "{range:?}");
    expect.reverse();
    assert_eq!(entries(snapshot, keyspace, range, Direction::Backward), expect, "{range:?}");
}
