//! Operations on entries.

use std::ops::Bound;

use serde::{Deserialize, Serialize};
use weald_core::{CollectionPolicy, CreateMode, Executor, Overlay, Rejection, Revision};

use super::{Orchard, key};
use crate::{
    EncodeKey, RawTree, ReadError, SourceReader, Tree,
    btree::{Direction, NodeCapacity},
    testing::{Blocks, Trouble},
    tree::{ChangedKey, Expectation, Happened, KEY_EXISTS, KeyChange, TreeOptions, changed_keys},
};

#[test]
fn a58_insert_update_delete_and_what_they_replaced() {
    let mut orchard = Orchard::small();
    let tree = orchard.tree.clone();
    let inserted = orchard.run(tree.insert("a", "1")).unwrap();
    assert_eq!((inserted.revision, inserted.replaced), (Revision(2), vec![None]));
    let updated = orchard.run(tree.update("a", "2")).unwrap();
    assert_eq!(updated.replaced, [Some(Revision(2))]);
    assert_eq!(orchard.get("a").unwrap(), "2");

    let taken = orchard.run(tree.insert("a", "3")).unwrap_err();
    assert!(matches!(taken, Rejection::Custom { code: KEY_EXISTS, .. }));
    let absent = orchard.run(tree.update("b", "3")).unwrap_err();
    assert!(matches!(absent, Rejection::Expectation { .. }));
    assert_eq!((orchard.get("a").unwrap(), orchard.get("b")), ("2".into(), None));

    let deleted = orchard.run(tree.delete("a")).unwrap();
    assert_eq!(deleted.replaced, [Some(Revision(3))]);
    assert_eq!(orchard.run(tree.delete("a")).unwrap().replaced, [None], "nothing is fine");
    assert_eq!(orchard.view().count(&mut orchard.reader()).unwrap(), 0);
}

#[test]
fn a58_a_batch_puts_and_deletes_in_order() {
    let mut orchard = Orchard::small();
    let tree = orchard.tree.clone();
    let put = |n: u32| KeyChange::put(key(n), Expectation::Any, "v");
    orchard.run(tree.batch((0..40).map(put).collect())).unwrap();
    assert_eq!(orchard.verify().entries, 40);
    let mut changes: Vec<_> = (0..40)
        .filter(|n| n % 2 == 0)
        .map(|n| KeyChange::delete(key(n), Expectation::Present))
        .collect();
    changes.extend((100..110).map(put));
    changes.push(KeyChange::put(key(1), Expectation::Any, "first"));
    changes.push(KeyChange::put(key(1), Expectation::Value("first".into()), "last"));
    changes.push(KeyChange::delete(key(3), Expectation::Any));
    changes.push(KeyChange::put(key(3), Expectation::Absent, "moved"));
    orchard.run(tree.batch(changes)).unwrap();
    let expect: Vec<_> = (0..40).filter(|n| n % 2 == 1).chain(100..110).map(key).collect();
    let mut found: Vec<_> =
        orchard.all(Direction::Forward).into_iter().map(|(key, _)| key).collect();
    assert_eq!(found, expect);
    found = orchard.all(Direction::Backward).into_iter().map(|(key, _)| key).collect();
    found.reverse();
    assert_eq!(found, expect);
    assert_eq!(orchard.verify().entries, 30);
    let mut reader = orchard.reader();
    let value = |n| orchard.view().get(&mut orchard.reader(), &key(n)).unwrap().unwrap().value;
    assert_eq!((value(1), value(3)), ("last".into(), "moved".into()));
    let view = orchard.view();
    assert_eq!(view.count(&mut reader).unwrap(), 30);
    assert_eq!(view.first(&mut reader).unwrap().unwrap().key, key(1));
    assert_eq!(view.last(&mut reader).unwrap().unwrap().key, key(109));
}

#[test]
fn a58_navigation_crosses_leaf_boundaries() {
    let mut orchard = Orchard::small();
    let tree = orchard.tree.clone();
    (0..60).for_each(|n| drop(orchard.run(tree.put(key(2 * n), "v")).unwrap()));
    assert!(orchard.verify().leaves > 10);
    let (view, mut reader) = (orchard.view(), orchard.reader());
    for n in 1..60 {
        let before = view.before(&mut reader, &key(2 * n)).unwrap().unwrap();
        assert_eq!(before.key, key(2 * n - 2));
        let after = view.after(&mut reader, &key(2 * n - 1)).unwrap().unwrap();
        assert_eq!(after.key, key(2 * n));
    }
    let bounds = (Bound::Included(&[0, 0, 0, 10][..]), Bound::Excluded(&[0, 0, 0, 20][..]));
    let found = view.range(&mut reader, bounds, Direction::Backward);
    let found: Vec<_> = found.map(|entry| entry.unwrap().key[3]).collect();
    assert_eq!(found, [18, 16, 14, 12, 10]);
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    name: String,
    tags: Vec<String>,
    price: Option<(u32, bool)>,
}

