//! Transactions of any actions: every member comes to the same result whatever it has in memory, a refused one leaves
//! nothing, and no type panics.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use weald_collections::btree::NodeCapacity;
use weald_collections::tree::{Expectation, IndexDefinition, KeyChange, TreeOptions};
use weald_collections::{
    CollectionExecutor, DiaryType, ExpectedVersion, RawDiary, RawTree, ReadError, Registry,
    TreeType,
};
use weald_core::limits::TransactionLimits;
use weald_core::{
    Action, ActionBody, CollectionName, CollectionPolicy, Context, CreateMode, LogIndex,
    PlacementKey, Retention, Sequence, Time, TransactionId, TypeName, TypeVersion,
};

use crate::member::Members;
use crate::script::Script;

static EXECUTOR: LazyLock<CollectionExecutor> = LazyLock::new(|| {
    let mut registry = Registry::new();
    registry.register(Arc::new(DiaryType)).expect("a type of a new name");
    registry.register(Arc::new(TreeType)).expect("a type of a new name");
    CollectionExecutor::new(registry)
});

const NAMES: [&str; 3] = ["a", "b", "b/c"];

/// Reads `data` as transactions and runs each at two members.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut members = Members::new(&EXECUTOR);
    let mut index = 0;
    while !script.is_finished() && index < 100 {
        index += 1;
        let actions: Vec<Action> = (0..=script.below(3)).map(|_| action(&mut script)).collect();
        members.execute(&context(index, &actions, &mut script), &actions);
    }
    for name in NAMES {
        check_tree(&members, name);
    }
}

/// Nodes, count and indexes of a tree agree.
fn check_tree(members: &Members, name: &str) {
    let tree = RawTree::new(name.parse().expect("a valid name"));
    let mut reader = members.reader();
    match tree.open(&mut reader) {
        Ok(view) => drop(view.verify(&mut reader).expect("the tree is intact")),
        Err(ReadError::Halt(halt)) => panic!("a tree made by actions does not open: {halt}"),
        Err(_) => {}
    }
}

fn context(index: u64, actions: &[Action], script: &mut Script<'_>) -> Context {
    let home = PlacementKey::of(&actions[0].collection);
    let mut unique = [0; 16];
    unique[..8].copy_from_slice(&index.to_le_bytes());
    let time = Time::from_millis(1_000 * index + u64::from(script.byte()));
    Context {
        transaction: TransactionId::new(home, unique),
        index: LogIndex(index),
        time,
        limits: TransactionLimits::default(),
        types: weald_core::TypeSet::built_in(),
    }
}

fn action(script: &mut Script<'_>) -> Action {
    let name = name(script);
    let diary = RawDiary::new(name.clone());
    match script.byte() % 8 {
        0 => diary.create(mode(script), policy(script)),
        1 => with(name, ActionBody::SetPolicy(policy(script)), "diary"),
        2 => with(name, ActionBody::Apply(stranger(script)), "diary"),
        3 => {
            let version = TypeVersion(u16::from(script.byte() % 3));
            let options = Bytes::copy_from_slice(script.bytes(20));
            let body =
                ActionBody::Create { mode: mode(script), version, policy: policy(script), options };
            with(name, body, ["diary", "tree", "unknown"][script.below(3)])
        }
        4 => RawTree::new(name).create(mode(script), policy(script), &tree_options(script)),
        5 | 6 => {
            let changes = (0..script.below(30)).map(|_| change(script)).collect();
            RawTree::new(name).batch(changes)
        }
        _ => {
            let count = script.below(40);
            let entries = (0..count).map(|_| Bytes::copy_from_slice(script.bytes(60))).collect();
            diary.append(expected(script), entries)
        }
    }
}

fn tree_options(script: &mut Script<'_>) -> TreeOptions {
    let capacity =
        NodeCapacity::new([64, 128, 4096][script.below(3)]).expect("a capacity within its bounds");
    let index = |name: &str, is_unique| IndexDefinition { name: name.to_owned(), is_unique };
    TreeOptions {
        capacity,
        indexes: vec![index("many", false), index("one", true)][..script.below(3)].to_vec(),
    }
}

fn change(script: &mut Script<'_>) -> KeyChange {
    let key = vec![script.byte() % 32; 1 + script.below(20)];
    let expected = match script.byte() % 16 {
        0 => Expectation::Absent,
        1 => Expectation::Present,
        2 => Expectation::Value(vec![script.byte()].into()),
        _ => Expectation::Any,
    };
    if script.byte().is_multiple_of(3) {
        return KeyChange::delete(key, expected);
    }
    let put = KeyChange::put(key, expected, Bytes::copy_from_slice(script.bytes(50)));
    match script.byte() % 4 {
        0 => put.indexed("many", vec![script.byte() % 4]),
        1 => put.indexed("one", vec![script.byte()]).indexed("many", Vec::new()),
        2 => put.indexed("other", vec![script.byte()]),
        _ => put,
    }
}

fn with(collection: CollectionName, body: ActionBody, type_name: &str) -> Action {
    let type_name: TypeName = type_name.parse().expect("a valid name");
    Action { collection, type_name, body }
}

/// An operation in the envelope of some kind of the collections, with any content.
fn stranger(script: &mut Script<'_>) -> Bytes {
    let head = [1, 32 + script.byte() % 16];
    [&head, script.bytes(120)].concat().into()
}

fn name(script: &mut Script<'_>) -> CollectionName {
    NAMES[script.below(NAMES.len())].parse().expect("a valid name")
}

fn mode(script: &mut Script<'_>) -> CreateMode {
    if script.byte().is_multiple_of(2) { CreateMode::Create } else { CreateMode::OpenOrCreate }
}

fn policy(script: &mut Script<'_>) -> CollectionPolicy {
    let bound = |byte: u8| byte.is_multiple_of(2).then(|| u64::from(byte));
    let age_max = bound(script.byte()).map(std::time::Duration::from_secs);
    let retention =
        Retention { age_max, entries_max: bound(script.byte()), bytes_max: bound(script.byte()) };
    CollectionPolicy { retention }
}

fn expected(script: &mut Script<'_>) -> ExpectedVersion {
    match script.byte() % 8 {
        0 => ExpectedVersion::Empty,
        1 => ExpectedVersion::Exists,
        2 => ExpectedVersion::Exact(Sequence(u64::from(script.byte()))),
        _ => ExpectedVersion::Any,
    }
}
