//! The end of an asker, and what it tells of peers that fail.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::{runtime::Runtime, sync::oneshot::error::TryRecvError};
use weald_cluster::{
    placement::{Node as PlacedNode, Nodes, Ranges, ResponsibilityK},
    routing::{Config, Reign},
};
use weald_core::{Calling, Digest, LogIndex, Mailbox, MailboxError, PeerInfo, Priority, StoreId};

use super::*;
use crate::{
    MetricValue,
    reach::{figures, message::VIEW},
};

/// A network in which nobody ever answers.
struct Silence;

impl Mailbox for Silence {
    fn send(&self, _: PeerId, _: Priority, _: Bytes) -> Result<(), MailboxError> {
        Ok(())
    }
}

impl Transport for Silence {
    fn call(&self, _: PeerId, _: Call) -> Calling {
        Box::pin(std::future::pending())
    }

    fn local_peer(&self) -> PeerId {
        peer(0)
    }

    fn peers(&self) -> Vec<PeerInfo> {
        Vec::new()
    }
}

fn peer(byte: u8) -> PeerId {
    PeerId::from_digest(Digest::of("weald test", &[&[byte]]))
}

#[test]
fn whoever_waits_for_an_answer_is_let_go_when_the_runtime_ends() {
    let runtime = Runtime::new().unwrap();
    let router = Router::new(Config { seeds: vec![peer(1)], ..Config::default() }, 0).unwrap();
    let asker = Asker::start(router, Arc::new(Silence), runtime.handle().clone());
    let ask = || {
        let (caller, receiver) = Caller::channel();
        let purpose = Purpose::Read(PlacementKey::from_u64(0));
        let deadline = Instant::now() + Duration::from_secs(3600);
        let payload = Bytes::new();
        asker.ask(Ask { service: VIEW, purpose, payload, deadline, tried: Vec::new() }, caller);
        receiver
    };
    let mut waiting = ask();
    assert_eq!(waiting.try_recv().unwrap_err(), TryRecvError::Empty);
    drop(runtime);
    assert!(waiting.blocking_recv().is_err(), "it is told that no answer comes");
    assert!(ask().blocking_recv().is_err(), "nobody waits from then on");
}

#[test]
fn a_runtime_that_ends_before_it_did_anything_lets_go_of_whoever_waits() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let router = Router::new(Config { seeds: vec![peer(1)], ..Config::default() }, 0).unwrap();
    let asker = Asker::start(router, Arc::new(Silence), runtime.handle().clone());
    let (caller, mut waiting) = Caller::channel();
    let purpose = Purpose::Read(PlacementKey::from_u64(0));
    let deadline = Instant::now() + Duration::from_secs(3600);
    let payload = Bytes::new();
    asker.ask(Ask { service: VIEW, purpose, payload, deadline, tried: Vec::new() }, caller);
    drop(runtime);
    assert_eq!(waiting.try_recv().unwrap_err(), TryRecvError::Closed);
}

/// A network whose only peer is reached now and then. It answers at once.
#[derive(Default)]
struct Fickle {
    is_reached: AtomicBool,
}

impl Mailbox for Fickle {
    fn send(&self, _: PeerId, _: Priority, _: Bytes) -> Result<(), MailboxError> {
        Ok(())
    }
}

impl Transport for Fickle {
    fn call(&self, peer: PeerId, call: Call) -> Calling {
        if !self.is_reached.load(Ordering::Relaxed) {
            return Box::pin(async move { Err(CallError::Unreachable(peer)) });
        }
        let Request { ticket, attempt, partition, .. } = Request::from_wire(&call.body).unwrap();
        let answer = Answer::Done { partition, reign: Reign::default(), bytes: Bytes::new() };
        let reply = Reply { ticket, attempt, answer }.to_wire();
        Box::pin(async move { Ok(reply) })
    }

    fn local_peer(&self) -> PeerId {
        peer(0)
    }

    fn peers(&self) -> Vec<PeerInfo> {
        Vec::new()
    }
}

/// A map of one node.
fn map() -> Map {
    let store = StoreId([1; 16]);
    let nodes = Nodes::new([(peer(1), PlacedNode::new(store))]).unwrap();
    let version = Version { generation: 0, index: LogIndex(1) };
    Map::computed(version, &Ranges::founded(1).unwrap(), &nodes, ResponsibilityK::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_waits_for_the_map_of_a_node_that_has_just_started() {
    let router = Router::new(Config::default(), 0).unwrap();
    let network = Arc::new(Fickle { is_reached: AtomicBool::new(true) });
    let asker = Asker::start(router, network, Handle::current());
    let ask = |patience| {
        let (caller, receiver) = Caller::channel();
        let purpose = Purpose::Read(PlacementKey::from_u64(0));
        let deadline = Instant::now() + patience;
        let payload = Bytes::new();
        asker.ask(Ask { service: VIEW, purpose, payload, deadline, tried: Vec::new() }, caller);
        receiver
    };
    let impatient = ask(3 * ASTRAY_PAUSE);
    let waiting = ask(Duration::from_secs(60));
    let ended = impatient.await.expect("it is told");
    assert!(matches!(ended, Err(RouteError::NoRoute { .. })), "nobody is known: {ended:?}");
    asker.adopt(map());
    waiting.await.expect("it is told").expect("it is answered once a member is known");
}

/// Values of all figures of a name, with the values of their labels.
fn told(asker: &Asker, name: &str) -> Vec<(Vec<String>, u64)> {
    let metrics = figures::metrics(asker).into_iter().filter(|metric| metric.name == name);
    let read = metrics.map(|metric| {
        let labels = metric.labels.into_iter().map(|(_, value)| value).collect();
        match metric.value {
            MetricValue::Counter(count) | MetricValue::Gauge(count) => (labels, count),
            MetricValue::Times(_) => panic!("{name}"),
        }
    });
    read.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn w9_metrics_tell_the_state_of_a_breaker() {
    let seeds = vec![peer(1)];
    let router = Router::new(Config { seeds, ..Config::default() }, 0).unwrap();
    let network = Arc::new(Fickle::default());
    let asker = Asker::start(router, Arc::clone(&network) as _, Handle::current());
    let tripped = || told(&asker, "weald_breakers").iter().map(|(_, count)| count).sum::<u64>();
    assert_eq!((tripped(), told(&asker, "weald_breaker_state").len()), (0, 0));
    let (caller, receiver) = Caller::channel();
    let purpose = Purpose::Read(PlacementKey::from_u64(0));
    let deadline = Instant::now() + Duration::from_secs(60);
    let payload = Bytes::new();
    asker.ask(Ask { service: VIEW, purpose, payload, deadline, tried: Vec::new() }, caller);
    while tripped() == 0 {
        assert!(Instant::now() < deadline, "a peer that keeps failing is left alone");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(told(&asker, "weald_breaker_openings_total")[0].1 >= 1);
    let [(labels, state)] = &told(&asker, "weald_breaker_state")[..] else { panic!("one breaker") };
    assert_eq!(labels, &[peer(1).to_string(), PartitionId(0).to_string()]);
    assert!([1, 2].contains(state), "open, or tried with one request: {state}");
    network.is_reached.store(true, Ordering::Relaxed);
    receiver.await.expect("it is answered").expect("the request that tries it is answered");
    assert_eq!((tripped(), told(&asker, "weald_breaker_state").len()), (0, 0), "it is closed");
}
