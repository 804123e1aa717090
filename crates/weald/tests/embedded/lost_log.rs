//! A log that is gone is never taken for a new one.

use std::fs;

use weald::{ErrorKind, Weald};

use crate::open;

#[tokio::test]
async fn c11_a_log_lost_before_the_first_checkpoint_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let tree = node.raw_tree("stock").open_or_create().await.unwrap();
    tree.put("apple", "3").await.unwrap();
    drop((tree, node));
    fs::remove_dir_all(folder.path().join("log")).unwrap();
    let node: Weald = open(folder.path()).await;
    let refused = node.raw_tree("stock").create().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(refused.to_string().contains("log"), "{refused}");
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    drop(node);
    // As if the process had died after the header and before the log.
    fs::write(folder.path().join("FORMATTING"), "").unwrap();
    fs::remove_dir_all(folder.path().join("log")).unwrap();
    let node = open(folder.path()).await;
    let tree = node.raw_tree("stock").open_or_create().await.unwrap();
    tree.put("apple", "3").await.unwrap();
}
