//! A peer that asks too much, or does not listen, harms nobody else.

use std::time::Duration;

use bytes::Bytes;
use weald_core::CallError;
use weald_p2p::limits::{BODY_BYTES_MAX, REQUESTS_MAX};

use crate::rig::{ECHO, LONG, STALL, config, pair, peer, start, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_peer_is_bounded_and_others_are_served() {
    let (a, b) = pair().await;
    let mut c = start(config(3, &[&a])).await;
    c.meets(peer(1)).await;
    let flood_count = REQUESTS_MAX + 500;
    let mut flood: Vec<_> = (0..flood_count)
        .map(|_| tokio::spawn(b.network.call(peer(1), STALL, Bytes::new(), LONG)))
        .collect();
    until("the flood has come", || a.network.metrics().requests_busy_count == 500).await;
    assert_eq!(a.stalled.lock().unwrap().len(), REQUESTS_MAX);
    for call in flood.split_off(REQUESTS_MAX) {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error, CallError::Busy(peer(1)));
        assert!(error.is_retryable() && !error.may_have_run());
    }
    c.network.call(peer(1), ECHO, Bytes::new(), LONG).await.unwrap();
    // An answer makes room for the next request.
    a.stalled.lock().unwrap().remove(0).send(Ok(Bytes::new()));
    flood.remove(0).await.unwrap().unwrap();
    b.network.call(peer(1), ECHO, Bytes::new(), LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_that_wait_for_their_peer_hold_back_its_requests() {
    let (_a, b) = pair().await;
    // Forty answers of eight megabytes: more than the node keeps for one peer at once.
    let body = Bytes::from(vec![1; BODY_BYTES_MAX]);
    for _ in 0..10 {
        let calls: Vec<_> = (0..4)
            .map(|_| tokio::spawn(b.network.call(peer(1), ECHO, body.clone(), LONG)))
            .collect();
        for call in calls {
            match call.await.unwrap() {
                Ok(answer) => assert_eq!(answer.len(), body.len()),
                Err(error) => assert!(matches!(error, CallError::Busy(_)), "{error}"),
            }
        }
    }
    b.network.call(peer(1), ECHO, Bytes::new(), Duration::from_secs(20)).await.unwrap();
}
