//! Writes and reads through nodes that do not coordinate.

use std::time::Duration;

use weald_core::{Rejection, Sequence};

use super::Rig;
use crate::{Consistency, ErrorKind, TransactionStatus};

#[tokio::test(flavor = "multi_thread")]
async fn w6_w20_w202_a_write_through_any_node_is_seen_through_any_other() {
    let rig = Rig::start(3, 4).await;
    rig.node(0).raw_tree("stock").create().await.unwrap();
    for writer in 0..3 {
        let tree = rig.node(writer).raw_tree("stock").open().await.unwrap();
        tree.put("apple", writer.to_string()).await.unwrap();
        for reader in 0..3 {
            let tree = rig.node(reader).raw_tree("stock").open().await.unwrap();
            assert_eq!(tree.get("apple").await.unwrap().unwrap(), writer.to_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_a_node_that_does_not_know_where_partitions_are_never_says_that_something_is_absent() {
    let rig = Rig::start(3, 4).await;
    let unaware = rig.unaware(0);
    for number in 0..2 {
        let name = format!("stock-{number}");
        rig.node(1).raw_tree(&name).create().await.unwrap();
        let read = unaware.raw_tree(&name).open().await.unwrap_err();
        assert_eq!(read.kind(), ErrorKind::Unavailable, "{name}: {read}");
        let written = unaware.raw_tree(&name).open_or_create().await.unwrap_err();
        assert_eq!(written.kind(), ErrorKind::Unavailable, "{name}: {written}");
    }
    assert_eq!(unaware.collection_count().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_retry_through_another_node_under_the_same_own_id_is_applied_once() {
    let rig = Rig::start(3, 1).await;
    rig.node(0).raw_diary("orders").create().await.unwrap();
    let mut answers = Vec::new();
    for node in 0..3 {
        let diary = rig.node(node).raw_diary("orders").open().await.unwrap();
        answers.push(diary.append("ten apples").transaction_id("order-1").await.unwrap());
    }
    assert_eq!((answers[0], answers[0]), (answers[1], answers[2]));
    let diary = rig.node(1).raw_diary("orders").open().await.unwrap();
    assert_eq!(diary.len().await.unwrap(), 1);
    let other = diary.append("nine apples").transaction_id("order-1").await.unwrap_err();
    assert_eq!(other.rejection(), Some(&Rejection::IdReused));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_was_fenced_through_one_node_never_commits_through_another() {
    let rig = Rig::start(3, 1).await;
    let diary = rig.node(0).raw_diary("orders").create().await.unwrap();
    let fenced = rig.node(1).resolve_own("orders", "order-1").await.unwrap();
    assert_eq!(fenced, TransactionStatus::Rejected(Rejection::Fenced));
    let late = diary.append("ten apples").transaction_id("order-1").await.unwrap_err();
    assert_eq!(late.rejection(), Some(&Rejection::Fenced));
    let written = diary.append("two pears").transaction_id("order-2").await.unwrap().written;
    for node in 0..3 {
        let found = rig.node(node).transaction_outcome(written.transaction).await.unwrap();
        assert!(matches!(found, TransactionStatus::Committed(_)), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_a_read_that_names_a_position_sees_it_wherever_it_asks() {
    let rig = Rig::start(3, 2).await;
    rig.node(0).raw_tree("stock").create().await.unwrap();
    for round in 0..20 {
        let (writer, reader) = (round % 3, (round + 1) % 3);
        let tree = rig.node(writer).raw_tree("stock").open().await.unwrap();
        let written = tree.put("apple", round.to_string()).await.unwrap();
        let tree = rig.node(reader).raw_tree("stock").open().await.unwrap();
        let tree = tree.consistency(Consistency::Local).at_least(written.position);
        let snapshot = tree.snapshot().await.unwrap();
        assert!(snapshot.position() >= written.position);
        assert_eq!(snapshot.get("apple").await.unwrap().unwrap(), round.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_never_comes_is_behind_and_one_of_another_partition_is_invalid() {
    let rig = Rig::with(3, 2, |config| config.read_timeout = Duration::from_millis(300)).await;
    let tree = rig.node(0).raw_tree("stock").create().await.unwrap();
    let mut position = tree.put("apple", "1").await.unwrap().position;
    position.index.0 += 1_000_000;
    for node in 0..3 {
        let tree = rig.node(node).raw_tree("stock").open().await.unwrap();
        let behind = tree.at_least(position).get("apple").await.unwrap_err();
        assert_eq!(behind.kind(), ErrorKind::Behind, "{behind}");
    }
    position.partition.0 ^= 1;
    let invalid = tree.at_least(position).get("apple").await.unwrap_err();
    assert_eq!(invalid.kind(), ErrorKind::Invalid, "{invalid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_run_again_while_others_on_other_nodes_are_faster() {
    let rig = Rig::start(3, 1).await;
    rig.node(0).raw_tree("counters").create().await.unwrap();
    let tasks: Vec<_> = (0..9)
        .map(|task| {
            let node = rig.node(task % 3).clone();
            tokio::spawn(async move {
                let done = node.transact(|tx| {
                    let mut tree = tx.raw_tree("counters")?;
                    let before = tree.get("visits")?.map_or(0, |count| count[0]);
                    tree.put("visits", [before + 1])
                });
                done.await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let tree = rig.node(2).raw_tree("counters").open().await.unwrap();
    assert_eq!(tree.get("visits").await.unwrap().unwrap(), [9][..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_of_all_partitions_are_listed_everywhere() {
    let rig = Rig::start(3, 8).await;
    for number in 0..20 {
        let name = format!("tree-{number:02}");
        rig.node(number % 3).raw_tree(&name).create().await.unwrap();
    }
    let light = rig.light().await;
    for node in [rig.node(0), rig.node(1), rig.node(2), &light] {
        let names: Vec<_> = node.collections().await.unwrap();
        let names: Vec<_> = names.iter().map(|info| info.name.to_string()).collect();
        let expected: Vec<_> = (0..20).map(|number| format!("tree-{number:02}")).collect();
        assert_eq!(names, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_accepted_early_are_committed_and_can_be_asked_for() {
    let rig = Rig::start(3, 1).await;
    rig.node(0).raw_diary("events").create().await.unwrap();
    for node in 0..3 {
        let diary = rig.node(node).raw_diary("events").open().await.unwrap();
        let accepted = diary.append(node.to_string()).accepted().await.unwrap();
        let status = rig.node(node).resolve(accepted.transaction).await.unwrap();
        assert!(matches!(status, TransactionStatus::Committed(_)), "{status:?}");
    }
    let diary = rig.node(1).raw_diary("events").open().await.unwrap();
    assert_eq!(diary.read(Sequence(0), 10).await.unwrap().len(), 3);
}
