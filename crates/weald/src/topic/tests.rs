//! Topics of an embedded node.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use weald_core::{Clock, Time};
use weald_pubsub::{TopicPolicy, TopicPosition, TopicRefusal, TopicVersion};

use super::housekeeping::housekeep;
use crate::{
    ErrorKind, PublishOptions, StartAt, SubscribeOptions, Subscription, TopicEvent, Weald,
};

mod bodies;
mod groups;

/// A clock that is set by hand.
#[derive(Default)]
struct HandClock(AtomicU64);

impl HandClock {
    fn at(seconds: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seconds * 1000)))
    }

    fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    fn go_back(&self, seconds: u64) {
        self.0.fetch_sub(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Time {
        Time::from_millis(self.0.load(Ordering::SeqCst))
    }
}

async fn node() -> Weald {
    Weald::in_memory().await.unwrap()
}

async fn next(subscription: &mut Subscription) -> TopicEvent {
    let event = tokio::time::timeout(Duration::from_secs(20), subscription.next()).await;
    event.expect("it comes").expect("it goes on").unwrap()
}

/// The next messages, as text with their positions.
async fn messages(subscription: &mut Subscription, count: usize) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        if let Some(message) = next(subscription).await.into_message() {
            seen.push((message.position.0, String::from_utf8(message.body.to_vec()).unwrap()));
        }
    }
    seen
}

fn numbered(range: std::ops::Range<u64>) -> Vec<(u64, String)> {
    range.map(|number| (number, format!("m{number}"))).collect()
}

#[tokio::test]
async fn ps1495_ps134_ps83_ps491_ps548_ps1378_ps1379_ps1380_ps1583_a_late_joiner_gets_history_then_caught_up_then_what_comes()
 {
    let node = node().await;
    let chat = node.topic("chat").create().await.unwrap();
    let bodies = (1..=1000).map(|number| format!("m{number}"));
    let published = chat.publish_batch(bodies, PublishOptions::default()).await.unwrap();
    assert!(published.iter().all(Result::is_ok));
    let mut late = chat.subscribe(SubscribeOptions::default()).await.unwrap();
    assert_eq!(messages(&mut late, 1000).await, numbered(1..1001));
    assert_eq!(next(&mut late).await, TopicEvent::CaughtUp { next: TopicPosition(1001) });
    chat.publish("m1001").await.unwrap();
    assert_eq!(messages(&mut late, 1).await, numbered(1001..1002));
    assert_eq!(late.last_seen_version(), TopicPosition(1001));
    let versions = chat.head().await.unwrap().messages.version.0;
    assert!(versions <= 100, "{versions} changes of the head for 1001 messages");
}

#[tokio::test]
async fn p3_ps1505_ps135_many_topics_at_once_lose_nothing() {
    let node = node().await;
    let reading = |number: usize| {
        let node = node.clone();
        tokio::spawn(async move {
            let topic = node.topic(&format!("topic-{number}")).create().await.unwrap();
            let mut reader = topic.subscribe(SubscribeOptions::default()).await.unwrap();
            for number in 1..=10 {
                topic.publish(format!("m{number}")).await.unwrap();
            }
            messages(&mut reader, 10).await
        })
    };
    let readers: Vec<_> = (0..100).map(reading).collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), numbered(1..11));
    }
}

#[tokio::test]
async fn p1_ps1503_what_is_published_comes_to_each_of_many_subscribers_once() {
    let node = node().await;
    let policy = TopicPolicy { subscribers_max: 1000, ..TopicPolicy::default() };
    let chat = node.topic("chat").policy(policy).create().await.unwrap();
    let mut readers = Vec::new();
    for _ in 0..16 {
        readers.push(chat.subscribe(SubscribeOptions::default()).await.unwrap());
    }
    let bodies = (1..=600).map(|number| format!("m{number}"));
    chat.publish_batch(bodies, PublishOptions::default()).await.unwrap();
    for reader in &mut readers {
        assert_eq!(messages(reader, 600).await, numbered(1..601));
    }
}

