//! Large messages through the facade of an embedded node.

use std::time::Duration;

use weald_pubsub::{
    TopicPolicy, TopicPosition,
    limits::{BODY_BYTES_MAX, BODY_CHUNK_BYTES},
};

use super::{next, node};
use crate::{StartAt, SubscribeOptions, TopicEvent};

/// Bodies around the size of a chunk, and the largest.
const SIZES: [usize; 4] =
    [BODY_CHUNK_BYTES - 1, BODY_CHUNK_BYTES, BODY_CHUNK_BYTES + 1, BODY_BYTES_MAX];

fn large() -> TopicPolicy {
    TopicPolicy { body_bytes_max: BODY_BYTES_MAX, ..TopicPolicy::default() }
}

fn body(bytes: usize) -> Vec<u8> {
    (0..251).cycle().take(bytes).collect()
}

#[tokio::test]
async fn bodies_of_all_sizes_are_shown_whole_by_streams_reads_and_groups() {
    let node = node().await;
    let files = node.topic("files").policy(large()).create().await.unwrap();
    let mut live = files.subscribe(SubscribeOptions::default()).await.unwrap();
    for bytes in SIZES {
        files.publish(body(bytes)).await.unwrap();
    }
    let mut late = files.subscribe(SubscribeOptions::default()).await.unwrap();
    for subscription in [&mut live, &mut late] {
        for (position, bytes) in (1..).zip(SIZES) {
            let message = loop {
                if let Some(message) = next(subscription).await.into_message() {
                    break message;
                }
            };
            assert_eq!((message.position, message.passed), (TopicPosition(position), 0));
            assert!(message.body == body(bytes), "{bytes}");
        }
    }
    assert!(matches!(next(&mut late).await, TopicEvent::CaughtUp { .. }));
    let mut from = TopicPosition(1);
    for bytes in SIZES {
        let page = files.read(from, 10).await.unwrap();
        let first = page.into_iter().next().unwrap().into_message().unwrap();
        assert!(first.body == body(bytes), "{bytes}");
        assert_eq!(files.message(from).await.unwrap().unwrap().id(files.address()), first.id);
        from = from.next();
    }
    let worker = files.consumer("workers");
    let given = worker.fetch(10, Duration::from_secs(30), StartAt::Beginning).await.unwrap();
    let given: Vec<_> = given.iter().map(|message| message.body.len()).collect();
    assert_eq!(given, SIZES);
}

#[tokio::test]
async fn a_durable_subscription_goes_on_behind_a_large_message() {
    let node = node().await;
    let files = node.topic("files").policy(large()).create().await.unwrap();
    for number in [1, 2] {
        files.publish(vec![number; BODY_CHUNK_BYTES + 1]).await.unwrap();
    }
    let durable = SubscribeOptions { durable: Some("reader".into()), ..Default::default() };
    let mut reader = files.subscribe(durable.clone()).await.unwrap();
    let first = next(&mut reader).await.into_message().unwrap();
    assert_eq!((first.body[0], first.body.len()), (1, BODY_CHUNK_BYTES + 1));
    reader.acknowledge(first.position).await.unwrap();
    drop(reader);
    let mut again = files.subscribe(durable).await.unwrap();
    let second = next(&mut again).await.into_message().unwrap();
    assert_eq!((second.position, second.body[0]), (TopicPosition(2), 2));
}

#[tokio::test]
async fn ps267_a_body_that_is_pruned_before_its_subscriber_comes_to_it_is_a_gap() {
    let node = node().await;
    let policy = TopicPolicy { bytes_max: 2 * BODY_BYTES_MAX as u64, ..large() };
    let files = node.topic("files").policy(policy).create().await.unwrap();
    files.publish("small").await.unwrap();
    files.publish(body(BODY_BYTES_MAX)).await.unwrap();
    let mut slow = files.subscribe(SubscribeOptions::default()).await.unwrap();
    // The large message is announced in the same part.
    assert_eq!(next(&mut slow).await.into_message().unwrap().body, "small");
    for _ in 0..2 {
        files.publish(body(BODY_BYTES_MAX)).await.unwrap();
    }
    let gone = TopicPosition(2);
    assert_eq!(next(&mut slow).await, TopicEvent::Gap { first: gone, last: gone });
    let mut positions = Vec::new();
    while positions.len() < 2 {
        positions.extend(next(&mut slow).await.into_message().map(|message| message.position.0));
    }
    assert_eq!(positions, [3, 4]);
}
