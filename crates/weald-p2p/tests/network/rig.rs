//! Nodes for tests: each with an echo, a service that keeps its requests, and records of what it
//! was told.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use weald_core::identity::{Identity, KeyStore};
use weald_core::{
    Caller, Clock, FrameSink, Handlers, NetworkEvents, PeerId, PeerInfo, Priority, Reply,
    SeededEntropy, Service, ServiceHandler, Stranger, Time, Transport,
};
use weald_p2p::{Config, Multicast, Network};

/// Answers with what it is asked.
pub(crate) const ECHO: Service = Service(1);
/// Keeps every request.
pub(crate) const STALL: Service = Service(2);
/// Nobody's.
pub(crate) const NOBODY: Service = Service(999);
/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// What a node was told by its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Connected(PeerId),
    Disconnected(PeerId),
    Refused(Stranger),
}

/// A node: its network and what it heard.
pub(crate) struct Node {
    pub(crate) network: Network,
    pub(crate) told: mpsc::UnboundedReceiver<Told>,
    pub(crate) frames: mpsc::Receiver<(PeerId, Priority, Bytes)>,
    /// Requests that [`STALL`] keeps.
    pub(crate) stalled: Arc<Mutex<Vec<Reply>>>,
    /// Everyone who asked [`ECHO`].
    pub(crate) callers: Arc<Mutex<Vec<Caller>>>,
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

struct Echo(Arc<Mutex<Vec<Caller>>>);

impl ServiceHandler for Echo {
    fn call(&self, caller: Caller, body: Bytes, reply: Reply) {
        self.0.lock().expect("nobody panicked with it").push(caller);
        reply.send(Ok(body));
    }
}

struct Stall(Arc<Mutex<Vec<Reply>>>);

impl ServiceHandler for Stall {
    fn call(&self, _: Caller, _: Bytes, reply: Reply) {
        self.0.lock().expect("nobody panicked with it").push(reply);
    }
}

struct Frames(mpsc::Sender<(PeerId, Priority, Bytes)>);

impl FrameSink for Frames {
    fn frame(&self, from: PeerId, priority: Priority, frame: Bytes) -> bool {
        self.0.try_send((from, priority, frame)).is_ok()
    }
}

struct Events(mpsc::UnboundedSender<Told>);

impl NetworkEvents for Events {
    fn connected(&self, peer: PeerInfo) {
        let _ = self.0.send(Told::Connected(peer.peer));
    }

    fn disconnected(&self, peer: PeerId) {
        let _ = self.0.send(Told::Disconnected(peer));
    }

    fn refused(&self, stranger: Stranger) {
        let _ = self.0.send(Told::Refused(stranger));
    }
}

/// The key of node `number`.
pub(crate) fn identity(number: u64) -> Identity {
    Identity::generate(&mut SeededEntropy::new(number))
}

/// The peer that node `number` is.
pub(crate) fn peer(number: u64) -> PeerId {
    identity(number).public().peer_id()
}

/// Node `number` of the network "test": it listens on a port of its own, knows `seeds`, and finds
/// nobody by multicast.
pub(crate) fn config(number: u64, seeds: &[&Node]) -> Config {
    let keys = Arc::new(identity(number));
    let mut config = Config::new("test".parse().expect("a name"), keys, Arc::new(SystemClock));
    config.listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
    config.seeds = seeds.iter().flat_map(|node| node.network.listen_addresses()).collect();
    config.discovery.multicast = Multicast::Off;
    config
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().expect("it is bound").port())
}

/// Has a node ask others whether they can dial it, and answer them, on this machine and soon.
pub(crate) fn ask_soon(config: &mut Config) {
    config.reachability.probe = true;
    config.reachability.probe_local = true;
    config.reachability.probe_pause = Duration::from_millis(100);
}

/// Starts a node.
pub(crate) async fn start(config: Config) -> Node {
    let (events, told) = mpsc::unbounded_channel();
    let (frame_sender, frames) = mpsc::channel(100_000);
    let (stalled, callers) = (Arc::default(), Arc::default());
    let services: BTreeMap<_, Arc<dyn ServiceHandler>> = BTreeMap::from([
        (ECHO, Arc::new(Echo(Arc::clone(&callers))) as Arc<dyn ServiceHandler>),
        (STALL, Arc::new(Stall(Arc::clone(&stalled)))),
    ]);
    let handlers = Handlers {
        frames: Arc::new(Frames(frame_sender)),
        services,
        events: Arc::new(Events(events)),
    };
    let network = Network::start(config, handlers).await.expect("the network starts");
    Node { network, told, frames, stalled, callers }
}

/// Two nodes that are connected.
pub(crate) async fn pair() -> (Node, Node) {
    let mut a = start(config(1, &[])).await;
    let mut b = start(config(2, &[&a])).await;
    a.meets(peer(2)).await;
    b.meets(peer(1)).await;
    (a, b)
}

impl Node {
    /// Waits for what the network tells next.
    pub(crate) async fn next(&mut self) -> Told {
        tokio::time::timeout(LONG, self.told.recv())
            .await
            .expect("told in time")
            .expect("the network lives")
    }

    /// Waits until it tells `what`; other things are skipped.
    pub(crate) async fn hears(&mut self, what: impl Fn(&Told) -> bool) -> Told {
        loop {
            let told = self.next().await;
            if what(&told) {
                return told;
            }
        }
    }

    /// Waits until `peer` is connected.
    pub(crate) async fn meets(&mut self, peer: PeerId) {
        self.hears(|told| *told == Told::Connected(peer)).await;
    }

    /// Waits until `peer` is lost.
    pub(crate) async fn loses(&mut self, peer: PeerId) {
        self.hears(|told| *told == Told::Disconnected(peer)).await;
    }

    /// Waits until somebody was turned away.
    pub(crate) async fn refuses(&mut self) -> Stranger {
        match self.hears(|told| matches!(told, Told::Refused(_))).await {
            Told::Refused(stranger) => stranger,
            other => panic!("not a stranger: {other:?}"),
        }
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> (PeerId, Priority, Bytes) {
        tokio::time::timeout(LONG, self.frames.recv())
            .await
            .expect("a frame in time")
            .expect("the network lives")
    }

    /// Who is connected.
    pub(crate) fn peers(&self) -> Vec<PeerId> {
        self.network.peers().into_iter().map(|info| info.peer).collect()
    }

    /// The one address that it listens on.
    pub(crate) fn address(&self) -> String {
        self.network.listen_addresses().remove(0)
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, wait).await.is_ok(), "in time: {what}");
}
