//! Coordinators that are lost, and sides that have no majority.

use std::time::Duration;

use weald_core::{Revision, Sequence};

use super::Rig;
use crate::{Consistency, ErrorKind, TailEvent, WatchEvent};

#[tokio::test(flavor = "multi_thread")]
async fn g1_writes_go_on_after_the_coordinator_is_lost_and_none_is_lost_or_doubled() {
    let mut rig = Rig::start(3, 1).await;
    rig.node(0).raw_diary("events").create().await.unwrap();
    let lost = rig.coordinator(0).await;
    let writer = rig.node((lost + 1) % 3).clone();
    let (told, mut is_told) = tokio::sync::mpsc::unbounded_channel();
    let writing = tokio::spawn(async move {
        let diary = writer.raw_diary("events").open().await.unwrap();
        for number in 0..200_u32 {
            let id = format!("event-{number}");
            loop {
                match diary.append(number.to_string()).transaction_id(&id).await {
                    Ok(appended) => break assert_eq!(appended.first, Sequence(u64::from(number))),
                    Err(error) => {
                        let is_passing = error.kind() == ErrorKind::Unknown || error.is_retryable();
                        assert!(is_passing, "{error}");
                    }
                }
            }
            told.send(number).unwrap();
        }
    });
    while is_told.recv().await.unwrap() < 50 {}
    rig.kill(lost);
    writing.await.unwrap();
    let diary = rig.node((lost + 2) % 3).raw_diary("events").open().await.unwrap();
    let entries = diary.read(Sequence(0), 1000).await.unwrap();
    let entries: Vec<_> = entries.into_iter().map(|entry| entry.entry).collect();
    let expected: Vec<_> = (0..200).map(|number: u32| number.to_string()).collect();
    assert_eq!(entries, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn w202_a_watch_and_a_tail_go_on_over_a_takeover_without_a_gap() {
    let mut rig = Rig::start(3, 1).await;
    let tree = rig.node(0).raw_tree("g/stock").create().await.unwrap();
    let diary = rig.node(0).raw_diary("g/events").create().await.unwrap();
    tree.put("n", "0").await.unwrap();
    diary.append("0").await.unwrap();
    let light = rig.light().await;
    let lost = rig.coordinator(0).await;
    let (near, writer) = (rig.node((lost + 1) % 3).clone(), rig.node((lost + 2) % 3).clone());
    let mut watches = Vec::new();
    for node in [&light, &near] {
        let tree = node.raw_tree("g/stock").open().await.unwrap();
        let diary = node.raw_diary("g/events").open().await.unwrap();
        watches.push((tree.watch(Revision(2)), diary.tail(Sequence(0))));
    }
    for (watch, tail) in &mut watches {
        assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Change(_)))));
        assert!(matches!(watch.next().await, Some(Ok(WatchEvent::CaughtUp))));
        assert!(matches!(tail.next().await, Some(Ok(TailEvent::Entry(_)))));
        assert!(matches!(tail.next().await, Some(Ok(TailEvent::CaughtUp))));
    }
    let writing = tokio::spawn(async move {
        let tree = writer.raw_tree("g/stock").open().await.unwrap();
        let diary = writer.raw_diary("g/events").open().await.unwrap();
        for number in 1..40_u32 {
            tree.put("n", number.to_string()).transaction_id(format!("t{number}")).await.unwrap();
            diary.append(number.to_string()).transaction_id(format!("d{number}")).await.unwrap();
        }
    });
    rig.kill(lost);
    for (watch, tail) in &mut watches {
        for number in 1..40_u32 {
            let Some(Ok(WatchEvent::Change(change))) = watch.next().await else { panic!("a gap") };
            assert_eq!(change.revision, Revision(u64::from(number) + 2));
            let Some(Ok(TailEvent::Entry(entry))) = tail.next().await else { panic!("a gap") };
            assert_eq!(entry.entry, number.to_string());
        }
    }
    writing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn g7_a_minority_refuses_in_time_and_its_writes_never_show_after_it_heals() {
    let rig = Rig::with(3, 1, |config| {
        config.write_timeout = Duration::from_millis(1500);
        config.read_timeout = Duration::from_millis(1500);
    })
    .await;
    let tree = rig.node(0).raw_tree("stock").create().await.unwrap();
    tree.put("apple", "1").await.unwrap();
    let alone = rig.coordinator(0).await;
    let lonely = rig.node(alone).raw_tree("stock").open().await.unwrap();
    rig.cut(alone);
    let refused = lonely.put("apple", "lost?").transaction_id("lonely").await.unwrap_err();
    let is_typed = [ErrorKind::Unknown, ErrorKind::Unavailable].contains(&refused.kind());
    assert!(is_typed, "{refused}");
    let refused = lonely.get("apple").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(refused.is_retryable());
    let local = lonely.consistency(Consistency::Local).get("apple").await.unwrap();
    assert_eq!(local.unwrap(), "1");

    let others = rig.node((alone + 1) % 3).raw_tree("stock").open().await.unwrap();
    others.put("apple", "2").await.unwrap();
    let settled = rig.node((alone + 1) % 3).resolve_own("stock", "lonely").await.unwrap();
    rig.heal(alone);
    let healed = rig.until(|| async { lonely.get("apple").await.ok().flatten() }).await;
    assert_eq!(healed, "2", "the write that nobody answered has become {settled:?}");
}
