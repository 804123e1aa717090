//! Nodes that ask others whether they can be dialled. A node behind a router is one that listens on another loopback
//! address than the one that it is seen at.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use weald_p2p::{Config, Reachable};

use crate::rig::{Node, ask_soon, config, start, until};

/// Listens where nobody dials it who knows it by its connections.
const BEHIND: &str = "/ip4/127.0.0.2/tcp/0";

fn asking(number: u64, seeds: &[&Node]) -> Config {
    let mut config = config(number, seeds);
    ask_soon(&mut config);
    config
}

/// A node behind a router, which names `external`.
async fn hidden(number: u64, seed: &Node, external: SocketAddr) -> Node {
    let mut config = asking(number, &[seed]);
    config.listen = vec![BEHIND.to_owned()];
    config.external = vec![format!("/ip4/{}/tcp/{}", external.ip(), external.port())];
    start(config).await
}

/// A port of the router.
async fn port() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free")
}

/// Forwards every connection to `router` to where `node` listens.
fn forward(router: TcpListener, node: &Node) {
    let address = node.address();
    let port = address.split('/').nth(4).expect("it has a port").parse().expect("a port");
    let inner = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port));
    tokio::spawn(async move {
        while let Ok((mut outside, _)) = router.accept().await {
            let Ok(mut inside) = TcpStream::connect(inner).await else { continue };
            tokio::spawn(async move {
                // It ends with either side.
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_others_can_dial_is_told_at_which_address() {
    let seed = start(asking(1, &[])).await;
    let node = start(asking(2, &[&seed])).await;
    until("it is told", || node.network.reachable() == Reachable::At(node.address())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_forwarded_is_confirmed() {
    let seed = start(asking(1, &[])).await;
    let router = port().await;
    let external = router.local_addr().expect("it is bound");
    let node = hidden(2, &seed, external).await;
    forward(router, &node);
    let way = format!("/tcp/{}/", external.port());
    let is_told = || matches!(node.network.reachable(), Reachable::At(at) if at.contains(&way));
    until("it is told", is_told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_address_leads_nowhere_is_told_that_nobody_gets_through() {
    let seed = start(asking(1, &[])).await;
    let router = port().await;
    let external = router.local_addr().expect("it is bound");
    drop(router);
    let node = hidden(2, &seed, external).await;
    until("it is told", || node.network.reachable() == Reachable::Nowhere).await;
    // Who is hidden tells others all the same.
    until("the seed is told", || seed.network.reachable() == Reachable::At(seed.address())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_at_local_addresses_are_asked_only_where_that_is_wanted() {
    let seed = start(asking(1, &[])).await;
    let mut plain = asking(2, &[&seed]);
    plain.reachability.probe_local = false;
    let plain = start(plain).await;
    let node = start(asking(3, &[&seed])).await;
    until("another is told", || node.network.reachable() != Reachable::Unknown).await;
    assert_eq!(plain.network.reachable(), Reachable::Unknown);
}
