//! Topics over several nodes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use weald_core::{Clock, Time};
use weald_pubsub::{Access, Availability, Cid, TopicPolicy, TopicPosition, TopicVersion};

use super::Rig;
use crate::{
    ErrorKind, MetricValue, PublishOptions, StartAt, SubscribeOptions, Subscription, TopicEvent,
    Weald, node::SystemClock, topic::limits::ATTEMPT_MAX,
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn next(subscription: &mut Subscription) -> TopicEvent {
    let event = tokio::time::timeout(PATIENCE, subscription.next()).await;
    event.expect("it comes").expect("it goes on").unwrap()
}

/// The next messages, each of which follows the one before.
async fn messages(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let before = subscription.last_seen_version();
        match next(subscription).await {
            TopicEvent::Message(message) => {
                assert_eq!(message.position, before.next());
                seen.push(String::from_utf8(message.body.to_vec()).unwrap());
            }
            TopicEvent::CaughtUp { .. } | TopicEvent::Lagged { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    seen
}

fn publishing(node: &Weald, name: &'static str, count: u32) -> tokio::task::JoinHandle<()> {
    let node = node.clone();
    tokio::spawn(async move {
        let chat = node.topic("chat").open().await.unwrap();
        for number in 0..count {
            // It is brought to the topic however long that takes.
            let options = PublishOptions { timeout: Some(PATIENCE), ..PublishOptions::default() };
            chat.publish_with(format!("{name}/{number}"), options).await.unwrap();
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn ps138_ps1476_ps106_ps338_ps339_ps1477_ps1479_ps1545_ps1730_ps1749_concurrent_publishers_on_all_nodes_are_seen_alike_everywhere()
 {
    let rig = Rig::start(3, 1).await;
    let light = rig.light().await;
    light.topic("chat").create().await.unwrap();
    let nodes = [rig.node(0), rig.node(1), rig.node(2), &light];
    let mut readers = Vec::new();
    for node in nodes {
        let chat = node.topic("chat").open().await.unwrap();
        readers.push(chat.subscribe(SubscribeOptions::default()).await.unwrap());
    }
    let writers = [
        publishing(rig.node(0), "a", 100),
        publishing(rig.node(1), "b", 100),
        publishing(&light, "c", 100),
    ];
    let mut seen = Vec::new();
    for reader in &mut readers {
        seen.push(messages(reader, 300).await);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(seen[0].iter().collect::<BTreeSet<_>>().len(), 300);
    assert!(seen.iter().all(|other| *other == seen[0]), "one order");
    for name in ["a", "b", "c"] {
        let own: Vec<_> = seen[0].iter().filter(|body| body.starts_with(name)).collect();
        let expected: Vec<_> = (0..100).map(|number| format!("{name}/{number}")).collect();
        assert!(own.into_iter().eq(expected.iter()), "a publisher's messages stay in its order");
    }
    let roots: Vec<_> = {
        let mut roots = Vec::new();
        for node in nodes {
            roots.push(node.topic("chat").open().await.unwrap().head().await.unwrap().messages);
        }
        roots
    };
    assert!(roots.iter().all(|side| *side == roots[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn ps1511_ps166_ps45_ps323_ps333_ps337_ps1478_ps1534_subscribers_miss_nothing_while_coordinators_are_killed()
 {
    let mut rig = Rig::start(3, 1).await;
    rig.node(0).topic("chat").create().await.unwrap();
    let light = rig.light().await;
    let lost = rig.coordinator(0).await;
    let (near, writer) = (rig.node((lost + 1) % 3).clone(), rig.node((lost + 2) % 3).clone());
    let mut readers = Vec::new();
    // Several streams, so that the member that is lost serves some of them.
    for node in [&light, &light, &light, &light, &near] {
        let chat = node.topic("chat").open().await.unwrap();
        readers.push(chat.subscribe(SubscribeOptions::default()).await.unwrap());
    }
    let writing = publishing(&writer, "m", 300);
    for reader in &mut readers {
        messages(reader, 50).await;
    }
    rig.kill(lost);
    for reader in &mut readers {
        let rest = messages(reader, 250).await;
        let expected: Vec<_> = (50..300).map(|number| format!("m/{number}")).collect();
        assert_eq!(rest, expected);
    }
    writing.await.unwrap();
    let chat = light.topic("chat").open().await.unwrap();
    let mut late = chat.subscribe(SubscribeOptions::default()).await.unwrap();
    assert_eq!(messages(&mut late, 300).await.len(), 300);
    assert_eq!(next(&mut late).await, TopicEvent::CaughtUp { next: TopicPosition(301) });
}

#[tokio::test(flavor = "multi_thread")]
async fn ps133_ps137_ps344_ps1703_ps1704_a_topic_goes_on_while_two_of_five_nodes_die() {
    let mut rig = Rig::start(5, 1).await;
    rig.node(0).topic("chat").create().await.unwrap();
    let light = rig.light().await;
    let chat = light.topic("chat").open().await.unwrap();
    let mut reader = chat.subscribe(SubscribeOptions::default()).await.unwrap();
    let mut expected = Vec::new();
    for name in ["before", "between", "after"] {
        publishing(&light, name, 20).await.unwrap();
        expected.extend((0..20).map(|number| format!("{name}/{number}")));
        if name != "after" {
            let coordinator = rig.coordinator(0).await;
            rig.kill(coordinator);
        }
    }
    assert_eq!(messages(&mut reader, 60).await, expected);
    let mut late = chat.subscribe(SubscribeOptions::default()).await.unwrap();
    assert_eq!(messages(&mut late, 60).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn ps165_ps166_ps178_ps1525_ps1712_ps78_ps1804_a_topic_reaches_its_subscribers_and_outlives_its_publisher()
 {
    let mut rig = Rig::start(3, 1).await;
    rig.node(0).topic("chat").create().await.unwrap();
    let mut readers = Vec::new();
    for number in 0..20 {
        let chat = rig.node(number % 2).topic("chat").open().await.unwrap();
        readers.push(chat.subscribe(SubscribeOptions::default()).await.unwrap());
    }
    // The publisher knows the name of the topic and nobody who listens.
    publishing(rig.node(2), "m", 30).await.unwrap();
    let expected: Vec<_> = (0..30).map(|number| format!("m/{number}")).collect();
    for reader in &mut readers {
        assert_eq!(messages(reader, 30).await, expected);
    }
    rig.kill(2);
    // A node that stores nothing and has never met the topic.
    let light = rig.light().await;
    let far = light.topic("chat").open().await.unwrap();
    let (head, pages) = (far.head().await.unwrap(), far.pages().await.unwrap());
    assert_eq!((head.messages.root, head.messages.count), (pages.messages, 30));
    let root = pages.pages.bytes(&pages.messages).unwrap();
    assert_eq!(Cid::of(root), head.messages.root);
    let snapshots = far.lineage(10).await.unwrap();
    assert_eq!(head.previous, Some(snapshots[0].cid()));
    let seventh = far.message(TopicPosition(7)).await.unwrap().unwrap();
    assert_eq!(seventh.body, expected[6]);
    assert!(seventh.verify(far.address()));
    let mut late = far.subscribe(SubscribeOptions::default()).await.unwrap();
    assert_eq!(messages(&mut late, 30).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn r13_a_slow_subscriber_and_one_that_wants_what_comes_miss_nothing_at_a_follower() {
    let rig = Rig::start(3, 1).await;
    rig.node(0).topic("chat").create().await.unwrap();
    let follower = (rig.coordinator(0).await + 1) % 3;
    let chat = rig.node(follower).topic("chat").open().await.unwrap();
    let options = SubscribeOptions { credit: 8, ..SubscribeOptions::default() };
    let mut slow = chat.subscribe(options).await.unwrap();
    publishing(rig.node((follower + 1) % 3), "burst", 200).await.unwrap();
    let from = StartAt::Now;
    let options = SubscribeOptions { from, ..SubscribeOptions::default() };
    let mut latest = chat.subscribe(options).await.unwrap();
    publishing(rig.node((follower + 1) % 3), "last", 1).await.unwrap();
    assert_eq!(messages(&mut latest, 1).await, ["last/0"]);
    let burst = (0..200).map(|number| format!("burst/{number}"));
    let expected: Vec<_> = burst.chain([String::from("last/0")]).collect();
    assert_eq!(messages(&mut slow, 201).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_joiner_gets_the_history_in_parts_then_what_comes() {
    let rig = Rig::start(3, 1).await;
    let chat = rig.node(0).topic("chat").create().await.unwrap();
    let large = vec![7; 8000];
    let bodies = (0..1000).map(|_| large.clone());
    let patient = PublishOptions { timeout: Some(PATIENCE), ..PublishOptions::default() };
    let done = chat.publish_batch(bodies, patient).await.unwrap();
    assert!(done.iter().all(Result::is_ok));
    let light = rig.light().await;
    let far = light.topic("chat").open().await.unwrap();
    let mut late = far.subscribe(SubscribeOptions::default()).await.unwrap();
    let mut seen = 0;
    loop {
        match next(&mut late).await {
            TopicEvent::Message(message) => {
                seen += 1;
                assert_eq!((message.position, message.body.len()), (TopicPosition(seen), 8000));
            }
            TopicEvent::CaughtUp { next } => break assert_eq!(next, TopicPosition(1001)),
            TopicEvent::Lagged { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, 1000);
    chat.publish("live").await.unwrap();
    assert_eq!(messages(&mut late, 1).await, ["live"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ps1680_members_serve_only_whom_the_policy_allows() {
    let rig = Rig::start(3, 1).await;
    let own = rig.node(0).public_key().unwrap().peer_id();
    let subscribers = Access::Listed([own].into());
    let policy = TopicPolicy { subscribers, ..TopicPolicy::default() };
    let chat = rig.node(0).topic("chat").policy(policy).create().await.unwrap();
    chat.publish("secret").await.unwrap();
    let light = rig.light().await;
    let topic = *chat.address();
    let backend = std::sync::Arc::clone(&light.running().unwrap().backend);
    for member in backend.members(&topic.topic.collection()) {
        let refused = backend.link(member, topic, 1).wait().await;
        assert_eq!(refused.err().map(|error| error.kind()), Some(ErrorKind::Invalid));
    }
    let far = light.topic("chat").open().await.unwrap();
    let refused = far.subscribe(SubscribeOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(chat.subscribe(SubscribeOptions::default()).await.is_ok());
}

/// A clock that is ahead of all others.
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> Time {
        SystemClock.now().after(self.0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ps1569_ps1514_pages_go_by_log_time_whatever_the_clock_of_the_node_says() {
    let rig = Rig::start(3, 1).await;
    let chat = rig.node(0).topic("chat").create().await.unwrap();
    let expires_in = Some(Duration::from_secs(60));
    let options = PublishOptions { expires_in, ..PublishOptions::default() };
    chat.publish_with("here", options).await.unwrap();
    let ahead = || Arc::new(Ahead(Duration::from_secs(3600)));
    for node in [rig.light_at(ahead()).await, rig.beside(1, ahead())] {
        let chat = node.topic("chat").open().await.unwrap();
        let page = chat.read(TopicPosition(1), 10).await.unwrap();
        let bodies: Vec<_> = page.into_iter().filter_map(TopicEvent::into_message).collect();
        assert_eq!(bodies.iter().map(|message| &message.body[..]).collect::<Vec<_>>(), [b"here"]);
        assert!(chat.message(TopicPosition(1)).await.unwrap().is_some());
        assert!(chat.merge(&chat.clone()).await.unwrap().here.messages.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ps558_a_retry_under_the_callers_id_through_another_node_has_the_first_result() {
    let rig = Rig::start(3, 1).await;
    let chat = rig.node(0).topic("chat").create().await.unwrap();
    let light = rig.light().await;
    let own = |id: &str| {
        let transaction_id = Some(id.to_owned());
        PublishOptions { transaction_id, ..PublishOptions::default() }
    };
    let first = chat.publish_with("m1", own("mine")).await.unwrap();
    for node in [rig.node(0), rig.node(1), &light] {
        let chat = node.topic("chat").open().await.unwrap();
        assert_eq!(chat.publish_with("m1", own("mine")).await.unwrap(), first);
        let reused = chat.publish_with("another", own("mine")).await.unwrap_err();
        assert_eq!(reused.kind(), ErrorKind::Identity);
    }
    let at_once = [rig.node(0), rig.node(1), rig.node(2), &light].map(|node| {
        let node = node.clone();
        tokio::spawn(async move {
            let chat = node.topic("chat").open().await.unwrap();
            chat.publish_with("m2", own("yours")).await.unwrap()
        })
    });
    let mut receipts = Vec::new();
    for publish in at_once {
        receipts.push(publish.await.unwrap());
    }
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]), "{receipts:?}");
    assert_eq!(receipts[0].position, Some(TopicPosition(2)));
    assert_eq!(chat.publish("m3").await.unwrap().position, Some(TopicPosition(3)));
}

/// What a node has counted.
pub(super) fn counted(node: &Weald, name: &str) -> u64 {
    let metric = node.metrics().into_iter().find(|metric| metric.name == name);
    match metric.unwrap().value {
        MetricValue::Counter(count) | MetricValue::Gauge(count) => count,
        MetricValue::Times(_) => panic!("{name}"),
    }
}

fn available() -> TopicPolicy {
    TopicPolicy { availability: Availability::Available, ..TopicPolicy::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn ps1512_ps558_a_member_that_is_cut_off_queues_and_publishes_once_when_it_is_back() {
    let rig = Rig::start(3, 1).await;
    rig.node(0).topic("chat").policy(available()).create().await.unwrap();
    let cut = (rig.coordinator(0).await + 1) % 3;
    let chat = rig.node(cut).topic("chat").open().await.unwrap();
    assert!(!chat.publish("m0").await.unwrap().is_queued());
    let elsewhere = rig.node((cut + 1) % 3).topic("chat").open().await.unwrap();
    let mut reader = elsewhere.subscribe(SubscribeOptions::default()).await.unwrap();
    assert_eq!(messages(&mut reader, 1).await, ["m0"]);
    rig.cut(cut);
    let mut ids = BTreeSet::new();
    for number in 1..=20 {
        let receipt = chat.publish(format!("m{number}")).await.unwrap();
        assert!(receipt.is_queued(), "m{number}");
        ids.insert(receipt.id);
    }
    assert_eq!(ids.len(), 20);
    let node = rig.node(cut);
    assert_eq!(counted(node, "weald_outbox_messages"), 20);
    assert_eq!(counted(node, "weald_outbox_queued_total"), 20);
    rig.heal(cut);
    let expected: Vec<_> = (1..=20).map(|number| format!("m{number}")).collect();
    assert_eq!(messages(&mut reader, 20).await, expected);
    rig.until(|| async { (counted(node, "weald_outbox_messages") == 0).then_some(()) }).await;
    assert_eq!(counted(node, "weald_outbox_published_total"), 20);
    let page = elsewhere.read(TopicPosition(2), 100).await.unwrap();
    let found = page.into_iter().filter_map(TopicEvent::into_message).map(|message| message.id);
    assert_eq!(found.collect::<BTreeSet<_>>(), ids, "under the ids that were told, and once");
    assert!(!chat.publish("m21").await.unwrap().is_queued());
}

/// Publishes over HTTP; the answer's head and body.
#[cfg(feature = "http")]
async fn post(address: std::net::SocketAddr, body: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = "POST /v1/topics/chat/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close";
    let request = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[cfg(feature = "http")]
#[tokio::test(flavor = "multi_thread")]
async fn ps1512_a_gateway_whose_node_is_cut_off_answers_202_with_the_id_and_no_position() {
    let rig = Rig::start(3, 1).await;
    let home = rig.node(0).topic("chat").policy(available()).create().await.unwrap();
    let cut = (rig.coordinator(0).await + 1) % 3;
    let address = "127.0.0.1:0".parse().unwrap();
    let config = crate::GatewayConfig { address, ..crate::GatewayConfig::default() };
    let gateway = crate::HttpGateway::bind(rig.node(cut), &config).await.unwrap();
    let address = gateway.address();
    tokio::spawn(gateway.serve(std::future::pending()));
    assert!(post(address, "m1").await.starts_with("HTTP/1.1 200"));
    rig.cut(cut);
    let answer = post(address, "m2").await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let told: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&told["queued"], &told["position"]), (&true.into(), &serde_json::Value::Null));
    rig.heal(cut);
    let elsewhere = rig.node((cut + 1) % 3).topic("chat").open().await.unwrap();
    let mut reader = elsewhere.subscribe(SubscribeOptions::default()).await.unwrap();
    assert_eq!(messages(&mut reader, 2).await, ["m1", "m2"]);
    let message = home.message(TopicPosition(2)).await.unwrap().unwrap();
    assert_eq!(message.id(home.address()).to_string(), told["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ps1512_ps1523_what_was_queued_comes_once_though_its_node_was_killed() {
    let mut rig = Rig::start(3, 1).await;
    rig.node(0).topic("chat").policy(available()).create().await.unwrap();
    let cut = (rig.coordinator(0).await + 1) % 3;
    let chat = rig.node(cut).topic("chat").open().await.unwrap();
    chat.publish("m0").await.unwrap();
    rig.cut(cut);
    for number in 1..=5 {
        assert!(chat.publish(format!("m{number}")).await.unwrap().is_queued());
    }
    drop(chat);
    rig.kill(cut);
    let back = rig.returned(u8::try_from(cut).unwrap()).await;
    let chat = back.topic("chat").open().await.unwrap();
    let mut reader = chat.subscribe(SubscribeOptions::default()).await.unwrap();
    let expected: Vec<_> = (0..=5).map(|number| format!("m{number}")).collect();
    assert_eq!(messages(&mut reader, 6).await, expected);
    rig.until(|| async { (counted(&back, "weald_outbox_messages") == 0).then_some(()) }).await;
    assert_eq!(counted(&back, "weald_outbox_published_total"), 5);
    let receipt = chat.publish("m6").await.unwrap();
    assert_eq!(receipt.position, Some(TopicPosition(7)), "nothing has come twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_disk_waits_and_what_it_cannot_bring_in_time_is_unknown() {
    let rig = Rig::start(3, 1).await;
    let light = rig.light().await;
    let chat = light.topic("chat").policy(available()).create().await.unwrap();
    chat.publish("m0").await.unwrap();
    (0..3).for_each(|number| rig.cut(number));
    let timeout = Some(Duration::from_millis(300));
    let waits = PublishOptions { timeout, ..PublishOptions::default() };
    let unknown = chat.publish_with("m1", waits).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn ps1512_ps1775_a_subscriber_that_was_cut_off_goes_on_where_it_was() {
    let rig = Rig::start(3, 1).await;
    rig.node(0).topic("chat").create().await.unwrap();
    let cut = (rig.coordinator(0).await + 1) % 3;
    let chat = rig.node(cut).topic("chat").open().await.unwrap();
    let mut reader = chat.subscribe(SubscribeOptions::default()).await.unwrap();
    publishing(rig.node((cut + 2) % 3), "a", 20).await.unwrap();
    messages(&mut reader, 20).await;
    rig.cut(cut);
    publishing(rig.node((cut + 2) % 3), "b", 20).await.unwrap();
    rig.heal(cut);
    let expected: Vec<_> = (0..20).map(|number| format!("b/{number}")).collect();
    assert_eq!(messages(&mut reader, 20).await, expected);
}

/// The first attempt to tell the topic is over before the nodes are back.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_ends_tells_the_topic_again_until_it_is_heard() {
    let rig = Rig::start(3, 1).await;
    let light = rig.light().await;
    let chat = light.topic("chat").create().await.unwrap();
    let mut reader = chat.subscribe(SubscribeOptions::default()).await.unwrap();
    chat.publish("m0").await.unwrap();
    messages(&mut reader, 1).await;
    (0..3).for_each(|number| rig.cut(number));
    let leaving = tokio::spawn(reader.unsubscribe());
    tokio::time::sleep(ATTEMPT_MAX + Duration::from_millis(500)).await;
    assert!(!leaving.is_finished(), "nobody has heard of it");
    (0..3).for_each(|number| rig.heal(number));
    leaving.await.unwrap().unwrap();
    let leases = chat.subscribers(TopicVersion::ZERO).await.unwrap();
    assert!(leases.iter().all(|lease| lease.standing == crate::Standing::Ended), "{leases:?}");
}
