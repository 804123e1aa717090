//! `weald recover`: nodes of a network in this process, whose majority is lost for good.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use weald::{
    NodeConfig, PartitionInfo, PartitionRole, SubscribeOptions, Subscription, TopicEvent, Weald,
};

use crate::program::{Ended, Place, command};

fn config(directory: &Path, bootstrap: Vec<String>) -> NodeConfig {
    NodeConfig {
        data_dir: directory.to_owned(),
        listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
        bootstrap,
        found_after: Duration::ZERO,
        partitions: 2,
        mdns: false,
        lookups: false,
        ..NodeConfig::default()
    }
}

async fn start(place: &Place, name: &str, bootstrap: &[String]) -> Weald {
    ready(started(place, name, bootstrap).await).await
}

/// Starts a node once whoever has closed it in this process has let go of its directory.
async fn started(place: &Place, name: &str, bootstrap: &[String]) -> Weald {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let config = config(&place.path(name), bootstrap.to_vec());
        match Weald::node(config).start().await {
            Ok(node) => return node,
            Err(error) => assert!(Instant::now() < patience, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts the first node, and two others beside it, all of which vote.
async fn start_three(place: &Place) -> (Weald, [Weald; 2]) {
    let first = start(place, "first", &[]).await;
    let addresses = first.addresses();
    let others =
        [start(place, "second", &addresses).await, start(place, "third", &addresses).await];
    wait(&first, |all| all.len() == 2 && all.iter().all(|info| voters(info) == 3)).await;
    (first, others)
}

/// Waits until a node serves.
async fn ready(node: Weald) -> Weald {
    let patience = Instant::now() + Duration::from_secs(60);
    while let Err(why) = node.readiness() {
        assert!(Instant::now() < patience, "not ready: {why}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node
}

/// Waits until the partitions that `node` keeps are as they should be.
async fn wait(node: &Weald, are_well: impl Fn(&[PartitionInfo]) -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let partitions = node.partitions().await.unwrap();
        if are_well(&partitions) {
            return;
        }
        assert!(Instant::now() < patience, "waited in vain: {partitions:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn voters(info: &PartitionInfo) -> usize {
    info.members.iter().filter(|member| member.is_voter).count()
}

async fn put(node: &Weald, key: &str, value: &str) {
    let tree = node.raw_tree("stock").open_or_create().await.unwrap();
    tree.put(key, value).await.unwrap();
}

async fn value(node: &Weald, key: &str) -> Option<String> {
    let tree = node.raw_tree("stock").open().await.unwrap();
    let entry = tree.get(key).await.unwrap();
    entry.map(|entry| String::from_utf8(entry.to_vec()).unwrap())
}

fn recover(place: &Place, name: &str, arguments: &[&str]) -> Ended {
    let arguments = [&["--json", "recover"], arguments].concat();
    Ended::of(&mut command(&place.path(name), &arguments))
}

/// The same once the node in this process has let go of its directory.
fn recover_stopped(place: &Place, name: &str, arguments: &[&str]) -> Ended {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let ended = recover(place, name, arguments);
        if !ended.stderr.contains("another process") || Instant::now() > patience {
            return ended;
        }
    }
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w29_d65_ps183_a_network_whose_majority_is_lost_goes_on_from_one_directory() {
    let place = Place::new();
    let (first, others) = start_three(&place).await;
    put(&first, "apple", "3").await;
    recover(&place, "first", &["--all"]).refused(5, "first");
    for node in others.into_iter().chain([first]) {
        node.close().await.unwrap();
    }
    // Two directories are gone for good; the first has founded the network.
    let told = recover_stopped(&place, "first", &[]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(
        lines(&told)
            .iter()
            .all(|line| line["applied"] == false && line["recovery"]["generation"] == 1)
    );
    // Who did not found it may look, too, and does nothing without an administrator's key.
    let looked = recover_stopped(&place, "second", &[]);
    assert_eq!((looked.code, lines(&looked).len()), (0, 2), "{looked:?}");
    recover(&place, "second", &["--all", "--i-know"]).refused(2, "administrator");
    recover(&place, "first", &["--i-know"]).refused(2, "--all");
    recover(&place, "first", &["9", "--i-know"]).refused(2, "partition 9");
    let key = place.path("second").join("identity.key");
    let stranger = recover(&place, "first", &["--all", "--i-know", "--key", key.to_str().unwrap()]);
    stranger.refused(2, "administrator");
    let done = recover(&place, "first", &["--all", "--i-know"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(lines(&done).iter().all(|line| line["applied"] == true), "{done:?}");
    recover(&place, "first", &["--all", "--i-know"]).refused(3, "majority survives");

    let first = start(&place, "first", &[]).await;
    let goes_on =
        |info: &PartitionInfo| info.role == PartitionRole::Coordinator && info.recovery.is_some();
    wait(&first, |all| all.len() == 2 && all.iter().all(goes_on)).await;
    assert_eq!(value(&first, "apple").await.as_deref(), Some("3"));
    put(&first, "pear", "4").await;
    let addresses = first.addresses();
    let fresh =
        [start(&place, "fourth", &addresses).await, start(&place, "fifth", &addresses).await];
    put(&fresh[0], "plum", "5").await;
    for node in &fresh {
        assert_eq!(value(node, "pear").await.as_deref(), Some("4"));
    }
    // An old directory comes back: what it was is over, in every partition that it keeps.
    let old = start(&place, "second", &addresses).await;
    assert_eq!(value(&old, "plum").await.as_deref(), Some("5"));
    // As a learner, or as a voter of its next life where growth has come round to it already.
    let is_over = |info: &PartitionInfo| {
        let mut own = info.members.iter().filter(|member| member.peer == old.peer_id());
        info.recovery.is_some() && info.trouble.is_none() && own.any(|member| member.life > 0)
    };
    wait(&old, |all| all.iter().all(is_over)).await;
    put(&old, "fig", "6").await;
    assert_eq!(value(&first, "fig").await.as_deref(), Some("6"));
    for node in fresh.into_iter().chain([first, old]) {
        node.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_w111_a_node_whose_log_is_gone_learns_from_the_others_and_votes_again() {
    let place = Place::new();
    let (first, [second, third]) = start_three(&place).await;
    put(&first, "apple", "3").await;
    let peer = second.peer_id();
    second.close().await.unwrap();
    std::fs::remove_dir_all(place.path("second").join("log")).unwrap();
    put(&first, "pear", "4").await;
    let last_life = |info: &PartitionInfo| {
        let own = info.members.iter().filter(|member| member.is_voter && member.peer == peer);
        own.map(|member| (info.partition, member.life)).max()
    };
    let earlier: Vec<_> = first.partitions().await.unwrap().iter().map(last_life).collect();
    let second = start(&place, "second", &first.addresses()).await;
    let votes_again = |info: &PartitionInfo| {
        voters(info) == 3 && last_life(info) > earlier[info.partition.0 as usize]
    };
    wait(&first, |all| all.len() == 2 && all.iter().all(votes_again)).await;
    // Its vote counts: without it there is no majority now.
    third.close().await.unwrap();
    put(&second, "plum", "5").await;
    // It is forgotten for good, and does not ask again.
    second.close().await.unwrap();
    let second = start(&place, "second", &first.addresses()).await;
    for (key, expected) in [("apple", "3"), ("pear", "4"), ("plum", "5")] {
        assert_eq!(value(&second, key).await.as_deref(), Some(expected));
    }
    let is_whole = |info: &PartitionInfo| info.trouble.is_none() && votes_again(info);
    wait(&second, |all| all.len() == 2 && all.iter().all(is_whole)).await;
    for node in [first, second] {
        node.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_a_node_alone_whose_log_is_gone_names_the_damage_and_takes_nothing() {
    let place = Place::new();
    let first = start(&place, "first", &[]).await;
    put(&first, "apple", "3").await;
    first.close().await.unwrap();
    drop(first);
    std::fs::remove_dir_all(place.path("first").join("log")).unwrap();
    for _ in 0..2 {
        let first = started(&place, "first", &[]).await;
        let told = first.status().read_only.unwrap();
        assert!(told.contains("the end of the log is missing"), "{told}");
        assert!(first.readiness().is_err());
        let tree = first.raw_tree("stock");
        let made = tokio::time::timeout(Duration::from_millis(300), tree.create()).await;
        assert!(!matches!(made, Ok(Ok(_))), "nobody would know of it");
        first.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_c16_a_node_alone_that_has_lost_the_end_of_its_log_goes_on_with_what_is_left() {
    let place = Place::new();
    let start = async || {
        let mut config = config(&place.path("first"), Vec::new());
        (config.partitions, config.store.log_segment_bytes) = (1, 1 << 20);
        ready(Weald::node(config).start().await.unwrap()).await
    };
    let first = start().await;
    let large = "x".repeat(100_000);
    for number in 0..30 {
        put(&first, &format!("key-{number}"), &large).await;
    }
    first.close().await.unwrap();
    drop(first);
    let log = place.path("first").join("log");
    let mut segments: Vec<_> =
        std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort_unstable();
    segments.iter().skip(1).for_each(|segment| std::fs::remove_file(segment).unwrap());
    recover_stopped(&place, "first", &["--all"]).refused(3, "--accept-loss");
    let done = recover(&place, "first", &["--all", "--accept-loss", "--i-know"]);
    assert_eq!((done.code, lines(&done)[0]["applied"].as_bool()), (0, Some(true)), "{done:?}");
    let first = start().await;
    for number in 0..30 {
        assert!(value(&first, &format!("key-{number}")).await.is_some(), "the state had it");
    }
    put(&first, "pear", "4").await;
    first.close().await.unwrap();
    drop(first);
    std::fs::remove_dir_all(&log).unwrap();
    recover_stopped(&place, "first", &["--all", "--accept-loss"]).refused(2, "holds nothing");
}

/// What a subscription tells next, but for how far it has come.
async fn told(reader: &mut Subscription) -> Result<String, u64> {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(60), reader.next());
        match next.await.expect("something is told").unwrap().unwrap() {
            TopicEvent::Message(message) => {
                return Ok(String::from_utf8(message.body.to_vec()).unwrap());
            }
            TopicEvent::Reset { generation } => return Err(generation),
            TopicEvent::Gap { first, last } => panic!("a gap from {first} to {last}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps1553_a_subscriber_is_told_once_that_a_new_generation_began_and_goes_on() {
    let place = Place::new();
    let (first, others) = start_three(&place).await;
    let addresses = first.addresses();
    let light = NodeConfig { light: true, ..config(&place.path("none"), addresses.clone()) };
    let light = ready(Weald::node(light).start().await.unwrap()).await;
    let news = light.topic("news").open_or_create().await.unwrap();
    for body in ["one", "two"] {
        news.publish(body).await.unwrap();
    }
    let mut reader = news.subscribe(SubscribeOptions::default()).await.unwrap();
    assert_eq!(told(&mut reader).await, Ok("one".to_owned()));
    assert_eq!(told(&mut reader).await, Ok("two".to_owned()));
    let durable = SubscribeOptions { durable: Some("kept".into()), ..Default::default() };
    let mut kept = news.subscribe(durable.clone()).await.unwrap();
    assert_eq!(told(&mut kept).await, Ok("one".to_owned()));
    kept.acknowledge(kept.last_seen_version()).await.unwrap();
    drop(kept);
    for node in others.into_iter().chain([first]) {
        node.close().await.unwrap();
    }
    assert_eq!(recover_stopped(&place, "first", &["--all", "--i-know"]).code, 0);
    // It listens where it did.
    let listen = addresses.iter().map(|address| address.split("/p2p/").next().unwrap().to_owned());
    let again = NodeConfig { listen: listen.collect(), ..config(&place.path("first"), Vec::new()) };
    let first = ready(Weald::node(again).start().await.unwrap()).await;
    wait(&first, |all| all.len() == 2 && all.iter().all(|info| info.recovery.is_some())).await;
    first.topic("news").open().await.unwrap().publish("three").await.unwrap();
    assert_eq!(told(&mut reader).await, Err(1), "it is told of the new generation");
    for body in ["one", "two", "three"] {
        assert_eq!(told(&mut reader).await, Ok(body.to_owned()), "and hears all of it");
    }
    first.topic("news").open().await.unwrap().publish("four").await.unwrap();
    assert_eq!(told(&mut reader).await, Ok("four".to_owned()), "once");
    // So is one that was away meanwhile, when it comes back.
    let mut kept = news.subscribe(durable.clone()).await.unwrap();
    assert_eq!(told(&mut kept).await, Err(1), "its cursor says nothing any more");
    assert_eq!(told(&mut kept).await, Ok("one".to_owned()));
    kept.acknowledge(kept.last_seen_version()).await.unwrap();
    drop(kept);
    let mut kept = news.subscribe(durable).await.unwrap();
    assert_eq!(told(&mut kept).await, Ok("two".to_owned()), "it goes on, and is not told again");
}
