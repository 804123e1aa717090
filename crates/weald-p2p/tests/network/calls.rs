//! Calls: pipelined, bounded by their deadlines, and refused with a reason.

use std::time::Duration;

use bytes::Bytes;
use weald_core::{CallError, CorrelationId, Refusal, Request, Transport};
use weald_p2p::limits::BODY_BYTES_MAX;

use crate::rig::{ECHO, LONG, NOBODY, STALL, pair, peer, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ps1787_many_calls_at_once_each_get_their_own_answer() {
    let (a, b) = pair().await;
    let calls: Vec<_> = (0..2000u32)
        .map(|number| {
            let body = Bytes::copy_from_slice(&number.to_le_bytes());
            (number, tokio::spawn(b.network.call(peer(1), ECHO, body, LONG)))
        })
        .collect();
    let mut busy_count = 0u32;
    for (number, call) in calls {
        match call.await.unwrap() {
            Ok(answer) => assert_eq!(answer, number.to_le_bytes()[..]),
            Err(error) => {
                assert_eq!(error, CallError::Busy(peer(1)));
                busy_count += 1;
            }
        }
    }
    // All were queued before the first was sent; the node that answers takes so many at once.
    let taken_count = u64::from(2000 - busy_count);
    assert!(taken_count >= 1000, "{taken_count}");
    assert_eq!(a.network.metrics().requests_count, taken_count);
    assert_eq!(a.network.metrics().requests_busy_count, u64::from(busy_count));
}

#[tokio::test]
async fn d20_a_request_carries_its_correlation_id_and_what_is_left_of_its_deadline() {
    let (a, b) = pair().await;
    let request = Request::new(ECHO, Bytes::new(), Duration::from_secs(20));
    let request = request.correlated(CorrelationId(77));
    Transport::call(&b.network, peer(1), request).await.unwrap();
    let caller = a.callers.lock().unwrap().remove(0);
    assert_eq!((caller.peer, caller.correlation), (peer(2), CorrelationId(77)));
    assert!(caller.deadline > Duration::ZERO && caller.deadline <= Duration::from_secs(20));
}

#[tokio::test]
async fn both_sides_call_over_one_connection_and_large_answers_come_whole() {
    let (a, b) = pair().await;
    let large = Bytes::from(vec![7; BODY_BYTES_MAX]);
    let (from_a, from_b) = tokio::join!(
        a.network.call(peer(2), ECHO, large.clone(), LONG),
        b.network.call(peer(1), ECHO, large.clone(), LONG)
    );
    assert_eq!((from_a.unwrap(), from_b.unwrap()), (large.clone(), large));
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_before_it_is_sent() {
    let (a, b) = pair().await;
    let body = Bytes::from(vec![0; BODY_BYTES_MAX + 1]);
    let error = b.network.call(peer(1), ECHO, body, LONG).await.unwrap_err();
    assert_eq!(error, CallError::TooLarge { bytes: BODY_BYTES_MAX + 1, bytes_max: BODY_BYTES_MAX });
    assert_eq!(a.network.metrics().requests_count, 0);
}

#[tokio::test]
async fn an_unknown_service_is_an_error_that_is_counted() {
    let (a, b) = pair().await;
    let error = b.network.call(peer(1), NOBODY, Bytes::new(), LONG).await.unwrap_err();
    assert_eq!(error, CallError::Unknown(NOBODY));
    assert!(!error.is_retryable() && !error.may_have_run());
    assert_eq!(a.network.metrics().requests_unknown_count, 1);
    assert!(b.network.call(peer(1), ECHO, Bytes::new(), LONG).await.is_ok());
}

#[tokio::test]
async fn w20_requests_that_are_denied_or_malformed_are_counted() {
    let (a, b) = pair().await;
    for refusal in [Refusal::Denied, Refusal::Malformed, Refusal::Malformed] {
        let call = b.network.call(peer(1), STALL, Bytes::new(), LONG);
        let answer = async {
            until("it has come", || !a.stalled.lock().unwrap().is_empty()).await;
            a.stalled.lock().unwrap().pop().unwrap().send(Err(refusal.clone()));
        };
        let (called, ()) = tokio::join!(call, answer);
        assert_eq!(called.unwrap_err(), CallError::Refused(refusal));
    }
    let counted = || {
        let metrics = a.network.metrics();
        (metrics.requests_denied_count, metrics.requests_malformed_count)
    };
    until("they are counted", || counted() == (1, 2)).await;
}

#[tokio::test]
async fn a_peer_that_is_not_connected_is_unreachable_at_once() {
    let (_a, b) = pair().await;
    let error = b.network.call(peer(9), ECHO, Bytes::new(), LONG).await.unwrap_err();
    assert_eq!(error, CallError::Unreachable(peer(9)));
    assert!(!error.may_have_run());
}

#[tokio::test]
async fn a_service_that_stalls_holds_up_nobody_and_its_calls_end_by_their_deadlines() {
    let (a, b) = pair().await;
    let stalled = b.network.call(peer(1), STALL, Bytes::new(), Duration::from_millis(50));
    for _ in 0..100 {
        b.network.call(peer(1), ECHO, Bytes::new(), LONG).await.unwrap();
    }
    let error = stalled.await.unwrap_err();
    assert_eq!(error, CallError::TimedOut(peer(1)));
    assert!(error.may_have_run());
    assert_eq!(b.network.metrics().calls_timed_out_count, 1);
    // A late answer finds no call.
    until("the request is kept", || a.stalled.lock().unwrap().len() == 1).await;
    a.stalled.lock().unwrap().remove(0).send(Ok(Bytes::from_static(b"late")));
    let answer = b.network.call(peer(1), ECHO, Bytes::from_static(b"next"), LONG).await;
    assert_eq!(answer.unwrap(), b"next"[..]);
}

#[tokio::test]
async fn a_service_answers_later_from_any_thread_or_lets_the_request_go() {
    let (a, b) = pair().await;
    let first = b.network.call(peer(1), STALL, Bytes::new(), LONG);
    let second = b.network.call(peer(1), STALL, Bytes::new(), LONG);
    let third = b.network.call(peer(1), STALL, Bytes::new(), LONG);
    until("the requests are kept", || a.stalled.lock().unwrap().len() == 3).await;
    let mut replies = std::mem::take(&mut *a.stalled.lock().unwrap());
    std::thread::spawn(move || {
        drop(replies.pop());
        replies.pop().unwrap().send(Err(Refusal::Failed("disk".to_owned())));
        replies.pop().unwrap().send(Ok(Bytes::from_static(b"done")));
    });
    assert_eq!(third.await, Err(CallError::Refused(Refusal::Dropped)));
    assert_eq!(second.await, Err(CallError::Refused(Refusal::Failed("disk".to_owned()))));
    assert_eq!(first.await.unwrap(), b"done"[..]);
}
