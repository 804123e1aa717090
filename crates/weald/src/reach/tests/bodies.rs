//! Large messages over several nodes: their bodies come in parts, and only as they are wanted.

use weald_pubsub::{
    Access, BodyAnswer, BodyRequest, LargeMessage, TopicPolicy, TopicPosition,
    limits::{BODY_BYTES_MAX, BODY_CHUNK_BYTES, BODY_CHUNKS_MAX},
};

use super::{
    Rig,
    topics::{counted, next},
};
use crate::{ErrorKind, SubscribeOptions, Subscription, TopicEvent, TopicMessage};

const PARTS: &str = "weald_topic_body_parts_total";

fn large() -> TopicPolicy {
    TopicPolicy { body_bytes_max: BODY_BYTES_MAX, ..TopicPolicy::default() }
}

fn body(number: u8, bytes: usize) -> Vec<u8> {
    (0..251).cycle().skip(number.into()).take(bytes).collect()
}

async fn message(subscription: &mut Subscription) -> TopicMessage {
    loop {
        match next(subscription).await {
            TopicEvent::Message(message) => return message,
            TopicEvent::CaughtUp { .. } | TopicEvent::Lagged { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_come_whole_through_a_node_that_is_no_member_live_and_late() {
    let rig = Rig::start(3, 1).await;
    let light = rig.light().await;
    let files = light.topic("files").policy(large()).create().await.unwrap();
    let live = files.subscribe(SubscribeOptions::default()).await.unwrap();
    let sizes = [BODY_BYTES_MAX, BODY_CHUNK_BYTES + 1, BODY_CHUNK_BYTES, 5];
    for (number, bytes) in (0..).zip(sizes) {
        files.publish(body(number, bytes)).await.unwrap();
    }
    let near = rig.node(1).topic("files").open().await.unwrap();
    let late = [
        files.subscribe(SubscribeOptions::default()).await.unwrap(),
        near.subscribe(SubscribeOptions::default()).await.unwrap(),
    ];
    for mut subscription in [live].into_iter().chain(late) {
        for (number, bytes) in (0..).zip(sizes) {
            let message = message(&mut subscription).await;
            assert_eq!(message.position, TopicPosition(u64::from(number) + 1));
            assert!(message.body == body(number, bytes), "{number}");
        }
    }
    let far = files.message(TopicPosition(1)).await.unwrap().unwrap();
    assert!(far.verify(files.address()) && far.body == body(0, BODY_BYTES_MAX));
}

#[tokio::test(flavor = "multi_thread")]
async fn ps265_ps1582_no_body_is_fetched_that_the_application_does_not_come_to() {
    let rig = Rig::start(3, 1).await;
    let files = rig.node(0).topic("files").policy(large()).create().await.unwrap();
    for number in 0..4 {
        files.publish(body(number, BODY_BYTES_MAX)).await.unwrap();
    }
    let light = rig.light().await;
    let far = light.topic("files").open().await.unwrap();
    let mut reader = far.subscribe(SubscribeOptions::default()).await.unwrap();
    assert_eq!(counted(&light, PARTS), 0, "nobody has asked for an event");
    let parts_of_one = 16 / u64::from(BODY_CHUNKS_MAX);
    for number in 0..2 {
        assert!(message(&mut reader).await.body == body(number, BODY_BYTES_MAX));
        assert_eq!(counted(&light, PARTS), parts_of_one * (u64::from(number) + 1));
    }
    reader.unsubscribe().await.unwrap();
    assert_eq!(counted(&light, PARTS), parts_of_one * 2);
    assert_eq!(counted(&light, "weald_topic_bodies_refused_total"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_comes_from_another_member_when_the_one_that_serves_is_gone() {
    let mut rig = Rig::start(3, 1).await;
    let files = rig.node(0).topic("files").policy(large()).create().await.unwrap();
    files.publish("small").await.unwrap();
    files.publish(body(1, BODY_BYTES_MAX)).await.unwrap();
    let light = rig.light().await;
    let far = light.topic("files").open().await.unwrap();
    let mut readers = Vec::new();
    // Several streams, so that the member that is lost serves some of them.
    for _ in 0..6 {
        let mut reader = far.subscribe(SubscribeOptions::default()).await.unwrap();
        assert_eq!(message(&mut reader).await.body, "small");
        readers.push(reader);
    }
    let lost = rig.coordinator(0).await;
    rig.kill(lost);
    for reader in &mut readers {
        let message = message(reader).await;
        assert_eq!(message.position, TopicPosition(2));
        assert!(message.body == body(1, BODY_BYTES_MAX));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ps267_a_body_that_is_pruned_before_a_node_elsewhere_comes_to_it_is_a_gap() {
    let rig = Rig::start(3, 1).await;
    let policy = TopicPolicy { bytes_max: 2 * BODY_BYTES_MAX as u64, ..large() };
    let files = rig.node(0).topic("files").policy(policy).create().await.unwrap();
    files.publish("small").await.unwrap();
    files.publish(body(2, BODY_BYTES_MAX)).await.unwrap();
    let light = rig.light().await;
    let far = light.topic("files").open().await.unwrap();
    let mut slow = far.subscribe(SubscribeOptions::default()).await.unwrap();
    // The large message is announced in the same part.
    assert_eq!(message(&mut slow).await.body, "small");
    for number in [3, 4] {
        files.publish(body(number, BODY_BYTES_MAX)).await.unwrap();
    }
    // Members that lag still have it.
    rig.until(|| async {
        let mut is_gone = true;
        for number in 0..3 {
            let head = rig.node(number).topic("files").open().await.ok()?;
            let local = head.consistency(crate::Consistency::Local).head().await.ok()?;
            is_gone &= local.next == TopicPosition(5);
        }
        is_gone.then_some(())
    })
    .await;
    let gone = TopicPosition(2);
    assert_eq!(next(&mut slow).await, TopicEvent::Gap { first: gone, last: gone });
    for number in [3, 4] {
        let message = message(&mut slow).await;
        assert_eq!(message.position, TopicPosition(number.into()));
        assert!(message.body == body(number, BODY_BYTES_MAX));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ps1680_a_stranger_is_given_no_part_of_a_body() {
    let rig = Rig::start(3, 1).await;
    let own = rig.node(0).public_key().unwrap().peer_id();
    let subscribers = Access::Listed([own].into());
    let policy = TopicPolicy { subscribers, ..large() };
    let files = rig.node(0).topic("files").policy(policy).create().await.unwrap();
    files.publish(body(1, BODY_CHUNK_BYTES + 1)).await.unwrap();
    let message = files.message(TopicPosition(1)).await.unwrap().unwrap();
    let digest = LargeMessage::of(&message).unwrap().body_digest;
    let request = BodyRequest { position: TopicPosition(1), digest, first: 0, count: 2 };
    let light = rig.light().await;
    let topic = *files.address();
    let member = rig.node(1).public_key().unwrap().peer_id();
    let ask = |node: &crate::Weald, request| {
        let backend = std::sync::Arc::clone(&node.running().unwrap().backend);
        async move { backend.body(member, topic, request).wait().await }
    };
    // The member may lag.
    let given = rig
        .until(|| async {
            let answer = ask(rig.node(0), request).await.ok()?;
            (answer != BodyAnswer::NotHere).then_some(answer)
        })
        .await;
    let body = &message.body;
    let chunks = vec![body.slice(..BODY_CHUNK_BYTES), body.slice(BODY_CHUNK_BYTES..)];
    assert_eq!(given, BodyAnswer::Chunks(chunks));
    let refused = ask(&light, request).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let greedy = BodyRequest { count: BODY_CHUNKS_MAX + 1, ..request };
    assert!(ask(rig.node(0), greedy).await.is_err(), "more than may be asked for");
}
