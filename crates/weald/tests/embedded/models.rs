//! Handles beside simple models: random operations with reopening in between, on real files.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::Path,
};

use weald::{Diary, ErrorKind, ExpectedVersion, Sequence, Tree, Weald};

use crate::open;

/// Operations a case.
const OPERATIONS: u32 = 10_000;
/// Writes that are sent together, so that a case takes few syncs.
const TOGETHER: u32 = 25;

/// A small reproducible generator (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(bound)).expect("below 32 bits")
    }
}

async fn reopened(node: Weald, path: &Path, random: &mut Random) -> Weald {
    match random.below(3) {
        0 => node.close().await.unwrap(),
        1 => node.checkpoint().await.unwrap(),
        _ => {}
    }
    drop(node);
    open(path).await
}

async fn tree_of(node: &Weald) -> Tree<u32, String> {
    node.tree("model").open_or_create().await.unwrap()
}

async fn check_tree(tree: &Tree<u32, String>, model: &BTreeMap<u32, String>) {
    let found = tree.range(..).entries().await.unwrap();
    let found: Vec<_> = found.into_iter().map(|entry| (entry.key, entry.value)).collect();
    let expected: Vec<_> = model.iter().map(|(key, value)| (*key, value.clone())).collect();
    assert_eq!(found, expected);
    assert_eq!(tree.count().await.unwrap(), u64::try_from(model.len()).unwrap());
}

async fn read_tree(tree: &Tree<u32, String>, model: &BTreeMap<u32, String>, random: &mut Random) {
    let (low, len) = (random.below(2_000), random.below(200));
    assert_eq!(tree.get(&low).await.unwrap().as_ref(), model.get(&low));
    let limit = usize::try_from(random.below(50)).unwrap();
    let range = tree.range(low..low + len).limit(limit);
    let expected: Vec<u32> = if random.below(2) == 0 {
        model.range(low..low + len).map(|(key, _)| *key).take(limit).collect()
    } else {
        let found = range.reverse().entries().await.unwrap();
        let found: Vec<u32> = found.iter().map(|entry| entry.key).collect();
        let all = model.range(low..low + len).map(|(key, _)| *key);
        assert_eq!(found, all.rev().take(limit).collect::<Vec<_>>());
        return;
    };
    let found = range.entries().await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.key).collect::<Vec<_>>(), expected);
}

async fn write_tree(
    tree: &Tree<u32, String>,
    model: &mut BTreeMap<u32, String>,
    random: &mut Random,
) {
    let mut changes: Vec<(u32, Option<String>)> = Vec::new();
    for _ in 0..TOGETHER {
        let key = random.below(2_000);
        let text = "x".repeat(usize::try_from(random.below(60)).unwrap());
        let value = (random.below(3) > 0).then(|| format!("{key}{text}"));
        match &value {
            Some(value) => drop(model.insert(key, value.clone())),
            None => drop(model.remove(&key)),
        }
        changes.push((key, value));
    }
    tree.batch(changes.iter().map(|(key, value)| (key, value.as_ref()))).await.unwrap();
    let key = random.below(2_000);
    let inserted = tree.insert(&key, &"new".to_owned()).await;
    if let Entry::Vacant(vacant) = model.entry(key) {
        inserted.unwrap();
        vacant.insert("new".to_owned());
    } else {
        assert_eq!(inserted.unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
}

async fn tree_case(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let mut node = open(folder.path()).await;
    let mut model = BTreeMap::new();
    let mut done = 0;
    while done < OPERATIONS {
        let tree = tree_of(&node).await;
        write_tree(&tree, &mut model, &mut random).await;
        for _ in 0..TOGETHER {
            read_tree(&tree, &model, &mut random).await;
        }
        done += 2 * TOGETHER + 1;
        if random.below(20) == 0 {
            check_tree(&tree, &model).await;
            drop(tree);
            node = reopened(node, folder.path(), &mut random).await;
            check_tree(&tree_of(&node).await, &model).await;
        }
    }
    check_tree(&tree_of(&node).await, &model).await;
    assert!(node.verify(|_| {}).await.unwrap().is_clean());
}

#[tokio::test]
async fn a58_a_tree_agrees_with_a_map_over_ten_thousand_operations_and_reopenings() {
    for seed in [1, 2] {
        tree_case(seed).await;
    }
}

async fn diary_of(node: &Weald) -> Diary<String> {
    node.diary("model").open_or_create().await.unwrap()
}

async fn read_diary(diary: &Diary<String>, model: &[String], random: &mut Random) {
    let len = u32::try_from(model.len()).unwrap();
    assert_eq!(diary.len().await.unwrap(), u64::from(len));
    let from = random.below(len + 1);
    let limit = usize::try_from(random.below(40)).unwrap();
    let start = usize::try_from(from).unwrap();
    let found = diary.read(Sequence(u64::from(from)), limit).await.unwrap();
    let found: Vec<&String> = found.iter().map(|stored| &stored.entry).collect();
    assert_eq!(found, model[start..].iter().take(limit).collect::<Vec<_>>());
    let back = diary.read_back(None, limit).await.unwrap();
    let back: Vec<&String> = back.iter().map(|stored| &stored.entry).collect();
    assert_eq!(back, model.iter().rev().take(limit).collect::<Vec<_>>());
}

async fn diary_case(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let mut node = open(folder.path()).await;
    let mut model: Vec<String> = Vec::new();
    let mut done = 0;
    while done < OPERATIONS {
        let diary = diary_of(&node).await;
        let entries: Vec<String> =
            (0..=random.below(TOGETHER)).map(|n| format!("{done} {n}")).collect();
        let expected = match model.len().checked_sub(1) {
            Some(last) => ExpectedVersion::Exact(Sequence(u64::try_from(last).unwrap())),
            None => ExpectedVersion::Empty,
        };
        diary.append_expecting(expected, &entries).await.unwrap();
        model.extend(entries);
        done += TOGETHER;
        for _ in 0..TOGETHER {
            read_diary(&diary, &model, &mut random).await;
            done += 2;
        }
        if random.below(20) == 0 {
            drop(diary);
            node = reopened(node, folder.path(), &mut random).await;
            read_diary(&diary_of(&node).await, &model, &mut random).await;
        }
    }
    let all = diary_of(&node).await.read(Sequence(0), usize::MAX).await.unwrap();
    assert_eq!(all.into_iter().map(|stored| stored.entry).collect::<Vec<_>>(), model);
    assert!(node.verify(|_| {}).await.unwrap().is_clean());
}

#[tokio::test]
async fn a57_a_diary_agrees_with_a_vector_over_ten_thousand_operations_and_reopenings() {
    for seed in [1, 2] {
        diary_case(seed).await;
    }
}