#[test]
fn a58_a_typed_tree_holds_complex_entries_and_two_handles_converge() {
    let mut orchard = Orchard::small();
    let name = orchard.tree.name().clone();
    let (one, two) =
        (Tree::<(String, i32), Item>::new(name.clone()), Tree::<(String, i32), Item>::new(name));
    let item = |n: i32| Item {
        name: format!("item {n}"),
        tags: vec![String::new(), "red".into()],
        price: (n % 2 == 0).then_some((7, n > 0)),
    };
    for n in -20..20 {
        let handle = if n % 2 == 0 { &one } else { &two };
        orchard.run(handle.put(&("apple".to_owned(), n), &item(n))).unwrap();
    }
    let mut reader = orchard.reader();
    let range = ("apple".to_owned(), -3)..=("apple".to_owned(), 2);
    for handle in [&one, &two] {
        let found = handle.range(&mut reader, &range, Direction::Forward).unwrap();
        let found: Vec<_> =
            found.map(Result::unwrap).map(|entry| (entry.key.1, entry.value)).collect();
        assert_eq!(found, (-3..=2).map(|n| (n, item(n))).collect::<Vec<_>>());
        let entry = handle.get(&mut reader, &("apple".to_owned(), 5)).unwrap().unwrap();
        assert_eq!((entry.value, entry.revision), (item(5), Revision(27)));
        assert_eq!(handle.first(&mut reader).unwrap().unwrap().key.1, -20);
        assert_eq!(handle.last(&mut reader).unwrap().unwrap().key.1, 19);
    }
    orchard.run(two.delete(&("apple".to_owned(), 5))).unwrap();
    assert_eq!(one.get(&mut orchard.reader(), &("apple".to_owned(), 5)).unwrap(), None);
}

#[test]
fn a59_a_batch_that_fails_midway_leaves_nothing_for_made_and_reopened_trees() {
    let mut orchard = Orchard::small();
    let tree = orchard.tree.clone();
    (0..30).for_each(|n| drop(orchard.run(tree.put(key(n), "old")).unwrap()));
    let again = RawTree::new(tree.name().clone());
    for handle in [tree, again] {
        let mut changes: Vec<_> =
            (0..30).map(|n| KeyChange::put(key(3 * n), Expectation::Any, "new")).collect();
        let good = handle.batch(changes.clone());
        changes.insert(20, KeyChange::put("absent", Expectation::Present, "x"));
        let bad = handle.batch(changes);
        let (before, blocks) =
            (orchard.all(Direction::Forward), orchard.site.source.blocks.clone());

        let refused = orchard.run(bad).unwrap_err();
        assert!(matches!(refused, Rejection::Expectation { .. }));
        assert!(orchard.site.source.blocks == blocks);
        assert_eq!(orchard.all(Direction::Forward), before);

        let mut visible = orchard.clone();
        visible.run(good).unwrap();
        assert_eq!(visible.verify().entries, 50);
    }
}

/// Every question to the block source fails once, and once finds the block not in memory.
#[test]
fn d5_trouble_at_every_block_of_a_batch_leaves_the_tree_as_before_and_usable() {
    let mut orchard = Orchard::small();
    let tree = orchard.tree.clone();
    (0..60).for_each(|n| drop(orchard.run(tree.put(key(2 * n), "old")).unwrap()));
    let mut changes: Vec<_> =
        (0..8).map(|n| KeyChange::put(key(13 * n), Expectation::Any, [1u8; 60].to_vec())).collect();
    changes.extend((20..50).map(|n| KeyChange::delete(key(2 * n), Expectation::Any)));
    let batch = [tree.batch(changes)];
    let mut after = orchard.clone();
    after.site.source.asked.set(0);
    after.site.run(&batch).unwrap();
    let questions = after.site.source.asked.get();
    assert!(questions > 20);
    for at in 0..questions {
        for trouble in [Trouble::Fault, Trouble::NotHere] {
            let mut troubled = orchard.clone();
            troubled.site.source.asked.set(0);
            troubled.site.source.trouble.set(Some((at, trouble)));
            assert!(troubled.site.try_run(&batch).is_err(), "{at} {trouble:?}");
            troubled.site.source.trouble.set(None);
            assert!(troubled.site.source.blocks == orchard.site.source.blocks);
            troubled.site.run(&batch).unwrap();
            assert!(troubled.site.source.blocks == after.site.source.blocks, "the same blocks");
        }
    }
    after.verify();
}

