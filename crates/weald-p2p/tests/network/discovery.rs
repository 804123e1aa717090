//! How peers are found: through others, through the book, by names of hosts, over QUIC.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use weald_core::Digest;
use weald_p2p::{Fallback, Multicast, NearestSource};

use crate::rig::{ECHO, LONG, Node, config, peer, start, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_know_one_seed_find_each_other() {
    let first = start(config(1, &[])).await;
    let mut nodes = vec![first];
    for number in 2..=10 {
        let node = start(config(number, &[&nodes[0]])).await;
        nodes.push(node);
    }
    until("all are connected", || nodes.iter().all(|node| node.peers().len() == 9)).await;
    let last = nodes.last().unwrap();
    for number in 1..=9 {
        assert!(last.network.call(peer(number), ECHO, Bytes::new(), LONG).await.is_ok());
    }
}

#[tokio::test]
async fn ps310_ps494_ps551_ps727_ps1784_a_lookup_finds_the_nearest_peers_through_the_table() {
    let first = start(config(1, &[])).await;
    let mut nodes = vec![first];
    for number in 2..=5 {
        let node = start(config(number, &[&nodes[0]])).await;
        nodes.push(node);
    }
    until("all are connected", || nodes.iter().all(|node| node.peers().len() == 4)).await;
    let key = Digest::from_bytes([9; 32]);
    let found = nodes[4].network.nearest(key, 3, LONG).await.unwrap();
    assert_eq!(found.source, NearestSource::Table);
    assert_eq!(found.peers.len(), 3);
    assert!(found.request_count > 0);
    assert!(found.peers.iter().all(|near| !near.addresses.is_empty()));
    // Everybody gives the same answer, except that nobody names itself.
    let all: Vec<_> = nodes[4].network.nearest(key, 5, LONG).await.unwrap().peers;
    let names =
        |peers: &[weald_p2p::NearPeer]| peers.iter().map(|near| near.peer).collect::<Vec<_>>();
    assert_eq!(names(&all)[..3], names(&found.peers)[..]);
    let from_first = nodes[0].network.nearest(key, 5, LONG).await.unwrap().peers;
    let common = |names: Vec<_>| {
        names.into_iter().filter(|name| ![peer(1), peer(5)].contains(name)).collect::<Vec<_>>()
    };
    assert_eq!(common(names(&from_first)), common(names(&all)));
}

#[tokio::test]
async fn d23_without_a_table_a_lookup_falls_back_to_connected_peers_and_says_so() {
    let alone = |number, seeds: &[&Node]| {
        let mut config = config(number, seeds);
        config.discovery.lookups = false;
        config
    };
    let a = start(alone(1, &[])).await;
    let key = Digest::from_bytes([3; 32]);
    let found = a.network.nearest(key, 3, LONG).await.unwrap();
    assert_eq!((found.source, found.peers.len()), (NearestSource::Connected(Fallback::Off), 0));
    let mut b = start(alone(2, &[&a])).await;
    b.meets(peer(1)).await;
    let found = b.network.nearest(key, 3, LONG).await.unwrap();
    assert_eq!(found.source, NearestSource::Connected(Fallback::Off));
    assert_eq!(found.peers.iter().map(|near| near.peer).collect::<Vec<_>>(), [peer(1)]);
    assert_eq!(b.network.metrics().lookups_fallen_back_count, 1);
}

#[tokio::test]
async fn d23_a_table_that_knows_nobody_is_no_help_either() {
    let a = start(config(1, &[])).await;
    let found = a.network.nearest(Digest::from_bytes([3; 32]), 3, LONG).await.unwrap();
    assert_eq!(found.source, NearestSource::Connected(Fallback::Empty));
}

#[tokio::test]
async fn d23_a_lookup_that_is_too_slow_ends_by_its_deadline_with_connected_peers() {
    let a = start(config(1, &[])).await;
    let mut b = start(config(2, &[&a])).await;
    b.meets(peer(1)).await;
    let found = b.network.nearest(Digest::from_bytes([3; 32]), 3, Duration::ZERO).await.unwrap();
    let names: BTreeSet<_> = found.peers.iter().map(|near| near.peer).collect();
    assert_eq!(names, BTreeSet::from([peer(1)]));
}

#[tokio::test]
async fn a_node_remembers_its_peers_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("peers");
    let mut a = start(config(1, &[])).await;
    let mut config_b = config(2, &[&a]);
    config_b.address_book = Some(book.clone());
    let mut b = start(config_b.clone()).await;
    b.meets(peer(1)).await;
    b.network.shutdown().await;
    a.loses(peer(2)).await;
    config_b.seeds = Vec::new();
    let mut b = start(config_b).await;
    b.meets(peer(1)).await;
}

#[tokio::test]
async fn nodes_talk_over_quic_and_under_names_of_hosts() {
    let mut host = config(1, &[]);
    host.listen.push("/ip4/127.0.0.1/udp/0/quic-v1".to_owned());
    let host = start(host).await;
    let addresses = host.network.listen_addresses();
    let quic = addresses.iter().find(|address| address.contains("quic")).unwrap();
    let named = addresses.iter().find(|address| address.contains("tcp")).unwrap();
    let named = named.replace("/ip4/127.0.0.1/", "/dns4/localhost/");
    for (number, address) in [(2, quic), (3, &named)] {
        let mut guest = config(number, &[]);
        guest.seeds = vec![address.clone()];
        let mut guest = start(guest).await;
        guest.meets(peer(1)).await;
        assert!(guest.network.call(peer(1), ECHO, Bytes::new(), LONG).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_on_one_machine_find_each_other_without_seeds() {
    if !has_multicast() {
        // On a machine without a network nobody can be told.
        return;
    }
    let everywhere = |number| {
        let mut config = config(number, &[]);
        config.network = format!("multicast-{}", std::process::id()).parse().expect("a name");
        config.listen = vec!["/ip4/0.0.0.0/tcp/0".to_owned()];
        config.discovery.multicast = Multicast::On;
        config
    };
    let mut a = start(everywhere(1)).await;
    let mut b = start(everywhere(2)).await;
    a.meets(peer(2)).await;
    b.meets(peer(1)).await;
}

/// Whether what is sent to a multicast group comes back to this machine.
fn has_multicast() -> bool {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let comes_back = || -> std::io::Result<bool> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.send_to(b"weald", (group, socket.local_addr()?.port()))?;
        let mut bytes = [0; 16];
        let count = socket.recv(&mut bytes)?;
        Ok(&bytes[..count] == b"weald")
    };
    comes_back().unwrap_or(false)
}
