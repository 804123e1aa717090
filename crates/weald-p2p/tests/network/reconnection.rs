//! Connections that break come back; two that come about at once become one.

use bytes::Bytes;
use weald_core::{CallError, NodeHints, Transport};

use crate::rig::{ECHO, LONG, STALL, config, pair, peer, start, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_restarts_at_the_same_address_is_found_again() {
    let (a, mut b) = pair().await;
    let address = a.address();
    a.network.shutdown().await;
    drop(a);
    b.loses(peer(1)).await;
    let mut again = config(1, &[]);
    again.listen = vec![address.split("/p2p/").next().unwrap().to_owned()];
    let _a = start(again).await;
    b.meets(peer(1)).await;
    assert!(b.network.call(peer(1), ECHO, Bytes::new(), LONG).await.is_ok());
}

#[tokio::test]
async fn calls_to_a_peer_that_goes_away_end_at_once_and_say_that_they_may_have_run() {
    let (a, b) = pair().await;
    let call = b.network.call(peer(1), STALL, Bytes::new(), LONG);
    until("the request is kept", || a.stalled.lock().unwrap().len() == 1).await;
    a.network.shutdown().await;
    let error = call.await.unwrap_err();
    assert_eq!(error, CallError::Lost(peer(1)));
    assert!(error.may_have_run() && error.is_retryable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_dial_each_other_at_once_end_with_one_way_to_talk() {
    for round in 0..5 {
        let mut a = start(config(1, &[])).await;
        let mut b = start(config(2, &[])).await;
        let (to_a, to_b) = (a.address(), b.address());
        b.network.dial(&to_a).unwrap();
        a.network.dial(&to_b).unwrap();
        a.meets(peer(2)).await;
        b.meets(peer(1)).await;
        for number in 0..100u32 {
            let body = Bytes::copy_from_slice(&number.to_le_bytes());
            let (from_a, from_b) = tokio::join!(
                a.network.call(peer(2), ECHO, body.clone(), LONG),
                b.network.call(peer(1), ECHO, body.clone(), LONG)
            );
            assert_eq!((from_a.unwrap(), from_b.unwrap()), (body.clone(), body), "round {round}");
        }
        assert!(a.told.try_recv().is_err(), "told once");
        assert!(b.told.try_recv().is_err(), "told once");
    }
}

#[tokio::test]
async fn a_node_that_has_itself_for_a_seed_leaves_itself_alone() {
    let mut a = start(config(1, &[])).await;
    let own = a.address();
    let bare = own.split("/p2p/").next().unwrap().to_owned();
    a.network.dial(&bare).unwrap();
    until("the dial has ended", || a.network.metrics().dials_failed_count == 1).await;
    let b = start(config(2, &[&a])).await;
    a.meets(peer(2)).await;
    assert_eq!(a.network.metrics().dials_count, 1);
    drop(b);
}

#[tokio::test]
async fn what_a_node_says_of_itself_reaches_its_peers() {
    let mut hints = NodeHints { incarnation: 3, ..NodeHints::default() };
    let a = start(config(1, &[])).await;
    let mut told = config(2, &[&a]);
    told.hints = hints;
    let b = start(told).await;
    let heard = |hints: NodeHints| a.network.peers().iter().any(|info| info.hints == Some(hints));
    until("the first hints", || heard(hints)).await;
    hints.load_permille = 500;
    b.network.hint(hints);
    until("the next hints", || heard(hints)).await;
}

#[tokio::test]
async fn a_node_that_listens_nowhere_calls_and_is_called() {
    let mut a = start(config(1, &[])).await;
    let mut client = config(2, &[&a]);
    client.listen = Vec::new();
    let client = start(client).await;
    a.meets(peer(2)).await;
    assert!(client.network.listen_addresses().is_empty());
    until("the client knows", || client.peers() == [peer(1)]).await;
    assert!(client.network.call(peer(1), ECHO, Bytes::new(), LONG).await.is_ok());
    assert!(a.network.call(peer(2), ECHO, Bytes::new(), LONG).await.is_ok());
    assert!(a.network.peers()[0].addresses.is_empty());
}