#[test]
fn a60_a_tree_that_is_only_staged_elsewhere_is_absent() {
    let orchard = Orchard::small();
    let tree = RawTree::new("other".parse().unwrap());
    let policy = CollectionPolicy::default();
    let actions =
        [tree.create(CreateMode::Create, policy, &TreeOptions::default()), tree.put("a", "1")];
    let mut overlay = Overlay::new(&orchard.site.source);
    let context = orchard.site.context(&actions);
    orchard.site.executor.execute(&context, &actions, &mut overlay).unwrap();
    assert!(tree.get(&mut crate::NotedReads(&mut overlay), b"a").unwrap().is_some());
    let elsewhere = tree.open(&mut orchard.reader()).unwrap_err();
    assert_eq!(elsewhere, ReadError::NoSuchCollection(tree.name().clone()));
}

#[test]
fn a62_falsy_values_are_stored() {
    let mut orchard = Orchard::small();
    let tree = orchard.tree.clone();
    orchard.run(tree.put("", "")).unwrap();
    orchard.run(tree.put([0u8].to_vec(), [0u8].to_vec())).unwrap();
    assert_eq!(orchard.get("").unwrap(), "");
    assert_eq!(orchard.all(Direction::Forward).len(), 2);
    let name: weald_core::CollectionName = "shop/falsy".parse().unwrap();
    let typed = Tree::<u8, Option<(bool, u32, String)>>::new(name);
    let create = typed.raw().create(
        CreateMode::Create,
        CollectionPolicy::default(),
        &TreeOptions::default(),
    );
    let falsy = [typed.put(&0, &None), typed.put(&1, &Some((false, 0, String::new())))];
    orchard.site.run(&[vec![create], falsy.to_vec()].concat()).unwrap();
    let mut reader = orchard.reader();
    assert_eq!(typed.get(&mut reader, &0).unwrap().unwrap().value, None);
    let falsy = Some((false, 0, String::new()));
    assert_eq!(typed.get(&mut reader, &1).unwrap().unwrap().value, falsy);
    assert_eq!(typed.get(&mut reader, &2).unwrap(), None);
}

#[test]
fn a62_keys_and_entries_of_another_type_are_refused_and_not_guessed_around() {
    let mut orchard = Orchard::small();
    let name = orchard.tree.name().clone();
    let written = Tree::<String, String>::new(name.clone());
    orchard.run(written.put("key", &"value".to_owned())).unwrap();
    let mut reader = orchard.reader();
    let other_key = Tree::<u64, String>::new(name.clone()).first(&mut reader);
    assert!(matches!(other_key, Err(ReadError::Key { revision: Revision(2), .. })));
    let other_value = Tree::<String, (u64, u64)>::new(name).get(&mut reader, "key");
    assert!(matches!(other_value, Err(ReadError::Value { revision: Revision(2), .. })));
}

#[test]
fn a62_a_reopened_tree_keeps_the_node_capacity_it_was_made_with() {
    let mut orchard = Orchard::small();
    let tree = RawTree::new(orchard.tree.name().clone());
    let options = TreeOptions { capacity: NodeCapacity::MAX, ..TreeOptions::default() };
    let reopen = tree.create(CreateMode::OpenOrCreate, CollectionPolicy::default(), &options);
    orchard.site.run(&[reopen]).unwrap();
    (0..50).for_each(|n| drop(orchard.run(tree.put(key(n), "v")).unwrap()));
    assert_eq!(orchard.view().options().capacity.bytes(), 96);
    assert!(orchard.verify().leaves > 8);
}

#[test]
fn a55_counters_lose_nothing_by_conditional_puts_and_blind_puts_tell_what_they_overwrote() {
    let mut orchard = Orchard::small();
    let tree = Tree::<String, u64>::new(orchard.tree.name().clone());
    orchard.run(tree.put("counter", &0)).unwrap();
    // Each client reads, then all write what they read plus one; the refused read again.
    let mut waiting = vec![(); 10];
    while !waiting.is_empty() {
        let entry = tree.get(&mut orchard.reader(), "counter").unwrap().unwrap();
        let expected = Expectation::Revision(entry.revision);
        let change = tree.change("counter", expected, &(entry.value + 1));
        waiting.retain(|()| orchard.run(tree.raw().batch(vec![change.clone()])).is_err());
    }
    let entry = tree.get(&mut orchard.reader(), "counter").unwrap().unwrap();
    assert_eq!(entry.value, 10);

    let first = orchard.run(tree.put("counter", &50)).unwrap();
    let second = orchard.run(tree.put("counter", &60)).unwrap();
    assert_eq!(first.replaced, [Some(entry.revision)]);
    assert_eq!(
        second.replaced,
        [Some(first.revision)],
        "the first put was overwritten, and it is told"
    );
}

