//! The bytes of everything of a tree that is logged or stored.

use bytes::Bytes;
use weald_core::{BlockId, Revision, codec};

use crate::{
    btree::NodeCapacity,
    kind,
    tree::{
        ChangedKey, Expectation, Happened, IndexDefinition, KeyChange, TreeAnswer, TreeOptions,
        change,
        operation::TreeOperation,
        options::{IndexRoot, TreeRoot},
    },
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn definition() -> IndexDefinition {
    IndexDefinition { name: "color".into(), is_unique: true }
}

fn operation() -> TreeOperation {
    let put = |expected| KeyChange::put("k", expected, "v");
    TreeOperation {
        changes: vec![
            put(Expectation::Any).indexed("color", "red"),
            put(Expectation::Absent),
            put(Expectation::Present),
            put(Expectation::Revision(Revision(300))),
            put(Expectation::Value("old".into())),
            KeyChange::delete("k", Expectation::Any),
        ],
    }
}

/// The bytes of a type may change only with the version of the tree's structure or of the format.
#[test]
fn golden_vectors_hold() {
    let options = TreeOptions { capacity: NodeCapacity::default(), indexes: vec![definition()] };
    let entries = BlockId::header(&"a".parse().unwrap());
    let index =
        IndexRoot { definition: definition(), root: BlockId::header(&"b".parse().unwrap()) };
    let root = TreeRoot { capacity: NodeCapacity::MIN, entries, indexes: vec![index] };
    let answer = TreeAnswer { revision: Revision(9), replaced: vec![None, Some(Revision(7))] };
    let changed = |happened| ChangedKey { key: Bytes::from_static(b"k"), happened };
    let changes = change::encode(&[changed(Happened::Put), changed(Happened::Deleted)]);
    let found = [
        ("options", options.encode()),
        ("root", root.encode()),
        ("operation", operation().encode()),
        ("answer", answer.encode()),
        ("changes", changes),
    ];
    let found: String =
        found.iter().map(|(name, bytes)| format!("{name} {}\n", hex(bytes))).collect();
    assert_eq!(found, include_str!("golden.txt"));
}

#[test]
fn operations_and_answers_round_trip() {
    assert_eq!(TreeOperation::decode(&operation().encode()).unwrap(), operation());
    let answer = TreeAnswer { revision: Revision(9), replaced: vec![None, Some(Revision(7))] };
    assert_eq!(TreeAnswer::decode(&answer.encode()).unwrap(), answer);
}

#[test]
fn a_capacity_out_of_range_is_refused_by_the_decoder() {
    for capacity in [0u32, 63, 32 * 1024 + 1] {
        let bytes = codec::encode(kind::TREE_OPTIONS, &(capacity, Vec::<IndexDefinition>::new()));
        assert!(codec::decode::<TreeOptions>(kind::TREE_OPTIONS, &bytes).is_err());
    }
}
