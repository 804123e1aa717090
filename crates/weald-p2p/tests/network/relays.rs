//! Nodes that cannot be dialled: a relay carries their connections, until they get through themselves.

use std::net::{Ipv4Addr, TcpListener};

use bytes::Bytes;
use weald_core::Transport;
use weald_p2p::Config;

use crate::rig::{ECHO, LONG, Node, config, peer, start, until};

/// A node that carries for others. A relay has to know the address that it is reached at.
async fn relay(number: u64) -> Node {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    let mut config = config(number, &[]);
    (config.listen, config.external) = (vec![address.clone()], vec![address]);
    config.reachability.relay_server = true;
    start(config).await
}

/// Where `relay` carries for others.
fn circuit(relay: &Node) -> String {
    format!("{}/p2p-circuit", relay.address())
}

/// A node that uses relays and listens on `listen`.
fn client(number: u64, listen: Vec<String>) -> Config {
    let mut config = config(number, &[]);
    config.reachability.relay_client = true;
    config.listen = listen;
    config
}

/// The address of `node` at a relay, once it has a place there.
async fn place(node: &Node) -> String {
    let find = || {
        let mut addresses = node.network.listen_addresses().into_iter();
        addresses.find(|address| address.contains("p2p-circuit"))
    };
    until("there is a place at the relay", || find().is_some()).await;
    find().expect("it was there")
}

/// How `node` reaches peer `number`: whether only through a relay.
fn is_relayed(node: &Node, number: u64) -> Option<bool> {
    let peers = node.network.peers();
    peers.iter().find(|info| info.peer == peer(number)).map(|info| info.relayed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_nobody_can_dial_is_called_through_a_relay() {
    let relay = relay(1).await;
    let mut hidden = start(client(2, vec![circuit(&relay)])).await;
    hidden.meets(peer(1)).await;
    let mut guest = client(3, Vec::new());
    guest.seeds = vec![place(&hidden).await];
    let mut guest = start(guest).await;
    guest.meets(peer(2)).await;
    let asked = Bytes::from_static(b"through a relay");
    let answer = guest.network.call(peer(2), ECHO, asked.clone(), LONG).await;
    assert_eq!(answer.unwrap(), asked);
    let addresses = hidden.network.listen_addresses();
    assert!(addresses.iter().all(|address| address.contains("p2p-circuit")), "{addresses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_met_through_a_relay_get_through_to_each_other() {
    let relay = relay(1).await;
    let own = "/ip4/127.0.0.1/tcp/0".to_owned();
    let mut hidden = start(client(2, vec![own.clone(), circuit(&relay)])).await;
    hidden.meets(peer(1)).await;
    let mut guest = client(3, vec![own]);
    guest.seeds = vec![place(&hidden).await];
    let mut guest = start(guest).await;
    guest.meets(peer(2)).await;
    until("they are connected directly", || is_relayed(&guest, 2) == Some(false)).await;
    let answer = guest.network.call(peer(2), ECHO, Bytes::from_static(b"direct"), LONG).await;
    assert_eq!(answer.unwrap(), "direct");
}