#[tokio::test]
async fn a_slow_application_is_told_that_it_lags_and_misses_nothing() {
    let node = node().await;
    let chat = node.topic("chat").create().await.unwrap();
    let options = SubscribeOptions { credit: 8, ..SubscribeOptions::default() };
    let mut slow = chat.subscribe(options).await.unwrap();
    assert!(matches!(next(&mut slow).await, TopicEvent::CaughtUp { .. }));
    for number in 1..=100 {
        chat.publish(format!("m{number}")).await.unwrap();
    }
    let mut lagged = 0;
    let mut seen = Vec::new();
    while seen.len() < 100 {
        match next(&mut slow).await {
            TopicEvent::Message(message) => seen.push(message.position.0),
            TopicEvent::Lagged { .. } => lagged += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
    assert!(lagged > 0, "the window was full");
}

#[tokio::test]
async fn ps1562_ps1740_a_durable_subscription_goes_on_behind_what_was_acknowledged_over_a_restart()
{
    let folder = tempfile::tempdir().unwrap();
    let durable = SubscribeOptions { durable: Some("reader".into()), ..Default::default() };
    {
        let node = Weald::open(folder.path()).await.unwrap();
        let chat = node.topic("chat").create().await.unwrap();
        for number in 1..=10 {
            chat.publish(format!("m{number}")).await.unwrap();
        }
        let mut reader = chat.subscribe(durable.clone()).await.unwrap();
        assert_eq!(messages(&mut reader, 7).await.len(), 7);
        reader.acknowledge(TopicPosition(5)).await.unwrap();
        reader.acknowledge(TopicPosition(9)).await.unwrap();
        assert_eq!(reader.acknowledged(), TopicPosition(5), "9 was not told");
        drop(reader);
        node.close().await.unwrap();
    }
    let node = Weald::open(folder.path()).await.unwrap();
    let chat = node.topic("chat").open().await.unwrap();
    chat.publish("m11").await.unwrap();
    let mut reader = chat.subscribe(durable).await.unwrap();
    assert_eq!(messages(&mut reader, 6).await, numbered(6..12));
}

#[tokio::test]
async fn ps529_a_subscription_begins_where_it_is_told_to() {
    let node = node().await;
    let chat = node.topic("chat").create().await.unwrap();
    for number in 1..=5 {
        chat.publish(format!("m{number}")).await.unwrap();
    }
    let from = |from| SubscribeOptions { from, ..SubscribeOptions::default() };
    let mut after = chat.subscribe(from(StartAt::After(TopicPosition(3)))).await.unwrap();
    let mut now = chat.subscribe(from(StartAt::Now)).await.unwrap();
    chat.publish("m6").await.unwrap();
    assert_eq!(messages(&mut after, 3).await, numbered(4..7));
    assert_eq!(messages(&mut now, 1).await, numbered(6..7));
    let ahead = chat.subscribe(from(StartAt::After(TopicPosition(7)))).await.unwrap_err();
    assert_eq!(ahead.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn ps1569_what_has_expired_is_a_gap_and_never_delivered() {
    let clock = HandClock::at(1_000_000);
    let node = Weald::builder().clock(Arc::clone(&clock) as _).in_memory().await.unwrap();
    let chat = node.topic("chat").create().await.unwrap();
    let soon =
        || PublishOptions { expires_in: Some(Duration::from_secs(10)), ..Default::default() };
    chat.publish("m1").await.unwrap();
    chat.publish_with("gone", soon()).await.unwrap();
    chat.publish_with("gone", soon()).await.unwrap();
    clock.pass(11);
    chat.publish("m4").await.unwrap();
    let mut late = chat.subscribe(SubscribeOptions::default()).await.unwrap();
    assert!(matches!(next(&mut late).await, TopicEvent::Message(m) if m.body == "m1"));
    let gap = TopicEvent::Gap { first: TopicPosition(2), last: TopicPosition(3) };
    assert_eq!(next(&mut late).await, gap);
    assert!(matches!(next(&mut late).await, TopicEvent::Message(m) if m.body == "m4"));
}

#[tokio::test]
async fn ps1514_a_clock_that_is_ten_minutes_off_removes_nothing_early_and_loses_nothing() {
    let clock = HandClock::at(1_000_000);
    let node = Weald::builder().clock(Arc::clone(&clock) as _).in_memory().await.unwrap();
    let chat = node.topic("chat").create().await.unwrap();
    let lasting = |minutes: u64| {
        let expires_in = Some(Duration::from_secs(minutes * 60));
        PublishOptions { expires_in, ..Default::default() }
    };
    chat.publish_with("m1", lasting(25)).await.unwrap();
    chat.publish_with("m2", lasting(60)).await.unwrap();
    clock.pass(10 * 60);
    chat.publish_with("m3", lasting(60)).await.unwrap();
    assert_eq!(housekeep(&node).await.unwrap(), 0);
    clock.go_back(20 * 60);
    chat.publish_with("m4", lasting(60)).await.unwrap();
    assert_eq!(housekeep(&node).await.unwrap(), 0);
    let mut reader = chat.subscribe(SubscribeOptions::default()).await.unwrap();
    assert_eq!(messages(&mut reader, 4).await, numbered(1..5));
    clock.pass(10 * 60 + 25 * 60 + 1);
    assert_eq!(housekeep(&node).await.unwrap(), 1, "the first, by its own time");
}

#[tokio::test]
async fn ps33_ps1497_a_subscription_is_renewed_by_itself_and_ended_when_it_is_dropped() {
    let node = node().await;
    let chat = node.topic("chat").create().await.unwrap();
    let lease = Duration::from_millis(600);
    let options = SubscribeOptions { lease, ..SubscribeOptions::default() };
    let mut reader = chat.subscribe(options).await.unwrap();
    reader.renew().await.unwrap();
    let first = chat.subscribers(TopicVersion::ZERO).await.unwrap()[0];
    let mut renewed = first;
    while renewed.expires_at <= first.expires_at {
        let event = tokio::time::timeout(Duration::from_millis(20), reader.next()).await;
        assert!(event.is_err() || matches!(event, Ok(Some(Ok(TopicEvent::CaughtUp { .. })))));
        renewed = chat.subscribers(TopicVersion::ZERO).await.unwrap()[0];
    }
    assert!(renewed.nonce > first.nonce);
    drop(reader);
    loop {
        let leases = chat.subscribers(TopicVersion::ZERO).await.unwrap();
        if leases.iter().all(|lease| lease.standing == crate::Standing::Ended) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn ps1662_the_policy_refuses_what_it_does_not_allow() {
    let node = node().await;
    let policy = TopicPolicy { body_bytes_max: 10, ..TopicPolicy::default() };
    let chat = node.topic("chat").policy(policy).create().await.unwrap();
    let refused = chat.publish("eleven bytes").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let source = std::error::Error::source(&refused).unwrap();
    assert!(matches!(
        source.downcast_ref::<TopicRefusal>(),
        Some(TopicRefusal::TooLarge { bytes: 12, max: 10 })
    ));
    assert_eq!(chat.publish("ten bytes").await.unwrap().position, Some(TopicPosition(1)));
    let nobody = TopicPolicy {
        publishers: weald_pubsub::Access::Listed([].into()),
        ..TopicPolicy::default()
    };
    let quiet = node.topic("quiet").policy(nobody).create().await.unwrap();
    assert_eq!(quiet.publish("one").await.unwrap_err().kind(), ErrorKind::Invalid);
    let long =
        PublishOptions { expires_in: Some(Duration::from_secs(1 << 30)), ..Default::default() };
    assert_eq!(chat.publish_with("one", long).await.unwrap_err().kind(), ErrorKind::Invalid);
    let after = chat.publish("two").await.unwrap();
    assert_eq!(after.position, Some(TopicPosition(2)), "the sequence that was refused is skipped");
}

#[tokio::test]
async fn ps1663_the_work_that_a_topic_asks_for_is_done() {
    let node = node().await;
    let work = Some(weald_pubsub::WorkRule { above_bytes: 8, bits: 8 });
    let policy = TopicPolicy { work, ..TopicPolicy::default() };
    let chat = node.topic("chat").policy(policy).create().await.unwrap();
    assert_eq!(chat.publish("short").await.unwrap().position, Some(TopicPosition(1)));
    let position = chat.publish("rather long").await.unwrap().position.unwrap();
    let message = chat.message(position).await.unwrap().unwrap();
    assert!(message.work_bits(chat.address()) >= 8);
}

#[tokio::test]
async fn ps36_ps39_ps37_ps1130_a_topic_is_cleaned_up_and_ends_without_anybody_asking() {
    let clock = HandClock::at(1_000_000);
    let node = Weald::builder().clock(Arc::clone(&clock) as _).in_memory().await.unwrap();
    let policy = TopicPolicy { inactivity: Duration::from_secs(60), ..TopicPolicy::default() };
    let chat = node.topic("chat").policy(policy).create().await.unwrap();
    let soon = PublishOptions { expires_in: Some(Duration::from_secs(5)), ..Default::default() };
    chat.publish_batch((0..1000).map(|n| n.to_string()), soon).await.unwrap();
    assert_eq!(housekeep(&node).await.unwrap(), 0, "nothing is due");
    clock.pass(6);
    assert_eq!(housekeep(&node).await.unwrap(), 1000);
    assert_eq!(chat.head().await.unwrap().messages.count, 0);
    clock.pass(2 * 60 * 60);
    housekeep(&node).await.unwrap();
    assert_eq!(node.topic("chat").open().await.unwrap_err().kind(), ErrorKind::NotFound);
    clock.pass(60);
    assert_eq!(housekeep(&node).await.unwrap(), 0, "nothing is left");
}

#[tokio::test]
async fn a_topic_that_ends_ends_its_subscriptions_and_can_begin_anew() {
    let node = node().await;
    let owner = Some(node.public_key().unwrap());
    let policy = TopicPolicy { owner, ..TopicPolicy::default() };
    let chat = node.topic("chat").policy(policy).create().await.unwrap();
    let again = node.topic("chat").create().await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    chat.publish("m1").await.unwrap();
    let mut reader = chat.subscribe(SubscribeOptions::default()).await.unwrap();
    assert_eq!(messages(&mut reader, 1).await, numbered(1..2));
    chat.delete().await.unwrap();
    let end = loop {
        match reader.next().await.unwrap() {
            Ok(TopicEvent::CaughtUp { .. }) => {}
            Ok(event) => panic!("{event:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(end.kind(), ErrorKind::NotFound);
    assert!(reader.next().await.is_none());
    assert_eq!(chat.publish("lost").await.unwrap_err().kind(), ErrorKind::NotFound);
    let anew = node.topic("chat").create().await.unwrap();
    assert_eq!(anew.publish("m2").await.unwrap().position, Some(TopicPosition(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_while_a_topic_ends_is_told_so_and_the_next_after_its_revival_comes() {
    let node = node().await;
    let owner = Some(node.public_key().unwrap());
    let make = || {
        let policy = TopicPolicy { owner, ..TopicPolicy::default() };
        node.topic("chat").policy(policy).open_or_create()
    };
    let chat = make().await.unwrap();
    for _ in 0..20 {
        chat.publish("before").await.unwrap();
        let publishing = |body| {
            let chat = chat.clone();
            tokio::spawn(async move { chat.publish(body).await })
        };
        let at_once: Vec<_> = (0..8).map(|_| publishing("while it ends")).collect();
        chat.delete().await.unwrap();
        for publish in at_once {
            let kind = publish.await.unwrap().map(drop).map_err(|error| error.kind());
            assert!(matches!(kind, Ok(()) | Err(ErrorKind::NotFound)), "{kind:?}");
        }
        assert_eq!(chat.publish("lost").await.unwrap_err().kind(), ErrorKind::NotFound);
        make().await.unwrap();
        assert!(chat.publish("after").await.unwrap().position.is_some());
    }
}

#[tokio::test]
async fn ps558_an_id_that_was_refused_for_the_rate_is_still_good_for_a_later_attempt() {
    let clock = HandClock::at(1_000_000);
    let node = Weald::builder().clock(Arc::clone(&clock) as _).in_memory().await.unwrap();
    let publish_rate = weald_pubsub::Rate { burst: 1, interval_micros: 1_000_000 };
    let policy = TopicPolicy { publish_rate, ..TopicPolicy::default() };
    let chat = node.topic("chat").policy(policy).create().await.unwrap();
    let own = || PublishOptions { transaction_id: Some("mine".into()), ..Default::default() };
    chat.publish("m1").await.unwrap();
    assert_eq!(chat.publish_with("m2", own()).await.unwrap_err().kind(), ErrorKind::Busy);
    clock.pass(2);
    let second = chat.publish_with("m2", own()).await.unwrap();
    assert_eq!(second.position, Some(TopicPosition(2)));
    assert_eq!(chat.publish_with("m2", own()).await.unwrap(), second);
    let two = chat.publish_batch(["m3", "m4"], own()).await.unwrap_err();
    assert_eq!(two.kind(), ErrorKind::Invalid);
    assert_eq!(chat.last_position().await.unwrap(), TopicPosition(2));
}

#[tokio::test]
async fn a_lease_tells_what_its_subscriber_had_seen_when_it_ended() {
    let node = node().await;
    let chat = node.topic("chat").create().await.unwrap();
    for number in 1..=5 {
        chat.publish(format!("m{number}")).await.unwrap();
    }
    let mut reader = chat.subscribe(SubscribeOptions::default()).await.unwrap();
    messages(&mut reader, 4).await;
    reader.renew().await.unwrap();
    let lease = || async { chat.subscribers(TopicVersion::ZERO).await.unwrap()[0] };
    assert_eq!(lease().await.last_seen, TopicPosition(4));
    messages(&mut reader, 1).await;
    reader.unsubscribe().await.unwrap();
    assert_eq!(lease().await.last_seen, TopicPosition(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn ps1496_ps84_ps1551_concurrent_publishers_lose_and_double_nothing() {
    let node = node().await;
    let chat = node.topic("chat").create().await.unwrap();
    let mut reader = chat.subscribe(SubscribeOptions::default()).await.unwrap();
    let mut writers = Vec::new();
    for writer in 0..10 {
        let chat = chat.clone();
        writers.push(tokio::spawn(async move {
            for number in 0..100 {
                chat.publish(format!("{writer}/{number}")).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let seen = messages(&mut reader, 1000).await;
    assert_eq!(seen.iter().map(|(at, _)| *at).collect::<Vec<_>>(), (1..=1000).collect::<Vec<_>>());
    let bodies: std::collections::BTreeSet<_> = seen.into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies.len(), 1000);
    let head = chat.head().await.unwrap();
    assert!(head.messages.version.0 < 1000, "publishes that wait share an entry");
}

#[tokio::test]
async fn ps1678_ps1679_ps1759_a_topics_name_is_not_in_the_store() {
    let node = node().await;
    node.topic("a secret name").create().await.unwrap();
    let names: Vec<_> =
        node.collections().await.unwrap().into_iter().map(|info| info.name.to_string()).collect();
    assert_eq!(names.len(), 1);
    assert!(names[0].starts_with("topic-") && !names[0].contains("secret"));
}
