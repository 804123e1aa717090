//! Writes: ids, acknowledgements, outcomes, closing.

use std::time::Duration;

use weald::{ErrorKind, Rejection, Sequence, TransactionStatus, Weald};

use crate::open;

#[tokio::test]
async fn a56_a_retry_under_the_same_id_leaves_one_entry() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let diary = node.raw_diary("orders").create().await.unwrap();
    let first = diary.append("ten apples").transaction_id("order-1").await.unwrap();
    let again = diary.append("ten apples").transaction_id("order-1").await.unwrap();
    assert_eq!(first, again);
    drop((diary, node));

    let node = open(folder.path()).await;
    let diary = node.raw_diary("orders").open().await.unwrap();
    let again = diary.append("ten apples").transaction_id("order-1").await.unwrap();
    assert_eq!(first, again, "the result outlives a restart");
    assert_eq!(diary.len().await.unwrap(), 1);
    let other = diary.append("nine apples").transaction_id("order-1").await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Identity);
    assert_eq!(other.rejection(), Some(&Rejection::IdReused));
}

#[tokio::test]
async fn an_id_that_was_fenced_never_commits() {
    let node = Weald::in_memory().await.unwrap();
    let diary = node.raw_diary("orders").create().await.unwrap();
    let fenced = node.resolve_own("orders", "order-1").await.unwrap();
    assert_eq!(fenced, TransactionStatus::Rejected(Rejection::Fenced));
    let late = diary.append("ten apples").transaction_id("order-1").await.unwrap_err();
    assert_eq!(late.rejection(), Some(&Rejection::Fenced));
    assert!(diary.is_empty().await.unwrap());
    diary.append("two pears").transaction_id("order-2").await.unwrap();
    let settled = node.resolve_own("orders", "order-2").await.unwrap();
    assert!(matches!(settled, TransactionStatus::Committed(_)));
}

#[tokio::test]
async fn an_accepted_write_becomes_visible_and_its_outcome_can_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let diary = node.raw_diary("events").create().await.unwrap();
    let accepted = diary.append("one").accepted().await.unwrap();
    let status = node.resolve(accepted.transaction).await.unwrap();
    assert!(matches!(status, TransactionStatus::Committed(_)), "{status:?}");
    assert_eq!(diary.read(Sequence(0), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a50_every_concurrent_write_is_answered_once_and_kept_over_a_drop() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let diary = node.diary::<u32>("numbers").create().await.unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let diary = diary.clone();
            tokio::spawn(async move { diary.append(&number).await.unwrap().first })
        })
        .collect();
    let mut sequences = Vec::new();
    for task in tasks {
        sequences.push(task.await.unwrap().0);
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (0..64).collect::<Vec<_>>(), "gapless");
    drop((diary, node));
    let node = open(folder.path()).await;
    assert_eq!(node.diary::<u32>("numbers").open().await.unwrap().len().await.unwrap(), 64);
}

#[tokio::test]
async fn a_closed_node_refuses_and_frees_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let diary = node.raw_diary("events").create().await.unwrap();
    diary.append("one").await.unwrap();
    let locked = Weald::open(folder.path()).await.unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Unavailable);
    node.close().await.unwrap();
    let refused = diary.append("two").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(diary.len().await.is_err());
    let node = open(folder.path()).await;
    let status = node.status();
    assert_eq!(status.applied, status.checkpointed, "closing wrote a checkpoint");
    assert_eq!(node.raw_diary("events").open().await.unwrap().len().await.unwrap(), 1);
}

#[tokio::test]
async fn a_write_past_its_deadline_is_unknown_and_can_be_resolved() {
    let node = Weald::in_memory().await.unwrap();
    let diary = node.raw_diary("events").create().await.unwrap();
    let late = diary.append("one").timeout(Duration::ZERO).await;
    // With no time at all the answer may still come first; what it says must be true either way.
    match late {
        Ok(appended) => assert_eq!(appended.first, Sequence(0)),
        Err(error) if error.kind() == ErrorKind::Unknown => {
            let id = error.transaction().unwrap();
            let status = node.resolve(id).await.unwrap();
            let committed = matches!(status, TransactionStatus::Committed(_));
            assert_eq!(diary.len().await.unwrap(), u64::from(committed));
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
            assert!(diary.is_empty().await.unwrap());
        }
    }
}

#[tokio::test]
async fn bad_input_is_refused_without_being_logged() {
    let node = Weald::in_memory().await.unwrap();
    let bad = node.raw_diary("a//b").create().await.unwrap_err();
    assert_eq!(bad.kind(), ErrorKind::Invalid);
    let diary = node.raw_diary("events").create().await.unwrap();
    let long = "x".repeat(200);
    let refused = diary.append("one").transaction_id(long).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let empty = diary.append_many(Vec::<&str>::new()).await.unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a54_a_reopened_handle_goes_on_at_the_next_revision() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..4_u8 {
        let node = open(folder.path()).await;
        let tree = node.raw_tree("stock").open_or_create().await.unwrap();
        for _ in 0..3 {
            let revision = tree.put([round], "x").await.unwrap().revision.0;
            assert!(last == 0 || revision == last + 1, "{revision} follows {last}");
            last = revision;
        }
        if round % 2 == 0 {
            node.close().await.unwrap();
            assert_eq!(tree.revision().await.unwrap_err().kind(), ErrorKind::Unavailable);
        }
    }
}
