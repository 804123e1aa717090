//! Secondary indexes change in the same transaction as their entries.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;
use proptest::prelude::*;
use weald_core::Rejection;

use super::{Orchard, key};
use crate::{
    btree::{Direction, EVERYTHING, NodeCapacity},
    testing::Trouble,
    tree::{Expectation, INDEX_KEY_TAKEN, IndexDefinition, KeyChange, TreeOptions, UnknownIndex},
};

fn options() -> TreeOptions {
    let index = |name: &str, is_unique| IndexDefinition { name: name.to_owned(), is_unique };
    let indexes = vec![index("color", false), index("code", true)];
    TreeOptions { capacity: NodeCapacity::new(128).unwrap(), indexes }
}

fn orchard() -> Orchard {
    Orchard::new(&options())
}

fn change(n: u32, color: &'static str) -> KeyChange {
    KeyChange::put(key(n), Expectation::Any, "v").indexed("color", color)
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

fn hits(
    orchard: &Orchard,
    index: &str,
    bounds: Bounds<'_>,
    direction: Direction,
) -> Vec<(Bytes, Bytes)> {
    let mut reader = orchard.reader();
    let scan = orchard.view().index_range(&mut reader, index, bounds, direction).unwrap();
    scan.map(|hit| hit.map(|hit| (hit.index_key, hit.key)).unwrap()).collect()
}

fn of_color(orchard: &Orchard, color: &str) -> Vec<Bytes> {
    let exactly = Bound::Included(color.as_bytes());
    hits(orchard, "color", (exactly, exactly), Direction::Forward)
        .into_iter()
        .map(|hit| hit.1)
        .collect()
}

#[test]
fn d51_entries_are_found_by_their_index_keys_and_no_longer_by_old_ones() {
    let mut orchard = orchard();
    let tree = orchard.tree.clone();
    let colors = ["red", "green", "red", "blue", "red"];
    let changes = (0..).zip(colors).map(|(n, color)| change(n, color));
    orchard.run(tree.batch(changes.collect())).unwrap();
    assert_eq!(of_color(&orchard, "red"), [key(0), key(2), key(4)]);
    assert_eq!(of_color(&orchard, "re"), Vec::<Bytes>::new());

    orchard.run(tree.batch(vec![change(2, "green")])).unwrap();
    assert_eq!(of_color(&orchard, "red"), [key(0), key(4)]);
    assert_eq!(of_color(&orchard, "green"), [key(1), key(2)]);

    orchard.run(tree.delete(key(0))).unwrap();
    assert_eq!(of_color(&orchard, "red"), [key(4)]);
    orchard.run(tree.put(key(4), "plain")).unwrap();
    assert_eq!(of_color(&orchard, "red"), Vec::<Bytes>::new(), "a put without index keys has none");
    let several = change(7, "red").indexed("color", "white").indexed("color", "red");
    orchard.run(tree.batch(vec![several])).unwrap();
    assert_eq!(of_color(&orchard, "white"), [key(7)]);
    assert_eq!(of_color(&orchard, "red"), [key(7)]);
    assert_eq!(orchard.verify().entries, 5);
}

#[test]
fn d51_ranges_of_an_index_honour_their_bounds() {
    let mut orchard = orchard();
    let tree = orchard.tree.clone();
    let colors = ["a", "a\0", "a\0\0", "a\u{1}", "aa", "b"];
    let changes = (0..).zip(colors).map(|(n, color)| change(n, color));
    orchard.run(tree.batch(changes.collect())).unwrap();
    let check = |bounds: Bounds<'_>, expect: &[u32]| {
        let mut found: Vec<_> = hits(&orchard, "color", bounds, Direction::Forward)
            .into_iter()
            .map(|hit| hit.1)
            .collect();
        assert_eq!(found, expect.iter().copied().map(key).collect::<Vec<_>>());
        found = hits(&orchard, "color", bounds, Direction::Backward)
            .into_iter()
            .map(|hit| hit.1)
            .collect();
        found.reverse();
        assert_eq!(found, expect.iter().copied().map(key).collect::<Vec<_>>());
    };
    check(EVERYTHING, &[0, 1, 2, 3, 4, 5]);
    check((Bound::Included(b"a"), Bound::Included(b"a")), &[0]);
    check((Bound::Excluded(b"a"), Bound::Included(b"aa")), &[1, 2, 3, 4]);
    check((Bound::Included(b"a\0"), Bound::Excluded(b"a\x01")), &[1, 2]);
    check((Bound::Excluded(b"a\0"), Bound::Unbounded), &[2, 3, 4, 5]);
    check((Bound::Unbounded, Bound::Excluded(b"a\0\0")), &[0, 1]);
}

#[test]
fn d51_a_unique_index_refuses_a_second_entry_and_leaves_nothing() {
    let mut orchard = orchard();
    let tree = orchard.tree.clone();
    let coded = |n: u32, code: &'static str| {
        KeyChange::put(key(n), Expectation::Any, "v").indexed("code", code)
    };
    orchard.run(tree.batch(vec![coded(1, "x"), coded(2, "y")])).unwrap();
    let blocks = orchard.site.source.blocks.clone();
    let refused = orchard.run(tree.batch(vec![coded(5, "z"), coded(3, "x")])).unwrap_err();
    assert!(matches!(refused, Rejection::Custom { code: INDEX_KEY_TAKEN, .. }));
    assert!(orchard.site.source.blocks == blocks);
    orchard.run(tree.batch(vec![coded(1, "x")])).unwrap();
    let swap = vec![KeyChange::delete(key(1), Expectation::Any), coded(3, "x")];
    orchard.run(tree.batch(swap)).unwrap();
    assert_eq!(orchard.verify().entries, 2);
}

