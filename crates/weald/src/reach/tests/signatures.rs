//! Signatures of messages: checked in batches before they are logged, and behind whoever logged them.

use tokio::task::JoinSet;
use weald_core::{SeededEntropy, Time, identity::Identity};
use weald_pubsub::{
    self as pubsub, BatchMode, Draft, Incarnation, Message, PublishAnswer, PublisherSequence,
    TopicAddress, TopicRefusal,
};

use super::{Rig, topics::counted};
use crate::{
    Result, Weald,
    node::SystemClock,
    topic::refusal_of,
    write::{Reply, WriteOptions},
};

/// The first message of a publisher of its own.
fn message(address: &TopicAddress, publisher: u64) -> Message {
    let keys = Identity::generate(&mut SeededEntropy::new(1000 + publisher));
    let now = weald_core::Clock::now(&SystemClock);
    let draft = Draft {
        incarnation: Incarnation(1),
        sequence: PublisherSequence(1),
        published_at: now,
        expires_at: Time::from_millis(now.as_millis() + 60_000),
        body: format!("{publisher}").into(),
    };
    Message::sign(address, draft, &keys).unwrap()
}

/// The same under a body that was not signed.
fn forged(address: &TopicAddress, publisher: u64) -> Message {
    Message { body: "forged".into(), ..message(address, publisher) }
}

async fn publish(node: &Weald, address: &TopicAddress, messages: Vec<Message>) -> Result<Reply> {
    let action = pubsub::Topic::new(*address).publish(messages, BatchMode::Each);
    node.commit_actions(vec![action], WriteOptions::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ps1671_of_messages_that_are_checked_together_only_the_forged_are_refused() {
    let rig = Rig::start(3, 1).await;
    let coordinator = rig.coordinator(0).await;
    let (at_log, other) = (rig.node(coordinator), rig.node((coordinator + 1) % 3));
    let chat = other.topic("chat").create().await.unwrap();
    let address = chat.address();
    let mut publishing = JoinSet::new();
    for publisher in 0..60 {
        let message = match publisher % 3 {
            0 => forged(address, publisher),
            _ => message(address, publisher),
        };
        let (node, address) = (other.clone(), *address);
        publishing.spawn(async move { (publisher, publish(&node, &address, vec![message]).await) });
    }
    for (publisher, result) in publishing.join_all().await {
        match publisher % 3 {
            0 => assert_eq!(refusal_of(&result.unwrap_err()), Some(TopicRefusal::BadSignature)),
            _ => {
                let reply = result.unwrap();
                let answer = PublishAnswer::decode(reply.answer().unwrap()).unwrap();
                assert!(answer.results[0].is_ok());
            }
        }
    }
    assert_eq!(chat.last_position().await.unwrap().0, 40);
    assert!(counted(at_log, "weald_topic_checked_total") >= 60);
    assert!(counted(at_log, "weald_topic_forged_total") >= 20);
    let batches = counted(at_log, "weald_topic_check_batches_total");
    assert!((1..=counted(at_log, "weald_topic_checked_total")).contains(&batches));
}

/// One after the other, so that each is checked where it arrives.
#[tokio::test(flavor = "multi_thread")]
async fn ps1671_a_message_that_comes_alone_is_checked_too() {
    let rig = Rig::start(3, 1).await;
    let coordinator = rig.coordinator(0).await;
    let other = rig.node((coordinator + 1) % 3);
    let chat = other.topic("chat").create().await.unwrap();
    let address = chat.address();
    for publisher in 0..4 {
        let refused = publish(other, address, vec![forged(address, publisher)]).await.unwrap_err();
        assert_eq!(refusal_of(&refused), Some(TopicRefusal::BadSignature));
        publish(other, address, vec![message(address, publisher)]).await.unwrap();
    }
    assert_eq!(chat.last_position().await.unwrap().0, 4);
    assert_eq!(counted(rig.node(coordinator), "weald_topic_forged_total"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn ps1671_a_coordinator_that_lets_a_forged_message_through_is_found_out_by_the_others() {
    let rig = Rig::start(3, 1).await;
    let coordinator = rig.coordinator(0).await;
    let at_log = rig.node(coordinator);
    let chat = at_log.topic("chat").create().await.unwrap();
    let address = chat.address();
    let batch = vec![message(address, 1), forged(address, 2), message(address, 3)];
    // What a node hands to its own member nobody checks before it is logged.
    publish(at_log, address, batch).await.unwrap();
    for other in [1, 2].map(|step| rig.node((coordinator + step) % 3)) {
        let is_seen = || async {
            let audited = counted(other, "weald_topic_audited_total");
            (audited == 3).then(|| counted(other, "weald_topic_let_through_total"))
        };
        assert_eq!(rig.until(is_seen).await, 1);
    }
    assert_eq!(counted(at_log, "weald_topic_audited_total"), 0, "nobody looks behind itself");
}
