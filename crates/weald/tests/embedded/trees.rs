//! Trees.

use weald::{
    ErrorKind, IndexDefinition, Revision, Tree, TreeOptions, WatchEvent, Weald, index_key,
};

use crate::open;

async fn stock(node: &Weald) -> Tree<String, u32> {
    node.tree("shop/stock").open_or_create().await.unwrap()
}

async fn keys(tree: &Tree<String, u32>) -> Vec<String> {
    tree.range(..).entries().await.unwrap().into_iter().map(|entry| entry.key).collect()
}

#[tokio::test]
async fn a58_d67_entries_are_put_read_changed_and_deleted_and_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let tree = stock(&node).await;
    assert_eq!(tree.get("apple").await.unwrap(), None);
    assert_eq!((tree.first().await.unwrap(), tree.count().await.unwrap()), (None, 0));
    let first = tree.put("apple", &3).await.unwrap();
    assert_eq!(first.replaced, None);
    let second = tree.put("apple", &4).await.unwrap();
    assert_eq!(second.replaced, Some(first.revision), "a blind put tells what it overwrote");
    tree.insert("pear", &5).await.unwrap();
    assert_eq!(tree.insert("pear", &6).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(tree.update("plum", &6).await.unwrap_err().kind(), ErrorKind::Conflict);
    let fig = String::from("fig");
    tree.batch([("plum", Some(&8)), ("apple", None), (fig.as_str(), Some(&1))]).await.unwrap();
    assert_eq!(keys(&tree).await, ["fig", "pear", "plum"]);
    drop((tree, node));

    let node = open(folder.path()).await;
    let tree = stock(&node).await;
    assert_eq!(keys(&tree).await, ["fig", "pear", "plum"]);
    let last = tree.last().await.unwrap().unwrap();
    assert_eq!((last.key.as_str(), last.value), ("plum", 8));
    let from_g = tree.range("g".to_owned()..).reverse().limit(1).entries().await.unwrap();
    assert_eq!(from_g[0].key, "plum");
    assert_eq!(tree.delete("fig").await.unwrap().replaced.map(|r| r.0 > 0), Some(true));
    assert_eq!(tree.count().await.unwrap(), 2);
}

#[tokio::test]
async fn a58_two_handles_converge_and_ranges_cross_leaves_both_ways() {
    let node = Weald::in_memory().await.unwrap();
    let first: Tree<u32, String> = node.tree("numbers").create().await.unwrap();
    let second: Tree<u32, String> = node.tree("numbers").open().await.unwrap();
    for number in 0..300 {
        let tree = if number % 2 == 0 { &first } else { &second };
        tree.put(&number, &format!("number {number}")).await.unwrap();
    }
    let mut pages = second.range(10..290).pages().await.unwrap();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        found.extend(page.into_iter().map(|entry| entry.key));
    }
    assert_eq!(found, (10..290).collect::<Vec<_>>());
    let back = first.range(..=150).reverse().limit(100).entries().await.unwrap();
    let back: Vec<u32> = back.into_iter().map(|entry| entry.key).collect();
    assert_eq!(back, (51..=150).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a61_a_snapshot_is_unchanged_by_later_writes_and_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let tree = stock(&node).await;
    let empty = tree.snapshot().await.unwrap();
    tree.put("apple", &1).await.unwrap();
    let one = tree.snapshot().await.unwrap();
    for number in 0..200 {
        tree.put(&format!("k{number}"), &number).await.unwrap();
    }
    node.checkpoint().await.unwrap();
    tree.delete("apple").await.unwrap();
    node.checkpoint().await.unwrap();
    assert_eq!(empty.count().await.unwrap(), 0);
    assert_eq!(one.count().await.unwrap(), 1);
    assert_eq!(one.get("apple").await.unwrap(), Some(1));
    assert_eq!(one.range(..).entries().await.unwrap().len(), 1);
    assert_eq!(tree.get("apple").await.unwrap(), None);
    assert_eq!(tree.count().await.unwrap(), 200);
}

