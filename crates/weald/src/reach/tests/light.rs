//! Nodes that store nothing.

use std::time::Duration;

use weald_core::Sequence;

use super::Rig;
use crate::{Consistency, Effect, ErrorKind, MetricValue, Weald};

#[tokio::test(flavor = "multi_thread")]
async fn d67_a_node_without_members_does_all_that_others_do() {
    let rig = Rig::start(3, 4).await;
    let light = rig.light().await;
    let tree = light.raw_tree("stock").create().await.unwrap();
    for number in 0..500_u32 {
        tree.put(format!("key-{number:04}"), vec![7; 200]).await.unwrap();
    }
    assert_eq!(tree.count().await.unwrap(), 500);
    let page = tree.range("key-0100".."key-0200").entries().await.unwrap();
    assert_eq!(page.len(), 100);
    assert_eq!(tree.get("key-0499").await.unwrap().unwrap().len(), 200);
    assert_eq!(tree.get("no key").await.unwrap(), None);
    assert_eq!(tree.at(weald_core::Revision(11)).await.unwrap().count().await.unwrap(), 10);
    let diary = light.raw_diary("events").create().await.unwrap();
    diary.append_many(["one", "two", "three"]).await.unwrap();
    assert_eq!(diary.read(Sequence(1), 10).await.unwrap().len(), 2);
    let near = rig.node(1).raw_diary("events").open().await.unwrap();
    assert_eq!(near.len().await.unwrap(), 3);
    let stale = tree.consistency(Consistency::Local);
    assert_eq!(stale.get("key-0000").await.unwrap().unwrap().len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_light_node_runs_transactions_and_is_told_what_is_wrong() {
    let rig = Rig::start(3, 1).await;
    let light = rig.light().await;
    let missing = light.raw_tree("nothing").open().await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    light.raw_tree("visits").create().await.unwrap();
    for expected in 1..=5_u8 {
        let done = light.transact(|tx| {
            let mut visits = tx.raw_tree("visits")?;
            let before = visits.get("today")?.map_or(0, |count| count[0]);
            visits.put("today", [before + 1])?;
            Ok(before + 1)
        });
        assert_eq!(done.await.unwrap().value, expected);
    }
    let again = light.raw_tree("visits").create().await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn w20_who_may_not_join_reads_and_writes_nothing_and_is_told_why() {
    let rig = Rig::start(3, 1).await;
    rig.node(0).raw_tree("stock").create().await.unwrap();
    let (stranger, reach) = rig.stranger();
    let told = async {
        while !reach.readiness().is_err_and(|why| why.contains("may join")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
    // Also with a map of its own, as of somebody who knows one.
    reach.adopt(rig.map());
    let stock = stranger.raw_tree("stock").open().await.unwrap_err();
    assert_eq!(stock.kind(), ErrorKind::Unavailable);
    let made = stranger.raw_diary("events").create().await.unwrap_err();
    assert_eq!(made.effect(), Effect::None, "{made}");
    let absent = rig.node(0).raw_diary("events").open().await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
}

/// Requests that `node` has sent to others.
fn sent(node: &Weald) -> u64 {
    let metrics = node.metrics();
    let sent = metrics.iter().find(|metric| metric.name == "weald_requests_sent_total").unwrap();
    let MetricValue::Counter(count) = sent.value else { panic!("{sent:?}") };
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_like_was_done_before_costs_one_request() {
    let rig = Rig::start(3, 1).await;
    let light = rig.light().await;
    let tree = light.raw_tree("stock").create().await.unwrap();
    for number in 0..100_u32 {
        tree.put(format!("key-{number:03}"), vec![7; 200]).await.unwrap();
    }
    tree.get("key-050").await.unwrap().unwrap();
    let before = sent(&light);
    tree.get("key-050").await.unwrap().unwrap();
    assert_eq!(sent(&light) - before, 1, "nothing has changed");
    let other = rig.node(1).raw_tree("stock").open().await.unwrap();
    other.put("key-050", "new").await.unwrap();
    let before = sent(&light);
    assert_eq!(tree.get("key-050").await.unwrap().unwrap(), "new");
    assert_eq!(sent(&light) - before, 1, "what has changed comes along");
}
