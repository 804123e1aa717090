//! Who may connect: peers of the same network, on the list, with the key.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use weald_core::identity::{Identity, KeyError, KeyStore, PublicKey, Signature};
use weald_core::{Handlers, StrangerReason};
use weald_p2p::limits::FAILURES_MAX;
use weald_p2p::{Config, Network, PreSharedKey, StartError};

use crate::rig::{ECHO, LONG, Told, config, free_address, identity, pair, peer, start, until};

/// Starts `config` beside a node and says how that node turned it away.
async fn reason_at(mut host: crate::rig::Node, guest: Config) -> StrangerReason {
    let guest = start(guest).await;
    let stranger = host.refuses().await;
    assert!(host.peers().is_empty());
    assert!(guest.peers().is_empty());
    stranger.reason
}

#[tokio::test]
async fn a_node_of_another_network_is_turned_away() {
    let host = start(config(1, &[])).await;
    let mut guest = config(2, &[&host]);
    guest.network = "other".parse().unwrap();
    assert_eq!(reason_at(host, guest).await, StrangerReason::OtherNetwork);
}

#[tokio::test]
async fn a_node_that_is_not_on_the_list_is_turned_away_and_one_that_is_may_come() {
    let mut host = config(1, &[]);
    host.admission.allowed = Some(BTreeSet::from([peer(2)]));
    let mut host = start(host).await;
    let mut listed = start(config(2, &[&host])).await;
    listed.meets(peer(1)).await;
    let _unlisted = start(config(3, &[&host])).await;
    let stranger = host.refuses().await;
    assert_eq!((stranger.peer, stranger.reason), (Some(peer(3)), StrangerReason::NotAllowed));
    assert_eq!(host.peers(), [peer(2)]);
}

#[tokio::test]
async fn a_node_without_the_shared_key_is_turned_away_and_one_with_it_may_come() {
    let key = |byte| Some(PreSharedKey::new([byte; 32]));
    let mut host = config(1, &[]);
    host.admission.pre_shared_key = key(1);
    let mut host = start(host).await;
    let mut guest = config(2, &[&host]);
    guest.admission.pre_shared_key = key(1);
    let mut guest = start(guest).await;
    guest.meets(peer(1)).await;
    assert!(guest.network.call(peer(1), ECHO, Bytes::new(), LONG).await.is_ok());
    for (number, wrong) in [(3, key(2)), (4, None)] {
        let mut stranger = config(number, &[&host]);
        stranger.admission.pre_shared_key = wrong;
        let _stranger = start(stranger).await;
        assert_eq!(host.refuses().await.reason, StrangerReason::Handshake);
    }
    assert_eq!(host.peers(), [peer(2)]);
}

#[tokio::test]
async fn d66_more_connections_than_there_may_be_are_turned_away() {
    let mut host = config(1, &[]);
    host.connections.established_max = 1;
    let mut host = start(host).await;
    let _first = start(config(2, &[&host])).await;
    host.meets(peer(2)).await;
    let _second = start(config(3, &[&host])).await;
    assert_eq!(host.refuses().await.reason, StrangerReason::TooMany);
    assert_eq!(host.peers(), [peer(2)]);
}

#[tokio::test]
async fn those_that_come_leave_room_for_whom_the_node_dials() {
    let mut host = config(1, &[]);
    host.connections.established_max = 4;
    let mut host = start(host).await;
    let mut guests = Vec::new();
    for number in 2..5 {
        guests.push(start(config(number, &[&host])).await);
        host.meets(peer(number)).await;
    }
    guests.push(start(config(5, &[&host])).await);
    assert_eq!(host.refuses().await.reason, StrangerReason::TooMany);
    let other = start(config(6, &[])).await;
    host.network.dial(&other.address()).unwrap();
    host.meets(peer(6)).await;
}

#[tokio::test]
async fn a_seed_has_a_place_when_others_have_taken_all() {
    let address = free_address();
    let mut host = config(1, &[]);
    host.connections.established_max = 1;
    let seed_id = identity_text(9).await;
    host.seeds = vec![format!("{address}/p2p/{seed_id}")];
    let mut host = start(host).await;
    let _guest = start(config(2, &[&host])).await;
    host.meets(peer(2)).await;
    let mut seed = config(9, &[]);
    seed.listen = vec![address];
    let _seed = start(seed).await;
    host.meets(peer(9)).await;
}

