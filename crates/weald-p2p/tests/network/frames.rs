//! Frames: one way, in order, and never more than there is room for.

use bytes::Bytes;
use weald_core::{Mailbox, MailboxError, Priority};
use weald_p2p::limits::BODY_BYTES_MAX;

use crate::rig::{pair, peer, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_one_priority_come_in_the_order_of_sending() {
    let (mut a, b) = pair().await;
    for number in 0..5000u32 {
        let frame = Bytes::copy_from_slice(&number.to_le_bytes());
        b.network.send(peer(1), Priority::Consensus, frame).unwrap();
    }
    for number in 0..5000u32 {
        let (from, priority, frame) = a.frame().await;
        assert_eq!((from, priority), (peer(2), Priority::Consensus));
        assert_eq!(frame, number.to_le_bytes()[..]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_urgent_overtakes_what_is_bulk() {
    let (mut a, b) = pair().await;
    let large = Bytes::from(vec![1; 1 << 20]);
    let bulk_count = 16;
    for _ in 0..bulk_count {
        b.network.send(peer(1), Priority::Bulk, large.clone()).unwrap();
    }
    b.network.send(peer(1), Priority::Consensus, Bytes::from_static(b"vote")).unwrap();
    let mut before_count = 0;
    loop {
        let (_, priority, _) = a.frame().await;
        if priority == Priority::Consensus {
            break;
        }
        before_count += 1;
    }
    assert!(before_count < bulk_count, "the vote came after all of the bulk");
}

#[tokio::test]
async fn all_priorities_work_both_ways() {
    let (mut a, mut b) = pair().await;
    for priority in [Priority::Consensus, Priority::Client, Priority::Bulk] {
        a.network.send(peer(2), priority, Bytes::from_static(b"to b")).unwrap();
        assert_eq!(b.frame().await, (peer(1), priority, Bytes::from_static(b"to b")));
        b.network.send(peer(1), priority, Bytes::from_static(b"to a")).unwrap();
        assert_eq!(a.frame().await, (peer(2), priority, Bytes::from_static(b"to a")));
    }
}

#[tokio::test]
async fn a_frame_that_cannot_be_sent_says_why() {
    let (_a, b) = pair().await;
    let refused = b.network.send(peer(9), Priority::Client, Bytes::new());
    assert_eq!(refused, Err(MailboxError::Unreachable(peer(9))));
    let (bytes, bytes_max) = (BODY_BYTES_MAX + 1, BODY_BYTES_MAX);
    let refused = b.network.send(peer(1), Priority::Client, Bytes::from(vec![0; bytes]));
    assert_eq!(refused, Err(MailboxError::TooLarge { bytes, bytes_max }));
    assert_eq!(b.network.metrics().frames_refused_count, 2);
}

#[tokio::test]
async fn frames_for_which_the_node_has_no_room_are_dropped_and_counted() {
    let (a, b) = pair().await;
    // Nobody takes the frames out at `a`, which has room for so many.
    let room = 100_000;
    let (mut sent, total) = (0u64, room + 500);
    while sent < total {
        match b.network.send(peer(1), Priority::Client, Bytes::from_static(b"f")) {
            Ok(()) => sent += 1,
            Err(error) => {
                assert_eq!(error, MailboxError::Full(peer(1)));
                tokio::task::yield_now().await;
            }
        }
    }
    let counted = || {
        let metrics = a.network.metrics();
        (metrics.frames_received_count, metrics.frames_dropped_count)
    };
    until("all frames have come", || counted().0 + counted().1 == total).await;
    assert_eq!(counted(), (room, 500));
}
