//! Transactions of any actions: every member comes to the same result whatever it has in memory, a refused one leaves
//! nothing, and no type panics.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use weald_collections::btree::NodeCapacity;
use weald_collections::tree::{Expectation, IndexDefinition, KeyChange, TreeOptions};
use weald_collections::{
    CollectionExecutor, DiaryType, ExpectedVersion, RawDiary, RawTree, ReadError, Registry,
    SourceReader, TreeType,
};
use weald_core::limits::TransactionLimits;
use weald_core::{
    Action, ActionBody, BlockEffect, BlockId, BlockRead, BlockSource, CollectionName,
    CollectionPolicy, Context, CreateMode, Executed, Executor, Fault, Halt, LogIndex, Overlay,
    PlacementKey, Rejection, Retention, Sequence, StoredBlock, Time, TransactionId, TypeName,
    TypeVersion,
};

use crate::script::Script;

static EXECUTOR: LazyLock<CollectionExecutor> = LazyLock::new(|| {
    let mut registry = Registry::new();
    registry.register(Arc::new(DiaryType)).expect("a type of a new name");
    registry.register(Arc::new(TreeType)).expect("a type of a new name");
    CollectionExecutor::new(registry)
});

const NAMES: [&str; 3] = ["a", "b", "b/c"];

/// A member of a partition. A forgetful one has nothing in memory at the beginning of each transaction.
#[derive(Default)]
struct Member {
    blocks: BTreeMap<BlockId, Arc<StoredBlock>>,
    is_forgetful: bool,
    loaded: RefCell<BTreeSet<BlockId>>,
}

/// Reads `data` as transactions and runs each at two members.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let (mut member, mut forgetful) =
        (Member::default(), Member { is_forgetful: true, ..Member::default() });
    let mut index = 0;
    while !script.is_finished() && index < 100 {
        index += 1;
        let actions: Vec<Action> = (0..=script.below(3)).map(|_| action(&mut script)).collect();
        let context = context(index, &actions, &mut script);
        let (done, effects) = member.execute(&context, &actions);
        let again = forgetful.execute(&context, &actions);
        assert!(
            (&done, &effects) == (&again.0, &again.1),
            "two members differ: {done:?} and {:?}",
            again.0
        );
        assert!(
            !matches!(done, Executed::Refused(Rejection::Panicked { .. })),
            "a type panicked: {done:?}"
        );
        member.keep(&effects);
        forgetful.keep(&effects);
    }
    for name in NAMES {
        check_tree(&member, name);
    }
}

/// Nodes, count and indexes of a tree agree.
fn check_tree(member: &Member, name: &str) {
    let tree = RawTree::new(name.parse().expect("a valid name"));
    let mut reader = SourceReader(member);
    match tree.open(&mut reader) {
        Ok(view) => drop(view.verify(&mut reader).expect("the tree is intact")),
        Err(ReadError::Halt(halt)) => panic!("a tree made by actions does not open: {halt}"),
        Err(_) => {}
    }
}

impl Member {
    fn execute(&self, context: &Context, actions: &[Action]) -> (Executed, Vec<BlockEffect>) {
        self.loaded.borrow_mut().clear();
        loop {
            let mut overlay = Overlay::new(self);
            match EXECUTOR.execute(context, actions, &mut overlay) {
                Ok(executed) => {
                    let Executed::Done { commits, .. } = &executed else {
                        assert!(overlay.is_clean(), "a refused transaction left something");
                        return (executed, Vec::new());
                    };
                    let effects = overlay.into_effects(|collection| commits[&collection].revision);
                    return (executed, effects);
                }
                Err(Halt::Need(ids)) => {
                    let before = self.loaded.borrow().len();
                    self.loaded.borrow_mut().extend(ids);
                    assert!(self.loaded.borrow().len() > before, "asked again for what was loaded");
                }
                Err(Halt::Fault(fault)) => {
                    panic!("blocks made by actions do not fit together: {fault}")
                }
            }
        }
    }

    fn keep(&mut self, effects: &[BlockEffect]) {
        for effect in effects {
            match &effect.after {
                Some(after) => drop(self.blocks.insert(effect.id, Arc::clone(after))),
                None => drop(self.blocks.remove(&effect.id)),
            }
        }
    }
}

impl BlockSource for Member {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        if self.is_forgetful && !self.loaded.borrow().contains(&id) {
            return Ok(BlockRead::NotHere);
        }
        Ok(self.blocks.get(&id).cloned().map_or(BlockRead::Absent, BlockRead::Present))
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
