//! Groups through the facade.

use std::{sync::Arc, time::Duration};

use weald_pubsub::{GroupAction, GroupRequest, Signed, TopicPosition};

use super::{HandClock, next, node};
use crate::{
    ErrorKind, PublishOptions, StartAt, SubscribeOptions, Topic, TopicEvent, Weald,
    write::WriteOptions,
};

fn sharing(credit: u64) -> SubscribeOptions {
    SubscribeOptions { credit, group: Some("workers".into()), ..SubscribeOptions::default() }
}

#[tokio::test]
async fn d63_each_message_goes_to_one_consumer_of_a_group() {
    let node = node().await;
    let jobs = node.topic("jobs").create().await.unwrap();
    let mut first = jobs.subscribe(sharing(4)).await.unwrap();
    let mut second = jobs.subscribe(sharing(4)).await.unwrap();
    for number in 1..=40 {
        jobs.publish(format!("{number}")).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 40 {
        let (worker, event) = tokio::select! {
            event = first.next() => (&first, event),
            event = second.next() => (&second, event),
        };
        let Some(Ok(TopicEvent::Message(message))) = event else { panic!("{event:?}") };
        worker.acknowledge(message.position).await.unwrap();
        seen.push(message.position.0);
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn d63_what_is_not_acknowledged_is_given_again_and_at_last_a_dead_letter() {
    let clock = HandClock::at(1_000_000);
    let node = Weald::builder().clock(Arc::clone(&clock) as _).in_memory().await.unwrap();
    let policy = crate::TopicPolicy { attempts_max: 2, ..Default::default() };
    let jobs = node.topic("jobs").policy(policy).create().await.unwrap();
    jobs.publish("poison").await.unwrap();
    let worker = jobs.consumer("workers");
    let within = Duration::from_secs(10);
    for attempt in 1..=2 {
        let given = worker.fetch(10, within, StartAt::Beginning).await.unwrap();
        assert_eq!((given.len(), given[0].attempt), (1, attempt));
        clock.pass(11);
    }
    assert!(worker.fetch(10, within, StartAt::Beginning).await.unwrap().is_empty());
    let dead = worker.state().await.unwrap().unwrap().dead;
    assert_eq!((dead.len(), dead[0].position, dead[0].attempts), (1, TopicPosition(1), 2));
    assert_eq!(worker.bury(vec![TopicPosition(1)]).await.unwrap(), [true]);
    assert_eq!(worker.acknowledge(vec![TopicPosition(1)]).await.unwrap(), [false]);
}

#[tokio::test]
async fn a_consumer_of_a_group_with_an_unfit_name_is_told_what_names_may_be() {
    let node = node().await;
    let jobs = node.topic("jobs").create().await.unwrap();
    for name in [String::new(), "x".repeat(65)] {
        let worker = jobs.consumer(&name);
        let fetched = worker.fetch(1, Duration::from_secs(1), StartAt::Beginning).await;
        let error = fetched.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("1 to 64 bytes"), "{error}");
    }
}

#[tokio::test]
async fn what_another_hold_on_a_consumer_acknowledges_makes_room_for_more() {
    let node = node().await;
    let jobs = node.topic("jobs").create().await.unwrap();
    for number in 1..=4 {
        jobs.publish(format!("{number}")).await.unwrap();
    }
    let mut worker = jobs.subscribe(sharing(2)).await.unwrap();
    let given = [next(&mut worker).await, next(&mut worker).await];
    let given = given.map(|event| event.into_message().unwrap().position);
    assert_eq!(given, [TopicPosition(1), TopicPosition(2)]);
    let more = tokio::time::timeout(Duration::from_millis(1500), worker.next()).await;
    assert!(more.is_err(), "as much as may be held is held: {more:?}");
    let done = jobs.consumer("workers").acknowledge(given.to_vec()).await.unwrap();
    assert_eq!(done, [true, true]);
    assert_eq!(next(&mut worker).await.into_message().unwrap().position, TopicPosition(3));
}

#[tokio::test]
async fn what_was_let_pass_before_the_application_took_it_is_not_told_and_not_given_again_to_it() {
    let clock = HandClock::at(1_000_000);
    let node = Weald::builder().clock(Arc::clone(&clock) as _).in_memory().await.unwrap();
    let jobs = node.topic("jobs").create().await.unwrap();
    let mut worker = jobs.subscribe(sharing(2)).await.unwrap();
    // The application asks, and turns to something else.
    assert!(tokio::time::timeout(Duration::from_millis(10), worker.next()).await.is_err());
    for number in 1..=2 {
        jobs.publish(format!("{number}")).await.unwrap();
    }
    let consumer = jobs.consumer("workers");
    while consumer.state().await.unwrap().unwrap().given.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    clock.pass(31);
    let given = consumer.fetch(10, Duration::from_secs(30), StartAt::Beginning).await.unwrap();
    let given: Vec<_> = given.iter().map(|given| (given.position.0, given.attempt)).collect();
    assert_eq!(given, [(1, 2), (2, 1)], "the first has passed once");
    consumer.acknowledge(vec![TopicPosition(1), TopicPosition(2)]).await.unwrap();
    jobs.publish("3").await.unwrap();
    let first = next(&mut worker).await.into_message().unwrap();
    assert_eq!((first.position, first.attempt), (TopicPosition(3), 1));
}

#[tokio::test]
async fn a_consumer_that_leaves_gives_back_what_it_has_not_done() {
    let node = node().await;
    let jobs = node.topic("jobs").create().await.unwrap();
    jobs.publish("one").await.unwrap();
    let mut first = jobs.subscribe(sharing(4)).await.unwrap();
    assert!(first.next().await.unwrap().is_ok());
    first.unsubscribe().await.unwrap();
    let mut second = jobs.subscribe(sharing(4)).await.unwrap();
    let again = second.next().await.unwrap().unwrap().into_message().unwrap();
    assert_eq!((again.position, again.attempt), (TopicPosition(1), 2));
    second.acknowledge(again.position).await.unwrap();
    let twice = second.acknowledge(again.position).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Gone);
}

async fn publish_jobs(jobs: &Topic, count: usize) {
    let bodies = (1..=count).map(|number| format!("{number}"));
    let published = jobs.publish_batch(bodies, PublishOptions::default()).await.unwrap();
    assert!(published.iter().all(Result::is_ok));
}

#[tokio::test]
async fn d63_no_message_is_given_up_unseen_while_the_application_takes_one_after_the_other() {
    for (pause, count) in [(1, 100), (10, 20), (25, 10)] {
        let clock = HandClock::at(1_000_000);
        let node = Weald::builder().clock(Arc::clone(&clock) as _).in_memory().await.unwrap();
        let policy = crate::TopicPolicy { attempts_max: 1, ..Default::default() };
        let jobs = node.topic("jobs").policy(policy).create().await.unwrap();
        publish_jobs(&jobs, count).await;
        let mut worker = jobs.subscribe(sharing(1024)).await.unwrap();
        for number in 1..=count {
            let message = next(&mut worker).await.into_message().unwrap();
            assert_eq!((message.position.0, message.attempt), (number as u64, 1));
            clock.pass(pause);
            worker.acknowledge(message.position).await.unwrap();
        }
        let group = jobs.consumer("workers").state().await.unwrap().unwrap();
        assert_eq!((group.dead, group.given.len()), (Vec::new(), 0), "one each {pause} s");
    }
}

#[tokio::test]
async fn nothing_is_withheld_from_others_before_the_application_asks() {
    let node = node().await;
    let jobs = node.topic("jobs").create().await.unwrap();
    publish_jobs(&jobs, 3).await;
    let mut idle = jobs.subscribe(sharing(4)).await.unwrap();
    let worker = jobs.consumer("workers");
    let group = worker.state().await.unwrap().unwrap();
    assert_eq!((group.given.len(), group.next), (0, TopicPosition(1)));
    let given = worker.fetch(10, Duration::from_secs(30), StartAt::Beginning).await.unwrap();
    assert_eq!(given.len(), 3);
    worker.give_back(vec![TopicPosition(2)]).await.unwrap();
    let message = next(&mut idle).await.into_message().unwrap();
    assert_eq!((message.position.0, message.attempt), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_of_one_node_to_a_group_do_not_refuse_each_other() {
    let node = node().await;
    let jobs = node.topic("jobs").create().await.unwrap();
    publish_jobs(&jobs, 64).await;
    let worker = jobs.consumer("workers");
    let given = worker.fetch(64, Duration::from_secs(30), StartAt::Beginning).await.unwrap();
    let mut under_way = tokio::task::JoinSet::new();
    for message in given {
        let worker = jobs.consumer("workers");
        under_way.spawn(async move { worker.acknowledge(vec![message.position]).await.unwrap() });
    }
    assert_eq!(under_way.join_all().await, vec![vec![true]; 64]);
}

#[tokio::test]
async fn a_node_whose_clock_was_set_back_takes_a_nonce_above_its_last() {
    let node = node().await;
    let jobs = node.topic("jobs").create().await.unwrap();
    publish_jobs(&jobs, 2).await;
    let worker = jobs.consumer("workers");
    let within = Duration::from_secs(30);
    assert_eq!(worker.fetch(1, within, StartAt::Beginning).await.unwrap().len(), 1);
    let running = node.running().unwrap();
    let (keys, signed_at) = (running.topics.keys().unwrap(), running.clock.now());
    let (group, action) = ("workers".to_owned(), GroupAction::Bury(Vec::new()));
    // What the process before it has used.
    let nonce = signed_at.as_millis() + 1_000_000;
    let request = GroupRequest { group, nonce, signed_at, action };
    let signed = Signed::new(jobs.address(), request, &*keys).unwrap();
    let action = jobs.code.consume(signed);
    node.commit_actions(vec![action], WriteOptions::default()).await.unwrap();
    let given = worker.fetch(10, within, StartAt::Beginning).await.unwrap();
    assert_eq!(given.iter().map(|given| given.position.0).collect::<Vec<_>>(), [2]);
}