/// How an address names node `number`.
async fn identity_text(number: u64) -> String {
    host_id(&start(config(number, &[])).await)
}

#[tokio::test]
async fn ps1193_ps1196_another_peer_at_a_known_address_is_not_taken_for_the_one_that_was_there() {
    let host = start(config(1, &[])).await;
    let mut guest = config(2, &[]);
    let elsewhere = host.address().replace(&host_id(&host), &host_id(&start(config(5, &[])).await));
    guest.seeds = vec![elsewhere];
    let mut guest = start(guest).await;
    let stranger = guest.refuses().await;
    assert_eq!((stranger.peer, stranger.reason), (Some(peer(1)), StrangerReason::Handshake));
}

/// The last part of a node's address: who it is.
fn host_id(node: &crate::rig::Node) -> String {
    node.address().rsplit('/').next().expect("an address has parts").to_owned()
}

#[tokio::test]
async fn a_key_that_cannot_be_exported_is_refused_at_the_start() {
    struct Token(Identity);
    impl KeyStore for Token {
        fn public(&self) -> PublicKey {
            self.0.public()
        }
        fn sign(&self, domain: &str, message: &[u8]) -> Result<Signature, KeyError> {
            self.0.sign(domain, message)
        }
    }
    let (host, _) = pair().await;
    let mut guest = config(7, &[&host]);
    guest.keys = Arc::new(Token(identity(7)));
    let handlers = Handlers {
        frames: Arc::new(Nothing),
        services: Default::default(),
        events: Arc::new(Nothing),
    };
    let error = Network::start(guest, handlers).await.unwrap_err();
    assert!(matches!(error, StartError::Key(KeyError::NotExportable)), "{error}");
}

struct Nothing;

impl weald_core::FrameSink for Nothing {
    fn frame(&self, _: weald_core::PeerId, _: weald_core::Priority, _: Bytes) -> bool {
        false
    }
}

impl weald_core::NetworkEvents for Nothing {
    fn connected(&self, _: weald_core::PeerInfo) {}
    fn disconnected(&self, _: weald_core::PeerId) {}
}

#[tokio::test]
async fn quic_and_a_shared_key_exclude_each_other() {
    let mut node = config(1, &[]);
    node.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".to_owned()];
    node.admission.pre_shared_key = Some(PreSharedKey::new([1; 32]));
    let handlers = Handlers {
        frames: Arc::new(Nothing),
        services: Default::default(),
        events: Arc::new(Nothing),
    };
    let error = Network::start(node, handlers).await.unwrap_err();
    assert!(matches!(error, StartError::QuicWithKey(_)), "{error}");
}

#[tokio::test]
async fn events_tell_of_each_peer_once() {
    let mut a = start(config(1, &[])).await;
    let b = start(config(2, &[&a, &a])).await;
    a.meets(peer(2)).await;
    b.network.shutdown().await;
    assert_eq!(a.next().await, Told::Disconnected(peer(2)));
}

#[tokio::test]
async fn d66_who_fails_again_and_again_waits_and_peers_do_not_notice() {
    let (mut host, guest) = pair().await;
    let port = host.address().split('/').nth(4).map(str::to_owned).expect("a port");
    let is_refused = || host.network.metrics().connections_refused_count > 0;
    for knocks in 1.. {
        let mut noise = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
        // It may be closed already.
        noise.write_all(b"GET / HTTP/1.1\r\n\r\n").await.ok();
        if is_refused() {
            break;
        }
        assert!(knocks < 10_000, "all are let in");
    }
    let strangers = || host.network.metrics().strangers_count;
    until("all that failed are told of", || strangers() > u64::from(FAILURES_MAX)).await;
    assert!(guest.network.call(peer(1), ECHO, Bytes::new(), LONG).await.is_ok());
    let _newcomer = start(config(3, &[&host])).await;
    host.meets(peer(3)).await;
}