#[test]
fn what_is_too_large_or_malformed_is_refused() {
    let mut orchard = Orchard::small();
    let tree = orchard.tree.clone();
    let refused = orchard.run(tree.put(vec![0; 1025], "")).unwrap_err();
    assert!(matches!(refused, Rejection::TooLarge { actual: 1025, max: 1024, .. }));
    let refused = orchard.run(tree.delete(vec![0; 1025])).unwrap_err();
    assert!(matches!(refused, Rejection::TooLarge { .. }));
    let refused = orchard.run(tree.put("k", vec![0; 1024 * 1024 + 1])).unwrap_err();
    assert!(matches!(refused, Rejection::TooLarge { .. }));
    orchard.run(tree.put(vec![0; 1024], vec![0; 1024 * 1024])).unwrap();
    let mut action = tree.put("k", "v");
    action.body = weald_core::ActionBody::Apply("nonsense".into());
    assert!(matches!(orchard.run(action), Err(Rejection::Invalid { .. })));
    let mut create =
        tree.create(CreateMode::Create, CollectionPolicy::default(), &TreeOptions::default());
    create.collection = "another".parse().unwrap();
    if let weald_core::ActionBody::Create { options, .. } = &mut create.body {
        *options = "nonsense".into();
    }
    assert!(matches!(orchard.site.run(&[create]), Err(Rejection::Invalid { .. })));
}

#[test]
fn reads_of_a_key_never_look_at_the_state_block() {
    let mut orchard = Orchard::small();
    let tree = orchard.tree.clone();
    (0..50).for_each(|n| drop(orchard.run(tree.put(key(n), "v")).unwrap()));
    let mut overlay = Overlay::with_reads_noted(&orchard.site.source);
    let mut reader = crate::NotedReads(&mut overlay);
    tree.get(&mut reader, &key(7)).unwrap().unwrap();
    let reads: Vec<_> = overlay.noted_reads().into_iter().map(|read| read.block).collect();
    assert!(!reads.contains(&weald_core::BlockId::state(tree.name())));
    assert_eq!(reads.len(), 1 + orchard.verify().depth, "the header and the path to the leaf");
}

#[test]
fn the_feed_names_each_changed_key_once() {
    let mut orchard = Orchard::small();
    let tree = orchard.tree.clone();
    orchard.run(tree.put("a", "1")).unwrap();
    let first = tree.batch(vec![
        KeyChange::put("b", Expectation::Any, "1"),
        KeyChange::delete("a", Expectation::Any),
        KeyChange::delete("none", Expectation::Any),
    ]);
    let second = tree.batch(vec![
        KeyChange::delete("b", Expectation::Any),
        KeyChange::put("a", Expectation::Any, "2"),
    ]);
    orchard.site.run(&[first, second]).unwrap();
    let page = crate::changes(&mut orchard.reader(), tree.name(), Revision(3), 1 << 20).unwrap();
    let weald_core::FeedPage::Changes(changes) = page else { panic!("no gap is expected") };
    assert_eq!(changes.len(), 1);
    let changed = |key: &'static str, happened| ChangedKey { key: key.as_bytes().into(), happened };
    let expect = [changed("a", Happened::Put), changed("b", Happened::Deleted)];
    assert_eq!(changed_keys(&changes[0].detail).unwrap(), expect);
    assert!(changed_keys(b"nonsense").is_err());
}

#[test]
fn a_typed_key_is_found_by_its_borrowed_form() {
    let mut orchard = Orchard::small();
    let tree = Tree::<String, u8>::new(orchard.tree.name().clone());
    orchard.run(tree.insert("key", &1)).unwrap();
    orchard.run(tree.update("key", &2)).unwrap();
    let source: &Blocks = &orchard.site.source;
    assert_eq!(tree.get(&mut SourceReader(source), "key").unwrap().unwrap().value, 2);
    assert_eq!(orchard.all(Direction::Forward)[0].0, "key".to_key());
}