#[test]
fn an_unknown_index_is_refused() {
    let mut orchard = orchard();
    let tree = orchard.tree.clone();
    let unknown = KeyChange::put("k", Expectation::Any, "v").indexed("size", "9");
    assert!(matches!(orchard.run(tree.batch(vec![unknown])), Err(Rejection::Invalid { .. })));
    let mut reader = orchard.reader();
    let refused = orchard.view().index_range(&mut reader, "size", EVERYTHING, Direction::Forward);
    assert_eq!(refused.unwrap_err(), UnknownIndex { index: "size".into() });
    let many = (0..33).fold(change(1, "red"), |change, n| change.indexed("color", vec![n]));
    assert!(matches!(orchard.run(tree.batch(vec![many])), Err(Rejection::TooLarge { .. })));
    let long = change(1, "red").indexed("color", vec![7; 1024]);
    assert!(matches!(orchard.run(tree.batch(vec![long])), Err(Rejection::TooLarge { .. })));
}

#[test]
fn two_indexes_of_one_name_are_refused() {
    let mut orchard = orchard();
    let mut options = options();
    options.indexes[1].name = "color".into();
    let tree = crate::RawTree::new("shop/other".parse().unwrap());
    let policy = weald_core::CollectionPolicy::default();
    let create = tree.create(weald_core::CreateMode::Create, policy, &options);
    assert!(matches!(orchard.site.run(&[create]), Err(Rejection::Invalid { .. })));
}

#[test]
fn verify_finds_an_index_that_does_not_fit_its_entries() {
    let mut orchard = orchard();
    let tree = orchard.tree.clone();
    orchard.run(tree.batch((0..300).map(|n| change(n, "red")).collect())).unwrap();
    assert_eq!(orchard.verify().entries, 300);
    // The index loses an entry, as a lost write would do it.
    let blocks = orchard.site.source.blocks.clone();
    let leaf = blocks.values().find(|stored| {
        let payload = &stored.block.payload;
        stored.block.kind == crate::btree::LEAF_KIND && payload[2..].starts_with(b"red\0")
    });
    let mut stored = (**leaf.unwrap()).clone();
    let entry_len = 14 + 4 + 4;
    stored.block.payload = stored.block.payload.slice(entry_len..);
    orchard.site.source.blocks.insert(stored.block.id, stored.into());
    assert!(orchard.view().verify(&mut orchard.reader()).is_err());
}

#[test]
fn d51_trouble_at_every_block_leaves_entries_and_indexes_as_before() {
    let mut orchard = orchard();
    let tree = orchard.tree.clone();
    let colors = ["red", "green", "blue"];
    for n in 0..40u32 {
        orchard.run(tree.batch(vec![change(n, colors[n as usize % 3])])).unwrap();
    }
    let mut changes: Vec<_> = (0..6).map(|n| change(5 * n, "white")).collect();
    changes.extend((10..20).map(|n| KeyChange::delete(key(2 * n), Expectation::Any)));
    let batch = [tree.batch(changes)];
    let mut after = orchard.clone();
    after.site.source.asked.set(0);
    after.site.run(&batch).unwrap();
    let questions = after.site.source.asked.get();
    after.verify();
    for at in 0..questions {
        let mut troubled = orchard.clone();
        troubled.site.source.asked.set(0);
        troubled.site.source.trouble.set(Some((at, Trouble::Fault)));
        assert!(troubled.site.try_run(&batch).is_err());
        troubled.site.source.trouble.set(None);
        assert!(troubled.site.source.blocks == orchard.site.source.blocks);
        troubled.site.run(&batch).unwrap();
        assert!(troubled.site.source.blocks == after.site.source.blocks);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn d51_indexes_agree_with_the_entries_whatever_happens(
        operations in proptest::collection::vec((0u32..20, proptest::option::of((0u8..4, 0u8..30))), 1..120),
    ) {
        let mut orchard = orchard();
        let tree = orchard.tree.clone();
        let mut model: BTreeMap<u32, (u8, u8)> = BTreeMap::new();
        for (n, put) in operations {
            let Some((color, code)) = put else {
                orchard.run(tree.delete(key(n))).unwrap();
                model.remove(&n);
                continue;
            };
            let change = KeyChange::put(key(n), Expectation::Any, vec![color])
                .indexed("color", vec![color])
                .indexed("code", vec![code]);
            let taken = model.iter().any(|(&other, entry)| other != n && entry.1 == code);
            prop_assert_eq!(orchard.run(tree.batch(vec![change])).is_err(), taken);
            if !taken {
                model.insert(n, (color, code));
            }
        }
        prop_assert_eq!(orchard.verify().entries, model.len() as u64);
        let mut expect: Vec<_> =
            model.iter().map(|(&n, entry)| (Bytes::from(vec![entry.0]), key(n))).collect();
        expect.sort();
        prop_assert_eq!(hits(&orchard, "color", EVERYTHING, Direction::Forward), expect);
    }
}
