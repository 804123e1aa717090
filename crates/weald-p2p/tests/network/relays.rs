//! Nodes that cannot be dialled: a relay carries their connections, until they get through themselves.

use bytes::Bytes;
use weald_core::{StrangerReason, Transport};
use weald_p2p::limits::{RELAYS_MAX, SHARED_SOURCE_FACTOR};
use weald_p2p::{Config, Reachable};

use crate::rig::{ECHO, LONG, Node, ask_soon, config, free_address, peer, start, until};

/// A node that carries for others. A relay has to know the address that it is reached at.
async fn relay(number: u64) -> Node {
    relay_at(number, free_address()).await
}

async fn relay_at(number: u64, address: String) -> Node {
    let mut config = config(number, &[]);
    (config.listen, config.external) = (vec![address.clone()], vec![address]);
    config.reachability.relay_server = true;
    ask_soon(&mut config);
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
    let find = || node.network.relayed_addresses().into_iter().next();
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
async fn a_node_has_a_place_at_the_relay_that_it_names_and_whoever_has_the_address_calls_it_there()
{
    let (named, other) = (relay(1).await, relay(4).await);
    let mut hidden = client(2, Vec::new());
    hidden.relays = vec![named.address()];
    hidden.seeds = vec![other.address()];
    let hidden = start(hidden).await;
    let place = place(&hidden).await;
    assert!(place.starts_with(&named.address()), "{place}");
    // It uses no relays itself.
    let mut guest = config(3, &[]);
    (guest.listen, guest.seeds) = (Vec::new(), vec![place]);
    let mut guest = start(guest).await;
    guest.meets(peer(2)).await;
    assert_eq!(is_relayed(&guest, 2), Some(true));
    until("both sides know", || is_relayed(&hidden, 3) == Some(true)).await;
    // More than a relay carries whose bounds are those of the library.
    let asked = Bytes::from(vec![7; 1 << 20]);
    let answer = guest.network.call(peer(2), ECHO, asked.clone(), LONG).await;
    assert_eq!(answer.unwrap(), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_come_through_relays_have_no_more_places_than_their_share() {
    let relay = relay(1).await;
    let mut hidden = client(2, vec![circuit(&relay)]);
    hidden.connections.per_source_max = 1;
    let mut hidden = start(hidden).await;
    let place = place(&hidden).await;
    let mut guests = Vec::new();
    for number in 3..=3 + SHARED_SOURCE_FACTOR as u64 {
        let mut guest = client(number, Vec::new());
        guest.seeds = vec![place.clone()];
        guests.push(start(guest).await);
    }
    assert_eq!(hidden.refuses().await.reason, StrangerReason::TooMany);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_at_a_named_relay_is_taken_again_when_the_relay_is_back() {
    let address = free_address();
    let relay = relay_at(1, address.clone()).await;
    let mut hidden = client(2, Vec::new());
    hidden.relays = vec![relay.address()];
    let hidden = start(hidden).await;
    place(&hidden).await;
    relay.network.shutdown().await;
    drop(relay);
    until("the place is lost", || hidden.network.relayed_addresses().is_empty()).await;
    let _relay = relay_at(1, address).await;
    place(&hidden).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_told_that_nobody_gets_through_takes_a_place_at_a_relay_by_itself() {
    let relay = relay(1).await;
    let mut hidden = client(2, Vec::new());
    (hidden.seeds, hidden.external) = (vec![relay.address()], vec![free_address()]);
    ask_soon(&mut hidden);
    let hidden = start(hidden).await;
    let mut guest = client(3, Vec::new());
    guest.seeds = vec![place(&hidden).await];
    assert_eq!(hidden.network.reachable(), Reachable::Nowhere);
    let mut guest = start(guest).await;
    guest.meets(peer(2)).await;
    let asked = Bytes::from_static(b"through a relay");
    let answer = guest.network.call(peer(2), ECHO, asked.clone(), LONG).await;
    assert_eq!(answer.unwrap(), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_at_a_relay_that_ends_is_taken_at_another() {
    let (first, second) = (relay(1).await, relay(2).await);
    let mut hidden = client(3, Vec::new());
    hidden.seeds = vec![first.address(), second.address()];
    hidden.external = vec![free_address()];
    ask_soon(&mut hidden);
    let hidden = start(hidden).await;
    let taken = place(&hidden).await;
    let is_first = taken.starts_with(&first.address());
    let (ends, stays) = if is_first { (first, second) } else { (second, first) };
    ends.network.shutdown().await;
    drop(ends);
    let is_taken = |at: &String| at.starts_with(&stays.address());
    until("the other has one", || hidden.network.listen_addresses().iter().any(is_taken)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_of_other_networks_take_the_place_of_none_of_this_one() {
    let mut hidden = client(2, Vec::new());
    hidden.external = vec![free_address()];
    ask_soon(&mut hidden);
    let mut hidden = start(hidden).await;
    let mut strangers = Vec::new();
    for number in 10..10 + RELAYS_MAX as u64 {
        let address = free_address();
        let mut stranger = config(number, &[]);
        stranger.network = "other".parse().expect("a name");
        (stranger.listen, stranger.external) = (vec![address.clone()], vec![address]);
        stranger.reachability.relay_server = true;
        strangers.push(start(stranger).await);
        hidden.network.dial(&strangers.last().expect("it was pushed").address()).unwrap();
        hidden.refuses().await;
    }
    let relay = relay(1).await;
    hidden.network.dial(&relay.address()).unwrap();
    assert!(place(&hidden).await.starts_with(&relay.address()));
}