#[tokio::test]
async fn d53_a_tree_can_be_read_as_it_was_at_a_revision_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let tree = stock(&node).await;
    let mut revisions = Vec::new();
    for number in 0..30 {
        revisions.push(tree.put("apple", &number).await.unwrap().revision);
    }
    let deleted = tree.delete("apple").await.unwrap().revision;
    node.close().await.unwrap();
    let node = open(folder.path()).await;
    let tree = stock(&node).await;
    for (number, revision) in revisions.iter().enumerate() {
        let at = tree.at(*revision).await.unwrap();
        assert_eq!(at.get("apple").await.unwrap(), u32::try_from(number).ok());
        assert_eq!(at.revision().await.unwrap(), *revision);
    }
    assert_eq!(tree.at(deleted).await.unwrap().get("apple").await.unwrap(), None);
    let ahead = tree.at(Revision(deleted.0 + 1)).await.unwrap_err();
    assert_eq!(ahead.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn d52_a_watch_tells_history_then_caught_up_then_live_changes() {
    let node = Weald::in_memory().await.unwrap();
    let tree = stock(&node).await;
    let created = tree.revision().await.unwrap();
    let first = tree.put("apple", &1).await.unwrap();
    tree.put("apple", &2).await.unwrap();
    let mut watch = tree.watch(created.next());
    let mut told = Vec::new();
    for round in 0..4 {
        match watch.next().await.unwrap().unwrap() {
            WatchEvent::Change(change) => {
                if round == 0 {
                    assert_eq!(change.transaction, first.transaction);
                    assert_eq!(change.revision, first.revision);
                }
                told.push(change.changes);
            }
            WatchEvent::CaughtUp => told.push(vec![]),
            WatchEvent::Gap { .. } => panic!("nothing was dropped"),
        }
        if round == 2 {
            tree.delete("apple").await.unwrap();
        }
    }
    let change = |value| vec![("apple".to_owned(), value)];
    assert_eq!(told, [change(Some(1)), change(Some(2)), vec![], change(None)]);
}

#[tokio::test]
async fn d51_an_index_follows_its_entries_in_the_same_transaction() {
    let node = Weald::in_memory().await.unwrap();
    let index = IndexDefinition { name: "city".to_owned(), is_unique: false };
    let options = TreeOptions { indexes: vec![index], ..TreeOptions::default() };
    let people: Tree<String, u32> = node.tree("people").options(options).create().await.unwrap();
    let city = |name: &str| [index_key("city", name)];
    people.put_indexed("ada", &1815, city("London")).await.unwrap();
    people.put_indexed("kurt", &1906, city("Brno")).await.unwrap();
    let found = people.by_index("city", "London", 10).await.unwrap();
    assert_eq!(found[0].key, "ada");
    people.put_indexed("ada", &1815, city("Brno")).await.unwrap();
    assert!(people.by_index("city", "London", 10).await.unwrap().is_empty());
    let found = people.by_index("city", "Brno", 10).await.unwrap();
    assert_eq!(found.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(), ["ada", "kurt"]);
    let unknown = people.by_index("street", "x", 1).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a60_a_tree_that_was_not_committed_is_absent_elsewhere() {
    let node = Weald::in_memory().await.unwrap();
    // A write that is prepared and never awaited stages nothing.
    let tree = stock(&node).await;
    drop(tree.put("apple", &1));
    assert_eq!(tree.count().await.unwrap(), 0);
    let absent = node.tree::<String, u32>("other").open().await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_tree_is_not_opened_as_a_diary_and_values_are_never_guessed() {
    let node = Weald::in_memory().await.unwrap();
    let tree = stock(&node).await;
    tree.put("apple", &1).await.unwrap();
    let wrong = node.raw_diary("shop/stock").open().await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Invalid);
    let other: Tree<String, (String, String)> = node.tree("shop/stock").open().await.unwrap();
    assert_eq!(other.get("apple").await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn verify_finds_nothing_wrong_with_a_healthy_node() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let tree = stock(&node).await;
    for number in 0..500 {
        tree.put(&format!("k{number}"), &number).await.unwrap();
    }
    node.raw_diary("events").create().await.unwrap().append("one").await.unwrap();
    node.checkpoint().await.unwrap();
    let mut last = 0;
    let report = node.verify(|progress| last = progress.done).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.damages);
    assert_eq!(report.collections, 2);
    assert!(report.blocks > 0 && last > 0);
}
